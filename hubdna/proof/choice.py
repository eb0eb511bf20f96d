"""Which intervals are trained again, and what that buys.

Random ones are drawn by the verifier after the receipt is signed: a choice that followed from the root alone could be
ground by an author who signs until it suits. The Q largest updates of each epoch (the paper's rule, for each metric)
are where a forger who jumps must jump; but who knows the rule can forge the others, so they are asked for besides, and
do not count in the odds.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence

from hubdna.errors import UsageError

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Forged shares that the odds are told for."""


def draw(n_intervals: int, budget: float, challenge: int) -> list[int]:
    """A share of the intervals, at least one, drawn without replacement; ascending. Raises UsageError."""
    if not 0 < budget <= 1:
        raise UsageError(f"budget: expected a share above 0 and up to 1, found {budget}")
    n = max(1, math.ceil(budget * n_intervals - 1e-9))
    return sorted(random.Random(challenge).sample(range(n_intervals), n))


def largest(moved: Sequence[Mapping[str, float]], epochs: Sequence[int], q: int) -> set[int]:
    """The `q` largest updates of each epoch, for each metric; all of an epoch that has no more than `q`.

    Args:
        moved: how far each interval moved, for each metric.
        epochs: of each interval's first step.
        q: how many; 0 for none.
    """
    chosen: set[int] = set()
    for epoch in set(epochs):
        inside = [i for i, e in enumerate(epochs) if e == epoch]
        for metric in moved[0]:
            chosen.update(sorted(inside, key=lambda i, m=metric: -moved[i][m])[:q])  # type: ignore[misc]
    return chosen


def most_unusual(chosen: set[int], moved: Sequence[Mapping[str, float]], epochs: Sequence[int], n: int) -> list[int]:
    """The `n` of some intervals whose updates are largest by the median of their epoch, in any metric; ascending."""

    def ratio(i: int) -> float:
        peers = [moved[j] for j, e in enumerate(epochs) if e == epochs[i]]
        medians = {m: statistics.median(p[m] for p in peers) for m in moved[i]}
        return max(moved[i][m] / medians[m] if medians[m] else math.inf for m in moved[i])

    return sorted(sorted(chosen, key=lambda i: -ratio(i))[:n])


def detection(n_intervals: int, n_drawn: int, share: float) -> float:
    """Probability that a random draw meets a forged interval, when at least this share of them is forged.

    Hypergeometric: 1 - C(n - f, s) / C(n, s), with f = ceil(share n) forged of n, and s drawn.
    """
    forged = math.ceil(share * n_intervals - 1e-9)
    return 1 - math.comb(n_intervals - forged, n_drawn) / math.comb(n_intervals, n_drawn)
