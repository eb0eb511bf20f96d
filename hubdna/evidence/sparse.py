"""Sparse merges: of each parent's change from the base only some weights are kept (TIES, DARE, DELLA, breadcrumbs).

Where one parent alone survived, the target's change is a fixed multiple of that parent's. So the ratios of the two have
a spike at the multiple, and a parent shows itself however little was kept of it. Then each weight must be nothing, or
the sum of some parents' changes with these multiples: to rounding, weight by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence import rounding
from hubdna.evidence.places import Place
from hubdna.records import Dna, Member, Mixture

MIN_WEIGHTS = 1024
"""A place with fewer says too little of ratios."""
N_BASES, N_LIKELY, MAX_PARENTS = 3, 10, 4
STEPS = 1.5
"""Steps of rounding by which a weight may be off."""
CLEAR = 0.05
"""A ratio counts where the tolerance is at most this part of the parent's change."""
SPIKE = 0.03
"""Share of the ratios by which a spike must exceed that of shuffled weights."""
EXPLAINED = 0.95
"""Share of the weights that a merge explains, less what it would explain of shuffled ones."""
ALONE = 0.03
"""Share of the weights that each parent must explain by itself."""
TOGETHER = 0.1
"""Share of the weights of which several parents are kept. Where only one is, base and merge may change places: then
the base is the merge less a multiple of each change."""

Values = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What became of a base at one place: the target's change, the candidates', and what rounding may hide.

    Attributes:
        tensor: whose.
        target: float64 [d].
        others: float64 [n, d].
        allowed: float64 [n, d]; the tolerance beside each candidate.
        shuffled: int [d]; another order of the weights.
    """

    tensor: str
    target: Values
    others: Values
    allowed: Values
    shuffled: NDArray[np.intp]


def sparse(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find a base and parents of whose changes each weight of the target keeps some.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        The mixture with the fewest parents; None when no two parents explain nearly every weight.
    """
    wide = [p for p in places if p.values.size >= MIN_WEIGHTS and all(p.names[k] for k in known)]
    if not wide or len(known) < 3:
        return None
    for base in _bases(wide, known):
        others = [k for k in known if k != base]
        changes = [c for p in wide if (c := _changes(p, base, others)) is not None]
        found = _parents(changes, len(others)) if changes else ()
        if len(found) > 1:
            return _mixture(changes, [candidates[others[j]] for j in found], candidates[base], found)
    return None


def _mixture(changes: Sequence[Changes], parents: list[Dna], base: Dna, found: Sequence[int]) -> Mixture:
    shares = np.array([[_spike(c, c.target, j)[1] for j in found] for c in changes])
    members = [
        Member(m.ref, float(np.median(column)), tuple(column.tolist()))
        for m, column in zip(parents, shares.T, strict=True)
    ]
    rest = 1 - shares.sum(axis=1)
    return Mixture(
        kind="sparse",
        parents=tuple(sorted(members, key=lambda m: -m.share)),
        base=Member(base.ref, float(np.median(rest)), tuple(rest.tolist())),
        tensors=tuple(c.tensor for c in changes),
        unexplained=0.0,
        directed=False,
    )


def _bases(wide: Sequence[Place], known: Sequence[int]) -> list[int]:
    """The models with most weights bit-equal to the target's, and the one nearest to all others."""
    equal = [
        float(np.mean([(rounding.stored(p.others[k], p.block.dtype) == p.values).mean() for p in wide])) for k in known
    ]
    first = [known[int(i)] for i in np.argsort(equal)[::-1][:N_BASES]]
    far = sum(
        np.linalg.norm(p.others[list(known)][:, None, :256] - p.others[list(known)][None, :, :256], axis=2)
        for p in wide[:3]
    )
    middle = known[int(np.median(far, axis=1).argmin())]
    return [*dict.fromkeys((*first, middle))]


