"""compressed-tensors: integers with scales, plain or packed.

    int-quantized    X.weight         I8  [out, in]
                     X.weight_scale   per tensor, channel or group (`grid.py`)
                     X.weight_zero_point  I8, shaped like the scale; absent when symmetric
    pack-quantized   X.weight_packed  I32 [out, ceil(in * b / 32)]  each row a stream of b-bit numbers q + 2^(b-1)
                     X.weight_scale   [out, groups]
                     X.weight_zero_point  I32 [ceil(out * b / 32), groups], packed down the rows; absent when symmetric
                     X.weight_shape   I64 or I32 [2]: out, in

weight = (q - zero) * scale. Packed weights need their `weight_shape` to know b and `in`. Files with `weight_g_idx`
(groups in activation order) are left alone. Source: compressed-tensors, compressors/naive_quantized, pack_quantized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import FLOAT_SCALES, Group, Pool, array, blocks, bundle, floats, rows, whole
from hubdna.sources.layouts.bits import unpack
from hubdna.sources.layouts.grid import Grid, fit

BITS = range(1, 9)


def find(pool: Pool) -> Iterator[Group]:
    """All groups of both layouts."""
    for stem, weight in pool.ending("weight", "I8"):
        scale, zero = pool.get(stem + "weight_scale", *FLOAT_SCALES), pool.get(stem + "weight_zero_point")
        if scale and _plain_fits(weight, scale, zero) and (grid := fit(weight.shape, scale.shape, pool.hint)):
            names = frozenset(i.name for i in (weight, scale, zero) if i)
            yield Group(_plain(weight, scale, zero, grid), names)
    yield from _find_packed(pool)


def _plain_fits(weight: TensorInfo, scale: TensorInfo, zero: TensorInfo | None) -> bool:
    return len(weight.shape) >= 2 and (zero is None or (zero.dtype == "I8" and zero.shape == scale.shape))


def _plain(weight: TensorInfo, scale: TensorInfo, zero: TensorInfo | None, grid: Grid) -> Tensor:
    def plan(first: int, n: int) -> list[Extent]:
        return [rows(weight, first, first + n)] + [rows(i, *grid.rows(first, n)) for i in (scale, zero) if i]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = array(data[0], "I8", n, *weight.shape[1:]).astype(np.float32)
        if zero:
            values -= grid.spread(array(data[2], "I8", -1).astype(np.float32), first, n, weight.shape)
        return values * grid.spread(floats(data[1], scale.dtype, -1), first, n, weight.shape)

    return bundle(weight.name, "CT-INT8", weight.shape, weight, plan, decode)


def _find_packed(pool: Pool) -> Iterator[Group]:
    found = []
    for stem, packed in pool.ending("weight_packed", "I32"):
        scale, shape = pool.get(stem + "weight_scale", *FLOAT_SCALES), pool.get(stem + "weight_shape", "I64", "I32")
        if scale and shape and len(packed.shape) == 2 and shape.shape == (2,) and not pool.get(stem + "weight_g_idx"):
            found.append((stem, packed, scale, shape, pool.get(stem + "weight_zero_point")))
    said = pool.peek((shape, (packed.shape, scale.shape)) for _, packed, scale, shape, _ in found)
    for stem, packed, scale, shape, zero in found:
        if shape.name not in said:
            continue
        n_out, n_in = (int(n) for n in array(memoryview(said[shape.name]), shape.dtype, 2))
        bits = _bits(packed.shape, n_out, n_in)
        grid = fit((n_out, n_in), scale.shape, {}) if bits else None
        if bits and grid and (zero is None or _zero_fits(zero, (n_out, n_in), scale.shape, bits)):
            names = frozenset(i.name for i in (packed, scale, shape, zero) if i)
            yield Group(_packed(stem + "weight", (packed, scale, shape, zero), n_in, bits, grid), names)


def _bits(packed: tuple[int, ...], n_out: int, n_in: int) -> int | None:
    """The only width at which rows of n_in numbers take this many words; None if there are several."""
    if n_out != packed[0] or n_in < 1:
        return None
    fitting = [b for b in BITS if -(-n_in * b // 32) == packed[1]]
    return fitting[0] if len(fitting) == 1 else None


def _zero_fits(zero: TensorInfo, weight: tuple[int, int], scale: tuple[int, ...], bits: int) -> bool:
    return zero.dtype == "I32" and len(scale) == 2 and zero.shape == (-(-weight[0] * bits // 32), scale[1])


Parts = tuple[TensorInfo, TensorInfo, TensorInfo, TensorInfo | None]


def _packed(name: str, parts: Parts, n_in: int, bits: int, grid: Grid) -> Tensor:
    packed, scale, shape, zero = parts
    weight = (packed.shape[0], n_in)
    middle = 1 << (bits - 1)

    def plan(first: int, n: int) -> list[Extent]:
        wanted = [rows(packed, first, first + n), rows(scale, *grid.rows(first, n)), whole(shape)]
        a, b = blocks(first, n, 32)  # 32 numbers end at a word's edge at every width
        return [*wanted, rows(zero, a * bits, min(b * bits, zero.shape[0]))] if zero else wanted

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        if tuple(int(i) for i in array(data[2], shape.dtype, 2)) != weight:
            raise FormatError(shape.filename, f"{shape.name}: expected {list(weight)} like its neighbours")
        stream = array(data[0], "U8", n, packed.shape[1] * 4)
        values = unpack(stream, bits)[:, :n_in].astype(np.float32) - middle
        if zero:
            words = np.ascontiguousarray(array(data[3], "I32", -1, zero.shape[1]).T).view(np.uint8)
            zeros = unpack(words, bits).T[first % 32 :][:n].astype(np.float32) - middle
            values -= Grid((1, grid.sizes[1]), (n, zero.shape[1])).spread(zeros, 0, n, (n, n_in))
        return values * grid.spread(floats(data[1], scale.dtype, -1), first, n, weight)

    return bundle(name, f"CT-INT{bits}", weight, packed, plan, decode)
