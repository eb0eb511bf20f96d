"""Marks that say which of two models was made from the other.

`certain` is said of a mark that no ordinary way of making models leaves the other way round; whoever forges one on
purpose could. There are four: each destroys or repeats something in a way that can be checked bit by bit. What is
merely usual (a grid, zeros, a coarser type) is `likely`: native 8-bit releases have unpacked children, a vocabulary is
cut as well as extended, and a float32 fine-tune of a bfloat16 base holds finer values than its parent.

Two models that were made from a third are the other danger: the 4-bit and the 8-bit release of one model, or a cast of
it and a light fine-tune. So it is not enough that one is near the other. Doing it again has to give the same bits.

What no mark sees are token tables, heads and vectors. A model that differs from its parent there alone stands for it:
"made from it" means from it or from a model with the same matrices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.blocks import N_SAMPLES, SAMPLE_COLUMNS, SAMPLE_ROWS
from hubdna.evidence import rounding
from hubdna.evidence.places import Place, align
from hubdna.records import Block, Dna, Gene, Mark

MIN_WEIGHTS = 2048
"""Weights that a mark must rest on."""
MIN_GROUPS = 64
UNEVEN = 0.08
"""Largest distance of what rounding left from an even spread over the step (Kolmogorov's); float16 to bfloat16 leaves
eight values and 0.0625, a Gaussian of that width 0.09, one step of any optimiser 0.3."""
MIN_SPREAD = 0.2
"""Standard deviation, in steps, of what rounding left at each place: 0.289 if it fills the step."""
MAX_ROUNDING = 2.0**-8
"""Relative error that the largest weight of a group may have from a scale stored in 16 bits."""
TIE = 3e-5
"""Of a step: a weight so near the middle between two numbers may go either way in float32."""
MIN_CROSSING = 16
"""Weights that would be expected to lie in another cell if the source, too, had been rounded, to float16: none does by
chance with odds of e^-16. The 40,960 weights of a model's corners are too few for grids of four bits and less."""
MOST = 0.95
SMALL, LARGE = 0.25, 0.75
"""Quantiles of weight sizes: what a light fine-tune rounds away among large weights it cannot among small ones."""
BELOW, MIN_BELOW = 0.9, 0.02
"""Pruning takes weights right up to the smallest that it keeps; half of a Gaussian has 9 % in the last tenth."""
_HASH_OF = {"BF16": 1, "F16": 2}
"""Which hash of a gene's rows is of their rounding to a type."""

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
        if alike and len(places) == len(source.blocks + source.samples) and not _moved(places, made):
            found += [Mark(name, child, words) for name, test, words in _TESTS if test(places, source, made)]
        if _repeats(source, made):
            found.append(
                Mark("repeated", child, "layers or experts of the other stand in it several times, bit for bit")
            )
    return tuple(found)


def _moved(places: Sequence[Place], made: Dna) -> bool:
    """Whether some matrix lies where the other has another one: a copy whose experts were renumbered, say."""
    names = {b.tensor for b in made.blocks + made.samples}
    return any(p.names[0] != p.block.tensor and p.block.tensor in names for p in places)


def _is_cast(places: Sequence[Place], source: Dna, made: Dna) -> bool:
    """Whether one is the other rounded to 16 bits, weight by weight, and the other fills the bits that this took.

    Counter-examples: a float32 fine-tune of a bfloat16 base at a very low learning rate rounds back to the base where
    weights are large; it does not where they are small, and it does not fill the step. Weights that only decayed lie
    off the middle of the step. The bfloat16 and the float16 release of one model round alike but for ties.
    """
    if not all(p.dtypes[0] in _HASH_OF and _rounds_to(p) for p in places):
        return False
    left, size = [np.zeros(0)], [np.zeros(0)]
    for p in places:
        live = p.values != 0
        if live.any():
            rest = (p.values - p.others[0])[live] / rounding.step(p.others[0][live], p.dtypes[0])
            if rest.std() < MIN_SPREAD:
                return False
            left.append(rest)
            size.append(np.abs(p.values[live]) / np.abs(p.values).max())
    rest, sizes = np.concatenate(left), np.concatenate(size)
    if len(rest) < MIN_WEIGHTS or not _hashes_agree(source, made):
        return False
    low, high = np.quantile(sizes, SMALL), np.quantile(sizes, LARGE)
    return bool(high >= 2 * low) and _is_even(rest[sizes <= low]) and _is_even(rest[sizes >= high])


def _rounds_to(place: Place) -> bool:
    """Whether the second's weights are the first's, rounded to the nearest number of its type, ties to even."""
    return bool((rounding.stored(place.values, place.dtypes[0]) == place.others[0]).all())


def _hashes_agree(source: Dna, made: Dna) -> bool:
    """Whether whole rows, of more matrices than have places, round to the other's too, where names are the same."""
    rows = {(g.tensor, g.axis): g for g in source.genes if g.view == "rows"}
    pairs = [(rows[g.tensor, g.axis], g) for g in made.genes if g.view == "rows" and (g.tensor, g.axis) in rows]
    return all(g.dtype in _HASH_OF and (s.hashes[:, _HASH_OF[g.dtype]] == g.hashes[:, 0]).all() for s, g in pairs)


def _is_even(rest: Values) -> bool:
    """Whether what rounding left is spread evenly over the whole step."""
    even = (np.arange(len(rest)) + 0.5) / len(rest) - 0.5
    return bool(len(rest) > 0 and np.abs(np.sort(rest) - even).max() <= UNEVEN)


def _is_masked(places: Sequence[Place], source: Dna, made: Dna) -> bool:
    """Whether one is the other with its smallest weights set to zero, by matrix, by row or by groups of four.

    Counter-examples: a sparse model that was made dense again by training, the kept weights frozen, has new weights of
    any size, not all of them below the smallest kept one and right up to it. Of two that were pruned from a third,
    both have zeros.
    """
    ratios, tops, n_old = [np.zeros(0)], [], 0
    for p in places:
        lost = (p.others[0] == 0) & (p.values != 0)
        n_old += int((p.values == 0).sum())
        if (p.others[0][~lost] != p.values[~lost]).any():
            return False
        if lost.any():
            below = _below(p, lost)
            if below is None:
                return False
            ratios.append(below)
            tops.append(below.max())
    ratio = np.concatenate(ratios)
    if len(ratio) < MIN_WEIGHTS / 4 or n_old > len(ratio) / 8:
        return False
    return bool((ratio > BELOW).mean() >= MIN_BELOW and np.median(tops) > BELOW)


def _below(place: Place, lost: NDArray[np.bool_]) -> Values | None:
    """Size of each lost weight over the smallest kept one of its matrix, row or group; None if some is larger."""
    size = np.abs(place.values)
    for width in (place.values.size, place.shape[1], 4):
        if place.values.size % width:
            continue
        groups, gone = size.reshape(-1, width), lost.reshape(-1, width)
        kept = np.where(gone, np.inf, groups).min(axis=1, keepdims=True)
        ratio = np.where(gone & np.isfinite(kept), groups / np.maximum(kept, 1e-300), 0)
        if (ratio <= 1).all() and np.isfinite(kept).mean() > 0.5:
            return ratio[gone]
    return None


def _is_quantised(places: Sequence[Place], source: Dna, made: Dna) -> bool:
    """Whether one is the other on grids that the other's largest weights set, and the other fills the cells.

    Counter-examples: a fine-tune of a native low-precision release, unpacked, moves its largest weights like all
    others, or, in bfloat16, less than the others and some of them out of their cells. Of two that were quantised from
    a third, both are on a grid. A light fine-tune or a cast of the source has some weights in the next cell.
    """
    grids = {b.tensor: b.grid for b in made.blocks}
    if any(b.grid or b.dtype not in ("F64", "F32", "F16", "BF16") for b in source.blocks):
        return False
    at_top, left, crossing = [np.zeros(0)], [np.zeros(0)], 0.0
    for p in places:
        bits = grids.get(p.names[0])
        if bits:
            found = next((r for size in (32, 64, 128, None) if (r := _on_grid(p, size, 2 ** (bits - 1) - 1))), None)
            if found is None:
                return False
            at_top.append(found[0])
            left.append(found[1])
            crossing += found[2]
        elif bits == 0 and not _rounds_to(p):
            return False
    top, rest = np.concatenate(at_top), np.concatenate(left)
    if len(top) < MIN_GROUPS or crossing < MIN_CROSSING:
        return False
    return _is_even(rest) and bool((top**2).mean() <= (rest**2).mean() / 4)


def _on_grid(place: Place, size: int | None, levels: int) -> tuple[Values, Values, float] | None:
    """What rounding left of the largest of each group and of all others, in steps, if rounding anew gives the same.

    With it how many weights would lie in another cell if they had been rounded to float16 before. The scale is the
    largest weight's, before or after it was stored in 16 bits; None if neither gives every weight.
    """
    width, row = place.shape[1], math.prod(place.block.shape[1:])
    if row % (size or row) or width % (size or row):
        return None  # groups that the corner cuts
    other, own = (x.reshape(-1, size or row) for x in (place.values, place.others[0]))
    live = (own != 0).any(axis=1)
    other, own = other[live], own[live]
    largest, top = (np.abs(x).max(axis=1, keepdims=True) for x in (other, own))
    code = own / top * levels
    if (np.abs(code - np.rint(code)) > np.abs(code) * MAX_ROUNDING + TIE).any():
        return None
    for scale in (largest / levels, top / levels):
        rest = other / np.maximum(scale, 1e-300) - np.rint(code)
        if (np.abs(rest) <= 0.5 + TIE).all() and (np.abs(largest / top - 1) <= MAX_ROUNDING).mean() >= MOST:
            is_top = np.abs(other) == largest
            return ((largest / top - 1) * levels).reshape(-1), rest[~is_top], float(np.abs(code).sum() * 2.0**-13)
    return None


_TESTS = (
    ("cast", _is_cast, "every weight is the other's, rounded, and rounding took all finer bits"),
    ("masked", _is_masked, "the smallest weights of each matrix are zero and all others the other's, bit for bit"),
    ("quantised", _is_quantised, "the other's largest weight of each group is kept and sets the grid of the group"),
)


def _repeats(source: Dna, made: Dna) -> bool:
    """Whether one holds matrices of the other several times, bit for bit, and the other holds all that it holds.

    Counter-examples: dropping repeated layers gives back the source only when none is missing; a model without some of
    them may well have been cut from the longer one. Weights that were tied in training are stored several times by one
    program and once by another: then the names that are left still name the same, or all layers are repeated alike
    (two towers, one of which was taken out). Experts are the exception: those that are equal were copied.
    """
    if source.content is None or made.content is None or not _same_corners(source, made):
        return False
    once, more = _by_bits(source.genes), _by_bits(made.genes)
    if set(once) != set(more) or any(len(genes) > 1 for genes in once.values()):
        return False
    repeated = [bits for bits in more if len(more[bits]) > 1]
    if len({g.tensor for bits in repeated for g in once[bits]}) < 2:
        return False
    if all(genes[0].tensor in {g.tensor for g in more[bits]} for bits, genes in once.items()):
        return False
    into_experts = all("expert" in g.tensor for bits in repeated for g in more[bits]) and not any(
        "expert" in g.tensor for genes in once.values() for g in genes
    )
    shapes = {once[bits][0].shape for bits in repeated}
    return into_experts or any(len(more[bits]) == 1 and once[bits][0].shape in shapes for bits in once)


def _same_corners(source: Dna, made: Dna) -> bool:
    """Whether exact weights (attention among them) of either stand in the other, but for parts of new shapes."""
    ours, theirs = source.blocks + source.samples, made.blocks + made.samples
    shapes, held, found = {b.shape for b in ours}, set(map(_corner, ours)), set(map(_corner, theirs))
    back = len(made.samples) == N_SAMPLES or held <= found
    return back and all(_corner(b) in held for b in theirs if b.shape in shapes)


def _corner(block: Block) -> tuple[tuple[int, ...], bytes]:
    return block.shape, block.values[:SAMPLE_ROWS, :SAMPLE_COLUMNS].tobytes()


def _by_bits(genes: Sequence[Gene]) -> dict[bytes, list[Gene]]:
    """Tensors by the exact bits of their tested units."""
    found: dict[bytes, list[Gene]] = defaultdict(list)
    for gene in genes:
        if gene.view == "rows":
            found[gene.axis.to_bytes(2, "little") + gene.hashes[:, 0].tobytes()].append(gene)
    return found
