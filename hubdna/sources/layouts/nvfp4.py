"""Four-bit floats with a scale for every 16 or 32 of a row: NVFP4, and MXFP4 in compressed-tensors' words.

    ModelOpt             X.weight         U8 [out, in / 2]    two values a byte, the even one in the low nibble
                         X.weight_scale   F8_E4M3 [out, in / 16]
                         X.weight_scale_2 F32 []              weight = value * scale * scale_2
    nvfp4-pack-quantized X.weight_packed  U8 [out, in / 2]
                         X.weight_scale   F8_E4M3 [out, in / 16]
                         X.weight_global_scale F32 [1]        weight = value * scale / global
    mxfp4-pack-quantized X.weight_packed  U8 [out, in / 2]
                         X.weight_scale   U8 [out, in / 32]   weight = value * 2^(scale - 127)

Sources: TensorRT Model Optimizer, nvfp4_tensor.py; compressed-tensors, compressors/nvfp4 and mxfp4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor, merge_axes
from hubdna.sources.layouts.base import MAX_AXES, Group, Pool, array, bundle, floats, rows, whole
from hubdna.sources.layouts.bits import FP4, unpack

NV_BLOCK, MX_BLOCK = 16, 32


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the three layouts."""
    for stem, packed in pool.ending("weight_packed", "U8"):
        scale, total = pool.get(stem + "weight_scale"), pool.get(stem + "weight_global_scale")
        if scale and total and _fits(packed, scale, "F8_E4M3", NV_BLOCK) and _is_one(total):
            yield _group(stem, "NVFP4", packed, scale, total, divide=True)
        elif scale and not total and _fits(packed, scale, "U8", MX_BLOCK):
            yield _group(stem, "MXFP4", packed, scale, None)
    for stem, packed in pool.ending("weight", "U8"):
        scale, total = pool.get(stem + "weight_scale"), pool.get(stem + "weight_scale_2")
        if scale and total and _fits(packed, scale, "F8_E4M3", NV_BLOCK) and _is_one(total):
            yield _group(stem, "NVFP4", packed, scale, total)


def _fits(packed: TensorInfo, scale: TensorInfo, dtype: str, block: int) -> bool:
    p, s = packed.shape, scale.shape
    if scale.dtype != dtype or len(s) != len(p) or not 2 <= len(p) <= MAX_AXES:
        return False
    return s[:-1] == p[:-1] and p[-1] * 2 == s[-1] * block


def _is_one(total: TensorInfo) -> bool:
    return total.dtype == "F32" and total.shape in ((), (1,))


def _group(
    stem: str, word: str, packed: TensorInfo, scale: TensorInfo, total: TensorInfo | None, *, divide: bool = False
) -> Group:
    names = frozenset(i.name for i in (packed, scale, total) if i)
    return Group(_tensor(stem + "weight", word, packed, scale, total, divide), names)


def _tensor(
    name: str, word: str, packed: TensorInfo, scale: TensorInfo, total: TensorInfo | None, divide: bool
) -> Tensor:
    shape = (*packed.shape[:-1], packed.shape[-1] * 2)
    block = shape[-1] // scale.shape[-1]
    dtype = "F8_E8M0" if scale.dtype == "U8" else scale.dtype

    def plan(first: int, n: int) -> list[Extent]:
        parts = [rows(packed, first, first + n), rows(scale, first, first + n)]
        return [*parts, whole(total)] if total else parts

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        scales = floats(data[1], dtype, -1, 1)
        if total:
            of_all = floats(data[2], "F32", 1)
            with np.errstate(divide="ignore"):
                scales = scales / of_all if divide else scales * of_all
        return FP4[unpack(array(data[0], "U8", -1, block // 2), 4)] * scales

    def merged() -> Tensor:
        return _tensor(name, word, merge_axes(packed), merge_axes(scale), total, divide)

    return bundle(name, word, shape, packed, plan, decode, merged if len(shape) > 2 else None)
