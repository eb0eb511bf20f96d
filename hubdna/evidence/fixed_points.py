"""The exact test: do units match themselves?

Take the same m units of A and of B, match them one to one by cosine, and count how many are matched to themselves: K.
If A and B were initialised independently, the labels of B's units are exchangeable, the matching is a uniform
permutation, and P(K >= k) <= 1/k! for any m, any weights, any training, with no fitted constant.

Three things keep it exact. All genes of one view whose unit axes have one length enter ONE assignment (relabelling
every such axis by one permutation is a symmetry whatever the true grouping). B's units are shuffled first, since
assignment solvers answer ties with the identity. No column that is looked at carries a tested label.

Each view is a test of its own, and so is the one in which a unit and its negative count as alike; all are paid for.
Half of the error goes to the plain test, so that the others cost it a factor of two and no more.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.genes import n_tested
from hubdna.dna.roles import MIN_AXIS
from hubdna.evidence.assignment import solver
from hubdna.evidence.pairing import Pair
from hubdna.records import Bucket, Gene, View

MIN_COLUMNS = 8
"""Below, a row's cosine says next to nothing."""
MIN_UNITS = 18
"""2/18! = 3e-16 is the first that passes 5e-15: fewer units can never reach the line."""
MIN_LIVE = 0.9
"""Genes with fewer live units are left out, so that one pruned tensor does not cost the others their units."""
MAX_WIRED, MIN_ALIKE = 0.5, 0.2
"""A gene is sparse when at most half of its weights are not zero; the weights of a sparse pair are alike from a
correlation of 0.2 (strangers over 600 shared places: 0 +- 0.04)."""
POWER_Z = 2.4
"""rho * sqrt(columns) at which K >= 18 of 32 in nine draws of ten."""
SIGNS: dict[View, tuple[bool, ...]] = {
    "rows": (True, False), "response": (True, False), "gram": (True,), "residual": (True, False), "unseen": (True,),
}  # fmt: skip
"""The tests of each view: signed, unsigned. A hidden unit's sign, or a coordinate's, can be flipped without a trace."""


def log10_factorial(k: int) -> float:
    """log10 of k!."""
    return math.lgamma(k + 1) / math.log(10)


def run_tests(pairs: list[Pair]) -> tuple[Bucket, ...]:
    """Run every test that the pairs allow; their p-values are paid for all of them together."""
    assembled = sorted(_assemble(pairs).items())
    buckets = [bucket for (view, n_axis), members in assembled for bucket in _run_buckets(view, n_axis, members)]
    n_plain = sum(_is_plain(b) for b in buckets)
    prices = {True: 2 * n_plain, False: 2 * (len(buckets) - n_plain)}
    return tuple(replace(b, log10_p=_log10_p(b.fixed_points, prices[_is_plain(b)])) for b in buckets)


def _is_plain(bucket: Bucket) -> bool:
    return bucket.view == "rows" and bucket.signed


def _log10_p(k: int, n_tests: int) -> float:
    return min(0.0, math.log10(n_tests) - log10_factorial(k))


def _assemble(pairs: list[Pair]) -> dict[tuple[View, int], list[Pair]]:
    """Group pairs by view and length of the unit axis; genes with many dead units are left out."""
    buckets: dict[tuple[View, int], list[Pair]] = defaultdict(list)
    for a, b in pairs:
        if a.rows is None or b.rows is None or min(a.live.mean(), b.live.mean()) < MIN_LIVE:
            continue
        enough = min(a.rows.shape[1], b.rows.shape[1]) >= MIN_COLUMNS
        if enough and not gates_of_a_narrow_state(a) and not share_a_wiring(a, b):
            buckets[a.view, 0 if a.view == "unseen" else a.n_units].append((a, b))
    return buckets


def gates_of_a_narrow_state(gene: Gene) -> bool:
    """Whether the columns of a map may carry labels of its tested units and cannot all be left out: [4h, h], h < 40.

    The two to four gates of a recurrent net repeat the numbers of their units block after block, so the label of a
    tested row may stand on any column of a narrow state, and gates lean to their own unit: stacks of 16 such layers
    reached K = 14 between unrelated models. Of wider states the tested labels are left out
    (`dna.genes.free_columns`). Maps of feed-forward blocks, by their names, read a stream and not their own state.
    """
    if gene.view != "rows" or gene.role == "ffn" or len(gene.shape) != 2:
        return False
    n, state = gene.n_units, gene.shape[1 - gene.axis]
    left_out = n_tested(state) if state >= MIN_AXIS else 0
    return n in (2 * state, 3 * state, 4 * state) and left_out < min(state, n_tested(n))


