"""bitsandbytes LLM.int8(): a row of int8 and the largest magnitude that 127 stands for.

    X.weight         I8  [out, in]
    X.SCB            F32 [out]      weight[o, i] = q[o, i] * SCB[o] / 127
    X.weight_format  U8  []         0: rows, the only order that files are written in; optional

Source: bitsandbytes, nn/modules.py (Linear8bitLt) and functional.py (int8_vectorwise_dequant).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import Group, Pool, array, bundle, floats, rows, whole


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    for stem, weight in pool.ending("weight", "I8"):
        scb, order = pool.get(stem + "SCB", "F32"), pool.get(stem + "weight_format")
        if scb and len(weight.shape) == 2 and scb.shape == weight.shape[:1]:
            if order and (order.dtype != "U8" or order.shape not in ((), (1,))):
                continue
            yield Group(_tensor(weight, scb, order), frozenset(i.name for i in (weight, scb, order) if i))


def _tensor(weight: TensorInfo, scb: TensorInfo, order: TensorInfo | None) -> Tensor:
    def plan(first: int, n: int) -> list[Extent]:
        parts = [rows(weight, first, first + n), rows(scb, first, first + n)]
        return [*parts, whole(order)] if order else parts

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        if order and data[2][0] != 0:
            raise FormatError(order.filename, f"{order.name}: expected 0 (rows), found {data[2][0]}")
        values = array(data[0], "I8", n, -1).astype(np.float32)
        return values * (floats(data[1], "F32", n, 1) / np.float32(127))

    return bundle(weight.name, "BNB-INT8", weight.shape, weight, plan, decode)
