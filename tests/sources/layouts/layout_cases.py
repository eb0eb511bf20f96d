"""Every layout twice: a writer, and a reader that goes element by element through Python integers and floats."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]
Parts = dict[str, tuple[str, Array]]
Naive = Callable[[Parts, tuple[int, int], int, int], float]

NP = {
    "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U32": "<u4", "U8": "u1",
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A layout of one weight [out, in]. `write` names parts without their stem; `naive` gives weight[o, i]."""

    name: str
    word: str
    write: Callable[[Array], Parts]
    naive: Naive
    transposed: bool = False
    experts: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def save(path: Path, parts: Parts) -> None:
    """A safetensors file, each tensor in its place."""
    header, data = {}, b""
    for name, (dtype, array) in parts.items():
        raw = np.ascontiguousarray(array.astype(NP[dtype]) if array.dtype != NP[dtype] else array).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def pack(rows: Array, bits: int, dtype: str = "I32") -> Array:
    """Rows of small numbers as little-endian streams in 32-bit words."""
    n_bytes = -(-rows.shape[1] * bits // 32) * 4
    streams = [sum(int(v) << (bits * i) for i, v in enumerate(row)).to_bytes(n_bytes, "little") for row in rows]
    return np.frombuffer(b"".join(streams), NP[dtype]).reshape(len(rows), -1)


def bit(row: Array, bits: int, i: int) -> int:
    """Number i of a packed row."""
    return (int.from_bytes(row.tobytes(), "little") >> (bits * i)) & ((1 << bits) - 1)


def affine(W: Array, bits: int, group: int, *, middle: bool = False) -> tuple[Array, Array, Array]:
    """q [out, in], scale and zero [out, groups]."""
    G = W.reshape(len(W), -1, group)
    low, high = G.min(-1), G.max(-1)
    if middle:
        scale = np.abs(G).max(-1) / (2 ** (bits - 1) - 0.5)
        zero = np.full_like(scale, 2 ** (bits - 1))
    else:
        scale = (high - low) / (2**bits - 1)
        zero = np.clip(np.round(-low / scale), 1, 2**bits - 1)
    scale = scale.astype(np.float16).astype(np.float64)
    q = np.clip(np.round(G / scale[..., None]) + zero[..., None], 0, 2**bits - 1)
    return q.reshape(W.shape).astype(np.int64), scale, zero.astype(np.int64)


def gptq(bits: int, *, version: int = 1, middle: bool = False, order: bool = False, idx: bool = True) -> Case:
    group = 32

    def write(W: Array) -> Parts:
        places = np.random.default_rng(1).permutation(W.shape[1]) if order else np.arange(W.shape[1])
        q, scale, zero = affine(W[:, np.argsort(places)], bits, group, middle=middle)
        parts = {
            "qweight": ("I32", pack(q[:, places], bits).T), "qzeros": ("I32", pack((zero - (version == 1)).T, bits)),
            "scales": ("F16", scale.T),
        }  # fmt: skip
        return parts | ({"g_idx": ("I32", places // group)} if idx else {})

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        g = int(p["g_idx"][1][i]) if "g_idx" in p else i // group
        zero = bit(p["qzeros"][1][g], bits, o) + (version == 1)
        return (bit(np.ascontiguousarray(p["qweight"][1][:, o]), bits, i) - zero) * float(p["scales"][1][g, o])

    config = {"quantization_config": {"checkpoint_format": "gptq_v2"}} if version == 2 and not middle else {}
    name = f"gptq{bits}-v{version}" + "-sym" * middle + "-order" * order + "-no-idx" * (not idx)
    return Case(name, f"GPTQ{bits}", write, naive, transposed=True, config=config)


def _awq_write(W: Array) -> Parts:
    q, scale, zero = affine(W, 4, 32)

    def shuffled(a: Array) -> Array:
        return pack(a.reshape(len(a), -1, 8)[..., [0, 2, 4, 6, 1, 3, 5, 7]].reshape(len(a), -1), 4)

    return {"qweight": ("I32", shuffled(q.T)), "qzeros": ("I32", shuffled(zero.T)), "scales": ("F16", scale.T)}


def _awq_naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
    def at(a: Array, r: int) -> int:
        return int(np.uint32(a[r, o // 8])) >> (4 * [0, 4, 1, 5, 2, 6, 3, 7][o % 8]) & 15

    return (at(p["qweight"][1].view(np.uint32), i) - at(p["qzeros"][1].view(np.uint32), i // 32)) * float(
        p["scales"][1][i // 32, o]
    )


def _bnb8_write(W: Array) -> Parts:
    scb = np.abs(W).max(1).astype(np.float32)
    return {"weight": ("I8", np.round(W * 127 / scb[:, None])), "SCB": ("F32", scb)}


CODE = np.linspace(-1, 1, 16) ** 3
BLOCK = 64


def _bnb4_state(W: Array, **more: Any) -> tuple[str, Array]:
    text = json.dumps({"quant_type": "nf4", "blocksize": BLOCK, "shape": list(W.shape), **more})
    return "U8", np.frombuffer(text.encode(), np.uint8)


def _bnb4_write(W: Array, *, double: bool = False) -> Parts:
    flat = W.reshape(-1, BLOCK)
    absmax = np.abs(flat).max(1)
    q = np.abs(flat[..., None] / absmax[:, None, None] - CODE).argmin(-1).reshape(-1)
    parts = {
        "weight": ("U8", (q[::2] * 16 + q[1::2])[:, None].astype(np.uint8)), "weight.quant_map": ("F32", CODE),
        "weight.absmax": ("F32", absmax), "weight.quant_state.bitsandbytes__nf4": _bnb4_state(W),
    }  # fmt: skip
    if double:
        offset, code = float(np.float32(absmax.mean())), np.linspace(-1, 1, 256)
        rest = absmax - offset
        outer = np.array([np.abs(rest[i : i + 16]).max() for i in range(0, len(rest), 16)])
        q8 = np.abs(rest[:, None] / np.repeat(outer, 16)[: len(rest), None] - code).argmin(-1)
        parts |= {
            "weight.absmax": ("U8", q8.astype(np.uint8)), "weight.nested_absmax": ("F32", outer),
            "weight.nested_quant_map": ("F32", code),
            "weight.quant_state.bitsandbytes__nf4": _bnb4_state(W, nested_blocksize=16, nested_offset=offset),
        }  # fmt: skip
    return parts


def _bnb4_naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
    place = o * shape[1] + i
    byte = int(p["weight"][1][place // 2, 0])
    number = byte // 16 if place % 2 == 0 else byte % 16
    absmax = p["weight.absmax"][1][place // BLOCK]
    if "weight.nested_absmax" in p:
        said = json.loads(bytes(p["weight.quant_state.bitsandbytes__nf4"][1]))
        inner = float(np.float32(p["weight.nested_quant_map"][1][int(absmax)]))
        absmax = inner * float(p["weight.nested_absmax"][1][place // BLOCK // 16]) + said["nested_offset"]
    return float(np.float32(p["weight.quant_map"][1][number])) * float(absmax)


def _ct8_write(W: Array, group: int | None) -> Parts:
    q, scale, zero = affine(W, 8, group or W.shape[1])
    parts = {"weight": ("I8", q - 128), "weight_scale": ("F16", scale), "weight_zero_point": ("I8", zero - 128)}
    return parts if group else {k: v for k, v in parts.items() if k != "weight_zero_point"}


def _ct8_naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
    scale = p["weight_scale"][1]
    g = i // (shape[1] // scale.shape[1])
    zero = int(p["weight_zero_point"][1][o, g]) if "weight_zero_point" in p else 0
    return (int(p["weight"][1][o, i]) - zero) * float(scale[o, g])


def ct_packed(bits: int, zero_point: bool) -> Case:
    def write(W: Array) -> Parts:
        q, scale, zero = affine(W, bits, 32, middle=not zero_point)
        parts = {
            "weight_packed": ("I32", pack(q, bits)), "weight_scale": ("F16", scale),
            "weight_shape": ("I64", np.array(W.shape)),
        }  # fmt: skip
        return parts | ({"weight_zero_point": ("I32", pack(zero.T, bits).T)} if zero_point else {})

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        zero = 2 ** (bits - 1)
        if zero_point:
            zero = bit(np.ascontiguousarray(p["weight_zero_point"][1][:, i // 32]), bits, o)
        return (bit(p["weight_packed"][1][o], bits, i) - zero) * float(p["weight_scale"][1][o, i // 32])

    return Case(f"ct-int{bits}" + "-zero" * zero_point, f"CT-INT{bits}", write, naive)


def fp8(name: str, word: str, suffix: str, blocks: tuple[int, int] | None, dtype: str = "F8_E4M3") -> Case:
    def write(W: Array) -> Parts:
        if blocks is None:
            return {"weight": (dtype, W.astype(NP[dtype]))}
        a, b = min(blocks[0], W.shape[0]), min(blocks[1], W.shape[1])
        scale = np.abs(W).max() / 448 * (1 + np.arange(math.ceil(W.shape[0] / a) * math.ceil(W.shape[1] / b)) / 8)
        scale = scale.reshape(math.ceil(W.shape[0] / a), -1).astype(np.float32)
        spread = np.repeat(np.repeat(scale, a, 0), b, 1)[: W.shape[0], : W.shape[1]]
        kept = scale.reshape(()) if blocks == (10**9, 10**9) else scale
        return {"weight": (dtype, (W / spread).astype(NP[dtype])), suffix: ("F32", kept)}

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        value = float(p["weight"][1][o, i])
        if blocks is None:
            return value
        scale = np.atleast_2d(p[suffix][1])
        return value * float(scale[min(o // blocks[0], len(scale) - 1), min(i // blocks[1], scale.shape[1] - 1)])

    return Case(name, word, write, naive)


def e2m1(number: int) -> float:
    """Sign, two bits of exponent (bias 1), one of mantissa."""
    exponent, mantissa = number >> 1 & 3, number & 1
    size = mantissa * 0.5 if exponent == 0 else 2 ** (exponent - 1) * (1 + mantissa / 2)
    return -size if number & 8 else size


def _fp4(W: Array, group: int) -> tuple[Array, Array]:
    """Numbers [out, in] and powers of two [out, groups]."""
    G = W.reshape(*W.shape[:-1], -1, group)
    exponent = np.ceil(np.log2(np.abs(G).max(-1) / 6)).astype(np.int64)
    table = np.array([e2m1(k) for k in range(16)])
    q = np.abs(G[..., None] / 2.0 ** exponent[..., None, None] - table).argmin(-1)
    return q.reshape(W.shape), exponent


def _mxfp4_write(W: Array) -> Parts:
    q, exponent = _fp4(W, 32)
    blocks = (q[..., ::2] + 16 * q[..., 1::2]).reshape(*exponent.shape, 16)
    return {
        "blocks": ("U8", np.stack([blocks, blocks[::-1]])),
        "scales": ("U8", np.stack([exponent, exponent[::-1]]) + 127),
    }


def _mxfp4_naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
    byte = int(p["blocks"][1][0, o, i // 32, i % 32 // 2])
    return e2m1(byte >> 4 if i % 2 else byte & 15) * 2.0 ** (int(p["scales"][1][0, o, i // 32]) - 127)


def nvfp4(packed: str, total: str, divide: bool) -> Case:
    def write(W: Array) -> Parts:
        q, exponent = _fp4(W, 16)
        return {
            packed: ("U8", q[:, ::2] + 16 * q[:, 1::2]),
            "weight_scale": ("F8_E4M3", (2.0 ** (exponent + 6)).astype(NP["F8_E4M3"])),
            total: ("F32", np.full(1, 2.0**6 if divide else 2.0**-6)),
        }

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        byte, of_all = int(p[packed][1][o, i // 2]), float(p[total][1][0])
        scale = float(p["weight_scale"][1][o, i // 16])
        return e2m1(byte >> 4 if i % 2 else byte & 15) * (scale / of_all if divide else scale * of_all)

    return Case("nvfp4-" + total, "NVFP4", write, naive)


def mlx(bits: int, group: int = 64) -> Case:
    def write(W: Array) -> Parts:
        q, scale, zero = affine(W, bits, group)
        bias = (-zero * scale).astype(np.float16)
        return {"weight": ("U32", pack(q, bits, "U32")), "scales": ("F16", scale), "biases": ("F16", bias)}

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        g = i // group
        return bit(p["weight"][1][o], bits, i) * float(p["scales"][1][o, g]) + float(p["biases"][1][o, g])

    config = {"quantization": {"bits": bits, "group_size": group}}
    return Case(f"mlx{bits}", f"MLX{bits}", write, naive, config=config)


def hqq(bits: int, axis: int = 1) -> Case:
    slots, dtype = (10, "I32") if bits == 3 else (8 // bits, "U8")

    def write(W: Array) -> Parts:
        M = W.reshape(-1, 64) if axis == 1 else W.reshape(16, -1).T
        q, scale, zero = affine(M, bits, M.shape[1])
        q = q if axis == 1 else q.T
        step = -(-len(q) // slots)
        padded = np.zeros((step * slots, q.shape[1]), np.int64)
        padded[: len(q)] = q
        packed = sum(padded[k * step : (k + 1) * step] << (bits * (slots - 1 - k)) for k in range(slots))
        if axis == 0:
            scale, zero = scale.T, zero.T
        return {
            "W_q": (dtype, np.asarray(packed)), "scale": ("F16", scale), "zero": ("F16", zero),
            "shape": ("I64", np.array(W.shape)),
        }  # fmt: skip

    def naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
        packed = p["W_q"][1]
        row, column = divmod(o * shape[1] + i, packed.shape[1])
        slot, row_in = divmod(row, len(packed))
        q = int(packed[row_in, column]) >> (bits * (slots - 1 - slot)) & (2**bits - 1)
        g = (row, 0) if axis == 1 else (0, column)
        return (q - float(p["zero"][1][g])) * float(p["scale"][1][g])

    return Case(f"hqq{bits}" + "-axis0" * (axis == 0), f"HQQ{bits}", write, naive)


def _bnb8_naive(p: Parts, shape: tuple[int, int], o: int, i: int) -> float:
    return int(p["weight"][1][o, i]) * float(p["SCB"][1][o]) / 127


CASES = [
    Case("bnb-int8", "BNB-INT8", _bnb8_write, _bnb8_naive),
    Case("bnb-nf4", "BNB-NF4", _bnb4_write, _bnb4_naive),
    Case("bnb-nf4-double", "BNB-NF4", lambda W: _bnb4_write(W, double=True), _bnb4_naive),
    gptq(2), gptq(3), gptq(4), gptq(8), gptq(4, idx=False), gptq(3, idx=False), gptq(4, order=True),
    gptq(4, version=2), gptq(4, version=2, middle=True), gptq(8, version=1, middle=True, idx=False),
    Case("awq", "AWQ4", _awq_write, _awq_naive, transposed=True),
    Case("ct-int8-group", "CT-INT8", lambda W: _ct8_write(W, 32), _ct8_naive),
    ct_packed(4, False), ct_packed(4, True), ct_packed(3, True), ct_packed(8, False),
    fp8("fp8-block", "FP8-E4M3-B128", "weight_scale_inv", (128, 128)),
    fp8("fp8-tensor", "FP8-E4M3", "scale_weight", (10**9, 10**9)),
    fp8("fp8-channel", "FP8-E4M3-C", "weight_scale", (1, 10**9)),
    fp8("fp8-plain", "FP8-E4M3", "", None), fp8("fp8-e5m2", "FP8-E5M2", "", None, "F8_E5M2"),
    Case("mxfp4", "MXFP4", _mxfp4_write, _mxfp4_naive, experts=True),
    nvfp4("weight_packed", "weight_global_scale", True), nvfp4("weight", "weight_scale_2", False),
    mlx(2), mlx(3), mlx(4), mlx(5), mlx(6), mlx(8), hqq(2), hqq(3), hqq(4), hqq(8), hqq(4, axis=0),
]  # fmt: skip


def parts_of(case: Case, W: Array, stem: str = "mlp.fc1.") -> tuple[Parts, Parts]:
    """The written parts as their types keep them, without and with their stem."""
    bare = {k: (d, a.astype(NP[d]) if a.dtype != NP[d] else a) for k, (d, a) in case.write(W).items()}
    if case.experts:
        return bare, {f"{stem}weight_{k}": v for k, v in bare.items()}
    return bare, {stem + k: v for k, v in bare.items()}


def naive_weights(case: Case, bare: Parts, shape: tuple[int, int]) -> Array:
    """Every element by itself, [out, in]."""
    return np.array([[case.naive(bare, shape, o, i) for i in range(shape[1])] for o in range(shape[0])])
