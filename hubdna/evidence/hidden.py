"""A merge one of whose parents is in no index: what tells of it, and what does not.

Where the hidden parent did not move from the base, or where a method dropped its change, the target's change is an
exact multiple of the known parent's: weight by weight, to rounding. Nothing but a sum makes that (`hills`).

How much of a known parent's change the target took says nothing by itself: two trainings on the same data have as large
a part in common, as evenly over all matrices, as a merge has with its smaller parent. A dense merge of models of which
every weight moved is therefore not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from hubdna.evidence import rounding
from hubdna.evidence.hills import MIN_PLACES, RING, Ground, Spike, Wide, change, ground, spike, widen
from hubdna.evidence.places import Place
from hubdna.records import Dna, Member, Mixture

MIN_WEIGHTS = 1024
"""Weights of a place below which it is passed over."""
N_BASES, MAX_PARENTS = 2, 4
PART, TWINS = 512, 0.95
"""Weights of a place by which bases are looked for; models that share more of them are one."""
FLOOR = 10.0
"""Times the energy of rounding up to which a residual is nothing else."""
LEFT, MORE = 0.05, 0.01
"""Share of the changed weights that has to be left, else nobody is missing; and that a further parent explains."""


def summed(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find the parents of a merge another parent of which is not among the candidates.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        A mixture with `unexplained` above 0, never directed, whose shares are multiples of the parents' changes from
        the base; None where no parent shows itself or where the parents found explain all.
    """
    usable = [p for p in places if p.values.size >= MIN_WEIGHTS and all(p.names[k] for k in known)]
    if len(usable) < MIN_PLACES or any(_adapter(usable, k) for k in known):
        return None
    wide = [widen(place) for place in usable]
    grounds = {b: [ground(w, b) for w in wide] for b in bases(wide, known)}
    found = {b: {k: spike(at, k) for k in known if k != b} for b, at in grounds.items()}
    children = {k for spikes in found.values() for k, s in spikes.items() if s and not s.is_parent}
    best: tuple[float, int, list[Spike]] | None = None
    for base, spikes in found.items():
        fit = [s for k, s in spikes.items() if s and k not in children]
        if base not in children and fit and _is_ground(wide, base, known, max(s.multiple for s in fit)):
            parents, left = _needed(grounds[base], fit)
            best = min(best or (left, base, parents), (left, base, parents), key=lambda one: round(one[0], 2))
    return None if best is None or best[0] <= LEFT else _mixture(usable, best[1], best[2], best[0], candidates)


def bases(wide: Sequence[Wide], known: Sequence[int]) -> list[int]:
    """Models that may be the base: near to all others, or with many weights equal to the target's or to the others'."""
    n = len(known)
    far, shared, equal = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    for w in wide:
        x = w.there[list(known), :PART]
        far += np.log(np.linalg.norm(x[:, None] - x[None], axis=2) + np.finfo(np.float32).tiny)
        shared += (x[:, None] == x[None]).mean(axis=2)
        equal += (x == w.place.values[:PART]).mean(axis=1)
    few = np.sqrt(np.where(shared < TWINS * len(wide), shared, 0)).sum(axis=1)
    near = np.where(shared < TWINS * len(wide), far, 0).sum(axis=1)
    likely = [np.argsort(near)[:1], np.argsort(-equal)[:N_BASES], np.argsort(-few)[:N_BASES]]
    return [known[i] for i in dict.fromkeys(np.concatenate(likely).tolist())]


def _adapter(wide: Sequence[Place], other: int) -> bool:
    """Whether the target differs from a model by a low rank: an adapter's change, no merge with something unknown."""
    full = []
    for place in wide:
        gap = (place.values - place.others[other]).reshape(place.shape)
        floor = rounding.energy(place.values, place.block.dtype) + rounding.energy(place.values, place.dtypes[other])
        if float((gap**2).sum()) > FLOOR * floor:
            rest = np.linalg.svd(gap, compute_uv=False)[min(place.shape) // 2 :]
            full.append(float(rest @ rest) > FLOOR * floor)
    return not any(full)


def _is_ground(wide: Sequence[Wide], base: int, known: Sequence[int], multiple: float) -> bool:
    """Whether others hold more weights of the base than of the target.

    Three models on a line: base, target, parent. A merge that subtracts one parent puts the true base into the middle.
    With a multiple s above one the base is the target plus s / (s - 1) times a change as well; below, that is negative,
    so none of the others need to tell.
    """
    at_base = at_target = 0
    for w in wide:
        others = w.there[[k for k in known if k != base]]
        at_base += int((others == w.there[base]).sum())
        at_target += int((others == w.place.values).sum())
    return at_target < at_base or (at_target == at_base and multiple < 1)


def _needed(grounds: Sequence[Ground], spikes: Sequence[Spike]) -> tuple[list[Spike], float]:
    """The parents that explain most, each much more than those before it, and what they leave: 0 without parents."""
    chosen, left = list[Spike](), 1.0
    while len(chosen) < MAX_PARENTS:
        rest = {s: unexplained(grounds, [*chosen, s]) for s in spikes if s not in chosen}
        best = min(rest, key=rest.__getitem__, default=None)
        if best is None or rest[best] > left - MORE:
            break
        chosen, left = [*chosen, best], rest[best]
    return chosen, left if chosen else 0.0


def unexplained(grounds: Sequence[Ground], spikes: Sequence[Spike]) -> float:
    """Share of the changed weights that are no sum of the parents' changes with their multiples."""
    far = moved = 0
    for p, at in enumerate(grounds):
        changes = [change(at, s.candidate) for s in spikes]
        allowed = np.max([c.allowed for c in changes], axis=0)
        parts = [(s.multiples[p] or s.multiple) * c.other for s, c in zip(spikes, changes, strict=True)]
        sums = [np.sum(some, axis=0) for n in range(1, len(parts) + 1) for some in combinations(parts, n)]
        far += int((np.all([np.abs(at.target - x) > allowed * RING for x in sums], axis=0) & (at.target != 0)).sum())
        moved += int((at.target != 0).sum())
    return far / moved if moved else 0.0


def _mixture(
    wide: Sequence[Place], base: int, spikes: Sequence[Spike], left: float, candidates: Sequence[Dna]
) -> Mixture:
    parents = [Member(candidates[s.candidate].ref, s.multiple, s.multiples) for s in spikes]
    rest = tuple(1 - float(sum(shares)) for shares in zip(*(s.multiples for s in spikes), strict=True))
    return Mixture(
        kind="sparse",
        parents=tuple(sorted(parents, key=lambda m: -m.share)),
        base=Member(candidates[base].ref, float(np.median(rest)), rest),
        tensors=tuple(p.block.tensor for p in wide),
        unexplained=left,
        directed=False,
    )
