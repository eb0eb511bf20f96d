"""Sound inputs of every reader, from which the guided fuzzer and the structured property tests start."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_readers import pack
from safetensors.numpy import save

from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.records import ModelRef

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "formats"
CANARY = Path("/tmp/hubdna-canary")
"""What the canary pickles would create if anything of them ran."""


def safetensors() -> dict[str, bytes]:
    """Every quantised layout by its reference library, plain and fused weights, with a config that says something."""
    found = {p.stem: p for p in sorted((DATA / "layouts").glob("*.safetensors")) if ".reference" not in p.name}
    hint = {"bits": 4, "group_size": 64, "checkpoint_format": "gptq_v2", "weight_block_size": [32, 64]}
    config = json.dumps({"quantization_config": hint}).encode()
    inputs = {name: pack(path.read_bytes(), b"", config) for name, path in found.items()}
    plain = {"a.weight": np.ones((4, 6), np.float16), "a.bias": np.ones(4, np.float32), "b": np.ones((), np.float64)}
    fused = {
        "l.self_attn.qkv_proj.weight": (24, 8), "l.self_attn.qkv_proj.bias": (24,), "l.mlp.down_proj.weight": (8, 6),
        "l.mlp.gate_up_proj.weight": (12, 8), "l.mlp.experts.gate_up_proj": (2, 8, 12), "l.attn.c_attn.weight": (8, 24),
        "l.mlp.experts.down_proj": (2, 6, 8), "l.mlp.experts.down_proj_bias": (2, 8),
    }  # fmt: skip
    said = json.dumps({"model_type": "phi3", "hidden_size": 8, "num_attention_heads": 2, "head_dim": 4}).encode()
    stacked = {name: np.arange(np.prod(shape), dtype=np.float16).reshape(shape) for name, shape in fused.items()}
    return inputs | {
        "plain": pack(save(plain, {"format": "pt"}), b"", b"{}"), "fused": pack(save(stacked), b"", said)
    }  # fmt: skip


def torch() -> dict[str, bytes]:
    """Archives that torch wrote, but for the largest, and one with a canary."""
    found = {p.name: p.read_bytes() for p in sorted((DATA / "torch").glob("*.*")) if p.suffix in (".bin", ".pt")}
    return {name: data for name, data in found.items() if len(data) < 30_000} | {"small": _archive(_program(_STATE))}


def _archive(program: bytes) -> bytes:
    path = CANARY.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", program)
        archive.writestr("m/byteorder", "little")
        for i in range(3):
            archive.writestr(f"m/data/{i}", bytes(96))
    data = path.read_bytes()
    path.unlink()
    return data


class _Call:
    """Pickles as a call of a global that need not exist here."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args


def _program(value: Any) -> bytes:
    return b"\x80\x02" + _ops(value) + b"."


def _ops(value: Any) -> bytes:
    """A pickle's opcodes, without a memo."""
    if isinstance(value, _Call):
        if value.name == "storage":
            return _ops(("storage", _Call("torch " + value.args[0]), *value.args[1:])) + b"Q"
        named = f"c{value.name.replace(' ', chr(10))}\n".encode()
        return named + (_ops(value.args) + b"R" if value.args else b"")
    if isinstance(value, dict):
        return b"}(" + b"".join(_ops(k) + _ops(v) for k, v in value.items()) + b"u"
    if isinstance(value, tuple | list):
        begin, end = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
        return begin + b"".join(map(_ops, value)) + end
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def _tensor(key: str, shape: tuple[int, ...], strides: tuple[int, ...], kind: str = "FloatStorage") -> _Call:
    return _Call(
        "torch._utils _rebuild_tensor_v2", _Call("storage", kind, key, "cpu", 24), 0, shape, strides, False, {}
    )


_STATE = {"a.weight": _tensor("0", (4, 6), (6, 1)), "b": _tensor("1", (6, 4), (1, 6), "HalfStorage")}


