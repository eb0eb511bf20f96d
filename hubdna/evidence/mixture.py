"""Linear merges: a model whose matrices are sums of other models' matrices, solved on exact weights.

A mean, a task vector, a SLERP: each matrix of the result is a sum of the parents' matrices, so the shares solve a
system of linear equations with many more equations than unknowns, and what is left over is the rounding of the file or
it is no merge. Nothing is fitted: a residual at the floor of rounding cannot be had by chance, and a fine-tune of a
fine-tune, however near, stays far above it.

Models on one plane do not say which of them was made from the others. A merge lies inside its parents: solved for any
other of them, some share exceeds one. Where that does not settle it, the reading is kept open (`directed` is False).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence import rounding
from hubdna.evidence.places import Place
from hubdna.evidence.readings import INSIDE, Readings, Standing, largest
from hubdna.evidence.sums import (
    FLOOR,
    USED,
    Members,
    at_floor,
    can_spare_nobody,
    left_by,
    makes_sense,
    needed,
    shares_of,
)
from hubdna.evidence.system import System, systems
from hubdna.records import Dna, Member, Mixture

LESS = 0.7
"""A set is out when it leaves so much more than another that this part of it is more."""
MANY = 3
"""Members that may well span each other."""
MAX_PARTS = 3
"""Members up to which a model counts as a mixture of others."""
SURE = 0.002
"""Standard error of a share up to which a place counts towards its mean."""
STEADY = 0.01
"""Shares that differ less from place to place are one number of the merge's configuration."""
WHOLE = 0.003
"""How far shares may be from adding up to one: two of them rounded to bfloat16 are off by up to 1/512."""
MIN_ROWS = 16
"""A place of fewer rows or columns says nothing about ranks."""
APART = 0.4
"""Cosine of two models' changes from their base: two fine-tunes of one base share less of their way."""

Matrix = NDArray[np.float64]
Bools = NDArray[np.bool_]


