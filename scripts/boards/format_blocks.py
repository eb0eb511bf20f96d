"""Rows of board `formats` about number formats that no writer here can make: random valid blocks, bit for bit.

Blocks are drawn at random (all but those whose values would not be finite), put into a file of the format, and read
through our readers whole and in pieces. The reference is the `gguf` package's own dequantiser for its types and for
4-bit floats with shared scales (code 8 is -0 in safetensors layouts and 0 in ggml: its sign is put back), and the
formulas of the OCP 8-bit floats, written out below, for FP8.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from hubdna.sources import gguf_file, layouts, safetensors
from hubdna.sources.gguf_blocks import block_types
from hubdna.sources.interface import LocalReader, Tensor, read_units

N_ROWS, N_BLOCKS = 1_000, 8
"""Rows of a file, and blocks of a row."""
GGUF_TYPES = tuple(sorted(t.name for t in block_types().values() if t.readable))
FP8 = ("E4M3 plain", "E5M2 plain", "E4M3 tensor", "E5M2 tensor", "E4M3 channel", "E4M3 tiles", "E4M3 tiles E8M0")
"""FP8 tensors alone, and with scales for all, for each row, and for tiles of 128 x 128."""
FP4 = ("MXFP4 experts", "MXFP4 packed", "NVFP4 packed")
"""gpt-oss's experts, and compressed-tensors' two packed layouts."""
KINDS = (*(f"GGUF {name}" for name in GGUF_TYPES), *(f"FP4 {name}" for name in FP4), *(f"FP8 {name}" for name in FP8))


def measure(kind: str) -> dict[str, Any]:
    """Values that differ from the reference's in any bit, over the whole tensor and over pieces of it."""
    family, _, name = kind.partition(" ")
    rng = np.random.default_rng(sum(map(ord, kind)))
    with tempfile.TemporaryDirectory() as place:
        write = {"GGUF": _write_gguf, "FP4": _write_fp4, "FP8": _write_fp8}[family]
        tensor, expected = write(Path(place), name, rng)
        reader = LocalReader(Path(place))
        if tensor is None or tensor.info.shape != expected.shape:
            return {"values": expected.size, "wrong": expected.size}
        starts = rng.integers(0, len(expected), 20)
        pieces = [(0, len(expected)), *((int(a), int(rng.integers(1, len(expected) - a + 1))) for a in starts)]
        wrong = 0
        for (first, n), found in zip(pieces, read_units(reader, [(tensor, a, n) for a, n in pieces]), strict=True):
            wrong += int((found.view(np.uint32) != expected[first : first + n].view(np.uint32)).sum())
        return {"values": expected.size, "wrong": wrong}


def _finite_blocks(n: int, kind: gguf.GGMLQuantizationType, rng: np.random.Generator) -> np.ndarray:
    """Blocks [n, bytes] whose values are finite."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    found = np.empty((0, size), np.uint8)
    while len(found) < n:
        raw = rng.integers(0, 256, (n, size), np.uint8)
        with np.errstate(all="ignore"):
            found = np.concatenate([found, raw[np.isfinite(_reference(raw, kind)).all(axis=1)]])
    return found[:n]


def _reference(raw: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """What the gguf package makes of rows of blocks; its floats of 64 bits are numpy's."""
    if kind.name == "F64":
        return raw.view("<f8").astype(np.float32)
    return gguf.quants.dequantize(raw, kind)