def _changes(place: Place, base: int, others: list[int]) -> Changes | None:
    own = place.block.dtype
    ground = rounding.stored(place.others[base], own)
    change = place.values - ground
    allowed = [
        STEPS * np.maximum(rounding.step(place.values, own), rounding.step(place.values, place.dtypes[i]))
        for i in others
    ]
    if np.count_nonzero(change) < MIN_WEIGHTS // 16:
        return None
    order = np.random.default_rng(len(change)).permutation(len(change))
    return Changes(place.block.tensor, change, place.others[others] - place.others[base], np.stack(allowed), order)


def _spike(c: Changes, change: Values, j: int) -> tuple[float, float]:
    """The largest share of weights that are one multiple of candidate j's change, and the multiple."""
    told = (change != 0) & (c.allowed[j] < CLEAR * np.abs(c.others[j]))
    if told.sum() < 32:
        return 0.0, 0.0
    ends = np.sort((change[told] + np.array([[-1], [1]]) * c.allowed[j][told]) / c.others[j][told], axis=0)
    low, high = ends[:, (ends[1] > 0.05) & (ends[0] < 20)]
    if not len(low):
        return 0.0, 0.0
    height, at = _highest(low, high)
    return height / int(told.sum()), at


def _highest(low: Values, high: Values) -> tuple[int, float]:
    """How many of some intervals share a point at most, and that point."""
    ends = np.concatenate([low, high])
    step = np.concatenate([np.ones(len(low)), -np.ones(len(high))])
    order = np.lexsort((-step, ends))
    height = np.cumsum(step[order])
    top = int(height.argmax())
    return int(height[top]), float((ends[order[top]] + ends[order[min(top + 1, len(ends) - 1)]]) / 2)


def _parents(changes: Sequence[Changes], n: int) -> tuple[int, ...]:
    """The fewest candidates that explain the changes; () where no four do."""
    spikes = np.array([[_spike(c, c.target, j) for j in range(n)] for c in changes])
    chance = np.array([[_spike(c, c.target[c.shuffled], j)[0] for j in range(n)] for c in changes])
    over = np.median(spikes[:, :, 0] - chance, axis=0)
    likely = [int(j) for j in np.argsort(-over)[:N_LIKELY] if over[j] > SPIKE]
    for size in range(2, MAX_PARENTS + 1):
        scored = [(_explained(changes, spikes[:, :, 1], s), s) for s in combinations(likely, size)]
        best = max(scored, default=(0.0, ()))
        if best[0] >= EXPLAINED:
            return best[1]
    return ()


def _explained(changes: Sequence[Changes], multiples: Values, parents: tuple[int, ...]) -> float:
    """Share of the weights that sums of the parents' changes explain, beyond chance; 0 where a parent is not needed."""
    shares = []
    for c, factors in zip(changes, multiples, strict=True):
        allowed = c.allowed[list(parents)].max(axis=0) + 1e-9
        parts = c.others[list(parents)] * factors[list(parents), None]
        share = _beyond_chance(c, _sums(parts), allowed)
        if share == 0:
            return 0.0
        shares.append(share)
    return float(np.median(shares))


def _beyond_chance(c: Changes, reached: list[Values], allowed: Values) -> float:
    n = int(np.log2(len(reached)))
    near = np.array([np.abs(c.target - r) <= allowed for r in reached])
    only = near[1 : n + 1] & (near.sum(axis=0) == 1)
    if only.mean(axis=1).min() < ALONE:
        return 0.0
    if (near[n + 1 :].any(axis=0) & (near.sum(axis=0) == 1)).mean() < TOGETHER:
        return 0.0
    real, chance = (_hits(reached, change, allowed) for change in (c.target, c.target[c.shuffled]))
    return max(real - chance, 0.0) / max(1 - chance, 0.05)


def _sums(parts: Values) -> list[Values]:
    """What a weight's change can be: nothing, each parent's part alone, then the sums of several."""
    subsets = _subsets(len(parts))
    return [np.zeros(parts.shape[1]), *(parts[s].sum(axis=0) for s in subsets)]


def _subsets(n: int) -> list[list[int]]:
    return [list(s) for size in range(1, n + 1) for s in combinations(range(n), size)]


def _hits(reached: list[Values], change: Values, allowed: Values) -> float:
    return float(np.any([np.abs(change - r) <= allowed * (1 + i / 4) for i, r in enumerate(reached)], axis=0).mean())
