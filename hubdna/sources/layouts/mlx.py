"""MLX: each row a stream of b-bit numbers, with a scale and a bias for every g of them.

    X.weight  U32 [..., out, in * b / 32]
    X.scales  F16 [..., out, in / g]
    X.biases  F16 [..., out, in / g]      weight = q * scale + bias

and without biases, scales being U8: mxfp4 (g 32, E2M1 and powers of two), nvfp4 (g 16, E2M1 and E4M3) and mxfp8 (g 32,
E4M3 and powers of two), which their shapes tell apart.

b and g are in the config only, and 4 bits by 64, 8 bits by 32 and 2 bits by 128 have the same shapes. What tells them
apart is the number of input features: it must be a length that the model has, the output of another quantised map or
the length of a norm. One such reading is taken; of several or none, the one that the config names; else the group stays
raw. Source: mlx, ops.cpp (quantize, affine_quantize).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor, merge_axes
from hubdna.sources.layouts.base import FLOAT_SCALES, MAX_AXES, Group, Pool, array, bundle, floats, rows
from hubdna.sources.layouts.bits import FP4, unpack

BITS, GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)
MX_MODES = {4: ("MXFP4", "F8_E8M0", 4), 2: ("NVFP4", "F8_E4M3", 4), 8: ("MXFP8", "F8_E8M0", 8)}
"""Words of 32 bits that share a scale -> what is stored: name, type of the scales, bits of a value."""


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    found = pool.ending("weight", "U32")
    lengths = Counter(i.shape[0] for i in pool if len(i.shape) == 1 and i.dtype in FLOAT_SCALES)
    lengths.update(w.shape[-2] for _, w in found if len(w.shape) >= 2)
    for stem, weight in found:
        scales, biases = pool.get(stem + "scales", "U8", *FLOAT_SCALES), pool.get(stem + "biases")
        if not scales or not _alike(weight.shape, scales.shape):
            continue
        if scales.dtype == "U8" and not biases and weight.shape[-1] // scales.shape[-1] in MX_MODES:
            yield Group(_floats(weight, scales), frozenset((weight.name, scales.name)))
        elif biases and (biases.dtype, biases.shape) == (scales.dtype, scales.shape) and scales.dtype != "U8":
            others = lengths - Counter((weight.shape[-2],))
            if bits := _bits(pool, stem, weight.shape[-1], scales.shape[-1], others):
                yield Group(_affine(weight, scales, biases, bits), frozenset(i.name for i in (weight, scales, biases)))


def _alike(weight: tuple[int, ...], scales: tuple[int, ...]) -> bool:
    return 2 <= len(weight) <= MAX_AXES and weight[:-1] == scales[:-1] and weight[-1] % scales[-1] == 0


def _bits(pool: Pool, stem: str, n_words: int, n_groups: int, lengths: Counter[int]) -> int | None:
    words = n_words // n_groups
    readings = {b: words * 32 // b for b in BITS if words * 32 % b == 0 and words * 32 // b in GROUPS}
    supported = [b for b in readings if n_groups * readings[b] in lengths]
    if len(supported) == 1:
        return supported[0]
    said = pool.hint.get(stem.removesuffix("."), pool.hint)
    said = said if isinstance(said, dict) else {}
    bits, group = said.get("bits"), said.get("group_size")
    if type(bits) is int and readings.get(bits) == group and (not supported or bits in supported):
        return bits
    return None


def _affine(weight: TensorInfo, scales: TensorInfo, biases: TensorInfo, bits: int) -> Tensor:
    n_in = weight.shape[-1] * 32 // bits
    group = n_in // scales.shape[-1]

    def plan(first: int, n: int) -> list[Extent]:
        return [rows(part, first, first + n) for part in (weight, scales, biases)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        values = unpack(array(data[0], "U8", -1, weight.shape[-1] * 4), bits).reshape(-1, group)
        return values * floats(data[1], scales.dtype, -1, 1) + floats(data[2], scales.dtype, -1, 1)

    def merged() -> Tensor:
        return _affine(merge_axes(weight), merge_axes(scales), merge_axes(biases), bits)

    shape = (*weight.shape[:-1], n_in)
    return bundle(weight.name, f"MLX{bits}", shape, weight, plan, decode, merged if len(shape) > 2 else None)


def _floats(weight: TensorInfo, scales: TensorInfo) -> Tensor:
    words = weight.shape[-1] // scales.shape[-1]
    word, scale_type, bits = MX_MODES[words]

    def plan(first: int, n: int) -> list[Extent]:
        return [rows(weight, first, first + n), rows(scales, first, first + n)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        if bits == 8:
            values = floats(data[0], "F8_E4M3", -1, words * 4)
        else:
            values = FP4[unpack(array(data[0], "U8", -1, words * 4), bits)]
        return values * floats(data[1], scale_type, -1, 1)

    def merged() -> Tensor:
        return _floats(merge_axes(weight), merge_axes(scales))

    shape = (*weight.shape[:-1], weight.shape[-1] * 32 // bits)
    return bundle(weight.name, "MLX-" + word, shape, weight, plan, decode, merged if len(shape) > 2 else None)
