"""The null on everything we have: real independent trainings, diagonals, and attempts to break exchangeability.

    real         all pairs of independent trainings of one recipe, and of all of them with each other
    diagonals    single n x n maps with a share of their energy on the diagonal, as tested (columns that carry tested
                 labels left out) and naively (all columns)
    attempts     unrelated models that share a structure training or an architecture could give them

Rows marked "limit" are known to be beyond what the test can stand; they are measured and shown, and the board holds
when no other row has a `common` verdict and no other K reaches 12.
"""

from __future__ import annotations

import itertools
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (safetensors.numpy finds bfloat16 through it)
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

import board
from hubdna.dna.read import SCHEME, read_dna
from hubdna.evidence.compare import compare_dna
from hubdna.evidence.fixed_points import shuffled_assignment
from hubdna.models import Loader
from hubdna.records import Dna, ModelRef
from hubdna.verdict import judge
from law import Bytes

ROOT = Path(__file__).resolve().parents[2]
NETS, DEMO = ROOT / "tests" / "data" / "nets", ROOT / "hubdna" / "demo"
SERIES = {"mlp-seed": 6, "residual-": 3, "residual-direct-": 3, "gru-": 3, "lstm-": 3, "rnn-identity-": 2, "dirac-": 3}
SHARES, LENGTHS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5), (64, 128, 512, 2048)
MAX_K = 12
LIMIT = "limit: "

Array = NDArray[np.float32]
Rng = np.random.Generator
Model = dict[str, Array]


def row_of(dnas: Sequence[tuple[Dna, Dna]]) -> dict[str, Any]:
    """K of every test of every pair, and how many pairs were called related."""
    evidence = [compare_dna(a, b) for a, b in dnas]
    ks = [bucket.fixed_points for e in evidence for bucket in e.buckets]
    n_common = sum(judge(e).origin in ("common", "identical") for e in evidence)
    return {"pairs": len(evidence), "ks": np.bincount(ks, minlength=1).tolist() if ks else [], "common": n_common}


def line_of(name: str, row: dict[str, Any]) -> list[object]:
    """Pairs, tests, mean and largest K, tails with 99 % intervals, false verdicts."""
    counts = np.array(row["ks"] or [0])
    n, k = int(counts.sum()), np.arange(len(counts))
    tails = []
    for least in (3, 5):
        low, high = board.interval(int(counts[least:].sum()), n)
        tails.append(f"{counts[least:].sum() / max(n, 1):.3f} ({low:.3f}..{high:.3f})")
    mean = f"{(counts * k).sum() / n:.2f}" if n else "-"
    return [name, row["pairs"], n, mean, len(counts) - 1 if n else "-", *tails, row["common"]]


