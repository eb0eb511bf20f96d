"""How alike two behaviours are: the plain measures that need no training. None of them decides anything.

* `cka`: centred kernel alignment of the relations at one place (Kornblith et al., *Similarity of Neural Network
  Representations Revisited*, ICML 2019), without the bias that small samples give it (Song et al., *Feature Selection
  via Dependence Maximization*, JMLR 2012). REEF (ICLR 2025) compares language models by it.
* `agreement`: share of probes with the same likeliest answer; of language models, the same next token.
* `agreement_test` and `holm`: whether a model agrees with a source more than unrelated models do, after Nikolić et al.,
  *Model Provenance Testing* (NeurIPS 2025). Their test of proportions is replaced by a sign test over probes, which is
  exact and pairs every probe with itself.
* `projection`: a random projection of the relations of the answers, as LLM-DNA (ICLR 2026) projects responses. Theirs
  are embedded texts; ours compare small models and classifiers too.

What such numbers are worth is measured by `scripts/boards/behaviour.py`: two models that learned the same data may be
more alike than a parent and its child.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import BehaviourError
from hubdna.records.behaviour import PLACES, Behaviour, BehaviourPair

N_PROJECTED = 128
SEED = 2509_24496


def cka(a: Behaviour, b: Behaviour, place: int) -> float | None:
    """Alignment of two models at one of `PLACES`, in [-1, 1]; None where one of them could not be looked at.

    0 is what unrelated states give on average, 1 what equal relations give. Raises BehaviourError for two schemes.
    """
    _same_scheme(a, b)
    if not (a.seen[place] and b.seen[place]):
        return None
    x, y = (_unbiased(one.relations[place]) for one in (a, b))
    norm = math.sqrt(max(0.0, float((x * x).sum()) * float((y * y).sum())))
    return float((x * y).sum()) / norm if norm else None


def all_cka(a: Behaviour, b: Behaviour) -> tuple[float | None, ...]:
    """`cka` at every place."""
    return tuple(cka(a, b, place) for place in range(len(PLACES)))


def pair(name_a: str, a: Behaviour, name_b: str, b: Behaviour) -> BehaviourPair:
    """All plain measures of two behaviours. Raises BehaviourError for two schemes."""
    return BehaviourPair(
        name_a, name_b, a.scheme, a.modality, len(a.top), all_cka(a, b), agreement(a, b), (a.notes, b.notes),
        a.seconds + b.seconds,
    )  # fmt: skip


def comparable_answers(a: Behaviour, b: Behaviour) -> bool:
    """Whether both give answers, out of equally many: labels of one number need not mean the same."""
    return bool(a.answers.shape[1] == b.answers.shape[1] > 0)


def agreement(a: Behaviour, b: Behaviour) -> float | None:
    """Share of probes with the same likeliest answer, in [0, 1]; None without comparable answers."""
    _same_scheme(a, b)
    return float((a.top == b.top).mean()) if comparable_answers(a, b) else None


def agreement_test(target: Behaviour, source: Behaviour, unrelated: Sequence[Behaviour]) -> float | None:
    """p-value of "the target agrees with the source no more than with one of the unrelated models".

    For each unrelated model, the probes on which the target agrees with exactly one of the two are signs; the largest
    p-value counts, so every single one has to be beaten.

    Args:
        target: the model in question.
        source: its alleged source.
        unrelated: models of the same answers that have nothing to do with the target.

    Returns:
        A p-value in (0, 1]; None without comparable answers or unrelated models.
    """
    from scipy.stats import binom

    known = [other for other in unrelated if comparable_answers(target, other)]
    if not known or not comparable_answers(target, source):
        return None
    hit, worst = target.top == source.top, 0.0
    for other in known:
        miss = target.top == other.top
        ours, theirs = int((hit & ~miss).sum()), int((miss & ~hit).sum())
        worst = max(worst, float(binom.sf(ours - 1, ours + theirs, 0.5)))
    return worst


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in their order (Holm, Scandinavian Journal of Statistics 1979)."""
    corrected, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = running
    return corrected


def projection(behaviour: Behaviour, place: int = len(PLACES) - 1) -> NDArray[np.float32]:
    """A unit vector of 128 numbers, zero if nothing was seen: a Gaussian projection of the relations at one place."""
    n = behaviour.relations.shape[1]
    upper = np.triu_indices(n, 1)
    values = behaviour.relations[place][upper].astype(np.float64)
    drawn = np.random.default_rng(SEED).normal(size=(N_PROJECTED, len(values)))
    found = drawn @ (values - values.mean())
    norm = float(np.linalg.norm(found))
    unit: NDArray[np.float32] = (found / norm if norm else found).astype(np.float32)
    return unit


def _unbiased(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Relations without their diagonal, centred as Song et al. do, so that independent states give 0 on average."""
    k: NDArray[np.float64] = matrix.astype(np.float64)
    n = len(k)
    np.fill_diagonal(k, 0)
    mean = k.sum(0) / (n - 2) - k.sum() / (2 * (n - 1) * (n - 2))
    k -= mean[:, None] + mean[None, :]
    np.fill_diagonal(k, 0)
    return k


def _same_scheme(a: Behaviour, b: Behaviour) -> None:
    """Raises BehaviourError if two behaviours were not seen on the same probes."""
    if a.scheme != b.scheme:
        raise BehaviourError(f"seen on other probes: {a.scheme} and {b.scheme} do not compare")
