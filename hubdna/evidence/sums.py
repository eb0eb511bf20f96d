"""The simplest set of models whose matrices sum up to a target's: it leaves rounding, makes sense, can spare nobody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence.system import MAX_MEMBERS, MUCH_LESS, N_PLACES, TOLD, System, nearest, subsets

FLOOR = 10.0
"""A residual counts as rounding up to this many times the expected energy: a merge is computed in a few operations of
the type that it is stored in."""
OVER_FLOOR = 25.0
"""Times the floor that must be left without one of the members: else its part is not measured at all."""
AT_FLOOR = 0.95
"""Share of places whose residual must be at the floor, and in which a reading must make sense."""
USED = 0.02
"""A member with a smaller share at a place has no part in it."""
LARGEST = 1.05
"""Nobody merges with larger shares."""

Matrix = NDArray[np.float64]
Members = tuple[int, ...]


def shares_of(equations: Sequence[System], members: Sequence[int]) -> Matrix:
    """Shares of members at each place, float64 [places, k]."""
    return np.array([e.shares(members) for e in equations])


def left_by(equations: Sequence[System], members: Sequence[int]) -> float:
    """What members leave of the target, in units of its own rounding, mean over the places."""
    return sum(e.residual(members) / e.floor for e in equations) / len(equations)


def simplest(equations: Sequence[System], at_most: int = MAX_MEMBERS) -> tuple[Members, list[Members]]:
    """Find the smallest set that leaves nothing but rounding.

    A set one larger is preferred where it leaves far less: merges of the same parents span each other, but for their
    rounding.

    Args:
        equations: one for each place.
        at_most: how many members.

    Returns:
        The members, () where no set makes sense or one model alone is enough; and sets that leave
        nothing, but with shares that nobody would choose.
    """
    best: Members = ()
    spanning: list[Members] = []
    odd: list[Members] = []
    for size, likely in enumerate(subsets(equations, spanning, at_most), start=1):
        fits = [s for s in likely if at_floor(equations, s)]
        if size == 1 and fits:
            return (), []
        spanning += fits
        fits = [s for s in fits if can_spare_nobody(equations, s)]
        sound = [s for s in fits if makes_sense(shares_of(equations, s))]
        odd += [s for s in fits if s not in sound]
        found = min(sound, key=lambda s: left_by(equations, s), default=())
        if best:
            larger = bool(found) and left_by(equations, found) < MUCH_LESS * left_by(equations, best)
            return in_use(equations, found if larger else best), odd
        best = found
    return in_use(equations, best), odd


def needed(equations: Sequence[System], members: Sequence[int]) -> Members:
    """Find the members that a sum needs, by leaving out those with the smallest shares as long as nothing is missed.

    Where no member is a sum of others this finds any number of them; a search from small sets is led astray by merges
    that hold several of them at once.

    Args:
        equations: one for each place.
        members: to begin with.

    Returns:
        What is left when no more can be left out; () where even all of them leave more than rounding.
    """
    few = equations[:: -(-len(equations) // N_PLACES)]

    def fit(some: Members) -> bool:
        return bool(some) and bool(np.mean([e.residual(some) <= FLOOR * e.floor for e in few]) >= AT_FLOOR)

    def smallest(some: Members) -> list[int]:
        shares = [e.shares(some, TOLD * e.floor / e.n_weights) for e in few]
        return [some[i] for i in np.argsort(np.abs(shares).mean(axis=0))]

    kept, n = tuple(members), len(members) // 2
    if not fit(kept):
        return ()
    while n:
        order = smallest(kept)
        tried = (order[:n],) if n > 1 else ([m] for m in order)
        fewer = (tuple(m for m in kept if m not in out) for out in tried)
        better = next(filter(fit, fewer), None)
        kept, n = (better, n) if better else (kept, n // 2)
    return nearest(equations, kept, members)


def at_floor(equations: Sequence[System], members: Sequence[int], floor: float = FLOOR) -> bool:
    """Whether members leave nothing but rounding, in nearly all places."""
    allowed = int((1 - AT_FLOOR) * len(equations))
    for e in equations:
        allowed -= int(e.ratio(members) > floor)
        if allowed < 0:
            return False
    return True


def makes_sense(shares: Matrix) -> bool:
    """Whether sums with these shares (float64 [places, k]) can be a merge."""
    sound = (np.abs(shares) <= LARGEST).all(axis=1) | ~mixed(shares)
    return bool(sound.mean() >= AT_FLOOR and mixed(shares).any())


def mixed(shares: Matrix) -> NDArray[np.bool_]:
    """Where two members or more have a part, bool [places]."""
    several: NDArray[np.bool_] = (np.abs(shares) > USED).sum(axis=1) > 1
    return several


def can_spare_nobody(equations: Sequence[System], members: Members) -> bool:
    """Whether all members are needed; else shares of twins and their casts could be split at will."""
    without = (members[:i] + members[i + 1 :] for i in range(len(members)))
    return not any(at_floor(equations, fewer, OVER_FLOOR) for fewer in without if fewer)


def in_use(equations: Sequence[System], members: Members) -> Members:
    """Without those that have no part at any place: they took up the rounding of the others' shares."""
    if not members:
        return ()
    largest = np.abs(shares_of(equations, members)).max(axis=0)
    return tuple(m for m, share in zip(members, largest.tolist(), strict=True) if share > USED / 10)
