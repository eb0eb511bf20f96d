"""What a sparse merge kept: weight by weight nothing, one parent's change, or the sum or mean of several.

A reading (parents, multiples, weights of a mean) states few values that each weight can have. It is held against the
weights that can tell: those where the values lie far apart, counted in roundings. A weight that has nothing to do with
the reading misses narrowly twice as often as it hits, so narrow misses tell how many of the hits are chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hubdna.evidence.spikes import Bools, Changes, Values, spike

NARROW = 3.0
"""A miss by up to so many tolerances is narrow: a range twice as wide as that of the hits."""
APART = 4.0
"""Tolerances for each of the values that a weight can have, over which they must spread to be told apart."""
MIN_TELLING = 64
WEIGHTS = (0.03, 0.97)
"""Of two parents in a mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a target may have been made from others.

    Attributes:
        parents: which of the others.
        multiples: float64 [places, k]; of a parent's change where it alone was kept.
        weights: float64 [k]; where several were kept their mean with these weights counts (TIES); None for the sum.
    """

    parents: tuple[int, ...]
    multiples: Values
    weights: Values | None

    @property
    def shares(self) -> Values:
        """float64 [places, k]; what multiplies a parent's change where all are kept."""
        return self.multiples if self.weights is None else self.multiples * self.weights / self.weights.sum()


@dataclass(frozen=True, slots=True)
class Account:
    """How many of the telling weights a reading explains.

    Attributes:
        explained: their share, less what hits by chance; at most 1.
        telling: how many tell.
        none: share of those that are surely the base's.
        alone: of those that surely have one parent's change, for each parent.
        together: of those that surely have several parents' changes, less half of all narrow misses.
    """

    explained: float
    telling: int
    none: float
    alone: tuple[float, ...]
    together: float


def account(found: Sequence[Changes], reading: Reading) -> Account | None:
    """Hold a reading against all places; None when too few weights tell."""
    k = len(reading.parents)
    hits = misses = telling = none = together = 0
    alone = np.zeros(k)
    for c, factors in zip(found, reading.multiples, strict=True):
        off, tells = _off(c, reading, factors)
        off = off[:, tells]
        telling += off.shape[1]
        nearest = off.min(axis=0, initial=np.inf)
        hits += int((nearest <= 1).sum())
        misses += int(((nearest > 1) & (nearest <= NARROW)).sum())
        sure = (off <= 1) & ((off <= 1).sum(axis=0) == 1)
        none += int(sure[0].sum())
        alone += sure[1 : k + 1].sum(axis=1)
        together += int(sure[k + 1 :].sum())
    if telling < MIN_TELLING:
        return None
    shares = tuple(float(a) for a in alone / telling)
    return Account((hits - misses / 2) / telling, telling, none / telling, shares, (together - misses / 2) / telling)


def agreement(found: Sequence[Changes], reading: Reading) -> float:
    """How much more two parents agree where one of them alone was kept than where nothing was.

    What is kept is drawn, or chosen by size, or by a vote that drops who disagrees: none makes parents agree more. But
    read a base as made from its merge, and both parents have moved the same way wherever one was kept.

    Returns:
        The largest difference of two cosines of parents' changes; 1 is much, 0 or less is right.
    """
    k = len(reading.parents)
    sums = np.zeros((k + 1, k, k))
    for c, factors in zip(found, reading.multiples, strict=True):
        off, tells = _off(c, reading, factors)
        sure = (off <= 1) & ((off <= 1).sum(axis=0) == 1) & tells
        for i in range(k + 1):
            theirs = c.others[list(reading.parents)][:, sure[i]]
            sums[i] += theirs @ theirs.T
    sizes = np.sqrt(np.maximum(np.diagonal(sums, axis1=1, axis2=2), 1e-300))
    cosines = sums / sizes[:, :, None] / sizes[:, None, :]
    pairs = combinations(range(k), 2)
    return max(float(cosines[1 + a, i, j] - cosines[0, i, j]) for i, j in pairs for a in (i, j))


def unexplained(found: Sequence[Changes], reading: Reading) -> list[Bools]:
    """Which weights are surely none of the values that the reading states, bool [d] for each place."""
    return [_off(c, reading, f)[0].min(axis=0) > NARROW for c, f in zip(found, reading.multiples, strict=True)]


def weights_of(found: Sequence[Changes], parents: Sequence[int], factors: Values) -> Values:
    """The weights of a mean, the first one's 1: from weights that lie between one parent's change and the first one's.

    Args:
        found: the changes.
        parents: which of the others.
        factors: float64 [places, k]; the multiples of each parent alone.
    """
    weights = np.ones(len(parents))
    for b in range(1, len(parents)):
        columns: list[tuple[Values, Values, Values]] = []
        for c, row in zip(found, factors, strict=True):
            first, other = row[0] * c.others[parents[0]], row[b] * c.others[parents[b]]
            allowed = c.tolerance(np.maximum(np.abs(first), np.abs(other)))
            free = np.min([np.abs(c.target - x) for x in (0, first, other)], axis=0) > allowed
            columns.append(((c.target - other)[free], (first - other)[free], allowed[free]))
        change, gap, allowed = (np.concatenate(x) for x in zip(*columns, strict=True))
        over, at, _ = spike(change, gap, allowed, WEIGHTS)
        weights[b] = (1 - at) / at if over else 1.0
    return weights


def _off(c: Changes, reading: Reading, factors: Values) -> tuple[Values, Bools]:
    """How far each weight lies from each value, in tolerances: float64 [2^k, d]; and which weights tell, bool [d]."""
    parts = c.others[list(reading.parents)] * factors[:, None]
    stated = _values(parts, reading.weights)
    allowed = c.tolerance(np.abs(parts).max(axis=0))
    return np.abs(c.target - stated) / allowed, np.ptp(stated, axis=0) > APART * len(stated) * allowed


def _values(parts: Values, weights: Values | None) -> Values:
    """What a change can be: nothing, each part alone, sums or means of several; float64 [2^k, d]."""
    some = [list(s) for size in range(1, len(parts) + 1) for s in combinations(range(len(parts)), size)]
    if weights is None:
        return np.stack([np.zeros(parts.shape[1]), *(parts[s].sum(axis=0) for s in some)])
    return np.stack([np.zeros(parts.shape[1]), *(weights[s] @ parts[s] / weights[s].sum() for s in some)])
