"""How much of a known change is in a target's: a spike of ratios, which only a sum makes, or a hill, as of siblings?

Take a base, what became of it in the target, and what became of it in a candidate. Trainings on the same data share
much of their ways, so the ratios of the two changes crowd around some number, but as a hill: within a few roundings it
is flat. Where the target is a sum with the candidate's change in it, the ratio is one number wherever nothing else was
added. So weights at the multiple are counted against those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from hubdna.evidence import rounding
from hubdna.evidence.places import Place
from hubdna.evidence.spikes import highest

MIN_TOLD, MIN_PLACES = 32, 3
"""Weights with a clear ratio that a place needs, and places."""
STEPS, CLEAR = 1.5, 0.05
"""Steps of rounding by which a weight may be off; a ratio is clear where that is at most this part of it."""
RING = 3
"""The ring beside a spike ends at so many tolerances: it is twice as wide as the spike."""
CHANCE = 1e-6
"""Chance, for one place and model, that a hill of ratios looks like a spike. Some 2,500 are tried for a target, and
three have to agree."""
ALIKE = 0.1
"""Multiples of one parent differ by less from place to place, as a part of them; a random mask rescales each anew."""
NOT_ONE, LEAST = 0.03, 0.03
"""A multiple within this of 1 is a copy, within this of 0 nothing."""
DROPPED, STILL = 0.1, 0.02
"""Share of the finest weights, those near zero, that stood still: training moves them all, a mask drops some. And the
share up to which none was dropped."""
MOSTLY = 0.3
"""Share of a spike's weights that are one multiple of the base's: training leaves a few by chance."""

Values = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Wide:
    """A place, with what is looked up again and again.

    Attributes:
        place: the weights.
        there: float64 [n, d], the others' weights in the target's type.
        steps: for each type, float64 [d], the steps of its grid at the target's weights.
    """

    place: Place
    there: Values
    steps: dict[str, Values]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A base at one place.

    Attributes:
        wide: the place.
        base: number of the model.
        start: float64 [d], its weights.
        target: float64 [d], what became of them in the target.
        fine: bool [d], the tenth of the weights with the finest steps.
    """

    wide: Wide
    base: int
    start: Values
    target: Values
    fine: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What became of a base at one place, in the target and in one candidate.

    Attributes:
        ground: the base.
        other: float64 [d], the candidate's change.
        allowed: float64 [d], what rounding may hide of the target's.
        clear: bool [d], weights whose ratio is told: all three models differ, the candidate by far more than rounding.
        unmoved: bool [d], where the candidate has the base's weights, but for a type of its own.
    """

    ground: Ground
    other: Values
    allowed: Values
    clear: Bools
    unmoved: Bools

    @property
    def stood_still(self) -> tuple[float, float, float]:
        """Shares of the finest weights: the target alone stood still, the candidate alone did, both changed alike."""
        target, fine = self.ground.target, self.ground.fine
        moved = fine & (self.allowed < CLEAR * np.abs(self.other))
        own = fine & (self.allowed < CLEAR * np.abs(target))
        alike = np.abs(target - self.other) <= self.allowed
        return _share(target == 0, moved), _share(self.unmoved, own), _share(alike, own)


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


def widen(place: Place) -> Wide:
    """Look up what every base needs."""
    own = place.block.dtype
    steps = {kind: rounding.step(place.values, kind) for kind in {own, *place.dtypes}}
    return Wide(place, rounding.stored(place.others, own), steps)


def ground(wide: Wide, base: int) -> Ground:
    """What became of a base in the target."""
    start = wide.place.others[base]
    fine = np.abs(start) <= np.quantile(np.abs(start), 0.1)
    return Ground(wide, base, start, wide.place.values - wide.there[base], fine)


def change(at: Ground, other: int) -> Change:
    """What became of the base in a candidate."""
    place, there = at.wide.place, at.wide.there
    kinds = {place.block.dtype, place.dtypes[other], place.dtypes[at.base]}
    moved, allowed = place.others[other] - at.start, STEPS * np.max([at.wide.steps[k] for k in kinds], axis=0)
    differ = (at.target != 0) & (place.values != there[other]) & (there[other] != there[at.base])
    unmoved = np.abs(moved) <= allowed * (place.dtypes[other] != place.dtypes[at.base])
    return Change(at, moved, allowed, differ & (allowed < CLEAR * np.abs(moved)), unmoved)


def spike(grounds: Sequence[Ground], other: int) -> Spike | None:
    """The spike of a candidate, if it has one at enough places; or the sign that it was made from the target."""
    changes = [change(at, other) for at in grounds]
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
    found = Spike(other, multiples)
    if _faded(told, found.multiple):
        return None
    masked = still > DROPPED and still > 2 * stands
    inside = found.multiple < 1 and stands <= STILL
    apart = found.multiple > LEAST and abs(found.multiple - 1) > NOT_ONE
    return found if apart and (masked or inside) else None


def _faded(told: Sequence[Change], multiple: float) -> bool:
    """Whether the spike is of weights that decayed: rows that no training reached are multiples of the base's."""
    faded = []
    for c in told:
        hit = c.clear & (np.abs(c.ground.target - multiple * c.other) <= c.allowed)
        if hit.any():
            factors = c.other[hit] / np.where(c.ground.start[hit] == 0, np.inf, c.ground.start[hit])
            faded.append(np.abs(factors - np.median(factors)) < CLEAR * np.abs(np.median(factors)))
    return bool(faded) and float(np.concatenate(faded).mean()) > MOSTLY


