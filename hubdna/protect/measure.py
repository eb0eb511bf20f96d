"""How well a release keeps to its domain: accuracies before and after, and the paper's ST-D.

    ST-D = (source drop / source accuracy before) / (target drop / target accuracy before)

*Source* is the authorised domain, *target* one that is not. Lower is better: how much of the authorised use each share
of prevented use has cost (Peng et al., CVPR 2024; the formula is given as far as it is known). Where the paper's ratio
says nothing, here it is defined: a source that lost nothing, or gained, gives 0; a target that lost nothing, or gained,
gives infinity, whatever the source did, because nothing was protected. In JSON infinity is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from hubdna.protect.data import Pictures

    Classifier = Callable[[torch.Tensor], torch.Tensor]

CHUNK = 256
"""Pictures that are looked at together where no gradient is needed."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many of a domain's samples a model gets right.

    Attributes:
        right: samples.
        n: of so many, at least 1.
    """

    right: int
    n: int

    @property
    def accuracy(self) -> float:
        """In [0, 1]."""
        return self.right / self.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact interval of the accuracy (Clopper-Pearson)."""
        from scipy.stats import binomtest

        found = binomtest(self.right, self.n).proportion_ci(confidence)
        return float(found.low), float(found.high)


@dataclass(frozen=True, slots=True)
class Protection:
    """One release, on one pair of domains.

    Attributes:
        source_before, source_after: on the authorised domain.
        target_before, target_after: on the other one.
        n_classes: chance is one of them.
    """

    source_before: Score
    source_after: Score
    target_before: Score
    target_after: Score
    n_classes: int

    @property
    def st_d(self) -> float:
        """In [0, inf]; see the module."""
        return st_d(
            self.source_before.accuracy, self.source_after.accuracy,
            self.target_before.accuracy, self.target_after.accuracy,
        )  # fmt: skip

    @property
    def lost(self) -> float:
        """Share of what the target had to lose, its accuracy above chance, that is lost; at most 1."""
        chance = 1 / self.n_classes
        had = self.target_before.accuracy - chance
        return min(1.0, (self.target_before.accuracy - self.target_after.accuracy) / had) if had > 0 else 0.0


def st_d(source_before: float, source_after: float, target_before: float, target_after: float) -> float:
    """The paper's ST-D of four accuracies in [0, 1], in [0, inf]; the module says what it is where nothing dropped."""
    lost_source = (source_before - source_after) / source_before if source_before else 0.0
    lost_target = (target_before - target_after) / target_before if target_before else 0.0
    if lost_target <= 0:
        return math.inf
    return max(lost_source, 0.0) / lost_target


def score(model: Classifier, pictures: Pictures) -> Score:
    """Run a classifier over a domain; the answer counts as given when it is the largest logit."""
    return score_of(model, pictures.x, pictures.y)


def score_of(model: Classifier, x: torch.Tensor, y: torch.Tensor) -> Score:
    """The same of pictures [n, channels, height, width] and their classes [n]."""
    import torch

    right = 0
    with torch.no_grad():
        for part, classes in zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True):
            right += int((model(part).argmax(1) == classes).sum())
    return Score(right, len(y))


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and its interval over repetitions (Student's t): (mean, low, high). One repetition has no interval: NaN."""
    if len(values) < 2:
        return mean(values), math.nan, math.nan
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean(values), mean(values) - half, mean(values) + half
