"""Write one trained model into every container and layout that its reference writers can make of it.

    PYTHON scripts/formats/write_models.py minilm|decoder|conv SOURCE OUT [--only REGEX]

SOURCE is a folder with config.json and model.safetensors. For each form a folder OUT/FORM as the Hub would show it,
OUT/FORM.reference.safetensors with some rows of each tensor as the form's own library reads them (float32, at most 64
rows, evenly spaced), and an entry in OUT/forms.json: writer, what the form is to the original, or why it was left out.
Forms that have an entry are not written again. Board `formats` reads them; nothing of it is committed.

PYTHON needs torch, transformers, accelerate, safetensors, gguf, onnx, onnxscript, onnxruntime, bitsandbytes,
compressed-tensors, hqq and mlx[cpu]. GPTQ and AWQ need the sources of auto_gptq 0.7.1 (wheel) and autoawq 0.2.9
(sdist), unpacked into src/ of that environment (`pip download --no-deps`; they no longer install).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
import write_layouts
from model_forms import CLASSES, Forms, Made, Model, Tensors, by, note_on, stored_as
from safetensors.torch import load_file, save_file
from write_model_files import gguf_forms, onnx_forms

HALF = {"minilm": torch.float16}
"""What quantisers leave the other tensors in; the demo's models keep their own bfloat16."""


def containers(model: Model) -> Iterator[tuple[str, Callable[[Path], Made]]]:
    """Floats in the containers of torch and safetensors."""

    def pretrained(folder: Path, shard: str) -> Made:
        loaded = CLASSES[model.name].from_pretrained(model.source)
        loaded.save_pretrained(folder, max_shard_size=shard, state_dict=model.tensors)
        found = {k: v for p in sorted(folder.glob("*.safetensors")) for k, v in load_file(p).items()}
        return Made(f"{by('transformers')}, {by('safetensors')}", found, stored_as(model, found))

    def saved(folder: Path, dtype: torch.dtype) -> Made:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.tensors.items()}
        torch.save(state, folder / "pytorch_model.bin")
        found = torch.load(folder / "pytorch_model.bin", weights_only=True)
        return Made(by("torch"), found, stored_as(model, found), note=note_on(model, found))

    def traced(folder: Path) -> Made:
        with torch.no_grad():
            torch.jit.trace(model.module(), model.inputs(), check_trace=False).save(folder / "model.pt")
        found = torch.jit.load(folder / "model.pt").state_dict()
        return Made(by("torch"), found, stored_as(model, found), note=note_on(model, found))

    def float8(folder: Path) -> Made:
        kept = {k: v.to(torch.float8_e4m3fn) if v.ndim > 1 and v.is_floating_point() else v
                for k, v in model.tensors.items()}  # fmt: skip
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
        copy_config(model, folder, {})
        return Made(f"{by('torch')}, {by('safetensors')}", load_file(folder / "model.safetensors"), "quantized")

    yield "safetensors", lambda folder: pretrained(folder, "10GB")
    yield "safetensors-sharded", lambda folder: pretrained(folder, "25MB" if model.name == "minilm" else "200KB")
    for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        yield f"torch-{name}", lambda folder, dtype=dtype: saved(folder, dtype)
    yield "torchscript", traced
    yield "fp8-cast", float8


def copy_config(model: Model, folder: Path, more: dict[str, Any]) -> None:
    """config.json of the source, and what a quantiser adds to it."""
    config = json.loads((model.source / "config.json").read_text()) | more
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def quantise(model: Model, name: str, write: Callable[..., Any], folder: Path) -> Made:
    """All linear maps in one layout (MLX: the embeddings too), everything else as floats of 16 bits."""
    raw: Tensors = {}
    reference: Tensors = {}
    more: dict[str, Any] = {}
    made: list[torch.Tensor] = []
    for key, value in model.tensors.items():
        stem = key.removesuffix(".weight")
        if is_linear(key, value) or (name.startswith("mlx") and is_table(key, value)):
            parts, back, more = write(value.float())
            raw |= {k.replace("fc1", stem, 1): v.contiguous() for k, v in parts.items()}
            reference[key] = back["fc1.weight"]
            made.append(reference[key])
        else:
            half = HALF.get(model.name, value.dtype) if value.is_floating_point() else value.dtype
            raw[key] = reference[key] = value.to(half)
    save_file(raw, folder / "model.safetensors", {"format": "pt"})
    copy_config(model, folder, {"quantization" if name.startswith("mlx") else "quantization_config": more})
    bits = min(BITS[back.dtype] for back in made)
    return Made(WRITERS[name.split("-")[0].rstrip("0123456789")], reference, "quantized", bits)


def pretrained_bnb(model: Model, bits: int, folder: Path) -> Made:
    """The whole way of a user: transformers loads, bitsandbytes quantises, save_pretrained writes."""
    import bitsandbytes
    from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant

    nested = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    config = transformers.BitsAndBytesConfig(
        **({"load_in_4bit": True} | nested if bits == 4 else {"load_in_8bit": True})
    )
    loaded = CLASSES[model.name].from_pretrained(model.source, quantization_config=config, device_map="cpu")
    loaded.save_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    reference = {k: v for k, v in stored.items() if k in model.tensors and v.is_floating_point()}
    for name, module in loaded.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight.quant_state.dtype = torch.float32
            reference[f"{name}.weight"] = dequantize_4bit(weight.data, weight.quant_state)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            reference[f"{name}.weight"] = int8_vectorwise_dequant(weight.data, weight.SCB)
    return Made(f"{by('transformers')}, {by('bitsandbytes')}", reference, "quantized")


BITS = {torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
"""Of the mantissa."""


WRITERS = {
    "bnb": by("bitsandbytes"), "ct": by("compressed-tensors"), "hqq": by("hqq"), "mlx": by("mlx"),
    "gptq": "auto_gptq 0.7.1", "awq": "autoawq 0.2.9",
}  # fmt: skip


def is_linear(key: str, value: torch.Tensor) -> bool:
    """Whether quantisers take a tensor: maps of the blocks, neither embeddings nor the head."""
    return key.endswith(".weight") and value.ndim == 2 and not re.search("embed|lm_head", key)


def is_table(key: str, value: torch.Tensor) -> bool:
    """Whether a tensor is an embedding, which MLX quantises too."""
    return key.endswith(".weight") and value.ndim == 2 and "embed" in key


def main() -> None:
    """Write what is missing of one model's forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=CLASSES)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="forms whose name has a match")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    model = Model(args.model, args.source, load_file(args.source / "model.safetensors"))
    forms = Forms(args.out, args.only)
    for form, make in (*containers(model), *gguf_forms(model), *onnx_forms(model)):
        forms.write(form, make)
    if model.name == "conv":
        forms.leave_out("gguf", "no architecture of the gguf package has this network's names")
    else:
        for bits in (4, 8):
            forms.write(f"bnb-pretrained-{bits}bit", lambda folder, bits=bits: pretrained_bnb(model, bits, folder))
    src = Path(sys.prefix) / "src"
    awq = next((p for p in src.glob("autoawq-*") if p.is_dir()), src / "autoawq")
    tasks = write_layouts.everything(src / "auto_gptq", awq)
    for name, write in tasks.items():
        if model.name == "conv":
            forms.leave_out(name, "quantises linear maps; of this network only the last one, 10 x 80, is linear")
        else:
            forms.write(name, lambda folder, name=name, write=write: quantise(model, name, write, folder))


if __name__ == "__main__":
    main()
