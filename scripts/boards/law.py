"""The law of K: 100,000 relabelled pairs through the whole pipeline against the exact count of fixed points.

Two independently trained nets A and B stay as they are, except that the tested units of every hidden group are
relabelled: each group by a permutation of its own, moved along wherever the group shows (rows, columns of the next
map, biases, norms). What such a net computes does not change, and no test may see it either: K has to follow the law
of fixed points of a uniform permutation, P(K >= k) = sum over j >= k of C(m, j) D(m - j) / m!.

Nothing is left out or computed ahead: every relabelled net is written as the bytes of a safetensors file and goes
through reading, roles, structure checks, rows, hashes, sketches, pairing, buckets and assignment. A chunk relabels A
20 times and B 20 times and compares all 400 pairs. Those draws are pairwise independent (a fresh uniform relabelling
stands between any two of them), so the variance of a chunk's counts is exactly that of 400 separate draws.

Every view is a test of its own (hubdna/dna/views.py) and is counted on its own, signed and unsigned.

Families: `mlp`, square maps between different groups; `residual` and `direct`, square maps from the residual stream to
itself (columns carry the labels of the rows); `dirac`, convolutions started near the identity, whose law only one
relabelling of all groups leaves alone; `llama`, gated feed-forward units, the residual stream and 32 tokens that count
as never trained, relabelled each; `spliced`, `residual` where all that is not tested comes from A, its tensors in
another order, so that genes are paired by their sketches and not by order.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import board
from hubdna.dna.genes import n_tested
from hubdna.dna.read import SCHEME, read_dna
from hubdna.evidence.compare import compare_dna
from hubdna.records import Dna, ModelRef, TensorInfo
from hubdna.sources import safetensors

ROOT = Path(__file__).resolve().parents[2]
NETS = ROOT / "tests" / "data" / "nets"
DEMO = ROOT / "hubdna" / "demo" / "models"
GRID, N_CHUNKS, MAX_K = 20, 42, 12
KS = range(3, 9)
UNSEEN = tuple(range(32))
"""Tokens that count as never trained: rows 0..31 of the token table, which the relabelling permutes."""

Groups = dict[str, tuple[str, ...]]
"""Regular expression of a tensor's name -> group of each axis; \\1 is what the expression caught, "" no group."""

_RESIDUAL = {
    r"embed\..*": ("s",), r"head.weight": ("", "s"), r"blocks\.(\d)\.up.weight": (r"u\1", "s"),
    r"blocks\.(\d)\.up.bias": (r"u\1",), r"blocks\.(\d)\.down.weight": ("s", r"u\1"),
    r"blocks\.(\d)\.down.bias": ("s",),
}  # fmt: skip
FAMILIES: dict[str, tuple[Path, Path, Groups]] = {
    "mlp": (
        NETS / "mlp-seed1.safetensors", NETS / "mlp-seed2.safetensors",
        {"fc1.*": ("1",), "fc2.*": ("2", "1"), "fc3.*": ("3", "2"), "head.weight": ("", "3")},
    ),
    "residual": (NETS / "residual-0.safetensors", NETS / "residual-1.safetensors", _RESIDUAL),
    "direct": (
        NETS / "residual-direct-0.safetensors", NETS / "residual-direct-1.safetensors",
        {r"embed\..*": ("s",), r"head.weight": ("", "s"), r"maps\..*": ("s", "s")},
    ),
    "dirac": (
        NETS / "dirac-0.safetensors", NETS / "dirac-1.safetensors",
        {r"stem\..*": ("s",), r"convs\..*": ("s", "s"), "head.weight": ("", "s")},
    ),
    "llama": (
        DEMO / "bytewright/pyllama-245k/model.safetensors", DEMO / "northbyte/pyllama-245k-scratch/model.safetensors",
        {r"model\.layers\.(\d)\.mlp\.(?:gate|up)_proj.*": (r"\1", "s"),
         r"model\.layers\.(\d)\.mlp\.down_proj.*": ("s", r"\1"),
         r"model\.embed_tokens.*|lm_head.*": ("t", "s"), r".*norm.weight": ("s",),
         r".*self_attn\.[qkv]_proj.*": ("", "s"), r".*self_attn\.o_proj.*": ("s", "")},
    ),
    "spliced": (NETS / "residual-0.safetensors", NETS / "residual-1.safetensors", _RESIDUAL),
}  # fmt: skip


class Net:
    """One model as the bytes of a file that can be written again with its units relabelled."""

    def __init__(self, path: Path, groups: Groups) -> None:
        self.data = path.read_bytes()
        self.infos: list[TensorInfo] = safetensors.read_header(Bytes(self.data), "net.safetensors")
        self.axes = [_groups_of(info, groups) for info in self.infos]
        self.lengths = {g: t.shape[axis] for t, named in zip(self.infos, self.axes, strict=True) for axis, g in named}
        self.head = self.data[: self.infos[0].data_offsets[0]]
        kinds = {2: np.uint16, 4: np.uint32}
        self.tensors: list[NDArray[np.unsignedinteger]] = [
            np.frombuffer(self.data[slice(*t.data_offsets)], kinds[safetensors.ITEMSIZE[t.dtype]]).reshape(t.shape)
            for t in self.infos
        ]

    def relabelled(self, rng: np.random.Generator) -> Dna:
        """DNA after a fresh relabelling of the tested units of every group."""
        orders = {g: _order(n, rng) for g, n in self.lengths.items()}
        parts = [self.head]
        for tensor, named in zip(self.tensors, self.axes, strict=True):
            for axis, group in named:
                tensor = tensor.take(orders[group], axis=axis)
            parts.append(np.ascontiguousarray(tensor).tobytes())
        return read_dna(ModelRef("./net"), Bytes(b"".join(parts)), ["net.safetensors"], "full", None, UNSEEN)


