"""Corners of matrices, exact: evidence for a relation (cast, quantised, pruned, low rank, mixed), never for an origin.

The exact test keeps 8 bits a weight, which is plenty for a cosine and too little to see that a change has rank 8. So
a few corners are kept as they are, attention matrices among them since adapters usually change those, and each with
the grid on which its whole rows lie. Of the other matrices a small sample is kept: a merge has its parents' shares in
every layer, and 256 exact weights are enough to solve for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import roles
from hubdna.records import Block, TensorInfo
from hubdna.sources.interface import Tensor

T = TypeVar("T")
N_ROWS, N_COLUMNS = 32, 128
N_ATTENTION, N_OTHER = 4, 6
SAMPLE_ROWS, SAMPLE_COLUMNS, N_SAMPLES = 8, 32, 128
MIN_ROWS, MIN_COLUMNS = 8, 16
MIN_TELLING = 300
"""Weights that have to lie on a grid; each does by chance with odds of one in ten at most."""
GROUPS = (32, 64, 128, None)
"""Weights that share a scale, within a row or across rows; None for a whole row."""


def choose(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Matrices whose corners are kept: attention and others, each spread over the depth. From headers alone."""
    able = [t for t in tensors if _is_matrix(t.info)]
    able.sort(key=lambda t: roles.natural(t.info.name))
    attention = [t for t in able if roles.role_of(t.info) == "attention"]
    others = [t for t in able if roles.role_of(t.info) not in ("attention", "label")]
    return spread(attention, N_ATTENTION) + spread(others, N_OTHER)


def choose_samples(tensors: Sequence[Tensor], corners: Sequence[Tensor]) -> list[Tensor]:
    """Matrices of which a sample is kept, spread over the depth: those without a corner. From headers alone."""
    kept = {id(t) for t in corners}
    able = [t for t in tensors if _is_matrix(t.info) and id(t) not in kept and roles.role_of(t.info) != "label"]
    return spread(sorted(able, key=lambda t: roles.natural(t.info.name)), N_SAMPLES)


def _is_matrix(info: TensorInfo) -> bool:
    rows = info.shape[0] if info.shape else 0
    return len(info.shape) >= 2 and rows >= MIN_ROWS and int(np.prod(info.shape[1:])) >= MIN_COLUMNS


def spread(items: list[T], n: int) -> list[T]:
    """At most n of a list, the first and the last among them."""
    return items if len(items) <= n else [items[i * (len(items) - 1) // (n - 1)] for i in range(n)]


def make_block(info: TensorInfo, rows: NDArray[np.float32]) -> Block | None:
    """Keep the corner of the leading rows (float32 [n, ...], whole rows); None when they are not finite."""
    flat = rows.reshape(len(rows), -1)[:N_ROWS]
    if not np.isfinite(flat).all():
        return None
    corner = np.ascontiguousarray(flat[:, :N_COLUMNS])
    return Block(info.name, info.shape, roles.role_of(info), info.dtype, corner, grid_bits(flat))


def make_sample(info: TensorInfo, rows: NDArray[np.float32]) -> Block | None:
    """Keep a sample of the leading rows (float32 [n, ...], whole rows); None when it is not finite."""
    sample = rows[:SAMPLE_ROWS].reshape(min(len(rows), SAMPLE_ROWS), -1)[:, :SAMPLE_COLUMNS]
    if not np.isfinite(sample).all():
        return None
    return Block(info.name, info.shape, roles.role_of(info), info.dtype, np.ascontiguousarray(sample), 0)


def grid_bits(rows: NDArray[np.float32]) -> int:
    """Bits of the coarsest grid on which all rows lie, 2 to 8; 0 if they lie on none.

    Two signs of a grid. Few distinct values: a group of g weights holds at most 2^b of them, b <= 4, g >= 2 * 2^b.
    Or all weights of a group are whole multiples of a step that is its largest weight over 2^(b-1) - 1 (or
    2^(b-1)), to the rounding of a 16-bit float; unrelated weights lie there by chance with odds below 1e-20.
    """
    live = rows[np.abs(rows).max(axis=1, initial=0) > 0]
    if len(live) < MIN_ROWS or live.shape[1] < 32:
        return 0
    kinds = [_groups(live, size) for size in GROUPS] + [_groups(rows.reshape(1, -1), size) for size in GROUPS[:-1]]
    found = [bits for groups in kinds if (bits := _bits_of_groups(groups))]
    return min(found, default=0)


def _groups(rows: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    if size is None:
        return rows
    n = rows.shape[1] // size * size
    return rows[:, :n].reshape(-1, size) if n else rows[:0]


def _bits_of_groups(groups: NDArray[np.float32]) -> int:
    groups = groups[np.abs(groups).max(axis=1, initial=0) > 0] if groups.size else groups
    if len(groups) < MIN_ROWS:
        return 0
    ordered = np.sort(groups, axis=1)
    distinct = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
    for bits in (2, 3, 4):
        if groups.shape[1] >= 2 * 2**bits and distinct.max() <= 2**bits:
            return bits
    return next((bits for bits in (5, 6, 8) if any(_on_lattice(groups, 2 ** (bits - 1) - k) for k in (1, 0))), 0)


def _on_lattice(groups: NDArray[np.float32], levels: int) -> bool:
    """Whether all weights are multiples of (largest / levels), to the rounding of bfloat16 and of that step.

    bfloat16 moves a weight by up to 2^-8 of it, and the largest one too; float16 by less. Only multiples small enough
    to be told from any number are looked at, so the finer rounding, which tells more of them, is tried first.
    """
    return any(_rounds_to(groups, levels, rounding) for rounding in (2.0**-8, 2.0**-7))


def _rounds_to(groups: NDArray[np.float32], levels: int, rounding: float) -> bool:
    n_telling = 0
    for part in (groups[:16], groups):  # sixteen settle most
        units = part.astype(np.float64) / np.abs(part).max(axis=1, keepdims=True) * levels
        tolerance = np.abs(units) * rounding + 1e-4
        telling = (tolerance < 0.1) & (units != 0)
        if not (np.abs(units - np.rint(units)) <= tolerance)[telling].all():
            return False
        n_telling = int(telling.sum())
    return n_telling >= MIN_TELLING


def n_rows(info: TensorInfo) -> int:
    """Leading rows that a corner needs."""
    return min(info.shape[0], N_ROWS)
