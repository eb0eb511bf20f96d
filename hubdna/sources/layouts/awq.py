"""AWQ: 4-bit numbers, eight in a 32-bit word, in the order that its kernel wants them.

    qweight  I32 [in, out / 8]      column 8 w + j is nibble ORDER[j] of word w
    qzeros   I32 [in / g, out / 8]  packed the same way
    scales   F16 [in / g, out]      weight[i, o] = (q[i, o] - zero[i // g, o]) * scale[i // g, o]

The logical tensor keeps the stored orientation [in, out], so its units are input features. Source: AutoAWQ,
awq/modules/linear/gemm.py (layout "GEMM"); the layouts of its other kernels do not fit these shapes and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import FLOAT_SCALES, Group, Pool, array, blocks, bundle, floats, rows
from hubdna.sources.layouts.bits import unpack

ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Which nibble of a word holds its j-th column: the packer writes columns 0 2 4 6 1 3 5 7 from the lowest nibble on."""


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    for stem, qweight in pool.ending("qweight", "I32"):
        qzeros, scales = pool.get(stem + "qzeros", "I32"), pool.get(stem + "scales", *FLOAT_SCALES)
        if qzeros and scales and _fits(qweight.shape, qzeros.shape, scales.shape):
            names = frozenset((qweight.name, qzeros.name, scales.name))
            yield Group(_tensor(stem + "weight", qweight, qzeros, scales), names)


def _fits(q: tuple[int, ...], z: tuple[int, ...], s: tuple[int, ...]) -> bool:
    if not len(q) == len(z) == len(s) == 2:
        return False
    return s[1] == 8 * q[1] and z == (s[0], q[1]) and q[0] % s[0] == 0


def _tensor(name: str, qweight: TensorInfo, qzeros: TensorInfo, scales: TensorInfo) -> Tensor:
    n_out, group = scales.shape[1], qweight.shape[0] // scales.shape[0]

    def plan(first: int, n: int) -> list[Extent]:
        a, b = blocks(first, n, group)
        return [rows(qweight, first, first + n), rows(qzeros, a, b), rows(scales, a, b)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        zeros, scale = _columns(data[1], n_out).astype(np.float32), floats(data[2], scales.dtype, -1, n_out)
        which = np.arange(first, first + n) // group - first // group
        return (_columns(data[0], n_out) - zeros[which]) * scale[which]

    return bundle(name, "AWQ4", (qweight.shape[0], n_out), qweight, plan, decode)


def _columns(data: memoryview, n_out: int) -> NDArray[np.uint8]:
    nibbles = unpack(array(data, "U8", -1, 4), 4)
    return nibbles[:, ORDER].reshape(-1, n_out)
