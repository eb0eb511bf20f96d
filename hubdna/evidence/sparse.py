"""Sparse merges: of each parent's change from the base only some weights are kept (TIES, DARE, DELLA, breadcrumbs).

Where nothing was kept the merge has the base's weights, bit for bit: that proposes bases, and rules out nearly all
models that are no such merge. Where one parent alone survived, the change is a multiple of that parent's: spikes of
ratios propose parents (`spikes`). What is proposed must then explain each weight, to its rounding (`kept`).

Which of the models is the merge? Where several parents survived the weights tie all models together, and where only
some did, the others have changes of their own that nothing ties. So a parent cannot be made from the rest. A base can,
where surviving changes are averaged and their multiple is not one: M = B + s (mean - B) and B = M + s / (s - 1) (mean -
M) are the same bits. Each member is therefore tried as the merge of the others; if it works, the answer is left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hubdna.evidence import kept, rounding, spikes
from hubdna.evidence.kept import Account, Reading, account
from hubdna.evidence.parents import Lane
from hubdna.evidence.places import Place, most_shared
from hubdna.evidence.spikes import Changes
from hubdna.records import Dna, Member, Mixture

MIN_WEIGHTS = 1024
"""A place with fewer says too little of ratios."""
MAX_BASES, N_SHARED = 7, 2
"""Models with most of the target's weights, and those that have most in common with others."""
EQUAL = 0.004
"""Share of the weights that must be the base's, bit for bit, rows that are so as a whole left out."""
NONE, MIN_NONE = 0.001, 16
"""Share and number of the telling weights that must be the base's: two parents of each of which nine tenths are kept
leave a hundredth, of small changes mostly."""
LANES = {2: (MAX_BASES + N_SHARED) * 2, 3: 4, 4: 2}
"""How many bases are looked at with so many parents, the best ones of the size before."""
EXPLAINED, ENOUGH = 0.97, 0.98
"""Share of the telling weights that a merge explains; with the second one no other is looked for."""
TOGETHER, MIN_TOGETHER = 0.005, 32
"""Share and number of those of which several parents are surely kept: without them nothing ties the models together."""
DROPPED = 0.02
"""Share of those that are surely explained without a parent, for each."""
PART = 512
"""Weights of a place by which models are held against each other."""
AGREE = 0.6
"""How much more parents may agree where one was kept than where none was."""
SWAPPED = 0.8
"""Share that another reading must stay below to be ruled out."""


@dataclass(frozen=True, slots=True)
class Found:
    """A reading of a target, and what it explains.

    Attributes:
        base: number of the model, as at the places.
        parents: the same.
        narrow: whether all were rounded to the target's type before.
        changes: from this base.
        reading: its parents are numbered as the changes' others.
        account: how much it explains at wide places.
        everywhere: share that it explains at wide places and at all; 0 where it does not explain the wide ones.
    """

    base: int
    parents: tuple[int, ...]
    narrow: bool
    changes: list[Changes]
    reading: Reading
    account: Account
    everywhere: float

    @property
    def rank(self) -> tuple[bool, float]:
        """Readings whose parents are tied to each other come before those that lack it."""
        return _tied(self.account), self.everywhere


def sparse(places: Sequence[Place], known: Sequence[int], candidates: Sequence[Dna]) -> Mixture | None:
    """Find a base and parents of whose changes each weight of the target keeps some.

    Args:
        places: the target's weights beside those of all candidates.
        known: which candidates to look at; all different, none the target.
        candidates: the models that the places' others stand for.

    Returns:
        The mixture that explains most, not directed where a member can be read as the merge as well; None when no base
        and two parents explain nearly every weight, or when nothing ties the parents together.
    """
    usable = [p for p in places if all(p.names[k] for k in known)]
    wide = [p for p in usable if p.values.size >= MIN_WEIGHTS]
    alike = _alike(wide, known)
    found = find(usable, alike) if len(alike) > 2 else None
    if found is None or found.rank < (True, EXPLAINED) or not _natural(found):
        return None
    shares = found.reading.shares
    members = [
        Member(candidates[i].ref, float(np.median(column)), tuple(column.tolist()))
        for i, column in zip(found.parents, shares.T, strict=True)
    ]
    rest = 1 - shares.sum(axis=1)
    return Mixture(
        kind="sparse",
        parents=tuple(sorted(members, key=lambda m: -m.share)),
        base=Member(candidates[found.base].ref, float(np.median(rest)), tuple(rest.tolist())),
        tensors=tuple(c.tensor for c in found.changes),
        unexplained=0.0,
        directed=not _swaps(usable, found),
    )


def find(usable: Sequence[Place], alike: dict[int, list[int]]) -> Found | None:
    """The reading with fewest parents that explains enough, over all bases; else the one that explains most.

    Args:
        usable: places that all models have.
        alike: the models to look at, each with those that equal it at wide places, itself first.
    """
    known = list(alike)
    wide = [p for p in usable if p.values.size >= MIN_WEIGHTS]
    lanes = [
        Lane(base, others, narrow, changed)
        for base in _bases(wide, known)
        for others in [[k for k in known if k != base]]
        for narrow in _arithmetics(wide, known)
        if (changed := spikes.changes(wide, base, others, narrow))
    ]
    best: Found | None = None
    for size, at_most in LANES.items():
        lanes = sorted(lanes, key=lambda lane: -lane.explained)[:at_most]
        for lane in lanes:
            for read in lane.widen(size):
                found = _found(usable, lane, alike, *read)
                best = found if best is None or found.rank > best.rank else best
            if best and best.rank >= (True, ENOUGH):
                return best
    return best