def linear(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find a mixture whose matrices are sums of the members' matrices, each with shares of its own.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        The simplest mixture that leaves nothing but rounding; None when there is none, when one model alone does, or
        when rather one of the members is a mixture of the target and others.
    """
    equations = systems(places, known)
    if not equations or len(known) < 2:
        return None
    readings = Readings(equations)
    chosen = _best(readings)
    pairs = [[known[i] for i in s] for s in (readings.solve(readings.target)[0], chosen) if len(s) == 2]
    if len(chosen) < 2 or any(_one_adapter(places, pair) for pair in pairs):
        return None
    shares = shares_of(equations, chosen)
    standing = readings.against(readings.target, chosen, largest(equations, chosen))
    models = [known[i] for i in chosen]
    if standing == "refuted" or not makes_sense(shares):
        return None
    if len(chosen) >= MANY and _oddities(equations, chosen) > 1:
        standing = "open"
    base = _base(shares, [e.triangle[:, chosen] for e in equations])
    sure = np.array([e.errors(chosen) for e in equations]) < SURE
    return _mixture([e.tensor for e in equations], [candidates[i] for i in models], shares, sure, base, standing)


def _best(readings: Readings) -> Members:
    """The best reading of the target: the simplest, or what it is without the models that are mixtures themselves.

    Merges of the same parents span each other, with shares that nobody would choose. Two members are ends of a line.
    """
    simplest, _, odd = readings.solve(readings.target)
    if len(simplest or min(odd, key=len, default=())) < MANY:
        return _ends(readings, simplest)
    found = [s for s in (simplest, *_plainer(readings)) if s]
    least = min((left_by(readings.equations, s) for s in found), default=0.0)
    near = [s for s in found if left_by(readings.equations, s) * LESS <= least]
    return min(near, key=lambda s: _oddness(readings, s), default=())


def _ends(readings: Readings, pair: Members) -> Members:
    """The ends of the line that a pair lies on: a merge may lie between a parent and another merge of the same two.

    Whoever mixed it, it is a mixture of the ends.
    """
    if len(pair) != MANY - 1:
        return pair
    for inner, fixed in (pair, pair[::-1]):
        equations, others = readings.systems(inner, (readings.target,))
        lines = [(others.index(fixed), i) for i in range(len(others)) if others[i] != fixed]
        found = [line for line in lines if at_floor(equations, line)]
        shares = [round(float(shares_of(equations, line).mean(axis=0)[0]), 3) for line in found]
        over = [(s, -left_by(equations, line), line[1]) for s, line in zip(shares, found, strict=True)]
        far = max((one for one in over if USED < one[0] < INSIDE), default=None)
        pair = tuple(others[far[2]] if m == inner and far else m for m in pair)
    return pair


def _plainer(readings: Readings) -> Iterator[Members]:
    """Readings with fewer and fewer mixtures, and without what only outweighs something else."""
    equations, left = readings.equations, list(range(readings.target))
    while members := needed(equations, left):
        sums = shares_of(equations, members)
        sound = makes_sense(sums)
        if sound and at_floor(equations, members) and can_spare_nobody(equations, members):
            yield members
        out = [m for m in members if _is_mixture(readings, m)]
        if not out and not sound:
            out = [members[int(np.abs(sums).mean(axis=0).argmax())]]
        if not out:
            return
        left = [m for m in left if m not in out]


def _is_mixture(readings: Readings, m: int) -> bool:
    """Whether a model is surely a mixture of a few others, the target not among them."""
    without = (readings.target,)
    return bool(readings.solve(m, without, MAX_PARTS)[0]) and readings.standing(m, without, MAX_PARTS, 1) == "directed"


def _oddness(readings: Readings, members: Members) -> tuple[int, int]:
    """How long a configuration is: its members, and all that is odd; of equals, the one with less of that comes first.

    A member that is a mixture itself is odd, too.
    """
    odd = _oddities(readings.equations, members) + sum(_is_mixture(readings, m) for m in members)
    return len(members) + odd, odd


def _oddities(equations: Sequence[System], members: Members) -> int:
    """What nobody writes into a configuration, at least not all at once.

    That is shares below nothing, such as change with the place, and such as do not add up to one: of a mean they do,
    and of task vectors together with their base.
    """
    shares = shares_of(equations, members)
    sure = np.array([e.errors(members) for e in equations]) < STEADY
    spread = max(
        (float(np.ptp(column[told])) for column, told in zip(shares.T, sure.T, strict=True) if told.any()), default=0.0
    )
    total = float(np.median(shares.sum(axis=1)))
    odd = ((shares.mean(axis=0) < -USED).any(), spread > 5 * STEADY, abs(total - 1) > WHOLE)
    return sum(map(int, odd))


def _one_adapter(places: Sequence[Place], pair: list[int]) -> bool:
    """Whether two models differ by a low rank in all wide corners: then the target is their adapter at another scale.

    A full corner has as many directions as rows. Low means that half of them hold nothing but rounding.
    """
    changed = 0
    for place in places:
        x, y = (place.others[i].reshape(place.shape) for i in pair)
        if not all(place.names[i] for i in pair) or min(x.shape) < MIN_ROWS or np.array_equal(x, y):
            continue
        kinds = [place.dtypes[i] for i in pair]
        rest = np.linalg.svd(x - y, compute_uv=False)[min(x.shape) // 2 :]
        floor = sum(rounding.energy(w, kind) for w, kind in zip((x, y), kinds, strict=True))
        if float(rest @ rest) > FLOOR * floor:
            return False
        changed += 1
    return changed > 0


def _base(shares: Matrix, triangles: list[Matrix]) -> int | None:
    """Which member is the base of a task vector: where one is taken away, it or the one that all others moved from."""
    mean = shares.mean(axis=0)
    if mean.min() >= -USED:
        return None
    apart = [_closeness(triangles, b) if len(mean) > 2 else 1.0 for b in range(len(mean))]
    return int(np.argmin(apart)) if min(apart) < APART else int(mean.argmin())


def _closeness(triangles: list[Matrix], base: int) -> float:
    """Largest cosine of the other members' changes from a base, median over the places."""
    found = []
    for columns in triangles:
        change = np.delete(columns, base, axis=1) - columns[:, base : base + 1]
        unit = change / np.maximum(np.linalg.norm(change, axis=0), 1e-300)
        cosines = np.abs(unit.T @ unit)
        np.fill_diagonal(cosines, 0)
        found.append(float(cosines.max()))
    return float(np.median(found))


def _mixture(
    tensors: list[str], chosen: list[Dna], shares: Matrix, sure: Bools, base: int | None, standing: Standing
) -> Mixture:
    given = [
        Member(model.ref, float(column[told].mean() if told.any() else column.mean()), tuple(column.tolist()))
        for model, column, told in zip(chosen, shares.T, sure.T, strict=True)
    ]
    return Mixture(
        kind="linear",
        parents=tuple(sorted((m for i, m in enumerate(given) if i != base), key=lambda m: -m.share)),
        base=None if base is None else given[base],
        tensors=tuple(tensors),
        unexplained=0.0,
        directed=standing == "directed",
    )
