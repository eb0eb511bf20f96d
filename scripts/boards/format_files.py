"""Rows of board `formats` about whole files: sparse giants, a language model's dequantised copy, twins of one model."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.records import ModelRef

ROOT = Path(__file__).resolve().parents[2]
STREAM, HIDDEN, NOISY = 1024, 2816, 64
"""As in scripts/formats/write_sparse.py."""
GIANTS = {"1 GB": 58, "10 GB": 580}
"""Layers in float16; twice as many in Q8_0."""
SOURCES = {name: source for source, name in (
    ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
)}  # fmt: skip
LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
"""GGUF's name of a llama module -> Hugging Face's."""

CHILD = """
import json, sys
from hubdna.models import Loader
from hubdna.records import ModelRef
dna = Loader(level=sys.argv[2]).load(ModelRef(sys.argv[1])).dna
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"mib": int(peak) // 1024, "bytes": dna.n_bytes_read, "requests": dna.n_requests,
                  "genes": len(dna.genes)}))
"""


def cost(path: Path) -> dict[str, Any]:
    """MiB at the peak of a process that reads a file at level standard; bytes, requests and genes."""
    command = [sys.executable, "-c", CHILD, str(path), "standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout) | {"gb": round(path.stat().st_size / 1e9, 2)}


def giant_gguf(size: str) -> dict[str, Any]:
    """What reading a sparse GGUF costs: Q8_0, noise in the first 64 units of each matrix, else holes."""
    kind, random = gguf.GGMLQuantizationType.Q8_0, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        path, begins, end = Path(place) / "m.gguf", {}, 0
        writer = gguf.GGUFWriter(path, "llama")
        for layer in range(2 * GIANTS[size]):
            for name in ("ffn_gate", "ffn_up", "ffn_down"):
                shape = (STREAM, HIDDEN) if name == "ffn_down" else (HIDDEN, STREAM)
                stored = gguf.quant_shape_to_byte_shape(shape, kind)
                n_bytes = int(np.prod(stored, dtype=np.int64))
                writer.add_tensor_info(f"blk.{layer}.{name}.weight", stored, np.dtype(np.uint8), n_bytes, kind)
                begins[end], end = shape[1], end + n_bytes
        for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_ti_data_to_file):
            write()
        writer.close()
        base = path.stat().st_size
        base += -base % 32
        with path.open("r+b") as file:
            for begin, width in begins.items():
                file.seek(base + begin)
                noise = random.standard_normal((NOISY, width), np.float32) * 0.02
                file.write(gguf.quants.quantize(noise, kind).tobytes())
            file.truncate(base + end)
        return cost(path)


def giant_torch(size: str, python: str) -> dict[str, Any]:
    """What reading a sparse archive of torch.save costs."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "m.pt"
        script = ROOT / "scripts" / "formats" / "write_sparse.py"
        subprocess.run([python, str(script), str(path), str(GIANTS[size])], check=True)
        return cost(path)


def dequantised(source: Path, target: Path) -> Path:
    """A llama-like GGUF's weights as the gguf package reads them, in Hugging Face's layout and float32.

    Rows of q and k go back from rotary order as in transformers (`LlamaTensorProcessor._reverse_permute_weights`).
    """
    found = gguf.GGUFReader(source)
    heads = {letter: int(found.fields[f"llama.attention.head_count{key}"].contents())
             for letter, key in (("q", ""), ("k", "_kv"))}  # fmt: skip
    weights = {}
    for tensor in found.tensors:
        name, _, last = tensor.name.rpartition(".")
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            if part in ("attn_q", "attn_k"):
                half = len(array) // heads[part[-1]] // 2
                array = array.reshape(-1, half, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
            name = f"model.layers.{layer}.{LAYER[part]}"
        weights[f"{SOURCES.get(name, name)}.{last}"] = np.ascontiguousarray(array, np.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, target)
    return target


def same_dna(a: Path, b: Path) -> dict[str, Any]:
    """Whether two files of one model give the same .dna bytes."""
    encoded = [codec.encode(Loader(level="full").load(ModelRef(str(p))).dna) for p in (a, b)]
    return {"equal": encoded[0] == encoded[1], "dna_bytes": [len(e) for e in encoded]}