def _write_gguf(folder: Path, name: str, rng: np.random.Generator) -> tuple[Tensor | None, np.ndarray]:
    kind = gguf.GGMLQuantizationType[name]
    raw = _finite_blocks(N_ROWS * N_BLOCKS, kind, rng).reshape(N_ROWS, -1)
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
    writer.add_tensor("blk.0.ffn_up.weight", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with np.errstate(all="ignore"):
        return gguf_file.read_tensors(LocalReader(folder), "m.gguf")[0], _reference(raw, kind)


def _write_fp4(folder: Path, name: str, rng: np.random.Generator) -> tuple[Tensor | None, np.ndarray]:
    """Nibbles and scales as the layout has them; the same ones as blocks of the gguf package."""
    size = 16 if name.startswith("NVFP4") else 32
    codes = rng.integers(0, 16, (N_ROWS, N_BLOCKS, size), np.uint8)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    exponents = rng.integers(1, 254, (N_ROWS, N_BLOCKS), np.uint8)
    if name == "NVFP4 packed":
        scales = (rng.integers(0, 127, exponents.shape, np.uint8)).view(ml_dtypes.float8_e4m3fn)
        total = np.array([0.5], np.float32)
        parts = {"weight_packed": packed.reshape(N_ROWS, -1), "weight_scale": scales, "weight_global_scale": total}
        expected = _nvfp4(codes, scales.view(np.uint8)) * np.float32(2)
        return _composed(folder, parts), np.where(codes.reshape(N_ROWS, -1) == 8, np.float32(-0.0), expected)
    halves = codes[..., :16] | codes[..., 16:] << 4  # ggml keeps values i and i + 16 in one byte
    blocks = np.concatenate([exponents[..., None], halves], axis=-1).reshape(N_ROWS, -1)
    with np.errstate(over="ignore"):
        expected = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.MXFP4)
    expected = np.where(codes.reshape(N_ROWS, -1) == 8, np.float32(-0.0), expected)
    if name == "MXFP4 packed":
        return _composed(folder, {"weight_packed": packed.reshape(N_ROWS, -1), "weight_scale": exponents}), expected
    experts = 10, N_ROWS // 10
    parts = {
        "up_proj_blocks": packed.reshape(*experts, N_BLOCKS, 16),
        "up_proj_scales": exponents.reshape(*experts, -1),
    }
    return _composed(folder, parts), expected.reshape(*experts, -1)


def _nvfp4(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Blocks of 16 by the gguf package, which keeps four of them together: scales, then halves of 8."""
    scales = scales.reshape(N_ROWS, -1, 4)
    halves = (codes[..., :8] | codes[..., 8:] << 4).reshape(N_ROWS, -1, 32)
    blocks = np.concatenate([scales, halves], axis=-1).reshape(N_ROWS, -1)
    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.NVFP4)


def _write_fp8(folder: Path, name: str, rng: np.random.Generator) -> tuple[Tensor | None, np.ndarray]:
    kind, _, scaled = name.partition(" ")
    shape, dtype = (N_ROWS, 300), ml_dtypes.float8_e4m3fn if kind == "E4M3" else ml_dtypes.float8_e5m2
    table = _float8(*((4, 3) if kind == "E4M3" else (5, 2)))
    codes = rng.choice(np.flatnonzero(np.isfinite(table)).astype(np.uint8), shape)
    parts: dict[str, np.ndarray] = {"weight": codes.view(dtype)}
    sizes = {"plain": None, "tensor": (1,), "channel": (N_ROWS, 1)}.get(scaled, (-(-N_ROWS // 128), 3))
    if sizes is None:
        return _composed(folder, parts), table[codes]
    scales = rng.lognormal(-5, 2, sizes).astype(np.float32)
    if scaled.endswith("E8M0"):
        exponents = rng.integers(100, 140, sizes, np.uint8)
        scales = np.float32(2) ** (exponents.astype(np.float32) - 127)
        parts["weight_scale_inv"] = exponents.view(ml_dtypes.float8_e8m0fnu)
    else:
        parts["weight_scale_inv" if scaled == "tiles" else "weight_scale"] = scales
    spread = scales if len(sizes) == 1 or sizes[1] == 1 else scales.repeat(128, 0)[:N_ROWS].repeat(128, 1)[:, :300]
    return _composed(folder, parts), table[codes] * spread


def _float8(n_exponent: int, n_mantissa: int) -> np.ndarray:
    """The 256 values of an 8-bit float by the OCP formulas: E4M3 has no infinities and one NaN, E5M2 is IEEE's."""
    code = np.arange(256)
    exponent, mantissa = (code & 127) >> n_mantissa, code & (2**n_mantissa - 1)
    bias, sign = 2 ** (n_exponent - 1) - 1, np.where(code >> 7, -1.0, 1.0)
    fraction = mantissa / 2**n_mantissa + (exponent > 0)
    values = sign * fraction * 2.0 ** (np.maximum(exponent, 1) - bias)
    special = (code & 127) == 127 if n_exponent == 4 else exponent == 31
    return np.where(special, np.nan, values).astype(np.float32)


def _composed(folder: Path, parts: dict[str, np.ndarray]) -> Tensor | None:
    """The one weight that the parts stand for, or None."""
    save_file({f"model.layers.0.mlp.{k}": np.ascontiguousarray(v) for k, v in parts.items()}, folder / "m.safetensors")
    reader = LocalReader(folder)
    tensors, _ = layouts.compose(safetensors.read_tensors(reader, "m.safetensors"), None, reader)
    return tensors[0] if len(tensors) == 1 and tensors[0].quantised else None