def weights(rng: Rng, *shape: int) -> Array:
    """Gaussian weights scaled by the fan-in."""
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def leaning(W: Array, share: float, offset: int = 0) -> Array:
    """Put `share` of a map's or convolution's energy on the diagonal that starts at column `offset`."""
    n = min(W.shape[0], W.shape[1] - offset)
    middle = tuple(k // 2 for k in W.shape[2:])
    W[(np.arange(n), offset + np.arange(n), *middle)] += np.sqrt(share / (1 - share) * (W**2).sum() / n)
    return W


def positions(n: int) -> Array:
    """Covariance of the dimensions of sinusoidal positions: what a net learns that removes them from its stream."""
    angles = np.arange(512)[:, None] / 10_000 ** (np.arange(n // 2) / (n // 2))
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    covariance = table.T @ table / 512
    return (covariance / np.linalg.norm(covariance)).astype(np.float32)


def toeplitz(rng: Rng, n: int) -> Array:
    """A one-dimensional convolution written out as a matrix."""
    kernel, index = weights(rng, 2 * n, 1)[:, 0], np.arange(n)
    return kernel[index[:, None] - index + n] / np.sqrt(n)


_U = np.arange(128)
_DEGREES = _U[:, None] % 63 >= _U % 63
_WIRING = np.random.default_rng(0).random((128, 2000)) < 0.01
_PROFILE = np.random.default_rng(1).standard_normal((128, 1)).astype(np.float32) / 16

ATTEMPTS: dict[str, Callable[[Rng], Model]] = {
    "weights of one sign": lambda r: {"a": abs(weights(r, 128, 256)), "b": abs(weights(r, 64, 128))},
    "three levels with a scale each row": lambda r: {
        "a": np.sign(weights(r, 128, 256)) * (r.random((128, 256)) < 0.6) * r.random((128, 1)).astype(np.float32),
        "b": weights(r, 64, 128),
    },
    "batch norm folded into the rows": lambda r: {
        "a": weights(r, 128, 256) * np.exp(r.standard_normal((128, 1))).astype(np.float32), "b": weights(r, 64, 128),
    },
    "one pair of maps stored 24 times": lambda r: (
        lambda a, b: {f"{i}.{n}": w for i in range(24) for n, w in (("a", a), ("b", b))}
    )(weights(r, 512, 128), weights(r, 128, 512)),
    "recurrence [4h, h], half diagonal": lambda r: {
        "a": np.concatenate([leaning(weights(r, 128, 128), 0.5) for _ in range(4)]), "b": weights(r, 128, 512),
    },
    "convolution flattened to [h, 9h], diagonal 20 %": lambda r: {
        "a": leaning(weights(r, 64, 64, 3, 3), 0.2).reshape(64, -1), "b": weights(r, 50, 64),
    },
    "dense concatenation (DenseNet)": lambda r: {
        **{f"{i}.a": weights(r, 64, 64 * (i + 1), 3, 3) for i in range(4)}, "b": weights(r, 10, 320),
    },
    "causal maps over 128 tokens": lambda r: {f"{i}": weights(r, 128, 128) * np.tri(128, dtype=bool) for i in range(4)},
    "grouped convolution, groups of 4 alike": lambda r: {
        "a": weights(r, 128, 4, 3, 3) + np.repeat(weights(r, 32, 4, 3, 3), 4, 0), "b": weights(r, 200, 128, 1, 1),
    },
    "pixel shuffle, phases alike at first (ICNR)": lambda r: {
        "a": np.repeat(weights(r, 64, 64, 3, 3), 4, 0) + 0.3 * weights(r, 256, 64, 3, 3),
        "b": weights(r, 64, 256, 3, 3),
    },
    "stream that unlearns sinusoids, 10 % of energy": lambda r: {
        f"{i}": weights(r, 256, 256, 1) + 5.3 * positions(256)[..., None] for i in range(4)
    },
    "identity-leaning cell [h, in + h], 5 %": lambda r: {
        "a": leaning(weights(r, 128, 192), 0.05, 64), "b": weights(r, 10, 128),
    },
    "identity-leaning cell [h, in + h], 20 %": lambda r: {
        "a": leaning(weights(r, 128, 192), 0.2, 64), "b": weights(r, 10, 128),
    },
    "Dirac-leaning [48, 24, 3, 3], 5 %": lambda r: {
        "a": leaning(weights(r, 48, 24, 3, 3), 0.05), "b": weights(r, 96, 48, 3, 3),
    },
    "Dirac-leaning [48, 24, 3, 3], 20 %": lambda r: {
        "a": leaning(weights(r, 48, 24, 3, 3), 0.2), "b": weights(r, 96, 48, 3, 3),
    },
    "identity-leaning [64, 24], 20 %": lambda r: {
        "a": leaning(weights(r, 64, 24), 0.2), "b": weights(r, 50, 64),
    },
    "identity-leaning [64, 31], 45 %": lambda r: {
        "a": leaning(weights(r, 64, 31), 0.45), "b": weights(r, 50, 64),
    },
    "Dirac-leaning [48, 24, 31], 20 %": lambda r: {
        "a": leaning(weights(r, 48, 24, 31), 0.2), "b": weights(r, 96, 48, 3),
    },
    "cells [h, in + h] of 48 layers, 1 % each": lambda r: {
        f"{i}": leaning(weights(r, 128, 192), 0.01, 64) for i in range(48)
    } | {"b": weights(r, 10, 128)},
    "wiring of 1 % of 2,000 inputs, equal in all": lambda r: {
        "a": weights(r, 128, 2000) * _WIRING, "b": weights(r, 4, 128),
    },
    "local wiring, 15 of 500 inputs": lambda r: {
        "a": weights(r, 128, 500) * (abs(_U[:, None] * 4 - np.arange(500)) < 8), "b": weights(r, 64, 128),
    },
    "autoregressive masks (MADE)": lambda r: {f"{i}": weights(r, 128, 128) * _DEGREES for i in range(4)},
    LIMIT + "input features that sit on both sides, own means": lambda r: {
        "a": weights(r, 128, 256) + _PROFILE, "b": weights(r, 256, 128),
    },
    "Toeplitz maps": lambda r: {f"{i}": toeplitz(r, 128) for i in range(2)},
}  # fmt: skip


def dna_of(model: Model) -> Dna:
    """DNA of tensors, by way of a file's bytes."""
    data = save({name: np.ascontiguousarray(w, np.float32) for name, w in model.items()})
    return read_dna(ModelRef("./model"), Bytes(data), ["model.safetensors"], "full")


def attempt(make: Callable[[Rng], Model], n_models: int) -> dict[str, Any]:
    """All pairs of models made independently."""
    dnas = [dna_of(make(np.random.default_rng([7, seed]))) for seed in range(n_models)]
    return row_of(list(itertools.combinations(dnas, 2)))


def naive(blocks: Sequence[Array]) -> dict[str, Any]:
    """K of the first 32 rows with every column, as if no column carried a label."""
    ks = []
    for a, b in itertools.combinations(blocks, 2):
        x, y = (w - w.mean(axis=0) for w in (a, b))
        S = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T
        ks.append(int((shuffled_assignment(S.astype(np.float64)) == np.arange(32)).sum()))
    return {"pairs": len(ks), "ks": np.bincount(ks).tolist(), "common": sum(k >= 17 for k in ks)}


def diagonal(n: int, share: float, n_models: int) -> dict[str, Any]:
    """Single maps with a diagonal: as tested, and naively."""
    dnas, blocks = [], []
    for seed in range(n_models):
        W = leaning(weights(np.random.default_rng([n, seed]), n, n), share)
        dnas.append(dna_of({"map": W}))
        blocks.append(W[:32].copy())
    return {"tested": row_of(list(itertools.combinations(dnas, 2))), "naive": naive(blocks)}


def real() -> dict[str, list[Dna]]:
    """Independent trainings by recipe, and the roots of the demo zoo."""
    loader = Loader(level="full")
    found = {s.rstrip("-"): [NETS / f"{s}{i}.safetensors" for i in range(n)] for s, n in SERIES.items()}
    zoo = tomllib.loads((DEMO / "zoo.toml").read_text())["model"]
    found["demo roots"] = [DEMO / "models" / m["repo_id"] for m in zoo if m["relation"] == "root"]
    return {name: [loader.load(ModelRef(str(p))).dna for p in paths] for name, paths in found.items()}


def measure_real(rows: board.Rows) -> dict[str, dict[str, Any]]:
    """All pairs within each recipe, and all pairs across recipes."""
    series = real()
    measured = {
        name: rows.measure(f"real {name}", lambda d=dnas: row_of(list(itertools.combinations(d, 2))))
        for name, dnas in series.items()
    }
    across = [(a, b) for x, y in itertools.combinations(series.values(), 2) for a in x for b in y]
    return {**measured, "across recipes": rows.measure("real across", lambda: row_of(across))}


def show(title: str, measured: dict[str, dict[str, Any]]) -> bool:
    """Print one table; whether every row that is no limit looks null."""
    header = ["models", "pairs", "tests", "mean K", "max K", "P(K>=3), law .080", "P(K>=5), law .004", "common"]
    board.table(title, header, [line_of(name, row) for name, row in measured.items()])
    held = [row for name, row in measured.items() if not name.startswith(LIMIT)]
    return all(not row["common"] and len(row["ks"]) <= MAX_K for row in held)


def show_diagonals(measured: dict[tuple[int, float], dict[str, Any]]) -> bool:
    """Print mean K (max K) by length and share, tested and naive."""

    def cell(row: dict[str, Any]) -> str:
        k = np.arange(len(row["ks"]))
        return f"{(k * row['ks']).sum() / sum(row['ks']):.2f} ({k[-1]})" if row["ks"] else "set aside"

    lengths = sorted({n for n, _ in measured})
    lines = [
        [f"{n} {how}", *(cell(measured[n, s][how]) if (n, s) in measured else "" for s in SHARES)]
        for n in lengths for how in ("tested", "naive")
    ]  # fmt: skip
    board.table("Diagonals: mean K (max K) by share of energy", ["n", *(f"{s:.0%}" for s in SHARES)], lines)
    return all(not row["tested"]["common"] and len(row["tested"]["ks"]) <= MAX_K for row in measured.values())


def main() -> int:
    """Measure what is missing and print the three tables."""
    args, started = board.arguments(__doc__), time.perf_counter()
    rows = board.Rows("nulls", args, SCHEME)
    n_models, lengths, shares = (5, (64, 512), (0.05, 0.2)) if args.quick else (14, LENGTHS, SHARES)
    measured = measure_real(rows)
    ok = show("Real independent trainings", measured)
    diagonals = {
        (n, s): rows.measure(f"diagonal {n} {s}", lambda n=n, s=s: diagonal(n, s, min(n_models, 12)))
        for n in lengths for s in shares
    }  # fmt: skip
    ok &= show_diagonals(diagonals)
    attempts = {k: rows.measure(f"attempt {k}", lambda m=m: attempt(m, n_models)) for k, m in ATTEMPTS.items()}
    ok &= show("Attempts to break exchangeability", attempts)
    n_tests = sum(sum(row["ks"]) for row in measured.values())
    limits = {name.removeprefix(LIMIT): row["common"] for name, row in attempts.items() if name.startswith(LIMIT)}
    return board.finish("nulls", ok, started, n_real_tests=n_tests, false_verdicts_at_limits=limits)


if __name__ == "__main__":
    sys.exit(main())
