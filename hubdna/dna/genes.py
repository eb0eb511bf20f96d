"""One axis of one tensor -> Gene: the tested units' rows, their bit hashes, and a sketch that never saw them.

The units of an axis of length n are split: 0..m-1 are tested, the next few are sketched. Pairing by sketches may
then not favour any labelling of the tested units, and columns that carry tested labels of another axis are left out
of both (a diagonal of 5 % of the energy would otherwise match unrelated recurrent or residual maps; leaving them out
makes the test exact there too: relabelling the tested units moves rows, and no column that is looked at).
"""

from __future__ import annotations

import hashlib
import math

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hubdna.dna import roles, sketch, structure
from hubdna.records import Gene, TensorInfo, View

N_TESTED = 32
"""Units tested: z* sqrt(m), the cost of reaching K >= 17, is least at 32 units, and 1/32! = 4e-36 is ample."""
MIN_SKETCH_UNITS, MAX_SKETCH_UNITS = 4, 32
MIN_SKETCHED = 128
"""Weights a sketch needs; below, independent sketches agree too widely to be of use."""
NO_HASHES = np.zeros((0, 3), np.uint64)
NO_IDS = np.zeros(0, np.int32)


def n_tested(n: int) -> int:
    """How many units of an axis of length n >= 32 are tested: 24 to 32."""
    return min(N_TESTED, n - 8)


def n_read(shape: tuple[int, ...], axis: int) -> int:
    """How many units of an axis are needed: the tested ones and those of the sketch. From the shape alone."""
    n = shape[axis]
    columns = max(math.prod(shape) // n, 1)
    wanted = min(max(math.ceil(sketch.N_INPUT / columns), MIN_SKETCH_UNITS), MAX_SKETCH_UNITS)
    return min(n_tested(n) + wanted, n)


def make_gene(
    info: TensorInfo, axis: int, block: NDArray[np.float32], n_columns: int, *, quantised: bool = False
) -> Gene | str:
    """Build a gene of view "rows", or say why this axis is no evidence.

    Args:
        info: the tensor.
        axis: storage axis of the units.
        block: float32, the tensor with `axis` cut to its first `n_read` units; the other axes are whole.
        n_columns: how many free columns are kept at most.
        quantised: whether the stored values are a grid.

    Returns:
        The gene, or a reason.
    """
    units = canonical(block, axis)
    if not np.isfinite(units).all():
        return "NaN or infinite weights"
    others = tuple(sorted(n for i, n in enumerate(info.shape) if i != axis and n > 1))
    if reason := structure.structured(units, info.dtype, quantised=quantised):
        return reason
    if structure.ordered(units):
        return "ordered axis"
    tested = units[: n_tested(info.shape[axis])]
    free = free_columns(info.shape[axis], others)
    if structure.has_diagonal(tested, free, others):
        return "unit labels on a diagonal"
    kept = np.flatnonzero(free)[spread_order(int(free.sum()), n_columns)]
    sketched = units[len(tested) :, free]
    live = structure.live_units(tested)
    rows, scales = quantise(tested)  # by the whole row, so that fewer columns are the beginning of more
    return gene_of("rows", info, axis, (rows[:, kept], scales), sketched, live=live, hashes=bit_hashes(tested))


def gene_of(
    view: View,
    info: TensorInfo,
    axis: int,
    tested: tuple[NDArray[np.int8], NDArray[np.float32]],
    sketched: NDArray[np.float32],
    *,
    live: NDArray[np.bool_],
    hashes: NDArray[np.uint64] = NO_HASHES,
    ids: NDArray[np.int32] = NO_IDS,
) -> Gene:
    """A gene from quantised tested [m, c], sketched [k, any], what is live, and what the tensor is called."""
    rows, scales = tested
    return Gene(
        view, info.name, info.shape, axis, roles.role_of(info), roles.layer_of(info.name),
        roles.component_of(info.name), info.dtype, rows, scales, live, hashes, sketch.sketch(sketched.reshape(-1)),
        sketched.size, ids,
    )  # fmt: skip


def canonical(block: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """float32 [units, columns]: unit axis first, then the other axes by length (equal ones as stored)."""
    others = sorted((i for i in range(block.ndim) if i != axis), key=lambda i: block.shape[i])
    moved = block.transpose([axis, *others])
    return np.ascontiguousarray(moved).reshape(block.shape[axis], -1)


def free_columns(n: int, others: tuple[int, ...]) -> NDArray[np.bool_]:
    """Columns whose labels cannot be among the tested ones of any axis.

    On every other axis of 32 or more the first m labels are left out; on one that is a multiple of n also their
    repetitions, blockwise and interleaved (gates of a recurrent net share their unit's label).

    Args:
        n: length of the unit axis.
        others: lengths of the other axes, in canonical order.

    Returns:
        bool [prod(others)].
    """
    free = np.ones(1, bool)
    for length in others:
        index, keep = np.arange(length), np.ones(length, bool)
        if length >= roles.MIN_AXIS:
            keep = index >= n_tested(length)
            if length > n and length % n == 0:
                keep &= (index % n >= n_tested(n)) & (index // (length // n) >= n_tested(n))
        free = np.outer(free, keep).reshape(-1)
    return free


def spread_order(n: int, limit: int) -> NDArray[np.intp]:
    """The first `limit` of 0..n-1 in an order that is spread out wherever it is cut: multiples of 0.618 n, modulo n.

    A shorter list is the beginning of a longer one, so two models that keep different numbers can be compared.
    """
    step = max(1, round(n * 0.6180339887))
    while math.gcd(step, n) > 1:
        step += 1
    return (np.arange(min(n, limit), dtype=np.intp) * step) % max(n, 1)


def quantise(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [m, c] and float32 [m]: each row to 1/127 of its largest weight."""
    peak = np.abs(rows).max(axis=1, initial=0)
    scales = np.where(peak > 0, peak / np.float32(127), np.float32(1)).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def bit_hashes(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """uint64 [m, 3]: hashes of each row's bits as float32, and after rounding to bfloat16 and to float16.

    A copy that was cast has the parent's rounded hash as its exact one.
    """
    with np.errstate(over="ignore"):  # beyond float16's range: infinity, which hashes like any other value
        casts = [rows.astype(t).astype(np.float32) + 0.0 for t in (np.float32, ml_dtypes.bfloat16, np.float16)]
    hashes = [[_hash64(cast[i].tobytes()) for cast in casts] for i in range(len(rows))]
    return np.array(hashes, np.uint64).reshape(len(rows), 3)


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
