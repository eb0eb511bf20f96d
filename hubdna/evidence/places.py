"""The same exact weights of many models, side by side: what merges are solved from and family trees are measured by.

Corners and samples of a model are laid on those of others by what they hold: the best correlation, else the equal
name. Only ever asked about models whose common origin is known; here nothing is tested, so looking is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.blocks import SAMPLE_COLUMNS, SAMPLE_ROWS
from hubdna.records import Block, Dna

MIN_ALIKE = 0.3
"""Correlation below which two samples are not the same place of the same matrix; 256 unrelated weights reach 0.2."""
MIN_WEIGHTS = 64
TWINS = 0.95
"""Models that have more of their weights in common are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Some weights of one matrix, and the same ones of other models.

    Attributes:
        block: the matrix of the target.
        values: float64 [d], the target's weights.
        others: float64 [n, d], those of each other model; NaN where it has no such place.
        names: the tensor of each other model, "" where there is none.
        dtypes: as stored, of each other model, "" where there is none.
        shape: rows and columns; d is their product.
    """

    block: Block
    values: NDArray[np.float64]
    others: NDArray[np.float64]
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shape: tuple[int, int]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which of the others have this place, bool [n]."""
        return np.array([bool(name) for name in self.names])


def align(target: Dna, others: Sequence[Dna]) -> list[Place]:
    """Lay the exact weights of others on those of a target.

    Args:
        target: whose matrices set the places.
        others: models of the same origin.

    Returns:
        One place a matrix of which the target keeps exact weights and at least one of the others does, too.
    """
    own = target.blocks + target.samples
    partners = [_partners(own, other.blocks + other.samples) for other in others]
    places = []
    for i, block in enumerate(own):
        row = [partner[i] for partner in partners]
        held = [b.values.shape for b in row if b is not None]
        if not held:
            continue
        r, c = (min(n) for n in zip(block.values.shape, *held, strict=True))
        if r * c >= MIN_WEIGHTS:
            empty = np.full(r * c, np.nan)
            values = [empty if b is None else _cut(b, r, c) for b in row]
            names = tuple("" if b is None else b.tensor for b in row)
            dtypes = tuple("" if b is None else b.dtype for b in row)
            places.append(Place(block, _cut(block, r, c), np.stack(values), names, dtypes, (r, c)))
    return places


def most_shared(parts: Sequence[NDArray[np.float64]]) -> list[int]:
    """Models by number, those first that have weights bit-equal with most others, twins apart: most likely their base.

    Args:
        parts: float64 [n, d] for each place, the models' weights in one type.
    """
    shared = sum((x[:, None] == x).mean(axis=2) for x in parts) / max(len(parts), 1)
    many = np.sqrt(np.where(shared < TWINS, shared, 0)).sum(axis=1)
    return [int(i) for i in np.argsort(-many, kind="stable")]


def _partners(own: Sequence[Block], theirs: Sequence[Block]) -> list[Block | None]:
    """For each of our blocks the one of theirs that holds the same place: the likest, else the one of equal name."""
    found: list[Block | None] = [None] * len(own)
    for shape in {b.shape for b in own} & {b.shape for b in theirs}:
        ours = [i for i, b in enumerate(own) if b.shape == shape]
        shelf = [b for b in theirs if b.shape == shape]
        alike = _unit([own[i] for i in ours]) @ _unit(shelf).T
        by_name = {b.tensor: b for b in shelf}
        for i, row in zip(ours, alike, strict=True):
            best = int(row.argmax())
            found[i] = shelf[best] if row[best] >= MIN_ALIKE else by_name.get(own[i].tensor)
    return found


def _unit(blocks: Sequence[Block]) -> NDArray[np.float64]:
    """Samples of some blocks of one shape, centred, of length 1."""
    x = np.stack([_cut(b, *_sample_size(b)) for b in blocks])
    x -= x.mean(axis=1, keepdims=True)
    unit: NDArray[np.float64] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    return unit


def _sample_size(block: Block) -> tuple[int, int]:
    return min(block.values.shape[0], SAMPLE_ROWS), min(block.values.shape[1], SAMPLE_COLUMNS)


def _cut(block: Block, n_rows: int, n_columns: int) -> NDArray[np.float64]:
    return block.values[:n_rows, :n_columns].astype(np.float64).reshape(-1)
