"""How several models of one origin hang together: mixtures, marks of direction, family trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubdna.records.evidence import Certainty
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
class LayerSource:
    """Where a layer of a stacked model comes from.

    Attributes:
        layer: its number in the stack.
        ref: the model.
        source_layer: the number there.
    """

    layer: int
    ref: ModelRef
    source_layer: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """A model as a mixture of others.

    Attributes:
        kind: "linear", each matrix a sum of the members' (averages, task vectors, SLERP); "sparse", each weight a sum
            of some members' changes (TIES, DARE); "layers", each matrix one member's (passthrough).
        parents: the models that were mixed, largest share first.
        base: the model from which the parents' changes were taken, or None.
        tensors: names of the places.
        unexplained: share of the changed weights that the members leave unexplained; 0 means rounding. Above 0 another
            parent is missing from the candidates: a remark, never an edge, and never directed.
        directed: whether only this reading makes sense; False when another of these models may be the mixture.
        layers: of "layers", where each layer comes from, in order; a layer of several models has several entries.
    """

    kind: MixtureKind
    parents: tuple[Member, ...]
    base: Member | None
    tensors: tuple[str, ...]
    unexplained: float
    directed: bool
    layers: tuple[LayerSource, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Two neighbours in a family tree.

    Attributes:
        parent, child: which was made from which; for an undirected edge in the likelier order.
        certainty: "certain", "attested" and "likely" edges have a direction, those of certainty "none" have not.
        chance: that the child was made from the parent, from the shape of the tree and from marks; in [0, 1]. 1 of
            certain and attested edges, where it is not computed.
        relation: as a verdict's, or None.
        because: marks in words.
    """

    parent: ModelRef
    child: ModelRef
    certainty: Certainty
    chance: float
    relation: str | None
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one origin.

    Attributes:
        members: one of each set of equal models, in the order in which they were found.
        copies: for those that have equals, the equals.
        edges: the family tree; parents of merges are edges, too.
        mixtures: members that are merges of others.
        remarks: members that look like merges with a parent that is none of the members; `unexplained` is above 0, and
            no edge comes of it.
    """

    members: tuple[ModelRef, ...]
    copies: tuple[tuple[ModelRef, tuple[ModelRef, ...]], ...]
    edges: tuple[Edge, ...]
    mixtures: tuple[tuple[ModelRef, Mixture], ...] = ()
    remarks: tuple[tuple[ModelRef, Mixture], ...] = ()


@dataclass(frozen=True, slots=True)
class Descent:
    """What an index knows to be made from a model.

    Attributes:
        ref: the model asked for.
        same_as: the model with equal weights that stands for it in its family; itself where there is none.
        edges: one to each descendant, nearest first; None when they could not be looked for.
        n_undirected: relatives that may or may not be descendants, because an edge on the way has no direction.
        because: why edges is None, and the next step.
    """

    ref: ModelRef
    same_as: ModelRef
    edges: tuple[Edge, ...] | None
    n_undirected: int = 0
    because: str | None = None
