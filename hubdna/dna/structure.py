"""Tensors that prove nothing: transform bases, sinusoids, masks, identities, nearly empty or repeated ones.

A deterministic tensor is equal in unrelated models (two audio networks that carry the same transform basis match
in 64 of 64 rows), so it must not become evidence. Each rule looks at one model only; thresholds were set on
constructed and shipped tensors (residuals of transform bases are below 3e-6, of trained weights above 0.9).

What no rule can see: an orthogonal or random basis drawn from a fixed seed. The index finds those by how many
unrelated models share them, and the verdict by "equal in one group, independent in all others".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_NONZERO = 256
MIN_ENTROPY = 5.0
"""Bits per non-zero value; int4 weights with group scales have 8 and more, masks and tables below 4."""
MAX_RESIDUAL = {"F32": 5e-6, "F64": 5e-6, "F16": 5e-6, "BF16": 1e-4}
MAX_REPEATED = 0.2
MAX_DIAGONAL = 0.5
ORDERED_Z = 5.0
TOP_SHARE, MIN_ON_DIAGONAL = 0.1, 16
"""A diagonal of 32 places holds 3 of the largest tenth of the weights; 16 or more has p = 1e-8 at each offset. 1 % of
the energy on a diagonal puts 25 there, long before unrelated models match by it."""
_ORDER = 8
"""Lines of a windowed cosine: three; of a product of two: six. Eight leaves room."""


def structured(block: NDArray[np.float32], dtype: str, *, quantised: bool = False) -> str | None:
    """Say why a block of units is no evidence, or None.

    Args:
        block: float32 [units, columns], the units that were read.
        dtype: as stored; sets what rounding may leave of an exact recurrence.
        quantised: whether few distinct values are what the format makes of any weights.
    """
    values = block[block != 0]
    if values.size < MIN_NONZERO:
        return "nearly empty"
    if not quantised and _entropy(values) < MIN_ENTROPY:
        return "few values"
    if _repeated(block) > MAX_REPEATED:
        return "repeated rows"
    if _diagonal(block) > MAX_DIAGONAL:
        return "identity-like"
    limit = MAX_RESIDUAL.get(dtype, 5e-6)
    if _recurrence(block) < limit or _recurrence(block.T) < limit:
        return "linear recurrence"
    return None


def has_diagonal(tested: NDArray[np.float32], free: NDArray[np.bool_], others: tuple[int, ...]) -> bool:
    """Whether the tested units meet columns of their own along a diagonal, at any offset among the free columns.

    Cells that read input and state in one matrix [h, in + h], and widening convolutions that start as identities,
    carry the unit labels there; columns 0..m of the other axis are left out anyway (`genes.free_columns`).

    Args:
        tested: float32 [m, c], the tested units.
        free: bool [c], the columns that would be looked at.
        others: lengths of the other axes, whose product is c; each could carry the labels.
    """
    looked_at = np.abs(tested[:, free])
    rank = int(looked_at.size * (1 - TOP_SHARE))
    cut = np.partition(looked_at, rank, axis=None)[rank] if looked_at.size else 0
    top = ((np.abs(tested) >= cut) & free & (tested != 0)).reshape(len(tested), *others)
    axes = [i for i, length in enumerate(others, start=1) if length >= MIN_ON_DIAGONAL]
    return any(_longest_diagonal(np.moveaxis(top, axis, -1)) >= MIN_ON_DIAGONAL for axis in axes)


def _longest_diagonal(marks: NDArray[np.bool_]) -> int:
    """Most marks on any diagonal (row i, last axis i + offset) of bool [m, ..., c], the middle axes fixed."""
    m, c = marks.shape[0], marks.shape[-1]
    flat = marks.reshape(m, -1, c)
    padded = np.zeros((m, flat.shape[1], c + 2 * m), bool)
    padded[:, :, m : m + c] = flat
    sums = np.zeros((flat.shape[1], c + m), np.int32)
    for i in range(m):
        sums += padded[i, :, i : i + c + m]
    return int(sums.max(initial=0))


def ordered(block: NDArray[np.float32]) -> bool:
    """Whether neighbouring units resemble each other far more than any two: positions, pitches, input features.

    z of the mean cosine of rows (i, i+1) against all pairs of rows; such an axis carries labels.
    """
    block = _tame(block)
    centred = block - block.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1)
    unit = centred[norms > 0] / norms[norms > 0, None]
    if len(unit) < 16:
        return False
    S = unit @ unit.T
    neighbours = np.diag(S, 1)
    others = S[np.triu_indices(len(S), 1)]
    spread = others.std() / np.sqrt(len(neighbours))
    return bool(abs(neighbours.mean() - others.mean()) > ORDERED_Z * spread)


def live_units(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find units (bool [m]) that are neither constant nor a repetition (up to scale and sign) of another one."""
    rows = _tame(rows)
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    live = norms > 1e-12 * max(float(norms.max(initial=0.0)), 1e-30)
    unit = np.where(live[:, None], centred / np.where(norms == 0, 1, norms)[:, None], 0)
    S = np.abs(unit @ unit.T)
    np.fill_diagonal(S, 0)
    if rows.shape[1] >= 8:  # fewer columns: unrelated rows come this close by chance
        live &= S.max(axis=1, initial=0.0) < 1 - 1e-6
    result: NDArray[np.bool_] = live
    return result


