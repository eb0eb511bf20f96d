"""The exact test: do units match themselves?

Take the same m units of A and of B, match them one to one by cosine, and count how many are matched to themselves: K.
If A and B were initialised independently, the labels of B's units are exchangeable, the matching is a uniform
permutation, and P(K >= k) <= 1/k! for any m, any weights, any training, with no fitted constant.

Three things keep it exact. All tensors whose unit axes have one length enter ONE assignment (relabelling every such
axis by one permutation is a symmetry whatever the true grouping). B's units are shuffled first, since assignment
solvers answer ties with the identity. No column that is looked at carries a tested label.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.genes import free_columns
from hubdna.records import Bucket, Gene

MIN_COLUMNS = 8
"""Below, a row's cosine says next to nothing."""
MIN_UNITS = 17
"""1/17! = 2.8e-15 is the first that passes 5e-15: fewer units can never reach the line."""
MIN_LIVE = 0.9
"""Genes with fewer live units are left out, so that one pruned tensor does not cost the others their units."""
MAX_WIRED, MIN_ALIKE = 0.5, 0.2
"""A gene is sparse when at most half of its weights are not zero; the weights of a sparse pair are alike from a
correlation of 0.2 (strangers over 600 shared places: 0 +- 0.04)."""
POWER_Z = 2.3
"""rho * sqrt(columns) at which K >= 17 of 32 in nine draws of ten."""


def log10_factorial(k: int) -> float:
    """log10 of k!."""
    return math.lgamma(k + 1) / math.log(10)


def assemble(pairs: list[tuple[Gene, Gene]]) -> dict[int, list[tuple[Gene, Gene]]]:
    """Group pairs into buckets by the length of their unit axis; genes with many dead units are left out."""
    buckets: dict[int, list[tuple[Gene, Gene]]] = defaultdict(list)
    for a, b in pairs:
        if a.rows is None or b.rows is None or min(a.live.mean(), b.live.mean()) < MIN_LIVE:
            continue
        if free_columns(a.n_units, a.key[1]).sum() >= MIN_COLUMNS and not share_a_wiring(a, b):
            buckets[a.n_units].append((a, b))
    return buckets


def share_a_wiring(a: Gene, b: Gene) -> bool:
    """Whether two sparse genes have their zeros in the same places while the weights there are unlike.

    A fixed wiring (the pathways of a biologically informed net) ties units to inputs, so their labels are not
    exchangeable. A pruned model and its child share places too, but also weights.
    """
    x, y = _weights(a), _weights(b)
    used_a, used_b = x != 0, y != 0
    if max(used_a.mean(), used_b.mean()) > MAX_WIRED:
        return False
    overlap = (used_a & used_b).sum() / max(min(used_a.sum(), used_b.sum()), 1)
    both = used_a & used_b
    alike = float((x * y)[both].sum()) / math.sqrt(max(float((x[both] ** 2).sum() * (y[both] ** 2).sum()), 1e-30))
    return bool(overlap > 2 * max(used_a.mean(), used_b.mean()) and alike < MIN_ALIKE)


def run_bucket(n_axis: int, pairs: list[tuple[Gene, Gene]]) -> Bucket | None:
    """Run one test.

    Args:
        n_axis: length of the unit axis.
        pairs: genes with rows at hand.

    Returns:
        The counts, or None when fewer than 17 units are live in all genes.
    """
    live = np.logical_and.reduce([g.live for pair in pairs for g in pair])
    m = int(live.sum())
    if m < MIN_UNITS:
        return None
    S, n_columns = np.zeros((m, m)), 0
    for a, b in pairs:
        free = free_columns(n_axis, a.key[1])
        S += math.sqrt(free.sum()) * _cosines(_weights(a)[live][:, free], _weights(b)[live][:, free])
        n_columns += int(free.sum())
    matching = shuffled_assignment(S)
    equal = sum(int((a.hashes[live, 0] == b.hashes[live, 0]).sum()) for a, b in pairs)
    return Bucket(
        n_axis,
        m,
        len(pairs),
        n_columns,
        int((matching == np.arange(m)).sum()),
        equal,
        bucket_similarity(pairs),
    )


def shuffled_assignment(S: NDArray[np.float64]) -> NDArray[np.intp]:
    """Best one-to-one matching of the rows of S [m, m] to its columns, columns shuffled first.

    The shuffle is seeded by the content, so a pair gives one answer for ever.
    """
    from scipy.optimize import linear_sum_assignment  # half a second to import

    seed = hashlib.blake2b(np.round(S, 6).tobytes(), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(seed, "little")).permutation(len(S))
    _, columns = linear_sum_assignment(S[:, order], maximize=True)
    matching: NDArray[np.intp] = order[columns]
    return matching


def bucket_similarity(pairs: list[tuple[Gene, Gene]]) -> float:
    """Centred correlation of the tested rows over the free columns, weighted by the number of weights; in [-1, 1].

    Columns with tested labels are left out here too: an identity-leaning map resembles any other one there.
    """
    total, weight = 0.0, 0
    for a, b in pairs:
        free = free_columns(a.n_units, a.key[1])
        x, y = (
            w[:, free] - w[:, free].mean() for w in (_weights(a).astype(np.float64), _weights(b).astype(np.float64))
        )
        norm = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
        total += x.size * (float((x * y).sum()) / norm if norm else 0.0)
        weight += x.size
    return max(-1.0, min(1.0, total / weight))


def _weights(gene: Gene) -> NDArray[np.float32]:
    assert gene.rows is not None and gene.scales is not None, "assemble() leaves genes without rows out"
    return gene.rows.astype(np.float32) * gene.scales[:, None]


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of all rows, centred over units: [m, m]."""
    x, y = (_unit(w.astype(np.float64) - w.mean(axis=0, dtype=np.float64)) for w in (a, b))
    product: NDArray[np.float64] = x @ y.T
    return product


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    unit: NDArray[np.float64] = x / np.where(norm == 0, 1, norm)
    return unit
