"""Board `sketch`: how one KiB of sketch per model is best spent, measured before the scheme froze.

A query model holds 32 genes of one shape. Its relative in the index has weights of correlation rho; 2,000 unrelated
models stand beside it. Gaussian weights, our own sketch code; unrelated models' bits are uniform. The index stores
`slots` gene sketches of `bits` bits a model (slots * bits = 8,192) and the query brings all 32 of its sketches, in
another order: every stored sketch votes once, with its best query gene. Measured: is the relative ranked first?

Bar: the scheme's split (4 x 2,048) ranks the relative first in at least 99 % of the draws at rho 0.3 and 90 % at 0.15.
"""

from __future__ import annotations

import sys

import numpy as np

import board
from hubdna.dna import sketch as scheme
from hubdna.store.vectors import SLOTS, VOTE_Z

TOTAL_BITS = 8192
N_GENES, N_WEIGHTS = 32, 8192
SPLITS = ((32, 256), (16, 512), (8, 1024), (4, 2048), (2, 4096))
RHOS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
VOTES = (0.0, VOTE_Z)


def signs(values: np.ndarray, bits: int) -> np.ndarray:
    """Sketch with any power-of-two number of bits, by the scheme's own steps; bool [bits]."""
    mixed = scheme._codes(values) * scheme._signs()
    return scheme._hadamard(mixed.reshape(-1, bits).sum(axis=0)) > 0


def draw(rho: float, slots: int, bits: int, n_models: int, rng: np.random.Generator) -> np.ndarray:
    """Agreement z of every stored sketch with every query gene: float32 [n_models + 1, slots, genes]; relative last."""
    ours = rng.standard_normal((N_GENES, N_WEIGHTS), np.float32)
    noise = rng.standard_normal((slots, N_WEIGHTS), np.float32)
    theirs = rho * ours[:slots] + np.float32(np.sqrt(1 - rho**2)) * noise
    query = np.stack([signs(w, bits) for w in ours]).astype(np.float32) * 2 - 1
    stored = rng.integers(0, 2, (n_models * slots, bits), np.int8).astype(np.float32) * 2 - 1
    stored = np.vstack([stored, np.stack([signs(w, bits) for w in theirs]).astype(np.float32) * 2 - 1])
    z = stored @ query.T / bits / np.sqrt(1 / bits + 0.405 / N_WEIGHTS)
    return z.reshape(n_models + 1, slots, N_GENES)


def ranked_first(z: np.ndarray, vote_z: float) -> bool:
    """Whether the relative's votes beat every unrelated model's."""
    votes = np.maximum(z.max(axis=2) - vote_z, 0).sum(axis=1)
    return bool(votes[-1] > votes[:-1].max())


def main() -> int:
    """Measure every split at every correlation, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("sketch", args)
    n_draws, n_models = (10, 200) if args.quick else (100, 2000)
    for slots, bits in SPLITS:
        for rho in RHOS:
            key = f"{slots}x{bits} rho {rho}"
            rows.measure(key, lambda s=slots, b=bits, r=rho: measure(r, s, b, n_models, n_draws))
    for vote_z in VOTES:
        lines = [[f"{s} x {b}", *(_cell(rows[f"{s}x{b} rho {r}"], vote_z) for r in RHOS)] for s, b in SPLITS]
        title = f"Relative ranked first among {n_models} models, votes above z {vote_z} ({n_draws} draws)"
        board.table(title, ["slots x bits", *(f"rho {r}" for r in RHOS)], lines)
    chosen = {r: rows[f"{SLOTS}x{scheme.N_BITS} rho {r}"][f"vote {VOTE_Z}"] / n_draws for r in RHOS}
    return board.finish("sketch", chosen[0.3] >= 0.99 and chosen[0.15] >= 0.9, n=n_draws, recall_at_1=chosen)


def _cell(row: dict[str, float], vote_z: float) -> str:
    low, high = board.interval(int(row[f"vote {vote_z}"]), int(row["draws"]), 0.95)
    return f"{row[f'vote {vote_z}'] / row['draws']:.2f} ({low:.2f}-{high:.2f})"


def measure(rho: float, slots: int, bits: int, n_models: int, n_draws: int) -> dict[str, float]:
    """How often the relative is ranked first, by the two ways of voting."""
    rng = np.random.default_rng([int(rho * 1000), slots])
    hits = dict.fromkeys(VOTES, 0)
    for _ in range(n_draws):
        z = draw(rho, slots, bits, n_models, rng)
        for vote_z in VOTES:
            hits[vote_z] += ranked_first(z, vote_z)
    return {"models": n_models, "draws": n_draws, **{f"vote {v}": n for v, n in hits.items()}}


if __name__ == "__main__":
    sys.exit(main())
