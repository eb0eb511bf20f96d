"""Marks that a function-preserving change leaves on rows that still match: scales, signs, folded gains.

Numbers only. Each looks at units that are plainly the same in both models, and asks what was done to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence.fixed_points import MIN_UNITS, unit_rows, weights
from hubdna.evidence.pairing import Pair

SAME, ALIKE = 0.9, 0.5
"""Cosines of rows that were at most rescaled, and of rows that are the same unit after training."""
ROUNDING = 5e-4
"""Energy that 8-bit rows leave between equal ones, with room."""


def scale_spread(rows: list[Pair]) -> float | None:
    """Standard deviation of log(scale of A's row / scale of B's) over rows of one direction; None with too few."""
    ratios = []
    for pair in rows:
        a, b = pair
        assert a.scales is not None and b.scales is not None
        same = np.abs(_cosines(pair)) >= SAME
        ratios.append(np.log(a.scales[same] / b.scales[same]))
    joined = np.concatenate(ratios) if ratios else np.zeros(0)
    return float(np.std(joined)) if joined.size >= MIN_UNITS else None


def flipped(rows: list[Pair]) -> float:
    """Share of rows, among those that match up to sign, whose sign is the other one."""
    cosines = np.concatenate([_cosines(pair) for pair in rows]) if rows else np.zeros(0)
    match = np.abs(cosines) >= ALIKE
    return float((cosines[match] < 0).mean()) if match.sum() >= MIN_UNITS else 0.0


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


def _cosines(pair: Pair) -> NDArray[np.float64]:
    x, y = (unit_rows(w.astype(np.float64)) for w in weights(*pair))
    cosines: NDArray[np.float64] = (x * y).sum(axis=1)
    return cosines
