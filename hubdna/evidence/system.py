"""One place of a model as equations: which combination of other models' weights are its weights?

With fifty candidates, casts, copies and merges of each other among them, a full solution says nothing. So subsets are
searched, smallest first, and each is solved by itself. Residuals are taken from orthogonalised columns, never from
products of them: the rounding of float32 is 1e-15 of a matrix's energy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence import rounding
from hubdna.evidence.places import Place

MAX_MEMBERS = 6
"""Five parents and a base."""
WIDTH = 40
"""Subsets of each size that are extended."""
N_TRIED = 12
"""Subsets of each size that are solved at every place."""
TOLD = 12.0
"""Times the energy of rounding by which members must differ."""
MUCH_LESS = 0.5
"""Of what a set of members leaves, the part that another one may leave to be preferred."""
N_PLACES = 12
"""Places by which subsets are ranked."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """One place as equations, reduced by a QR decomposition once, so that every subset is a small triangular problem.

    Attributes:
        tensor: whose.
        triangle: float64 [m, n + 1]; the last column stands for the target.
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
        length: Matrix = np.sqrt((gaps**2).sum(axis=0))
        return length

    def solve(self, members: Sequence[int]) -> Matrix:
        """float64 [k]; the members' shares of least squares."""
        shares = np.linalg.lstsq(self.triangle[:, list(members)], self.triangle[:, -1], rcond=None)[0]
        return np.asarray(shares, dtype=np.float64)

    def shares(self, members: Sequence[int], least: float | None = None) -> Matrix:
        """The same; members that nobody can tell apart share evenly.

        Args:
            members: whose.
            least: energy by which sums of members must differ; None for that of rounding, as their differences have it.
        """
        columns = self.triangle[:, list(members)]
        left, sizes, right = np.linalg.svd(columns, full_matrices=False)
        told = sizes**2 > (TOLD * self.floors[list(members)].max() if least is None else least)
        shares: Matrix = right[told].T @ ((left[:, told].T @ self.triangle[:, -1]) / sizes[told])
        return shares

    def errors(self, members: Sequence[int]) -> Matrix:
        """float64 [k]; standard errors of the shares, if what is left over is noise."""
        _, sizes, right = np.linalg.svd(self.triangle[:, list(members)], full_matrices=False)
        noise = max(self.residual(members), self.floor + float(self.floors[list(members)].max())) / self.n_weights
        errors: Matrix = np.sqrt(noise * ((right.T / np.maximum(sizes, 1e-300)) ** 2).sum(axis=1))
        return errors

    def residual(self, members: Sequence[int]) -> float:
        """Energy that the members leave, for the degrees of freedom that are left."""
        rest: Matrix = self.triangle[:, -1] - self.triangle[:, list(members)] @ self.solve(members)
        return float(rest @ rest) / max(1 - len(members) / self.n_weights, 0.1)

    def ratio(self, members: Sequence[int]) -> float:
        """The residual over what rounding leaves."""
        return self.residual(members) / (self.floor + float(self.solve(members) ** 2 @ self.floors[list(members)]))


def systems(places: Sequence[Place], known: Sequence[int]) -> list[System]:
    """One system for each place that all known candidates have."""
    made = []
    for place in places:
        if not all(place.names[k] for k in known):
            continue
        x = place.others[list(known)]
        kinds = [{place.dtypes[k], place.block.dtype} for k in known]
        floors = [max(rounding.energy(w, kind) for kind in pair) for w, pair in zip(x, kinds, strict=True)]
        triangle: Matrix = np.linalg.qr(np.vstack([x, place.values[None]]).T, mode="r")  # type: ignore[assignment]
        floor = rounding.energy(place.values, place.block.dtype)
        made.append(System(place.block.tensor, triangle, len(place.values), floor, np.array(floors)))
    return made


def subsets(
    equations: Sequence[System], spanning: Sequence[tuple[int, ...]], at_most: int = MAX_MEMBERS
) -> Iterator[list[tuple[int, ...]]]:
    """The likeliest sets of 1, 2, ... members, best first: a beam search by what they leave at some places.

    Args:
        equations: one for each place.
        spanning: sets that are known to give the target, read anew for each size; none that holds one is proposed.
        at_most: how many members.
    """
    few, columns = _columns(equations)
    n = len(few[0].floors)
    scale = np.array([max(e.distances.min() ** 2, e.floor) for e in few])
    beam: dict[tuple[int, ...], Matrix] = {(): columns}
    for _ in range(min(at_most, n)):
        left: dict[tuple[int, ...], tuple[float, Matrix, int]] = {}
        for members, rest in beam.items():
            scores = (_left(rest) / scale[:, None]).sum(axis=0).tolist()
            more = ((j, tuple(sorted((*members, j)))) for j in range(n) if j not in members)
            left.update({key: (scores[j], rest, j) for j, key in more})
        ranked = sorted(left, key=lambda key: left[key][0])[: max(WIDTH, n)]
        yield ranked[:N_TRIED]
        beam = {s: _without(*left[s][1:]) for s in ranked if not any(set(s) >= set(known) for known in spanning)}


def nearest(equations: Sequence[System], members: tuple[int, ...], among: Sequence[int]) -> tuple[int, ...]:
    """The members, each in turn replaced by the one of some models that leaves least beside the others."""
    few, columns = _columns(equations)
    scale = np.array([e.floor for e in few])
    for m in members:
        rest = columns
        for other in members:
            rest = _without(rest, other) if other != m else rest
        scores = (_left(rest) / scale[:, None]).sum(axis=0)
        best = min((o for o in among if o == m or o not in members), key=lambda o: float(scores[o]))
        if scores[best] < MUCH_LESS * scores[m]:
            members = tuple(sorted((*(o for o in members if o != m), best)))
    return members


def _columns(equations: Sequence[System]) -> tuple[Sequence[System], Matrix]:
    """Some of the places, and their columns: float64 [places, m, n + 1]."""
    few = equations[:: -(-len(equations) // N_PLACES)]
    rows = max(len(e.triangle) for e in few)
    return few, np.stack([np.pad(e.triangle, ((0, rows - len(e.triangle)), (0, 0))) for e in few])


def _left(columns: Matrix) -> Matrix:
    """What each model leaves of the target, which is the last column: float64 [places, n]."""
    others, target = columns[:, :, :-1], columns[:, :, -1:]
    shares = (others * target).sum(axis=1) / np.maximum((others**2).sum(axis=1), 1e-300)
    energy: Matrix = ((target - others * shares[:, None]) ** 2).sum(axis=1)
    return energy


def _without(columns: Matrix, j: int) -> Matrix:
    """What of all columns is orthogonal to one of them."""
    one = columns[:, :, j]
    unit = one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-300)
    rest: Matrix = columns - unit[:, :, None] * (unit[:, None, :] @ columns)
    return rest
