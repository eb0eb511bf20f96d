"""A merge one of whose parents is in no index: what tells of it, and what does not.

Where the hidden parent did not move from the base, or where a method dropped its change, the target's change is an
exact multiple of the known parent's: weight by weight, to rounding. Nothing but a sum makes that. Trainings on the same
data share much of their ways, so their ratios crowd around some number, too, but as a hill, not as a spike: within a
few roundings a hill is flat. So weights at the multiple are counted against those beside it. A stack tells of itself by
matrices that are bit-equal to a model from which the others do not descend.

How much of a known parent's change the target took says nothing by itself: two trainings on the same data have as large
a part in common, as evenly over all matrices, as a merge has with its smaller parent. A dense merge of models of which
every weight moved is therefore not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from hubdna.evidence import rounding
from hubdna.evidence.places import Place
from hubdna.records import Dna, Member, Mixture

MIN_WEIGHTS, MIN_TOLD = 1024, 32
"""Weights of a place, and such with a clear ratio, below which it is passed over."""
N_BASES, MAX_PARENTS = 2, 4
STEPS, CLEAR = 1.5, 0.05
"""Steps of rounding by which a weight may be off; a ratio is clear where that is at most this part of it."""
RING = 3
"""The ring beside a spike ends at so many tolerances: it is twice as wide as the spike."""
CHANCE = 1e-6
"""Chance, for one place and model, that a hill of ratios looks like a spike. Some 2,500 are tried for a target, and
three have to agree."""
MIN_PLACES = 3
ALIKE = 0.1
"""Multiples of one parent differ by less from place to place, as a part of them; a random mask rescales each anew."""
NOT_ONE, LEAST = 0.03, 0.03
"""A multiple within this of 1 is a copy, within this of 0 nothing."""
DROPPED, STILL = 0.1, 0.02
"""Share of the finest weights, those near zero, that stood still: training moves them all, a mask drops some. And the
share up to which none was dropped."""
MOSTLY = 0.3
"""Share of a spike's weights that are one multiple of the base's: training leaves a few by chance."""
PART, TWINS = 512, 0.95
"""Weights of a place by which bases are looked for; models that share more of them are one."""
FLOOR = 10.0
"""Times the energy of rounding up to which a residual is nothing else."""
LEFT, MORE = 0.05, 0.01
"""Share of the changed weights that has to be left, else nobody is missing; and that a further parent explains."""

Values = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What became of a base at one place, in the target and in one candidate.

    Attributes:
        start: float64 [d], the base's weights.
        target, other: float64 [d], the changes.
        allowed: float64 [d], what rounding may hide of the target's.
        fine: bool [d], the tenth of the weights with the finest steps.
        clear: bool [d], weights whose ratio is told: all three models differ, the candidate by far more than rounding.
        unmoved: bool [d], where the candidate has the base's weights, but for a type of its own.
    """

    start: Values
    target: Values
    other: Values
    allowed: Values
    fine: Bools
    clear: Bools
    unmoved: Bools

    @property
    def stood_still(self) -> tuple[float, float, float]:
        """Shares of the finest weights: the target alone stood still, the candidate alone did, both changed alike."""
        moved = self.fine & (self.allowed < CLEAR * np.abs(self.other))
        own = self.fine & (self.allowed < CLEAR * np.abs(self.target))
        alike = np.abs(self.target - self.other) <= self.allowed
        return _share(self.target == 0, moved), _share(self.unmoved, own), _share(alike, own)


def _share(what: Bools, of: Bools) -> float:
    return float(what[of].mean()) if of.sum() >= MIN_TOLD // 2 else 0.0


@dataclass(frozen=True, slots=True)
class Spike:
    """A multiple at which the ratios of a target's and a candidate's changes heap up: at how many places, and where."""

    candidate: int
    multiples: tuple[float, ...]
    is_parent: bool = True

    @property
    def multiple(self) -> float:
        """The median over the places at which there is a spike."""
        return float(np.median([m for m in self.multiples if m]))