class _Canary:
    """Pickles into a call that would leave a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {CANARY}",)


def pickles() -> dict[str, bytes]:
    """State dicts, nested checkpoints, wrapped tensors, every protocol, and canaries."""
    a = _tensor("0", (4, 6), (6, 1))
    deep: Any = a
    for _ in range(9):
        deep = {"model": deep}
    values: dict[str, Any] = {
        "state": _STATE, "checkpoint": {"state_dict": _STATE, "optimizer": [a], "ema": _STATE, "epoch": 3},
        "wrapped": {"p": _Call("torch._utils _rebuild_parameter", a, True, {}), "n": 2**70, "f": 0.5, "t": "x" * 40},
        "deep": deep, "list": [a, (a, [a])], "ordered": _Call("collections OrderedDict", [("a", a)]),
        "v3": _Call("torch._utils _rebuild_tensor_v3", _Call("storage", "UntypedStorage", "2", "cpu", 96), 0, (4, 6),
                    (6, 1), False, {}, _Call("torch float32")),
    }  # fmt: skip
    made = {name: _program(value) for name, value in values.items()}
    made |= {f"protocol{i}": pickle.dumps([{"a": (1, -2, 0.5, "t", b"b", None, True)}, {2}], i) for i in range(6)}
    return made | {f"canary{i}": pickle.dumps({"a": _Canary(), "b": [_Canary()]}, i) for i in (0, 2, 4)}


def gguf() -> dict[str, bytes]:
    """Small files with every kind of pair, and one tensor of every type that is known."""
    from gguf.constants import GGML_QUANT_SIZES

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("llama.attention.head_count") + struct.pack("<II", 4, 2),
        text("general.alignment") + struct.pack("<II", 4, 32),
        text("tokenizer.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc"),
        text("llama.attention.head_count_kv") + struct.pack("<IIQ2i", 9, 5, 2, 1, 2),
        text("llama.rope") + struct.pack("<If", 6, 0.5), text("llama.flag") + struct.pack("<I?", 7, True),
    ]  # fmt: skip
    found = {}
    for kind, (n_values, n_bytes) in GGML_QUANT_SIZES.items():
        names = [("blk.0.attn_q.weight", (n_values, 4)), ("blk.0.ffn.gate_exps.weight", (n_values, 2, 3)), ("x", ())]
        infos, data = b"", b""
        used = names if n_values == 1 else [names[0], ("blk.0.ffn_gate_exps.weight", (n_values, 2, 3))]
        for name, dims in used:
            infos += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, int(kind), len(data))
            rows = int(np.prod(dims)) // n_values
            data += bytes(i % 251 for i in range(rows * n_bytes))
            data += bytes(-len(data) % 32)
        head = struct.pack("<4sIQQ", b"GGUF", 3, len(used), len(pairs)) + b"".join(pairs) + infos
        found[kind.name] = pack(head + bytes(-len(head) % 32) + data, b"")
    return found


def onnx() -> dict[str, bytes]:
    """Exports of every way to quantise, external data, and nothing larger than 20 kB."""
    beside = (DATA / "onnx" / "external.onnx_data").read_bytes()
    found = {p.stem: p.read_bytes() for p in sorted((DATA / "onnx").glob("*.onnx"))}
    return {n: pack(raw, beside if n == "external" else b"", b"") for n, raw in found.items() if len(raw) < 20_000}


def adapter() -> dict[str, bytes]:
    """LoRA, DoRA, embeddings and convolutions, IA3."""
    config = {
        "peft_type": "LORA", "base_model_name_or_path": "org/base", "revision": "main", "r": 2, "lora_alpha": 8,
        "target_modules": ["q_proj"], "alpha_pattern": {"q_proj": 4}, "rank_pattern": {}, "use_rslora": False,
    }  # fmt: skip
    a, b, m = np.ones((2, 6), np.float32), np.ones((4, 2), np.float32), "base_model.model.layers.0.q_proj"
    lora = {f"{m}.lora_A.weight": a, f"{m}.lora_B.weight": b}
    conv = {f"{m}.lora_A.weight": np.ones((2, 3, 3, 3), np.float16), f"{m}.lora_B.weight": np.ones((4, 2, 1, 1), "f2")}
    table = {f"{m}.lora_embedding_A": a, f"{m}.lora_embedding_B": b, "head.weight": b}
    ia3 = {f"{m}.ia3_l": np.ones((4, 1), np.float32)}
    cases: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "lora": (config, lora), "conv": (config | {"use_rslora": True}, conv), "table": (config, table),
        "dora": (config | {"use_dora": True}, lora | {f"{m}.lora_magnitude_vector": np.ones(4, np.float32)}),
        "ia3": (config | {"peft_type": "IA3"}, ia3),
    }  # fmt: skip
    return {name: pack(json.dumps(said).encode(), save(held)) for name, (said, held) in cases.items()}


def dna() -> dict[str, bytes]:
    """A .dna file with its rows, and as it is published."""
    found = Loader().load(ModelRef(str(DATA / "torch" / "twin.safetensors"))).dna
    return {"whole": codec.encode(found), "published": codec.encode(found, publish=True)}


def choice() -> dict[str, bytes]:
    """Listings as the Hub holds them."""
    shards = [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
    index = json.dumps({"metadata": {}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}).encode()
    listings = {
        "shards": [*shards, "model.safetensors.index.json", "config.json", "optimizer.pt"],
        "named": ["a.safetensors", "b.safetensors", "x.safetensors.index.json", "pytorch_model.bin", "onnx/model.onnx"],
        "gguf": ["m-Q4_K_M.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "mmproj-f16.gguf"],
        "pipeline": ["model_index.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/model.safetensors"],
        "others": ["adapter_model.safetensors", "model.bin", "model.xml", "tf_model.h5", "a.ckpt", "a.ckpt.meta"],
    }
    return {name: pack("\n".join(files).encode(), index) for name, files in listings.items()}


def card() -> dict[str, bytes]:
    """Front matters: block and flow, one base and many, none."""
    fronts = {
        "block": "base_model:\n- org/a  # first\n- org/b\nlicense: mit\ntags: [x, y]\n", "one": "base_model: org/a\n",
        "flow": '{"base_model": "org/a", license: [mit]}\n', "none": "language: en\n",
        "text": "a: |\n  b\nc: >-\n  d\n",
    }  # fmt: skip
    return {name: f"---\n{front}---\n# Title\n".encode() for name, front in fronts.items()}


SEEDS = {
    "safetensors": safetensors, "torch": torch, "pickle": pickles, "gguf": gguf, "onnx": onnx, "adapter": adapter,
    "dna": dna, "choice": choice, "card": card,
}  # fmt: skip
"""Sound inputs of every reader, by name."""
