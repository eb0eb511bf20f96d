"""Is a model a merge, and of which? Solved on exact weights; candidates come from the index, not from the user.

A linear merge, a task vector, a SLERP: each matrix of the result is a sum of the parents' matrices, so the shares solve
a system of linear equations with many more equations than unknowns, and what is left over is the rounding of the file
or it is no merge. Nothing is fitted: a residual at the floor of rounding cannot be had by chance, and a fine-tune of a
fine-tune, however near, stays far above it.

Models on one plane do not say which of them was made from the others. A merge lies between its parents; where another
reading of the same equation makes sense as well, it is kept open (`directed` is False).
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

MAX_SUPPORT, MAX_MEMBERS = 12, 6
"""Candidates that a first solution names at most, and members of a merge: five parents and a base."""
FLOOR = 6.0
"""A residual counts as rounding up to this many times the expected energy: a merge is computed in a few operations of
the type that it is stored in."""
AT_FLOOR = 0.95
"""Share of places whose residual must be at the floor, and in which a reading must make sense."""
OVER_FLOOR = 25.0
"""Times the floor that the best single model must leave unexplained: below, the change is not measured at all."""
SMALLEST_SHARE, LARGEST_SHARE = 0.02, 1.5
APART = 0.4
"""Cosine of two models' changes from their base: two fine-tunes of one base share less of their way."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """One place as equations: which combination of the members' weights are the target's weights?

    Reduced by a QR decomposition once, so that every subset of members is a small triangular problem.

    Attributes:
        tensor: whose.
        triangle: float64 [n + 1, n + 1]; the last column stands for the target.
        n_weights: equations.
        floor: expected energy of the rounding of the target.
        floors: float64 [n]; of each member, in its own type or in the target's, since mergers convert before they mix.
    """

    tensor: str
    triangle: Matrix
    n_weights: int
    floor: float
    floors: Matrix

    @property
    def distances(self) -> Matrix:
        """float64 [n]; of each member from the target."""
        gaps = self.triangle[:, :-1] - self.triangle[:, -1:]
        return np.asarray(np.sqrt((gaps**2).sum(axis=0)))

    def solve(self, members: Sequence[int]) -> Matrix:
        """float64 [k]; the members' shares of least squares."""
        columns = self.triangle[:, list(members)]
        shares: Matrix = np.asarray(np.linalg.lstsq(columns, self.triangle[:, -1], rcond=None)[0], np.float64)
        return shares

    def residual(self, members: Sequence[int]) -> float:
        """Energy that the members leave, for the degrees of freedom that are left."""
        rest = self.triangle[:, -1] - self.triangle[:, list(members)] @ self.solve(members)
        return float(rest @ rest) / max(1 - len(members) / self.n_weights, 0.1)

    def ratio(self, members: Sequence[int]) -> float:
        """The residual over what rounding leaves."""
        return self.residual(members) / (self.floor + float(self.solve(members) ** 2 @ self.floors[list(members)]))