def share_a_wiring(a: Gene, b: Gene) -> bool:
    """Whether two sparse genes have their zeros in the same places while the weights there are unlike.

    A fixed wiring (the pathways of a biologically informed net) ties units to inputs, so their labels are not
    exchangeable. A pruned model and its child share places too, but also weights.
    """
    if a.view != "rows":
        return False
    x, y = weights(a, b)
    used_a, used_b = x != 0, y != 0
    if max(used_a.mean(), used_b.mean()) > MAX_WIRED:
        return False
    overlap = (used_a & used_b).sum() / max(min(used_a.sum(), used_b.sum()), 1)
    both = used_a & used_b
    alike = float((x * y)[both].sum()) / math.sqrt(max(float((x[both] ** 2).sum() * (y[both] ** 2).sum()), 1e-30))
    return bool(overlap > 2 * max(used_a.mean(), used_b.mean()) and alike < MIN_ALIKE)


def _run_buckets(view: View, n_axis: int, pairs: list[Pair]) -> list[Bucket]:
    """Run the tests of one view and axis length; none when fewer than 18 units are live in all genes."""
    live = np.logical_and.reduce([alive for pair in pairs for alive in _live(*pair)])
    m = int(live.sum())
    if m < MIN_UNITS:
        return []
    sums, n_columns = {signed: np.zeros((m, m)) for signed in SIGNS[view]}, 0
    for a, b in pairs:
        x, y = weights(a, b)
        cosines = _cosines(x[live], y[live])
        for signed in sums:
            sums[signed] += math.sqrt(x.shape[1]) * (cosines if signed else np.abs(cosines))
        n_columns += x.shape[1]
    counts = {signed: int((shuffled_assignment(S) == np.arange(m)).sum()) for signed, S in sums.items()}
    equal = sum(int((a.hashes[live, 0] == b.hashes[live, 0]).sum()) for a, b in pairs if view == "rows")
    alike = similarity(pairs)
    return [Bucket(view, s, n_axis, m, len(pairs), n_columns, k, equal, alike, 0.0) for s, k in counts.items()]


def _live(a: Gene, b: Gene) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Live units of both; of unseen tokens those that both models have."""
    if a.view != "unseen":
        return a.live, b.live
    i, j = _shared_tokens(a, b)
    return a.live[i], b.live[j]


def _shared_tokens(a: Gene, b: Gene) -> tuple[list[int], list[int]]:
    """Where the tokens stand that both genes have."""
    there = {token: j for j, token in enumerate(b.ids.tolist())}
    both = [(i, there[token]) for i, token in enumerate(a.ids.tolist()) if token in there]
    return [i for i, _ in both], [j for _, j in both]


def weights(a: Gene, b: Gene) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32 [m, c] of both genes: the units and the columns that both have."""
    assert a.rows is not None and a.scales is not None and b.rows is not None and b.scales is not None
    c = min(a.rows.shape[1], b.rows.shape[1])
    x, y = (g.rows[:, :c].astype(np.float32) * g.scales[:, None] for g in (a, b))  # type: ignore[index]
    if a.view == "unseen":
        i, j = _shared_tokens(a, b)
        return x[i], y[j]
    return x, y


def shuffled_assignment(S: NDArray[np.float64]) -> NDArray[np.intp]:
    """Best one-to-one matching of the rows of S [m, m] to its columns, columns shuffled first.

    The shuffle is seeded by the content, so a pair gives one answer for ever. Where each row has a single largest
    entry and all of these are in different columns, they are the only best matching, and nothing is left to solve.
    """
    best: NDArray[np.intp] = S.argmax(axis=1)
    second = np.partition(S, -2, axis=1)[:, -2] if len(S) > 1 else np.full(1, -np.inf)
    if len(set(best.tolist())) == len(S) and (S.max(axis=1) > second).all():
        return best
    seed = hashlib.blake2b(np.round(S, 6).tobytes(), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(seed, "little")).permutation(len(S))
    _, columns = solver()(S[:, order], maximize=True)
    matching: NDArray[np.intp] = order[columns]
    return matching


def similarity(pairs: list[Pair]) -> float:
    """Centred correlation of the tested rows, weighted by the number of weights; in [-1, 1].

    Columns with tested labels are not among them: an identity-leaning map resembles any other one there.
    """
    total, weight = 0.0, 0
    for a, b in pairs:
        x, y = (w.astype(np.float64) - w.mean(dtype=np.float64) for w in weights(a, b))
        norm = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
        total += x.size * (float((x * y).sum()) / norm if norm else 0.0)
        weight += x.size
    return max(-1.0, min(1.0, total / max(weight, 1)))


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of all rows, centred over units: [m, m]."""
    x, y = (unit_rows(w.astype(np.float64) - w.mean(axis=0, dtype=np.float64)) for w in (a, b))
    product: NDArray[np.float64] = x @ y.T
    return product


def unit_rows(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length one; rows of zeros stay."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    unit: NDArray[np.float64] = x / np.where(norm == 0, 1, norm)
    return unit
