"""How scores of pairs are counted: AUC, balanced accuracy, a bootstrap over roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BOOTSTRAP = 1_000
KINDS = ("light", "heavy", "other-data", "head", "lora", "frozen", "pruned", "quantized", "distilled",
         "distilled-other", "checkpoint-25", "checkpoint-50")  # fmt: skip
Numbers = NDArray[Any]


def auc(found: Numbers, related: Numbers) -> float:
    """How often a related pair scores higher than a stranger; ties count half."""
    from scipy.stats import rankdata

    ranks, n = rankdata(found), int(related.sum())
    return float((ranks[related].sum() - n * (n + 1) / 2) / n / (len(related) - n))


def balanced(found: Numbers, related: Numbers, line: float) -> float:
    """Mean of the shares of both kinds that fall on their side of a line."""
    return float(((found[related] > line).mean() + (found[~related] <= line).mean()) / 2)


def best_line(found: Numbers, related: Numbers) -> float:
    """The line of the highest balanced accuracy."""
    lines = np.quantile(found, np.linspace(0, 1, 201))
    return float(max(lines, key=lambda line: balanced(found, related, line)))


def bootstrap(measure: Callable[[Numbers], float], families: Numbers) -> Numbers:
    """A figure over roots drawn with replacement; `measure` gets the places of the pairs, repeated as drawn."""
    rng, names = np.random.default_rng(7), np.unique(families)
    places = {name: np.flatnonzero(families == name) for name in names}
    return np.array(
        [measure(np.concatenate([places[n] for n in rng.choice(names, len(names))])) for _ in range(N_BOOTSTRAP)]
    )


def interval(draws: Numbers) -> list[float]:
    """The middle 95 %."""
    return [float(v) for v in np.percentile(draws, [2.5, 97.5])]
