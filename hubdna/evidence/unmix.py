"""unmix(target, candidates): of which models is this one a merge? Layers, then sums, sparse sums, signs of more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hubdna.evidence import hidden, layers, mixture, sparse
from hubdna.evidence.places import Place, align
from hubdna.evidence.rounding import stored
from hubdna.records import Dna, Mixture

MAX_CANDIDATES = 64
FOUND_IN = 0.9
"""Share of the target's places that a member must have."""


def unmix(target: Dna, candidates: Sequence[Dna], *, thorough: bool = True, remarks: bool = False) -> Mixture | None:
    """Find the models that a model was merged from.

    Args:
        target: the model that may be a merge.
        candidates: models of the same origin, at most 64 are looked at; none of them the target.
        thorough: look for sparse merges (TIES, DARE), too. It takes some hundredths of a second where no model has
            weights that are bit-equal to the target's, else up to four seconds.
        remarks: where nothing was found, look for signs of a merge with a parent that is not among the candidates;
            `unexplained` is above 0 in such an answer, which is a remark and never an edge.

    Returns:
        The mixture, or None when no mixture of these gives the target to rounding and nothing tells of a hidden parent.
    """
    few = candidates[:MAX_CANDIDATES]
    places = align(target, few)
    known = distinct(places, sorted(range(len(few)), key=lambda i: _size(few[i])))
    if len(known) < 2:
        return None
    built_alike = distinct(places, [i for i in range(len(few)) if _size(few[i]) == _size(target)])
    found = layers.layered(places, known, few) or mixture.linear(places, built_alike, few)
    if not found and thorough:
        found = sparse.sparse(places, built_alike, few)
    if found or not remarks:
        return found
    return layers.partly(places, known, few) or hidden.summed(places, built_alike, few)


def _size(dna: Dna) -> int:
    return len(dna.blocks) + len(dna.samples)


def distinct(places: Sequence[Place], order: Sequence[int]) -> list[int]:
    """Candidates that have most places; of equal ones the first in order; copies and casts of the target left out.

    A model with some of its layers twice equals the model that it was made from wherever that has a place. So layers
    are looked for in smaller models first, sums among models built like the target only.
    """
    kept: dict[bytes, int] = {}
    for i in order:
        held = [p for p in places if p.names[i]]
        if len(held) >= max(FOUND_IN * len(places), 1) and not all(_same(p, i) for p in held):
            kept.setdefault(b"".join(p.others[i].tobytes() for p in places), i)
    return sorted(kept.values())


def _same(place: Place, i: int) -> bool:
    """Whether the target's weights are a candidate's, or would be if one of the two were stored as the other is."""
    x, y = place.values, place.others[i]
    return np.array_equal(stored(x, place.dtypes[i]), y) or np.array_equal(stored(y, place.block.dtype), x)
