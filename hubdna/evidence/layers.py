"""Stacked merges: each matrix is one parent's, bit for bit (passthrough, a transplant of layers).

The trap: a base and two of its fine-tunes, one with the lower half frozen, one with the upper half. Each matrix of the
base is one of theirs, too. So a cover by two models is surely a merge only where it holds two versions of one layer,
or where further models show that it does not lie between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.roles import layer_of
from hubdna.evidence.places import MIN_ALIKE, Place
from hubdna.evidence.rounding import stored
from hubdna.records import Dna, LayerSource, Member, Mixture

MAX_PARENTS = 6
APART = (-0.2, 0.8)
"""How far a further model's way to one parent leads along its way to the target, where the other parent's matrices
stand. If the target lay between the two it would be all the way, 1; from the base of a stack it is 0, from a sibling
one half. Where it leads back, the further model was made from the two and shows nothing."""
NOBODY = -1
SHOWN_BY = 0.25
"""Share of the further models that must show it: a merge of two children, tuned on, might show it by itself."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]
Stack = tuple[LayerSource, ...]


def layered(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find a mixture whose matrices are the members' matrices.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        The mixture with the fewest parents and its map of layers; None where no two models or more cover the target,
        or where one does alone (a copy, or its own layers again).
    """
    equal = _equals(places, known)
    if not equal.any(axis=1).all():
        return None
    chosen, explained, apart = _chosen(places, known, equal)
    if len(chosen) < 2 or all(explained):
        return None
    owner = equal[:, chosen].argmax(axis=1)
    members = [known[c] for c in chosen]
    directed = not any(explained) and (_repeats(places, members) or apart)
    directed = directed and not _deeper(places, [candidates[i] for i in members])
    return _mixture(places, members, owner, candidates, directed)


def partly(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find a stack of which some matrices are no candidate's: a parent is missing, or layers were trained on.

    Other models' layers beside layers that nobody has are no sign of that: two fine-tunes that froze the same layers
    look alike, and so do a model and stacks that were made from it, seen from either. It takes one layer of a model and
    another version of it.

    Args, places and all: as of `layered`.

    Returns:
        What is known of the stack, never directed; `unexplained` is the share of the matrices that nobody has.
    """
    equal = _equals(places, known)
    held = equal.any(axis=1)
    if held.all() or not held.any():
        return None
    chosen, _, _ = _chosen(places, known, equal)
    members = [known[c] for c in chosen]
    if not any(_two_versions(places, i, equal[:, c]) for i, c in zip(members, chosen, strict=True)):
        return None
    owner = np.where(held, equal[:, chosen].argmax(axis=1), NOBODY)
    return _mixture(places, members, owner, candidates, directed=False)


def _deeper(places: Sequence[Place], members: Sequence[Dna]) -> bool:
    """Whether a member has more layers than the target: then rather it is the stack, with a parent that is missing."""
    depth = len({layer_of(p.block.tensor) for p in places})
    return any(len({layer_of(b.tensor) for b in m.blocks + m.samples}) > depth for m in members)


def _equals(places: Sequence[Place], known: Sequence[int]) -> Bools:
    """Where the target has a candidate's matrix: bool [places, n]."""
    return np.array([[_equal(place, i) for i in known] for place in places])


def _chosen(places: Sequence[Place], known: Sequence[int], equal: Bools) -> tuple[list[int], list[bool], bool]:
    """The fewest models that hold what is held; which of them are explained; whether they stand apart."""
    held = equal.any(axis=1)
    twins = _twins(places, known)
    sources = _primal(twins)
    chosen = [sources[j] for j in _cover(equal[held][:, sources])]
    explained = [_explained(c, equal, twins, sources) for c in chosen]
    alone = equal[:, chosen].sum(axis=1) == 1
    owns = [[places[int(p)] for p in np.flatnonzero(equal[:, c] & alone)] for c in chosen]
    others = [known[j] for j in sources if j not in chosen]
    return chosen, explained, _stands_apart(owns, [known[c] for c in chosen], others)


def _mixture(
    places: Sequence[Place], members: list[int], owner: Ints, candidates: Sequence[Dna], directed: bool
) -> Mixture:
    parents = [
        Member(candidates[i].ref, float((owner == j).mean()), tuple(float(x) for x in owner == j))
        for j, i in enumerate(members)
    ]
    return Mixture(
        kind="layers",
        parents=tuple(sorted(parents, key=lambda m: -m.share)),
        base=None,
        tensors=tuple(p.block.tensor for p in places),
        unexplained=float((owner == NOBODY).mean()),
        directed=directed,
        layers=_stack(places, members, owner, candidates),
    )


def _equal(place: Place, i: int) -> bool:
    return bool(place.names[i]) and np.array_equal(place.values, stored(place.others[i], place.block.dtype))


def _cover(equal: Bools) -> list[int]:
    """The models (columns of bool [places, n]) that hold all places, those with most first; [] where none do."""
    left, chosen = np.ones(len(equal), dtype=bool), list[int]()
    while left.any() and len(chosen) < MAX_PARENTS:
        best = int(equal[left].sum(axis=0).argmax())
        if not equal[left, best].any():
            return []
        chosen.append(best)
        left &= ~equal[:, best]
    return [] if left.any() else chosen


def _twins(places: Sequence[Place], known: Sequence[int]) -> Bools:
    """Which models hold the same matrix at a place, but for its type: bool [places, n, n]."""
    twins = np.zeros((len(places), len(known), len(known)), dtype=bool)
    for p, place in enumerate(places):
        kinds = [place.dtypes[i] for i in known]
        as_kind = {k: [hash(stored(place.others[i], k).tobytes()) for i in known] for k in set(kinds) - {""}}
        for i, kind in enumerate(kinds):
            if kind:
                twins[p, i] = [key == as_kind[kind][i] for key in as_kind[kind]]
    both: Bools = twins | twins.transpose(0, 2, 1)
    return both


def _primal(twins: Bools) -> list[int]:
    """The models that are no stacks of others, the most mixed ones dropped first. Copies do not explain each other."""
    n = twins.shape[1]
    whole: Bools = np.logical_and.reduce(twins)
    most = [max((float(twins[:, j, i].mean()) for i in range(n) if not whole[j, i]), default=0.0) for j in range(n)]
    kept = list(range(n))
    for j in sorted(range(n), key=most.__getitem__):
        others = [i for i in kept if not whole[j, i]]
        if len(_cover(twins[:, j][:, others])) > 1:
            kept.remove(j)
    return kept


def _explained(c: int, equal: Bools, twins: Bools, sources: list[int]) -> bool:
    """Whether a parent is itself a stack of the target and others: then it may have been made from the target."""
    others = [j for j in sources if not twins[:, c, j].all()]
    return bool((equal[:, c] | twins[:, c][:, others].any(axis=1)).all())


def _stack(places: Sequence[Place], members: list[int], owner: Ints, candidates: Sequence[Dna]) -> Stack:
    """Of each layer the member and its layer; several where its matrices come from several."""
    rows = {
        (layer_of(p.block.tensor), members[j], layer_of(p.names[members[j]]))
        for p, j in zip(places, owner.tolist(), strict=True)
        if layer_of(p.block.tensor) >= 0 and j != NOBODY
    }
    return tuple(LayerSource(layer, candidates[i].ref, source) for layer, i, source in sorted(rows))


def _repeats(places: Sequence[Place], members: list[int]) -> bool:
    """Whether two of the target's matrices are versions of one: no model has these but a stack of two."""
    for i in members:
        first: dict[str, Place] = {}
        for place in places:
            other = first.setdefault(place.names[i], place)
            if other is not place and other.shape == place.shape:
                if np.corrcoef(other.values, place.values)[0, 1] >= MIN_ALIKE:
                    return True
    return False


def _two_versions(places: Sequence[Place], i: int, has: Bools) -> bool:
    """Whether the target has a matrix of a model, and beside it another version of the same one."""
    owned = {place.names[i]: place for place, yes in zip(places, has, strict=True) if yes}
    for place, yes in zip(places, has, strict=True):
        twin = owned.get(place.names[i])
        if not yes and twin and twin.shape == place.shape:
            if np.corrcoef(twin.values, place.values)[0, 1] >= MIN_ALIKE:
                return True
    return False


def _stands_apart(owns: list[list[Place]], members: list[int], others: list[int]) -> bool:
    """Whether further models show that the target lies not between its members."""
    shown = sum(
        all(_shows(own, k, b) for i, own in zip(members, owns, strict=True) for k in members if k != i) for b in others
    )
    return shown > 0 and shown >= SHOWN_BY * len(others)


def _shows(own: list[Place], k: int, b: int) -> bool:
    """Whether, where the target has one member's matrices, model b sees it apart from another member k."""
    shares = []
    for place in own:
        if place.names[b] and place.names[k]:
            way = place.values - place.others[b]
            if way.any():
                shares.append(float((place.others[k] - place.others[b]) @ way / (way @ way)))
    return bool(shares) and APART[0] < float(np.median(shares)) < APART[1]
