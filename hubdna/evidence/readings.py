"""Which of some models are sums of which? A merge and its parents lie on one plane: who was made from whom?

One equation can be solved for each of its models. Solved for the merge the shares are below one, solved for a parent
some exceed it. But merges of a parent with others may add up to that parent, too. Then the reading with fewest models
stands, and with smaller shares among equals: they have a simpler reading of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from hubdna.evidence.sums import USED, Members, mixed, shares_of, simplest
from hubdna.evidence.system import MAX_MEMBERS, System

Standing = Literal["directed", "open", "refuted"]
INSIDE = 0.97
"""A model with all shares below lies inside its members."""
SURE = 0.01
"""Standard error of a share up to which a place tells it."""
DEEP = 2
"""Readings of members of members are still looked at; the zoo needs no more."""


class Readings:
    """The simplest reading of each of some models among the others, each solved once.

    Args:
        equations: one for each place, the target's; models are numbered as in them, the target comes last.
    """

    def __init__(self, equations: Sequence[System]) -> None:
        self.equations = equations
        self.target = len(equations[0].floors)
        self.solve = cache(self._solve)

    def systems(self, j: int, without: Members = ()) -> tuple[list[System], Members]:
        """The places with model j as the target, and the numbers of the others, some left out."""
        others = tuple(i for i in range(self.target + 1) if i != j and i not in without)
        made = []
        for e in self.equations:
            floors = np.append(e.floors, e.floor)
            columns = e.triangle[:, [*others, j]]
            made.append(System(e.tensor, columns, e.n_weights, float(floors[j]), floors[list(others)]))
        return made, others

    def _solve(self, j: int, without: Members = (), at_most: int = MAX_MEMBERS) -> tuple[Members, float, list[Members]]:
        equations, others = self.systems(j, without)
        members, odd = simplest(equations, at_most)
        back = [tuple(others[i] for i in s) for s in (members, *odd)]
        return back[0], largest(equations, members) if members else 0.0, back[1:]

    def standing(self, j: int, without: Members, at_most: int, depth: int) -> Standing:
        """Whether the reading of a model stands against those of its members that name it."""
        members, share, _ = self.solve(j, without, at_most)
        return self.against(j, members, share, without, depth)

    def against(self, j: int, members: Members, share: float, without: Members = (), depth: int = DEEP) -> Standing:
        """The same for some other reading, with its largest share."""
        standing: Standing = "directed" if share < INSIDE else "open"
        for m in members:
            others, theirs, _ = self.solve(m, without, len(members))
            if j not in others or (depth and self.standing(m, without, len(members), depth - 1) == "refuted"):
                continue
            if (len(others), theirs) < (len(members), share - USED):
                return "refuted"
            if len(others) == len(members):
                standing = "open"
        return standing


def largest(equations: Sequence[System], members: Members) -> float:
    """The largest share where two members or more have a part, median over the places that tell all shares apart."""
    shares = shares_of(equations, members)
    sure = np.array([e.errors(members).max() < SURE for e in equations])
    several = shares[mixed(shares) & sure]
    return float(np.median(np.abs(several).max(axis=1))) if len(several) else 1.0
