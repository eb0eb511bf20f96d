"""How several models of one origin hang together: mixtures, marks of direction, family trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubdna.records.models import ModelRef

MixtureKind = Literal["linear", "sparse", "layers"]


@dataclass(frozen=True, slots=True)
class Member:
    """A model that went into a merge.

    Attributes:
        ref: which model.
        share: what its weights are multiplied by, on average over the places.
        shares: the same at each place.
    """

    ref: ModelRef
    share: float
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mixture:
    """A model as a mixture of others.

    Attributes:
        kind: "linear", each matrix a sum of the members' (averages, task vectors, SLERP); "sparse", each weight a sum
            of some members' changes (TIES, DARE); "layers", each matrix one member's (passthrough).
        parents: the models that were mixed, largest share first.
        base: the model from which the parents' changes were taken, or None.
        tensors: names of the places.
        unexplained: share of the change's energy that the members leave unexplained; 0 means rounding.
        directed: whether only this reading makes sense; False when another of these models may be the mixture.
    """

    kind: MixtureKind
    parents: tuple[Member, ...]
    base: Member | None
    tensors: tuple[str, ...]
    unexplained: float
    directed: bool