def _tame(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled by its largest weight: squares of weights above 1e17 leave the range of float32."""
    scaled: NDArray[np.float32] = block / max(float(np.abs(block).max(initial=0.0)), 1e-30)
    return scaled


def _entropy(values: NDArray[np.float32]) -> float:
    sample = values[:: max(1, values.size // 16_384)]
    ends = np.append(np.flatnonzero(np.diff(np.sort(sample))), sample.size - 1)  # np.unique imports a module for this
    share = np.diff(ends, prepend=-1) / sample.size
    return float(-(share * np.log2(share)).sum())


def _repeated(block: NDArray[np.float32]) -> float:
    """Share of non-zero rows that equal another one up to scale and sign."""
    if block.shape[1] < 4:
        return 0.0
    peak = np.take_along_axis(block, np.abs(block).argmax(axis=1)[:, None], axis=1)
    nonzero = peak[:, 0] != 0
    rows = np.round(block[nonzero] / peak[nonzero], 5)
    return 1 - len({row.tobytes() for row in rows + np.float32(0)}) / max(len(rows), 1)


def _diagonal(block: NDArray[np.float32]) -> float:
    """Share of the energy on the diagonal of the block's leading columns."""
    size = min(block.shape)
    if block.shape[1] < size or size < 8:
        return 0.0
    energy = block.astype(np.float64) ** 2
    return float(np.trace(energy[:size, :size]) / max(energy.sum(), 1e-300))


def _recurrence(block: NDArray[np.float32], n_rows: int = 5) -> float:
    """Median over rows of the out-of-sample residual of a linear recurrence, as a share of the row's energy."""
    n = block.shape[1]
    order = _ORDER if n >= 6 * _ORDER else max(2, n // 6)
    if n < 16:
        return 1.0
    residuals: list[float] = []
    for row in block[:: max(1, len(block) // n_rows)].astype(np.float64):
        if (row == 0).mean() > 0.5:  # pruned rows look predictable and prove nothing
            continue
        residuals.append(_row_residual(row[:1024], order))
        if sum(r > 0.1 for r in residuals) > n_rows // 2 or len(residuals) == n_rows:  # the median is settled
            break
    middle = sorted(residuals)[(len(residuals) - 1) // 2 : len(residuals) // 2 + 1]  # np.median imports numpy.ma
    return sum(middle) / len(middle) if middle else 1.0


def _row_residual(row: NDArray[np.float64], order: int) -> float:
    """Fit on the first two thirds, check on the last: trained weights give about 1, a windowed cosine 1e-14."""
    peak = np.abs(row).max()
    if peak == 0:
        return 1.0
    windows = np.lib.stride_tricks.sliding_window_view(row / peak, order + 1)
    cut = len(windows) * 2 // 3
    weights = np.linalg.lstsq(windows[:cut, :order], windows[:cut, order], rcond=1e-9)[0]
    error = windows[cut:, order] - windows[cut:, :order] @ weights
    return float((error**2).sum() / max((windows[cut:, order] ** 2).sum(), 1e-12))