def _multiples(changes: Sequence[Change], told: Sequence[Change]) -> tuple[float, ...]:
    """The multiple at each place, 0 where none is clear; () where too few places agree."""
    tops, odds = zip(*map(_top, changes), strict=True)
    enough = max(MIN_PLACES, len(told) / 2)
    found = [at for at, p in zip(tops, odds, strict=True) if p < CHANCE]
    if len(found) >= enough:
        middle = float(np.median(found))
        near = [p < CHANCE and abs(at - middle) < ALIKE * abs(middle) for at, p in zip(tops, odds, strict=True)]
        if sum(near) >= enough:
            return tuple(at if yes else 0.0 for at, yes in zip(tops, near, strict=True))
    clear = _clear(told)
    best = min(((chance(at, *clear), at) for at in tops if at), default=(1.0, 0.0), key=lambda one: one[0])
    return tuple(best[1] if at else 0.0 for at in tops) if best[0] < CHANCE else ()


def _clear(changes: Sequence[Change]) -> tuple[Values, Values, Values]:
    """Of the weights that tell a ratio: the target's changes, the candidate's, what rounding may hide."""
    rows = ((c.ground.target[c.clear], c.other[c.clear], c.allowed[c.clear]) for c in changes)
    target, other, allowed = (np.concatenate(x) for x in zip(*rows, strict=True))
    return target, other, allowed


def chance(multiple: float, target: Values, other: Values, allowed: Values) -> float:
    """The chance of so many weights at a multiple, and so few beside it, if there is nothing but a hill.

    Under a hill, or any density that is even within three tolerances, a weight there falls on the spike with a chance
    of one third. One half is taken: a hill is higher in its middle. The multiples of all weights were tried.

    Args:
        multiple: of the candidate's change.
        target: float64 [d], the target's changes.
        other: float64 [d], the candidate's.
        allowed: float64 [d], what rounding may hide.
    """
    off = np.abs(target - multiple * other) / allowed
    hits, beside = int((off <= 1).sum()), int(((off > 1) & (off <= RING)).sum())
    return min(float(betainc(hits, beside + 1, 0.5)) * len(off), 1.0) if hits else 1.0


def _top(c: Change) -> tuple[float, float]:
    """The multiple at which most ratios agree, and the chance of it; (0, 1) where too few are told."""
    target, other, allowed = _clear([c])
    if len(target) < MIN_TOLD:
        return 0.0, 1.0
    ratio, width = target / other, allowed / np.abs(other)
    multiple = highest(ratio - width, ratio + width)[1]
    return multiple, chance(multiple, target, other, allowed) if multiple else 1.0
