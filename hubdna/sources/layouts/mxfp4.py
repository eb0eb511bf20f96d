"""MXFP4 as gpt-oss stores its experts: blocks of 32 four-bit floats that share a power of two.

    X_blocks  U8 [..., in / 32, 16]   two values a byte, the even one in the low nibble (E2M1, `bits.FP4`)
    X_scales  U8 [..., in / 32]       weight = value * 2^(scale - 127); 255 is NaN

X is [experts, out, in] here; transformers swaps the last two axes when it loads it, which the DNA does not mind.
OpenAI's own files say `X.blocks` and `X.scales`. Sources: OCP Microscaling Formats 1.0; transformers,
integrations/mxfp4.py (convert_moe_packed_tensors).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor, merge_axes
from hubdna.sources.layouts.base import MAX_AXES, Group, Pool, array, bundle, floats, rows
from hubdna.sources.layouts.bits import FP4, unpack

BLOCK = 32
"""Values that share a scale, by the standard."""


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    for mark in ("_", "."):
        for stem, packed in pool.ending(mark + "blocks", "U8"):
            scales = pool.get(stem + mark + "scales", "U8")
            if scales and stem and packed.shape == (*scales.shape, BLOCK // 2) and 2 <= len(scales.shape) <= MAX_AXES:
                yield Group(_tensor(stem, packed, scales), frozenset((packed.name, scales.name)))


def _tensor(name: str, packed: TensorInfo, scales: TensorInfo) -> Tensor:
    shape = (*scales.shape[:-1], scales.shape[-1] * BLOCK)

    def plan(first: int, n: int) -> list[Extent]:
        return [rows(packed, first, first + n), rows(scales, first, first + n)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        values = FP4[unpack(array(data[0], "U8", -1, BLOCK // 2), 4)]
        return values * floats(data[1], "F8_E8M0", -1, 1)

    def merged() -> Tensor:
        return _tensor(name, merge_axes(packed), merge_axes(scales))

    return bundle(name, "MXFP4", shape, packed, plan, decode, merged if len(shape) > 2 else None)
