"""The parents of a sparse merge, its base given: a beam search by what spikes propose and weights confirm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hubdna.evidence import kept, spikes
from hubdna.evidence.kept import Account, Reading
from hubdna.evidence.spikes import Changes, Values

N_LIKELY, N_NEXT, WIDTH, N_GIVEN = 6, 3, 3, 4
SPIKE = 0.01
"""Share of the ratios by which a spike must exceed chance to propose a parent."""
ALONE = 0.01
"""Share of the telling weights that each parent must explain by itself."""
HOPELESS = {2: 0.2, 3: 0.45}
"""Share that so many parents must explain for one more to be looked for."""

Scored = tuple[Reading, Account]


class Lane:
    """The search with one base.

    Args:
        base: number of the model, as at the places.
        others: the same, of the models that may be parents.
        narrow: whether all were rounded to the target's type before.
        changed: what became of the base.
    """

    def __init__(self, base: int, others: list[int], narrow: bool, changed: list[Changes]) -> None:
        self.base, self.others, self.narrow, self.changes = base, others, narrow, changed
        single = [spikes.multiples(changed, j) for j in range(len(others))]
        first = np.argsort([-over for over, _ in single])[:N_LIKELY].tolist()
        self.factors = [factors for _, factors in single]
        self.likely: list[int] = [j for j in first if single[j][0] > SPIKE]
        self.beam = [Reading((j,), self.factors[j][:, None], None) for j in self.likely]
        self.explained = max((over for over, _ in single), default=0.0)

    def widen(self, size: int) -> list[Scored]:
        """Add one parent more to the best readings.

        Args:
            size: how many parents that makes.

        Returns:
            The best readings of that size, best first.
        """
        scored: dict[frozenset[int], Scored] = {}
        for reading in self.beam:
            for j, factors in self._next(reading):
                key = frozenset((*reading.parents, j))
                if key not in scored and (more := self._with(reading, j, factors)):
                    scored[key] = more
        ranked = sorted(scored.values(), key=lambda s: -s[1].explained)
        self.explained = ranked[0][1].explained if ranked else 0.0
        self.beam = [s[0] for s in ranked[:WIDTH]] if self.explained >= HOPELESS.get(size, 1) else []
        return ranked[:N_GIVEN]

    def _next(self, reading: Reading) -> Iterator[tuple[int, Values]]:
        """Models that may be a further parent, and their multiples: those that show among what is left, first."""
        if len(reading.parents) > 1 or len(self.likely) == 1:
            left = kept.unexplained(self.changes, reading)
            more = [j for j in range(len(self.others)) if j not in reading.parents]
            among = {j: spikes.multiples(self.changes, j, left) for j in more}
            for j in sorted(among, key=lambda j: -among[j][0])[:N_NEXT]:
                if among[j][0] > SPIKE:
                    yield j, among[j][1]
        for j in self.likely:
            if j not in reading.parents:
                yield j, self.factors[j]

    def _with(self, reading: Reading, j: int, factors: Values) -> Scored | None:
        """The reading with one parent more, as sum or as mean; None where some parent explains next to nothing."""
        parents = (*reading.parents, j)
        together = np.column_stack([reading.multiples, factors])
        tried = [Reading(parents, together, w) for w in (None, kept.weights_of(self.changes, parents, together))]
        counted = [(r, a) for r in tried if (a := kept.account(self.changes, r)) and min(a.alone) >= ALONE]
        return max(counted, key=lambda c: c[1].explained, default=None)
