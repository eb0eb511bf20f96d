"""Exact corners of two models -> how they differ: bits, zeros, grids, rank.

Only ever asked about models whose common origin the exact test has shown. Corners are paired by what they hold, the
best correlation first: here nothing is tested, so looking is allowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hubdna.records import Block, Difference, Dna

Matrix = NDArray[np.float64]
MIN_SIDE = 8
MIN_ALIKE = 0.3
"""Corners that correlate less are not the same place of the same matrix."""
ROUNDING = {"BF16": 2.0**-8, "F16": 2.0**-11}
"""Largest relative error of rounding to a type; of float32 it is below what is asked anyway."""
MIN_OVER_ROUNDING = 25.0
"""A change counts as measured when its energy is this many times that of rounding."""
LOST = 1e-5
"""Share of the energy that zeroed weights must have had. The smallest 5 % of Gaussian weights hold 7e-5; channels that
weight decay has emptied hold 1e-30 in one training and 0 in another, and nobody pruned those."""
NEGLIGIBLE = 1e-5
"""Share of a change's energy that may lie outside its rank."""


def differ(a: Dna, b: Dna) -> Difference | None:
    """Compare the corners that two models share; None when there are none."""
    pairs = _pair(a.blocks, b.blocks)
    if not pairs:
        return None
    views = [(x, y, *_overlap(x, y)) for x, y in pairs]
    changed = [v for v in views if not np.array_equal(v[2], v[3])]
    xs = np.concatenate([v[2].ravel() for v in changed]) if changed else np.zeros(0)
    ys = np.concatenate([v[3].ravel() for v in changed]) if changed else np.zeros(0)
    ranks = [_rank(x, y, max(ROUNDING.get(p.dtype, 0.0), ROUNDING.get(q.dtype, 0.0))) for p, q, x, y in changed]
    return Difference(
        n_blocks=len(views),
        n_changed=len(changed),
        n_weights=sum(v[2].size for v in views),
        n_equal=sum(int((v[2] == v[3]).sum()) for v in views),
        zeroed=(_zeroed(xs, ys), _zeroed(ys, xs)),
        survivors_equal=(_survivors(xs, ys), _survivors(ys, xs)),
        grid=(_grid([p for p, _, _, _ in changed]), _grid([q for _, q, _, _ in changed])),
        rank=max(r for r in ranks if r is not None) if ranks and None not in ranks else None,
        similarity=min(_correlation(v[2], v[3]) for v in views),
    )


def _pair(blocks_a: tuple[Block, ...], blocks_b: tuple[Block, ...]) -> list[tuple[Block, Block]]:
    scored = []
    for i, x in enumerate(blocks_a):
        for j, y in enumerate(blocks_b):
            if _shape(x) == _shape(y) or _shape(x) == _shape(y)[::-1]:
                p, q = _overlap(x, y)
                if min(p.shape) >= MIN_SIDE:
                    scored.append((_correlation(p, q), i, j))
    used_a: set[int] = set()
    used_b: set[int] = set()
    pairs = []
    for score, i, j in sorted(scored, key=lambda s: (-s[0], s[1], s[2])):
        if score >= MIN_ALIKE and i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            pairs.append((blocks_a[i], blocks_b[j]))
    return pairs


def _shape(block: Block) -> tuple[int, int]:
    return block.shape[0], int(np.prod(block.shape[1:]))


def _overlap(a: Block, b: Block) -> tuple[Matrix, Matrix]:
    """The part that both corners hold, B's turned when it is stored the other way round."""
    x, y = a.values.astype(np.float64), b.values.astype(np.float64)
    y = y.T if _shape(a) != _shape(b) else y
    r, c = min(x.shape[0], y.shape[0]), min(x.shape[1], y.shape[1])
    return x[:r, :c], y[:r, :c]


def _correlation(x: Matrix, y: Matrix) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def _zeroed(x: Matrix, y: Matrix) -> float:
    """Share of x's weights that are zero in y, if anything was lost with them."""
    used = x != 0
    lost = used & (y == 0)
    energy = float((x[lost] ** 2).sum()) / max(float((x**2).sum()), 1e-300)
    return float(lost.sum() / used.sum()) if energy >= LOST else 0.0


def _survivors(x: Matrix, y: Matrix) -> float:
    """Share of y's non-zero weights that are x's."""
    used = y != 0
    return float((x[used] == y[used]).mean()) if used.any() else 0.0


def _grid(blocks: list[Block]) -> int:
    """Bits of the finest grid, if most blocks lie on one."""
    bits = [b.grid for b in blocks if b.grid]
    return max(bits) if 2 * len(bits) > len(blocks) else 0


def _rank(x: Matrix, y: Matrix, rounding: float) -> int | None:
    """Rank of the change up to rounding; None when it is more than half of what the changed rows and columns can show.

    A few rows that were replaced (attention heads in another order) have a low rank by themselves.
    """
    change = y - x
    n_changed = min(change.any(axis=1).sum(), change.any(axis=0).sum())
    energy = np.linalg.svd(change, compute_uv=False) ** 2
    noise = rounding**2 * float((y**2).sum()) / 3
    if energy.sum() < MIN_OVER_ROUNDING * noise:
        return None  # too small a change to be told from rounding
    tail = energy.sum() - np.cumsum(energy)
    rank = int(np.argmax(tail <= max(2 * noise, NEGLIGIBLE * energy.sum()))) + 1
    return rank if rank <= n_changed // 2 else None