def _found(
    usable: Sequence[Place], lane: Lane, alike: dict[int, list[int]], reading: Reading, counted: Account
) -> Found:
    """The reading, held against the small places as well where it explains the wide ones; there equals differ."""
    members = [lane.base, *(lane.others[j] for j in reading.parents)]
    everywhere = 0.0
    if counted.explained >= EXPLAINED:
        everywhere = _everywhere(usable, members, lane.narrow, reading)
        for i, m in enumerate(members):
            for x in alike[m][1:]:
                other = [*members[:i], x, *members[i + 1 :]]
                more = _everywhere(usable, other, lane.narrow, reading)
                if more > everywhere:
                    members, everywhere = other, more
    explained = min(counted.explained, everywhere)
    return Found(members[0], tuple(members[1:]), lane.narrow, lane.changes, reading, counted, explained)


def _everywhere(usable: Sequence[Place], members: list[int], narrow: bool, reading: Reading) -> float:
    """Share of the telling weights that a base and parents explain at all places."""
    changed = spikes.changes(usable, members[0], members[1:], narrow)
    parents = tuple(range(len(members) - 1))
    factors = np.column_stack([spikes.multiples(changed, j)[1] for j in parents])
    counted = account(changed, Reading(parents, factors, reading.weights))
    return counted.explained if counted else 0.0


def _alike(wide: Sequence[Place], known: Sequence[int]) -> dict[int, list[int]]:
    """The models that differ at wide places, each with those that are equal there, in the target's type."""
    first: dict[bytes, int] = {}
    groups: dict[int, list[int]] = {}
    fine = sorted(known, key=lambda k: sum(p.dtypes[k] in ("BF16", "F16") for p in wide))
    for k in fine if wide else ():
        key = b"".join(rounding.stored(p.others[k], p.block.dtype).tobytes() for p in wide)
        groups.setdefault(first.setdefault(key, k), []).append(k)
    return groups


def _bases(wide: Sequence[Place], known: Sequence[int]) -> list[int]:
    """The models with most weights bit-equal to the target's; rows that are equal as a whole were not touched.

    Of light fine-tunes in 16 bits more are equal than of their base. It is known by what it has in common with others.
    """
    shares = []
    for k in known:
        equal = [(rounding.stored(p.others[k], p.block.dtype) == p.values).reshape(p.shape) for p in wide]
        live = [e[~e.all(axis=1)] for e in equal]
        n = sum(e.size for e in live)
        shares.append(sum(float(e.sum()) for e in live) / n if n >= MIN_WEIGHTS else 0.0)
    order = [int(i) for i in np.argsort(shares)[::-1] if shares[int(i)] >= EQUAL]
    parts = [rounding.stored(p.others[list(known), :PART], p.block.dtype) for p in wide]
    shared = most_shared(parts)[:N_SHARED] if len(order) > MAX_BASES else []
    return [known[i] for i in dict.fromkeys((*order[:MAX_BASES], *(i for i in shared if i in order)))]


def _arithmetics(wide: Sequence[Place], known: Sequence[int]) -> list[bool]:
    """Whether all may have been rounded to the target's type before they were merged; both where it matters."""
    own = wide[0].block.dtype
    finer = {p.dtypes[k] for p in wide for k in known} - {own, "BF16"}
    return [True, False] if finer and own != "F32" else [True]


def _tied(counted: Account) -> bool:
    """Whether weights with several parents' changes tie the models, and each parent was dropped where it had changed.

    A parent that was never dropped might be made from the merge and the others.
    """
    dropped = [counted.none + sum(counted.alone) - own for own in counted.alone]
    tied = counted.together >= max(TOGETHER, MIN_TOGETHER / counted.telling)
    return tied and min(dropped) >= DROPPED


def _natural(found: Found) -> bool:
    """Whether some weights are surely the base's, and the parents' changes from it are such as a merge could find."""
    none = max(NONE, MIN_NONE / found.account.telling)
    return found.account.none >= none and kept.agreement(found.changes, found.reading) < AGREE


def _swaps(usable: Sequence[Place], found: Found) -> bool:
    """Whether some member can be read as a sparse merge of the target and the other members."""
    members = (found.base, *found.parents)
    for x in members:
        rest = [m for m in members if m != x]
        read = find([_turned(p, x, rest) for p in usable], {i: [i] for i in range(len(members))})
        if read and read.account.explained >= SWAPPED and _natural(read):
            return True
    return False


def _turned(place: Place, x: int, rest: list[int]) -> Place:
    """The place as model x sees it, beside the rest and the target."""
    return replace(
        place,
        block=replace(place.block, dtype=place.dtypes[x]),
        values=place.others[x],
        others=np.vstack([place.others[rest], place.values]),
        names=(*(place.names[r] for r in rest), place.block.tensor),
        dtypes=(*(place.dtypes[r] for r in rest), place.block.dtype),
    )
