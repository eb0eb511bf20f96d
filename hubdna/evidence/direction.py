"""Marks that say which of two models was made from the other.

`certain` is said of a mark that no ordinary way of making models leaves the other way round; whoever forges one on
purpose could. There are four: each destroys or repeats something in a way that can be checked bit by bit. What is
merely usual (a grid, zeros, a coarser type) is `likely`: native 8-bit releases have unpacked children, a vocabulary is
cut as well as extended, and a float32 fine-tune of a bfloat16 base holds finer values than its parent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.evidence import rounding
from hubdna.evidence.places import Place, align
from hubdna.records import Dna, Gene, Mark

MIN_WEIGHTS = 2048
"""Weights that a mark must rest on."""
MIN_GROUPS = 64
UNIFORM = 0.25
"""Root mean square of what rounding left, in steps: 0.289 if it fills the step, less where somebody moved little."""
MAX_ROUNDING = 2.0**-8
"""Relative error that the largest weight of a group may have from a scale stored in 16 bits."""
MOST = 0.95
SMALL, LARGE = 0.25, 0.75
"""Quantiles of weight sizes: what a light fine-tune rounds away among large weights it cannot among small ones."""

Values = NDArray[np.float64]


def marks(a: Dna, b: Dna) -> tuple[Mark, ...]:
    """Find the certain marks of direction between two models of one origin.

    Args:
        a: weight DNA of one model.
        b: weight DNA of the other.

    Returns:
        Marks; `child` is 0 when a was made from b, 1 when b was made from a. Usually none.
    """
    found = []
    for child, (source, made) in enumerate(((b, a), (a, b))):
        places = [p for p in align(source, [made]) if p.names[0]]
        alike = (source.n_tensors, source.n_tokens) == (made.n_tensors, made.n_tokens)
        if alike and len(places) == len(source.blocks + source.samples):
            found += [Mark(name, child, words) for name, test, words in _TESTS if test(places, made)]
        if _repeats(source, made):
            found.append(
                Mark("repeated", child, "layers or experts of the other stand in it several times, bit for bit")
            )
    return tuple(found)


def _is_cast(places: Sequence[Place], made: Dna) -> bool:
    """Whether one holds the other's weights rounded to 16 bits, and the other fills the bits that this took.

    Counter-example: a float32 fine-tune of a bfloat16 base at a very low learning rate rounds back to the base where
    weights are large. It does not where they are small, and it does not fill the step.
    """
    dtypes = {b.tensor: b.dtype for b in made.blocks + made.samples}
    coarse = [p for p in places if dtypes[p.names[0]] in ("BF16", "F16")]
    if len(coarse) != len(places) or sum(p.values.size for p in places) < MIN_WEIGHTS:
        return False
    left, size = [], []
    for p in places:
        step = rounding.step(p.others[0], dtypes[p.names[0]])
        rest = (p.values - p.others[0]) / step
        if not (np.abs(rest) <= 0.5).all():
            return False
        left.append(rest)
        size.append(np.abs(p.values) / np.abs(p.values).max(initial=1e-300))
    rest, sizes = np.concatenate(left), np.concatenate(size)
    low, high = np.quantile(sizes, SMALL), np.quantile(sizes, LARGE)
    return all(_fills(part) for part in (rest[sizes <= low], rest[sizes >= high]))


def _fills(rest: Values) -> bool:
    """Whether what rounding left is spread over the whole step."""
    return bool(np.sqrt((rest**2).mean()) >= UNIFORM)


def _is_masked(places: Sequence[Place], made: Dna) -> bool:
    """Whether one is the other with its smallest weights set to zero, by matrix, by row or by groups of four.

    Counter-example: a sparse model that was made dense again by training, the kept weights frozen, has new weights of
    any size, not all of them below the smallest kept one and up to it.
    """
    n_lost, n_near = 0, 0
    for p in places:
        lost = (p.others[0] == 0) & (p.values != 0)
        if (p.others[0][~lost] != p.values[~lost]).any():
            return False
        if lost.any():
            below = _below(p, lost)
            if below is None:
                return False
            n_lost += int(lost.sum())
            n_near += int((below > 0.5).sum())
    return n_lost >= MIN_WEIGHTS / 4 and n_near >= n_lost / 8


def _below(place: Place, lost: NDArray[np.bool_]) -> Values | None:
    """Size of each lost weight over the smallest kept one of its matrix, row or group; None if some is larger."""
    rows = min(place.block.values.shape[0], place.values.size)
    size = np.abs(place.values)
    for width in (place.values.size, place.values.size // rows, 4):
        if place.values.size % width:
            continue
        groups, gone = size.reshape(-1, width), lost.reshape(-1, width)
        kept = np.where(gone, np.inf, groups).min(axis=1, keepdims=True)
        ratio = np.where(gone & np.isfinite(kept), groups / np.maximum(kept, 1e-300), 0)
        if (ratio <= 1).all() and np.isfinite(kept).mean() > 0.5:
            return ratio[gone]
    return None


def _is_quantised(places: Sequence[Place], made: Dna) -> bool:
    """Whether one lies on grids that the other's largest weights set, and the other fills the cells of the grid.

    Counter-example: a fine-tune of a native low-precision release, unpacked, moves its largest weights like all others.
    """
    grids = {b.tensor: b.grid for b in made.blocks}
    gridded = [(p, grids[p.names[0]]) for p in places if grids.get(p.names[0], 0)]
    return any(_set_by_largest(gridded, size) for size in (32, 64, 128, None))


def _set_by_largest(gridded: Sequence[tuple[Place, int]], size: int | None) -> bool:
    n_groups, kept, left = 0, 0, [np.zeros(0)]
    for p, bits in gridded:
        width = p.values.size // len(p.block.values)
        if (size or width) > width or p.values.size % (size or width):
            continue
        other, own = (x.reshape(-1, size or width) for x in (p.values, p.others[0]))
        top, at = np.abs(own).max(axis=1), np.abs(own).argmax(axis=1)
        live = top > 0
        largest = np.abs(other[np.arange(len(at)), at])[live]
        kept += int((np.abs(largest / top[live] - 1) <= MAX_ROUNDING).sum())
        n_groups += len(largest)
        left.append(((other - own)[live] / (top[live, None] / (2 ** (bits - 1) - 1))).reshape(-1))
    rest = np.concatenate(left)
    if n_groups < MIN_GROUPS or kept < MOST * n_groups:
        return False
    return bool(np.quantile(np.abs(rest), 0.99) <= 0.6) and _fills(rest)


_TESTS = (
    ("cast", _is_cast, "every weight is the other's, rounded, and rounding took all finer bits"),
    ("masked", _is_masked, "the smallest weights of each matrix are zero and all others the other's, bit for bit"),
    ("quantised", _is_quantised, "the other's largest weight of each group is kept and sets the grid of the group"),
)


def _repeats(source: Dna, made: Dna) -> bool:
    """Whether one holds a matrix of the other several times, bit for bit, and the other holds all that it holds.

    Counter-example: dropping repeated layers gives back the source only when none is missing; a model without some of
    them may well have been cut from the longer one.
    """
    if source.content is None or made.content is None:
        return False
    once, more = _by_bits(source.genes), _by_bits(made.genes)
    shared = [bits for bits in more if bits in once]
    repeated = [bits for bits in shared if len(more[bits]) > len(once[bits])]
    whole = set(once) == set(more) and all(len(names) == 1 for names in once.values())
    return whole and len(repeated) >= 2


def _by_bits(genes: Sequence[Gene]) -> dict[bytes, set[str]]:
    """Tensors by the exact bits of their tested units."""
    found: dict[bytes, set[str]] = defaultdict(set)
    for gene in genes:
        if gene.view == "rows":
            found[gene.axis.to_bytes(2, "little") + gene.hashes[:, 0].tobytes()].add(gene.tensor)
    return found
