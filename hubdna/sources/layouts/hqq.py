"""HQQ: numbers of 1, 2, 3, 4 or 8 bits in groups of a row, packed so that a byte holds numbers far apart.

    X.W_q    U8 [ceil(R / p), C]   the weight reshaped to R groups of C; slot k of row r is group k * len(W_q) + r,
             I32 at 3 bits         and slot 0 has the highest bits. p = 8, 4, 2, 1 (U8: 8 / p bits) or 10 (I32: 3 bits)
    X.scale  F16 [R, 1]            weight = (q - zero) * scale
    X.zero   F16 [R, 1]
    X.shape  I64 or I32 [2]        out, in

Groups along the output axis ([C] scales of shape [1, C], `axis=0`) are the same with the weight reshaped to [R, C] and
scales by column. Other metadata of the layer (nbits, group_size, ...) follows from the shapes and is not read;
quantised scales and float views are left alone. Source: hqq, core/bitpack.py and core/quantize.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import FLOAT_SCALES, Group, Pool, array, bundle, floats, whole
from hubdna.sources.safetensors import ITEMSIZE

SLOTS = {"U8": (8, 4, 2, 1), "I32": (10,)}
"""Numbers a stored one holds."""

Parts = tuple[TensorInfo, TensorInfo, TensorInfo, TensorInfo]


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    found: list[tuple[str, Parts]] = []
    for stem, packed in pool.ending("W_q", *SLOTS):
        scale, zero = pool.get(stem + "scale", *FLOAT_SCALES), pool.get(stem + "zero", *FLOAT_SCALES)
        shape = pool.get(stem + "shape", "I64", "I32")
        if scale and zero and shape and len(packed.shape) == 2 and scale.shape == zero.shape and shape.shape == (2,):
            found.append((stem, (packed, scale, zero, shape)))
    said = pool.peek((parts[3], (parts[0].shape, parts[1].shape)) for _, parts in found)
    for stem, parts in found:
        if parts[3].name in said:
            n_out, n_in = (int(n) for n in array(memoryview(said[parts[3].name]), parts[3].dtype, 2))
            if slots := _slots(parts, n_out, n_in):
                yield Group(_tensor(stem + "weight", parts, (n_out, n_in), slots), frozenset(i.name for i in parts))


def _slots(parts: Parts, n_out: int, n_in: int) -> int | None:
    """Numbers a stored one holds, if all shapes agree on it."""
    (n_rows, n_columns), scale = parts[0].shape, parts[1].shape
    if n_out < 1 or n_in < 1 or n_out * n_in % n_columns:
        return None
    n_groups = n_out * n_in // n_columns
    if scale not in ((n_groups, 1), (1, n_columns)):
        return None
    exact = parts[0].dtype == "U8"
    fitting = [p for p in SLOTS[parts[0].dtype] if (n_rows * p == n_groups if exact else n_rows == -(-n_groups // p))]
    return fitting[0] if fitting else None


def _tensor(name: str, parts: Parts, weight: tuple[int, int], slots: int) -> Tensor:
    packed, scale, zero, shape = parts
    (n_rows, n_columns), size = packed.shape, ITEMSIZE[packed.dtype]
    bits = 3 if slots == 10 else 8 // slots
    per_slot, by_row = n_rows * n_columns, scale.shape != (1, n_columns)

    def spans(first: int, n: int) -> list[tuple[int, int, int]]:
        """(slot, first stored number, the one after the last) of the weights of those units, in their order."""
        a, b = first * weight[1], (first + n) * weight[1]
        return [
            (k, max(a - k * per_slot, 0), min(b - k * per_slot, per_slot))
            for k in range(slots) if a < (k + 1) * per_slot and k * per_slot < b
        ]  # fmt: skip

    def needed(first: int, n: int) -> tuple[int, int]:
        """Groups that scale those units."""
        if not by_row:
            return 0, n_columns
        return first * weight[1] // n_columns, -(-(first + n) * weight[1] // n_columns)

    def plan(first: int, n: int) -> list[Extent]:
        begin = packed.data_offsets[0]
        numbers = [(packed.filename, begin + a * size, begin + b * size) for _, a, b in spans(first, n)]
        a, b = needed(first, n)
        of_groups = [
            (i.filename, i.data_offsets[0] + a * ITEMSIZE[i.dtype], i.data_offsets[0] + b * ITEMSIZE[i.dtype])
            for i in (scale, zero)
        ]
        return [whole(shape), *of_groups, *numbers]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        if tuple(int(i) for i in array(data[0], shape.dtype, 2)) != weight:
            raise FormatError(shape.filename, f"{shape.name}: expected {list(weight)} like its neighbours")
        top = bits * (slots - 1)
        read = [
            (array(part, packed.dtype, -1) >> (top - bits * k)) & ((1 << bits) - 1)
            for (k, _, _), part in zip(spans(first, n), data[3:], strict=True)
        ]
        place = np.arange(first * weight[1], (first + n) * weight[1])
        which = place // n_columns - needed(first, n)[0] if by_row else place % n_columns
        values = np.concatenate(read).astype(np.float32) if read else np.zeros(0, np.float32)
        scales, zeros = floats(data[1], scale.dtype, -1), floats(data[2], zero.dtype, -1)
        return (values - zeros[which]) * scales[which]

    return bundle(name, f"HQQ{bits}", weight, packed, plan, decode)