class Bytes:
    """A ByteReader of one file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data, self.n_bytes, self.n_requests = data, 0, 0

    def size(self, filename: str) -> int:
        """Length in bytes."""
        return len(self.data)

    def read(self, filename: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""
        return self.data[start:stop]

    def sha256(self, filename: str) -> None:
        """Not known."""


def _groups_of(info: TensorInfo, groups: Groups) -> list[tuple[int, str]]:
    """(axis, group) of one tensor; a map from a group to itself names it twice."""
    for pattern, named in groups.items():
        if match := re.fullmatch(pattern, info.name):
            return [(axis, match.expand(g)) for axis, g in enumerate(named[: len(info.shape)]) if g]
    return []


def _order(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A permutation of the tested units of an axis; the rest stays."""
    m = n_tested(n) if n > 8 else 0
    return np.concatenate([rng.permutation(m), np.arange(m, n)])


def splice(a: Net, b: Net) -> None:
    """Give B what is not tested of A's square maps, the maps in another order."""
    squares = [i for i, t in enumerate(a.infos) if len(t.shape) == 2 and t.shape[0] == t.shape[1]]
    for i, j in zip(squares, squares[3:] + squares[:3], strict=True):
        m = n_tested(a.infos[i].shape[0])
        b.tensors[i] = b.tensors[i].copy()
        b.tensors[i][m:, m:] = a.tensors[j].astype(b.tensors[i].dtype)[m:, m:]


def load(family: str) -> tuple[Net, Net]:
    """Both nets of a family."""
    path_a, path_b, groups = FAMILIES[family]
    a, b = Net(path_a, groups), Net(path_b, groups)
    if family == "spliced":
        splice(a, b)
    return a, b


def chunk(a: Net, b: Net, seed: list[int], grid: int) -> dict[str, dict[str, int]]:
    """How often each K came up in grid x grid comparisons, for each test."""
    rng = np.random.default_rng(seed)
    dnas_a = [a.relabelled(rng) for _ in range(grid)]
    dnas_b = [b.relabelled(rng) for _ in range(grid)]
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for dna_a in dnas_a:
        for dna_b in dnas_b:
            evidence = compare_dna(dna_a, dna_b)
            assert evidence.buckets, evidence.untestable
            for bucket in evidence.buckets:
                assert bucket.n_units == 32, "the law below is that of 32 units"
                counts[f"{bucket.view} {'signed' if bucket.signed else 'unsigned'}"][bucket.fixed_points] += 1
    return {test: {str(k): found[k] for k in sorted(found)} for test, found in counts.items()}


def p_at_least(k: int, m: int = 32) -> float:
    """P(K >= k) for a uniform permutation of m: exact rencontres numbers."""
    derangements = [1, 0]
    for n in range(2, m + 1):
        derangements.append((n - 1) * (derangements[-1] + derangements[-2]))
    return sum(math.comb(m, j) * derangements[m - j] for j in range(k, m + 1)) / math.factorial(m)


def rows_of(label: str, counts: Counter[int], confidence: float) -> list[list[object]]:
    """One line per k: observed, expected, band, whether inside."""
    n, lines = counts.total(), []
    for k in KS:
        observed, p = sum(c for j, c in counts.items() if j >= k), p_at_least(k)
        low, high = board.band(p, n, confidence)
        lines.append([label, n, k, observed, round(n * p, 2), f"{low}..{high}", low <= observed <= high])
    return lines


def measure(index: int, family: str, rows: board.Rows, grid: int, n_chunks: int) -> dict[str, Counter[int]]:
    """Counts of K of one family, chunk by chunk, for each test."""
    a, b = load(family)
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for i in range(n_chunks):
        row = rows.measure(f"{family} seed [{index}, {i}]", lambda i=i: chunk(a, b, [index, i], grid))
        for test, found in row.items():
            counts[test].update({int(k): n for k, n in found.items()})
    return counts


def main() -> int:
    """Measure what is missing, print the law, say whether it holds."""
    args, started = board.arguments(__doc__), time.perf_counter()
    rows = board.Rows("law", args, SCHEME)
    grid, n_chunks = (10, 5) if args.quick else (GRID, N_CHUNKS)
    measured = {f: measure(i, f, rows, grid, n_chunks) for i, f in enumerate(FAMILIES)}
    totals = {f"{f}: {test}": found for f, tests in measured.items() for test, found in tests.items()}
    plain = [found for name, found in totals.items() if name.endswith(": rows signed")]
    totals["all plain tests"] = sum(plain, Counter())
    totals["all tests of all views"] = sum((found for name, found in totals.items() if ":" in name), Counter())
    n_comparisons = len(totals) * len(KS)
    lines = [line for label, counts in totals.items() for line in rows_of(label, counts, 1 - 0.01 / n_comparisons)]
    board.table(
        f"P(K >= k) of 32 units; band of 99 % over {n_comparisons} comparisons (Bonferroni)",
        ["family", "draws", "k", "observed", "expected", "band", "ok"],
        lines,
    )
    everything = totals["all tests of all views"]
    n_draws, largest = totals["all plain tests"].total(), max(everything)
    mean = sum(k * n for k, n in everything.items()) / everything.total()
    ok = largest < MAX_K and all(line[-1] for line in lines)
    return board.finish(
        "law", ok, started, n_draws=n_draws, n_tests=everything.total(), mean_k=round(mean, 4), max_k=largest
    )


if __name__ == "__main__":
    sys.exit(main())
