"""Marks that a function-preserving change leaves on rows that still match: scales, signs, folded gains.

Numbers only. Each looks at units that are plainly the same in both models, and asks what was done to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence.fixed_points import MIN_UNITS, unit_rows, weights
from hubdna.evidence.pairing import Pair
from hubdna.records import Block

SAME, ALIKE = 0.98, 0.7
"""Cosines of rows that were at most rescaled, and of rows that are the same unit after training."""
MIN_ROWS = 16
"""Rows of one matrix that have to match before a mark is read off it."""
ROUNDING = 5e-4
"""Energy that 8-bit rows leave between equal ones, with room."""


Rows = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Rows of A and of B, float64 [n, c] each, that stand in the same place."""


def matrices(rows: list[Pair], blocks_a: tuple[Block, ...], blocks_b: tuple[Block, ...]) -> list[Rows]:
    """Rows of paired genes as weights, and exact corners of equal name and shape (attention among them)."""
    there = {(b.tensor, b.shape): b.values for b in blocks_b}
    corners = [(a.values, there[a.tensor, a.shape]) for a in blocks_a if (a.tensor, a.shape) in there]
    pairs = [weights(*pair) for pair in rows] + [(x[: len(y)], y[: len(x)]) for x, y in corners]
    return [(x.astype(np.float64), y.astype(np.float64)) for x, y in pairs]


def scale_spread(pairs: list[Rows]) -> float | None:
    """Largest standard deviation, over matrices, of log(A's row / B's row) where they have one direction.

    None when no matrix has enough such rows.
    """
    spreads = []
    for x, y in pairs:
        same = np.abs(_cosines(x, y)) >= SAME
        if same.sum() >= MIN_ROWS:
            spreads.append(float(np.std(np.log(np.linalg.norm(x[same], axis=1) / np.linalg.norm(y[same], axis=1)))))
    return max(spreads, default=None)


def flipped(pairs: list[Rows]) -> float:
    """Largest share, over matrices, of rows whose sign is the other one among those that match up to sign."""
    shares = [0.0]
    for x, y in pairs:
        cosines = _cosines(x, y)
        match = np.abs(cosines) >= ALIKE
        if match.sum() >= MIN_ROWS:
            shares.append(float((cosines[match] < 0).mean()))
    return max(shares)


def folded(rows: list[Pair]) -> float:
    """Share of the difference of matching rows that one factor a column explains: gains folded in or out.

    0 when the rows are equal up to rounding; training leaves a difference that no factor explains.
    """
    before = after = 0.0
    for pair in rows:
        x, y = (unit_rows(w.astype(np.float64)) for w in weights(*pair))
        same = (x * y).sum(axis=1) >= SAME
        if same.sum() < MIN_UNITS:
            continue
        x, y = x[same], y[same]
        factor = (x * y).sum(axis=0) / np.maximum((x * x).sum(axis=0), 1e-30)
        if ((y - x) ** 2).sum() / len(x) > ROUNDING:
            before += float(((y - x) ** 2).sum()) * (1 - 1 / len(x))  # what a factor explains by chance
            after += float(((y - x * factor) ** 2).sum())
    return max(0.0, 1 - after / before) if before else 0.0


def _cosines(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = (unit_rows(x) * unit_rows(y)).sum(axis=1)
    return cosines
