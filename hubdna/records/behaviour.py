"""What a model computed on a set of probes. Free of torch: all that the rest of hubdna may know of behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubdna.records.models import ModelRef

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Modality = Literal["text", "vision"]
PLACES = ("start", "quarter", "half", "three quarters", "end", "answer")
"""Where a model is looked at: five depths, and what it answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """A model on n probes.

    Attributes:
        scheme: names every parameter that changes the result; two schemes never mix.
        modality: which probes it saw.
        loader: what opened it: "transformers", "timm" or "onnxruntime".
        relations: float32 [6, n, n], one matrix for each of `PLACES`: products of the probes' states, centred over
            the probes and scaled to a mean square length of one. Zero where there was nothing to look at.
        answers: float32 [n, k], log-probabilities of the answer (of a language model: of the token after the probe's
            last); k is 0 for a model without a head, and for vocabularies over 4,096.
        top: int64 [n], the likeliest answer; -1 without a head.
        notes: what a reader should know, such as that there was no tokenizer.
        seconds: of computing, without opening.
        peak_bytes: of the process, at its end.
    """

    scheme: str
    modality: Modality
    loader: str
    relations: NDArray[np.float32]
    answers: NDArray[np.float32]
    top: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def seen(self) -> tuple[bool, ...]:
        """Which of `PLACES` could be looked at."""
        return tuple(bool(matrix.any()) for matrix in self.relations)


@dataclass(frozen=True, slots=True)
class BehaviourPair:
    """How alike two models behave. It says nothing about their origin.

    Attributes:
        a, b: the models, as they were named.
        scheme: of both behaviours.
        modality: of the probes.
        n_probes: how many there were.
        alignment: at each of `PLACES`, in [-1, 1]; None where one of the two could not be looked at.
        agreement: share of the probes with the same likeliest answer, in [0, 1]; None without comparable answers.
        notes: what a reader should know of a, and of b.
        seconds: of computing, both together.
        likeness: what the classifier says of b as something made from a; None where it was not asked.
        probes: where the user's own probes came from; None for the shipped ones.
    """

    a: str
    b: str
    scheme: str
    modality: Modality
    n_probes: int
    alignment: tuple[float | None, ...]
    agreement: float | None
    notes: tuple[tuple[str, ...], tuple[str, ...]]
    seconds: float
    likeness: Likeness | None = None
    probes: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BehaviourDNA:
    """The compact form of a behaviour, that an index holds and pairs are judged by.

    Attributes:
        scheme: names the probes, the network and the size; two schemes never compare.
        modality: of the probes.
        vector: float32 [d], of unit length: four parts of equal size, for early, middle and late layers and answers.
        familiar: how much the model is like those that the network learned from, in [-1, 1]; far below, its vector
            still holds what strangers share, and nobody should judge by it.
    """

    scheme: str
    modality: Modality
    vector: NDArray[np.float32]
    familiar: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """How sure one may be that a model behaves like something made from another. It is no evidence of origin.

    Attributes:
        similarity: cosine of the two vectors.
        probability: of "the target was made from the source", calibrated for as many strangers as children; None where
            nothing is said.
        verdict: "behaviourally similar", "not similar" or "undecided".
        error_rate: share of strangers that are called similar at this line; None where nothing is called so.
        reason: in words.
    """

    similarity: float
    probability: float | None
    verdict: Literal["behaviourally similar", "not similar", "undecided"]
    error_rate: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A model of an index that lies near another one by behaviour. It is no evidence of origin.

    Attributes:
        ref: the model, at the commit at which it was seen.
        likeness: of the model in question as something made from `ref`.
        n_compared: how many other vectors of this modality the index holds. What one stranger in a hundred reaches,
            the nearest of many strangers reaches more often.
        created_at: when it was published, where the index knows.
    """

    ref: ModelRef
    likeness: Likeness
    n_compared: int
    created_at: str | None = None