def systems(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> list[System]:
    """One system for each place that all known candidates have."""
    dtypes = [{b.tensor: b.dtype for b in c.blocks + c.samples} for c in candidates]
    made = []
    for place in places:
        if not all(place.names[k] for k in known):
            continue
        x = place.others[list(known)]
        kinds = [{dtypes[k][place.names[k]], place.block.dtype} for k in known]
        floors = [max(rounding.energy(w, kind) for kind in pair) for w, pair in zip(x, kinds, strict=True)]
        triangle: Matrix = np.asarray(np.linalg.qr(np.vstack([x, place.values[None]]).T, mode="r"))
        floor = rounding.energy(place.values, place.block.dtype)
        made.append(System(place.block.tensor, triangle, len(place.values), floor, np.array(floors)))
    return made


def linear(equations: Sequence[System], members: Sequence[Dna]) -> Mixture | None:
    """A mixture whose matrices are sums of the members' matrices, each with shares of its own.

    Args:
        equations: one for each place.
        members: the models that the equations' columns stand for, all different.

    Returns:
        The smallest mixture that leaves nothing but rounding; None when there is none, when one model alone does, or
        when the target cannot be the mixture among these models.
    """
    everything = range(len(members))
    if not equations or not _at_floor(equations, everything):
        return None
    single = [e.ratio([int(e.distances.argmin())]) for e in equations]
    if sum(r >= OVER_FLOOR for r in single) < len(equations) / 2:
        return None  # the change is no larger than rounding
    weight = np.sum([np.abs(e.solve(everything)) * e.distances for e in equations], axis=0)
    chosen = _smallest(equations, [int(i) for i in np.argsort(-weight)[:MAX_SUPPORT]])
    if len(chosen) < 2:
        return None
    shares = np.array([e.solve(chosen) for e in equations])
    base = _base(shares, [e.triangle[:, chosen] for e in equations])
    if not _makes_sense(shares, base):
        return None
    return _mixture(equations, [members[i] for i in chosen], shares, base)


def _at_floor(equations: Sequence[System], members: Sequence[int]) -> bool:
    at = sum(e.ratio(members) <= FLOOR for e in equations)
    return at >= AT_FLOOR * len(equations)


def _smallest(equations: Sequence[System], support: list[int]) -> list[int]:
    """The smallest set of members that leaves nothing but rounding; among equals the one that leaves least."""
    few = equations[:: max(len(equations) // 12, 1)]
    for size in range(1, min(MAX_MEMBERS, len(support)) + 1):
        fits = [s for s in combinations(sorted(support), size) if _at_floor(few, s) and _at_floor(equations, s)]
        if fits:
            return list(sorted(fits, key=lambda s: _left(equations, list(s)))[0])
    return []


def _left(equations: Sequence[System], members: Sequence[int]) -> float:
    return sum(e.residual(members) / e.floor for e in equations)


def _makes_sense(shares: Matrix, base: int | None) -> bool:
    """Whether sums with these shares (float64 [places, k]) can be a merge: nothing but a base is taken away."""
    parents = np.delete(shares, base, axis=1) if base is not None else shares
    sound = (parents >= -SMALLEST_SHARE).all(axis=1) & (parents <= LARGEST_SHARE).all(axis=1)
    used = (np.abs(shares) > SMALLEST_SHARE).mean(axis=0)
    return bool(sound.mean() >= AT_FLOOR and (used > 0).sum() >= 2)


def _turned(shares: Matrix, j: int) -> Matrix | None:
    """The same equations solved for member j, the target in its place; None where j has no part in it."""
    if (np.abs(shares[:, j]) < SMALLEST_SHARE).any():
        return None
    turned = -shares / shares[:, j : j + 1]
    turned[:, j] = 1 / shares[:, j]
    return turned


def _base(shares: Matrix, triangles: list[Matrix]) -> int | None:
    """Which member is the base of a task vector: one that is taken away, else the one that the others moved from."""
    mean = shares.mean(axis=0)
    if mean.min() < -SMALLEST_SHARE:
        return int(mean.argmin())
    if len(mean) < 3:
        return None
    apart = [_closeness(triangles, b) for b in range(len(mean))]
    return int(np.argmin(apart)) if min(apart) < APART else None


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


def _mixture(equations: Sequence[System], chosen: list[Dna], shares: Matrix, base: int | None) -> Mixture:
    given = [
        Member(model.ref, float(column.mean()), tuple(float(x) for x in column))
        for model, column in zip(chosen, shares.T, strict=True)
    ]
    readings = [_turned(shares, j) for j in range(len(chosen))]
    return Mixture(
        kind="linear",
        parents=tuple(sorted((m for i, m in enumerate(given) if i != base), key=lambda m: -m.share)),
        base=None if base is None else given[base],
        tensors=tuple(e.tensor for e in equations),
        unexplained=0.0,
        directed=not any(r is not None and _makes_sense(r, int(r.mean(axis=0).argmin())) for r in readings),
    )
