"""Of a change that was kept in part only: which multiple of it is it?

Take a base, what became of it in the target, and what became of it in some other model. Where the target kept the
other's change and nothing else, the ratio of the two is one number for all weights of a matrix. So the ratios of all
weights have a spike there, however little was kept, and however alike the changes of siblings look on the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence import rounding
from hubdna.evidence.places import Place

STEPS = 1.5
"""Steps of the arithmetic's type by which a sum of changes may be off, besides the rounding when it is stored."""
HALF = 0.501
CLEAR = 0.05
"""A ratio counts where the tolerance is at most this part of the other's change."""
MULTIPLES = (0.05, 20.0)
MIN_TOLD = 12
"""Ratios that a spike needs."""
MIN_CHANGED = 1 / 64
"""Share of the weights of a place that must have changed."""
AROUND = 0.25
"""How far around a spike the usual density of ratios is looked up, as a part of the multiple."""
STEADY = 0.15
"""How far the multiple of one place may lie from the usual one: a random part is rescaled by what happened to be kept
of each matrix."""

Values = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What became of a base at one place.

    Attributes:
        tensor: whose.
        kind: the type in which the target would have been computed.
        target: float64 [d]; the target's change.
        others: float64 [n, d]; the other models'.
        half: float64 [d]; half a step of the type in which the target is stored.
    """

    tensor: str
    kind: str
    target: Values
    others: Values
    half: Values

    def tolerance(self, part: Values) -> Values:
        """How far a weight may lie from base + part: float64 [d]."""
        width: Values = self.half + STEPS * rounding.step(part, self.kind)
        return width


def changes(places: Sequence[Place], base: int, others: Sequence[int], narrow: bool) -> list[Changes]:
    """What became of a base in the target and in other models, at each place that has changed enough.

    Args:
        places: that the base and the others have.
        base: number of a model at the places.
        others: numbers of other models.
        narrow: whether all were rounded to the target's type first, and computed with in it.
    """
    made = []
    for place in places:
        own = place.block.dtype
        start, theirs = place.others[base], place.others[list(others)]
        if narrow:
            start, theirs = rounding.stored(start, own), rounding.stored(theirs, own)
        change = place.values - start
        half = HALF * rounding.step(place.values, own)
        if (np.abs(change) > half).mean() >= MIN_CHANGED:
            made.append(Changes(place.block.tensor, own if narrow else "F32", change, theirs - start, half))
    return made


def spike(change: Values, other: Values, tolerance: Values, within: tuple[float, float]) -> tuple[float, float, int]:
    """The multiple of another change that most weights have.

    Args:
        change: float64 [d], of the target.
        other: float64 [d].
        tolerance: float64 [d]; by how much the first may be off.
        within: least and largest multiple.

    Returns:
        The share of the ratios at the multiple, beyond what their density around it explains (0 where there is no
        more); the multiple; how many ratios there are.
    """
    told = (np.abs(change) > tolerance) & (tolerance < CLEAR * np.abs(other))
    n = int(np.count_nonzero(told))
    if n < MIN_TOLD:
        return 0.0, 0.0, n
    ratio, width = change[told] / other[told], tolerance[told] / np.abs(other[told])
    inside = (ratio + width > within[0]) & (ratio - width < within[1])
    ratio, width = ratio[inside], width[inside]
    if not len(ratio):
        return 0.0, 0.0, n
    height, at = highest(ratio - width, ratio + width)
    reach = AROUND * abs(at)
    near = np.abs(ratio - at) <= reach
    by_chance = max(int(near.sum() - height), 0) / reach * float(width.mean()) if reach else 0.0
    over = height - by_chance - 3 * np.sqrt(by_chance + 1)
    return max(over, 0.0) / n, at, n


def highest(low: Values, high: Values) -> tuple[int, float]:
    """How many of some intervals, float64 [n] each end, share a point, at most; and such a point."""
    low, high = np.sort(low), np.sort(high)
    height = np.arange(1, len(low) + 1) - np.searchsorted(high, low)
    top = int(height.argmax())
    return int(height[top]), float(low[top] + high[np.searchsorted(high, low[top])]) / 2


def multiples(found: Sequence[Changes], j: int, left: Sequence[Bools] | None = None) -> tuple[float, Values]:
    """How clearly a model shows, and which multiple of its change the target has at each place.

    Args:
        found: the changes.
        j: which of the others.
        left: bool [d] for each place, which weights to look at; None for all.

    Returns:
        The share of the spike, mean over the places; float64 [places]. Where a place says little, the usual multiple.
    """
    looks = [np.ones(len(c.target), dtype=bool) if left is None else left[i] for i, c in enumerate(found)]
    rows = [
        spike(c.target[m], c.others[j][m], c.tolerance(c.target)[m], MULTIPLES)
        for c, m in zip(found, looks, strict=True)
    ]
    over, at, n = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    if not over.any():
        return 0.0, np.ones(len(found))
    usual = float(np.median(at[over > 0]))
    steady = (over > 0) & (np.abs(at / usual - 1) < STEADY)
    return float(over @ n / n.sum()), np.where(steady, at, usual)
