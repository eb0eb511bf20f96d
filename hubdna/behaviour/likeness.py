"""Two DNAs -> behaviourally similar or not, with an error rate: the provenance classifier.

Mu et al. train a classifier on pairs of DNAs. Ours is a logistic regression on the cosines of the four parts and their
largest, fitted on roots that the network had not seen (cross-fitting: `scripts/behaviour/learn.py`), for as many
strangers as children. A stranger is another root of the same recipe: same architecture, same data, another seed.

It abstains outside its domain. Strangers of a recipe that was not learned share what no one has projected out, and
look more related than they are. Most such models are unfamiliar, and nothing is said of them; for those that are not,
the lines are so high that strangers of each recipe, when it was left out of the learning, stay below them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hubdna.behaviour.fingerprints import Network, shipped
from hubdna.behaviour.fragments import BLOCKS
from hubdna.errors import BehaviourError
from hubdna.records.behaviour import BehaviourDNA, Likeness

RATES = (0.05, 0.01)
CHILD_RATE = 0.05


def judge(source: BehaviourDNA, target: BehaviourDNA) -> Likeness:
    """Whether the target behaves like something made from the source.

    Raises:
        BehaviourError: two schemes.
    """
    if source.scheme != target.scheme:
        raise BehaviourError(f"{source.scheme} and {target.scheme} do not compare: see both models again")
    network = shipped(source.modality)
    similarity = float(source.vector @ target.vector)
    least = min(source.familiar, target.familiar)
    if least < network.least_familiar:
        needed = network.least_familiar
        why = f"like no recipe that the network learned from ({least:.2f}, at least {needed:.2f} is needed)"
        return Likeness(similarity, None, "undecided", None, why)
    score = float(scores(cosines(source.vector[None], target.vector[None]), network)[0])
    probability = float(1 / (1 + np.exp(-score)))
    at_5, at_1, children = network.lines
    if score >= at_1 or score >= at_5:
        rate = RATES[1] if score >= at_1 else RATES[0]
        told = f"strangers of the same architecture and data reach this in {rate:.0%} of all cases"
        return Likeness(similarity, probability, "behaviourally similar", rate, told)
    if score < children:
        return Likeness(
            similarity, probability, "not similar", None, f"{CHILD_RATE:.0%} of all children lie as far away"
        )
    return Likeness(similarity, probability, "undecided", None, "between what strangers reach and what children miss")


def cosines(sources: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of the four parts, [n, 4], of vectors [n, d]."""
    a, b = (vectors.reshape(len(vectors), len(BLOCKS), -1).astype(np.float64) for vectors in (sources, targets))
    norm = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    made: NDArray[np.float64] = (a * b).sum(2) / np.where(norm > 1e-9, norm, 1)
    return made


def features(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the regression sees of cosines [n, 4]: these, the largest, and one."""
    return np.column_stack([parts, parts.max(1), np.ones(len(parts))])


def scores(parts: NDArray[np.float64], network: Network) -> NDArray[np.float64]:
    """Log odds for cosines [n, 4]."""
    found: NDArray[np.float64] = features(parts) @ network.judge
    return found