def summed(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find the parents of a merge another parent of which is not among the candidates.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        A mixture with `unexplained` above 0, never directed, whose shares are multiples of the parents' changes from
        the base; None where no parent shows itself or where the parents found explain all.
    """
    wide = [p for p in places if p.values.size >= MIN_WEIGHTS and all(p.names[k] for k in known)]
    if len(wide) < MIN_PLACES:
        return None
    if any(_adapter(wide, k) for k in known):
        return None
    found = {b: _readings(wide, b, known) for b in bases(wide, known)}
    children = {k for readings in found.values() for k, spike in readings.items() if spike is None}
    best: tuple[float, int, list[Spike]] | None = None
    for base, readings in found.items():
        fit = [s for k, s in readings.items() if s is not None and k not in children]
        if base not in children and fit and _is_ground(wide, base, known):
            parents, left = _needed(wide, base, fit)
            best = min(best or (left, base, parents), (left, base, parents), key=lambda one: round(one[0], 2))
    return None if best is None or best[0] <= LEFT else _mixture(wide, best[1], best[2], best[0], candidates)


def _readings(wide: Sequence[Place], base: int, known: Sequence[int]) -> dict[int, Spike | None]:
    """The candidates that have a spike above a base; None for those that were made from the target."""
    tried = {k: _spike(wide, base, k) for k in known if k != base}
    return {k: s if s.is_parent else None for k, s in tried.items() if s is not None}


def bases(wide: Sequence[Place], known: Sequence[int]) -> list[int]:
    """Models that may be the base: near to all others, or with many weights equal to the target's or to the others'."""
    n = len(known)
    far, shared, equal = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    for place in wide:
        own = place.block.dtype
        x = rounding.stored(place.others[list(known), :PART], own)
        far += np.log(np.linalg.norm(x[:, None] - x[None], axis=2) + np.finfo(np.float32).tiny)
        shared += (x[:, None] == x[None]).mean(axis=2)
        equal += (x == place.values[:PART]).mean(axis=1)
    few = np.sqrt(np.where(shared < TWINS * len(wide), shared, 0)).sum(axis=1)
    near = np.where(shared < TWINS * len(wide), far, 0).sum(axis=1)
    likely = [np.argsort(near)[:1], np.argsort(-equal)[:N_BASES], np.argsort(-few)[:N_BASES]]
    return [known[i] for i in dict.fromkeys(np.concatenate(likely).tolist())]


def _adapter(wide: Sequence[Place], other: int) -> bool:
    """Whether the target differs from a model by a low rank: an adapter's change, no merge with something unknown."""
    full = []
    for place in wide:
        gap = (place.values - place.others[other]).reshape(place.shape)
        floor = rounding.energy(place.values, place.block.dtype) + rounding.energy(place.values, place.dtypes[other])
        if float((gap**2).sum()) > FLOOR * floor:
            rest = np.linalg.svd(gap, compute_uv=False)[min(place.shape) // 2 :]
            full.append(float(rest @ rest) > FLOOR * floor)
    return not any(full)


def change(place: Place, base: int, other: int) -> Change:
    """What became of a base in the target and in a candidate."""
    own = place.block.dtype
    ground, there = (rounding.stored(place.others[i], own) for i in (base, other))
    kinds = (own, place.dtypes[other], place.dtypes[base])
    steps = np.max([rounding.step(place.values, kind) for kind in kinds], axis=0)
    start = place.others[base]
    target, moved, allowed = place.values - ground, place.others[other] - start, STEPS * steps
    differ = (target != 0) & (place.values != there) & (there != ground)
    fine = np.abs(start) <= np.quantile(np.abs(start), 0.1)
    unmoved = np.abs(moved) <= allowed * (place.dtypes[other] != place.dtypes[base])
    return Change(start, target, moved, allowed, fine, differ & (allowed < CLEAR * np.abs(moved)), unmoved)


def _spike(wide: Sequence[Place], base: int, other: int) -> Spike | None:
    """The spike of a candidate, if it has one at enough places; or the sign that it was made from the target."""
    changes = [change(place, base, other) for place in wide]
    told = [c for c in changes if c.clear.sum() >= MIN_TOLD]
    if len(told) < MIN_PLACES:
        return None
    still, stands, alike = np.median([c.stood_still for c in told], axis=0)
    turned = stands > STILL and stands > 2 * still
    if turned and alike > DROPPED:
        return Spike(other, (), is_parent=False)
    multiples = _multiples(changes, told)
    if not multiples or turned:
        return Spike(other, multiples, is_parent=False) if multiples else None
    spike = Spike(other, multiples)
    if _faded(told, spike.multiple):
        return None
    masked = still > DROPPED and still > 2 * stands
    inside = spike.multiple < 1 and stands <= STILL
    apart = spike.multiple > LEAST and abs(spike.multiple - 1) > NOT_ONE
    return spike if apart and (masked or inside) else None


def _faded(told: Sequence[Change], multiple: float) -> bool:
    """Whether the spike is of weights that decayed: rows that no training reached are multiples of the base's."""
    hits = [c.clear & (np.abs(c.target - multiple * c.other) <= c.allowed) for c in told]
    factors = [
        c.other[hit] / np.where(c.start[hit] == 0, np.inf, c.start[hit]) for c, hit in zip(told, hits, strict=True)
    ]
    faded = [np.abs(f - np.median(f)) < CLEAR * np.abs(np.median(f)) for f in factors if len(f)]
    return bool(faded) and float(np.concatenate(faded).mean()) > MOSTLY


def _multiples(changes: Sequence[Change], told: Sequence[Change]) -> tuple[float, ...]:
    """The multiple at each place, 0 where none is clear; () where too few places agree."""
    tops = [highest(c) if c.clear.sum() >= MIN_TOLD else 0.0 for c in changes]
    sharp = [bool(at) and chance(at, [c]) < CHANCE for at, c in zip(tops, changes, strict=True)]
    found = [at for at, yes in zip(tops, sharp, strict=True) if yes]
    if len(found) >= max(MIN_PLACES, len(told) / 2):
        middle = float(np.median(found))
        agree = [
            at if yes and abs(at - middle) < ALIKE * abs(middle) else 0.0 for at, yes in zip(tops, sharp, strict=True)
        ]
        if np.count_nonzero(agree) >= max(MIN_PLACES, len(told) / 2):
            return tuple(agree)
    middle = min((at for at in tops if at), key=lambda at: chance(at, told), default=0.0)
    return tuple(middle if at else 0.0 for at in tops) if middle and chance(middle, told) < CHANCE else ()


def chance(multiple: float, changes: Sequence[Change]) -> float:
    """The chance of so many weights at a multiple, and so few beside it, if there is nothing but a hill.

    Under a hill, or any density that is even within three tolerances, a weight there falls on the spike with a chance
    of one third. One half is taken: a hill is higher in its middle. The multiples of all weights were tried.
    """
    hits = beside = tried = 0
    for c in changes:
        off = np.abs(c.target - multiple * c.other)[c.clear] / c.allowed[c.clear]
        hits, beside = hits + int((off <= 1).sum()), beside + int(((off > 1) & (off <= RING)).sum())
        tried += len(off)
    return min(float(betainc(hits, beside + 1, 0.5)) * tried, 1.0) if hits else 1.0


def highest(c: Change) -> float:
    """The multiple at which most ratios agree."""
    told = c.clear
    ratio, wide = c.target[told] / c.other[told], c.allowed[told] / np.abs(c.other[told])
    return _highest(ratio - wide, ratio + wide)


def _highest(low: Values, high: Values) -> float:
    """A point that as many of some intervals share as any."""
    ends = np.concatenate([low, high])
    rises = np.concatenate([np.ones(len(low)), -np.ones(len(high))])
    order = np.lexsort((-rises, ends))
    top = int(np.cumsum(rises[order]).argmax())
    return float((ends[order[top]] + ends[order[min(top + 1, len(ends) - 1)]]) / 2)


def _is_ground(wide: Sequence[Place], base: int, known: Sequence[int]) -> bool:
    """Whether others hold more weights of the base than of the target.

    Three models on a line: base, target, parent. A merge that subtracts one parent puts the true base into the middle.
    """
    at_base = at_target = 0
    for place in wide:
        own = place.block.dtype
        others = rounding.stored(place.others[[k for k in known if k != base]], own)
        at_base += int((others == rounding.stored(place.others[base], own)).sum())
        at_target += int((others == place.values).sum())
    return at_target <= at_base


def _needed(wide: Sequence[Place], base: int, spikes: Sequence[Spike]) -> tuple[list[Spike], float]:
    """The parents that explain most, each much more than those before it, and what they leave: 0 without parents."""
    chosen, left = list[Spike](), 1.0
    while len(chosen) < MAX_PARENTS:
        rest = {s: unexplained(wide, base, [*chosen, s]) for s in spikes if s not in chosen}
        best = min(rest, key=rest.__getitem__, default=None)
        if best is None or rest[best] > left - MORE:
            break
        chosen, left = [*chosen, best], rest[best]
    return chosen, left if chosen else 0.0


def unexplained(wide: Sequence[Place], base: int, spikes: Sequence[Spike]) -> float:
    """Share of the changed weights that are no sum of the parents' changes with their multiples."""
    far = moved = 0
    for p, place in enumerate(wide):
        changes = [change(place, base, s.candidate) for s in spikes]
        own = changes[0].target
        allowed = np.max([c.allowed for c in changes], axis=0)
        parts = [(s.multiples[p] or s.multiple) * c.other for s, c in zip(spikes, changes, strict=True)]
        sums = [np.sum(some, axis=0) for n in range(1, len(parts) + 1) for some in combinations(parts, n)]
        far += int((np.all([np.abs(own - x) > allowed * RING for x in sums], axis=0) & (own != 0)).sum())
        moved += int((own != 0).sum())
    return far / moved if moved else 0.0


def _mixture(
    wide: Sequence[Place], base: int, spikes: Sequence[Spike], left: float, candidates: Sequence[Dna]
) -> Mixture:
    parents = [Member(candidates[s.candidate].ref, s.multiple, s.multiples) for s in spikes]
    rest = tuple(1 - float(sum(shares)) for shares in zip(*(s.multiples for s in spikes), strict=True))
    return Mixture(
        kind="sparse",
        parents=tuple(sorted(parents, key=lambda m: -m.share)),
        base=Member(candidates[base].ref, float(np.median(rest)), rest),
        tensors=tuple(p.block.tensor for p in wide),
        unexplained=left,
        directed=False,
    )
