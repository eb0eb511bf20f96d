"""GPTQ: 2-, 3-, 4- or 8-bit numbers, packed down the input features.

    qweight  I32 [in * b / 32, out]   each column is one stream of b-bit numbers, input feature after input feature
    qzeros   I32 [groups, out * b / 32]
    scales   F16 [groups, out]        weight[i, o] = (q[i, o] - zero[g(i), o]) * scale[g(i), o]
    g_idx    I32 [in]                 g(i); without it g(i) = i // (in / groups)

The logical tensor keeps the stored orientation [in, out], so its units are input features; the DNA does not mind.
With act-order g_idx sends neighbours to any group, and without reading it nobody knows: then reading a few units
reads all scales and zeros as well (1/9 of the weights at groups of 128).

Version 1 stores zero - 1, version 2 zero; only the config says which (`checkpoint_format`), and version 1 is usual.
A symmetric quantiser has its zero in the middle, so a group whose stored zeros all are 2^(b-1) - 1 (1: yes) or
2^(b-1) (no) is read as such whatever the config says. Sources: AutoGPTQ and GPTQModel, qlinear_torch.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import FLOAT_SCALES, Group, Pool, array, blocks, bundle, floats, rows, whole
from hubdna.sources.layouts.bits import unpack

BITS = (2, 3, 4, 8)


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    plus_one = pool.hint.get("checkpoint_format") != "gptq_v2"
    for stem, qweight in pool.ending("qweight", "I32"):
        qzeros, scales = pool.get(stem + "qzeros", "I32"), pool.get(stem + "scales", *FLOAT_SCALES)
        g_idx = pool.get(stem + "g_idx")
        if not qzeros or not scales or (g_idx and g_idx.dtype != "I32"):
            continue
        if bits := _bits(qweight.shape, qzeros.shape, scales.shape, g_idx.shape if g_idx else None):
            names = frozenset(i.name for i in (qweight, qzeros, scales, g_idx) if i)
            yield Group(_tensor(stem + "weight", qweight, qzeros, scales, g_idx, bits, plus_one), names)


def _bits(q: tuple[int, ...], z: tuple[int, ...], s: tuple[int, ...], g: tuple[int, ...] | None) -> int | None:
    """The width that all shapes agree on."""
    if not len(q) == len(z) == len(s) == 2 or q[1] != s[1] or z[0] != s[0]:
        return None
    for bits in BITS:
        n_in, over = divmod(q[0] * 32, bits)
        grouped = g == (n_in,) if g is not None else n_in % s[0] == 0
        if not over and z[1] * 32 == s[1] * bits and grouped:
            return bits
    return None


def _tensor(
    name: str, qweight: TensorInfo, qzeros: TensorInfo, scales: TensorInfo, g_idx: TensorInfo | None, bits: int,
    plus_one: bool,
) -> Tensor:  # fmt: skip
    n_in, n_out = qweight.shape[0] * 32 // bits, qweight.shape[1]
    group = n_in // scales.shape[0] if g_idx is None else 0
    step = 32 // math.gcd(32, bits)  # values after which the stream is at a word's edge again

    def plan(first: int, n: int) -> list[Extent]:
        a, b = blocks(first, n, step)
        words = rows(qweight, a * step * bits // 32, b * step * bits // 32)
        if g_idx is not None:
            return [words, whole(qzeros), whole(scales), rows(g_idx, first, first + n)]
        return [words, rows(qzeros, *blocks(first, n, group)), rows(scales, *blocks(first, n, group))]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        words = np.ascontiguousarray(array(data[0], "I32", -1, n_out).T).view(np.uint8)
        values = unpack(words, bits).T[first % step :][:n]
        zeros = _zeros(unpack(array(data[1], "U8", -1, qzeros.shape[1] * 4), bits), bits, plus_one)
        scale = floats(data[2], scales.dtype, -1, n_out)
        if g_idx is None:
            which = np.arange(first, first + n) // group - first // group
        else:
            which = _checked(array(data[3], "I32", n).astype(np.intp), len(scale), g_idx)
        return (values - zeros[which]) * scale[which]

    return bundle(name, f"GPTQ{bits}", (n_in, n_out), qweight, plan, decode)


def _zeros(stored: NDArray[np.uint8], bits: int, plus_one: bool) -> NDArray[np.float32]:
    """Zero points [groups, out] of what is stored; version 1 wraps a zero of 0 to the largest number."""
    middle = 1 << (bits - 1)
    one, none = (stored == middle - 1).all(axis=1), (stored == middle).all(axis=1)
    shift = np.where(one, 1, np.where(none, 0, int(plus_one)))
    return ((stored + shift[:, None]) & ((1 << bits) - 1)).astype(np.float32)


def _checked(which: NDArray[np.intp], n_groups: int, g_idx: TensorInfo) -> NDArray[np.intp]:
    if which.size and not 0 <= int(which.min()) <= int(which.max()) < n_groups:
        raise FormatError(g_idx.filename, f"{g_idx.name}: names a group outside 0..{n_groups - 1}")
    return which
