"""unmix(target, candidates): of which models is this one a merge? Layers first, then sums, then sparse sums."""

from __future__ import annotations

from collections.abc import Sequence

from hubdna.evidence import mixture
from hubdna.evidence.places import Place, align
from hubdna.records import Dna, Mixture

MAX_CANDIDATES = 64
FOUND_IN = 0.9
"""Share of the target's places that a member must have."""


def unmix(target: Dna, candidates: Sequence[Dna]) -> Mixture | None:
    """Find the models that a model was merged from.

    Args:
        target: the model that may be a merge.
        candidates: models of the same origin, at most 64 are looked at; none of them the target.

    Returns:
        The mixture, or None when no mixture of these gives the target to rounding.
    """
    few = candidates[:MAX_CANDIDATES]
    places = align(target, few)
    known = distinct(places, len(few))
    if len(known) < 2:
        return None
    return mixture.linear(mixture.systems(places, known, few), [few[i] for i in known])


def distinct(places: Sequence[Place], n: int) -> list[int]:
    """Candidates that have most places, equal ones and copies of the target left out."""
    kept: dict[bytes, int] = {}
    for i in range(n):
        held = [p for p in places if p.names[i]]
        if len(held) < max(FOUND_IN * len(places), 1) or all((p.others[i] == p.values).all() for p in held):
            continue
        kept.setdefault(b"".join(p.others[i].tobytes() for p in places), i)
    return list(kept.values())
