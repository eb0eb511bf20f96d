"""2,048 bits that find a gene again: signs of random projections, in integer arithmetic.

Weights are quantised by order statistics (median, median deviation), so the input is the same integers on every
machine; random signs and a Hadamard transform mix them; the signs of the first 2,048 sums are the sketch. Scale and
offset do not matter, so a rescaled or 8-bit copy keeps its sketch. Two sketches of weights with correlation rho agree
in a share 1/2 + asin(rho)/pi of their bits (Charikar 2002, similarity estimation by random hyperplanes).

Sizes were chosen by `scripts/boards/sketch.py`; docs/design.md has the table.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

N_BITS = 2048
N_INPUT = 8192
_HALF_PI_INVERSE_SQUARED = (2 / np.pi) ** 2


def sketch(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Sketch weights in a fixed order.

    Args:
        values: float32 [n], finite; at most 8,192 of them, evenly spaced, are used; none give zeros.

    Returns:
        uint8 [256], 2,048 packed bits.
    """
    if values.size == 0:
        return np.zeros(N_BITS // 8, np.uint8)
    codes = _codes(_spaced(values))
    mixed = np.zeros(N_INPUT, np.int32)
    mixed[: codes.size] = codes
    mixed *= _signs()
    folded = mixed.reshape(-1, N_BITS).sum(axis=0)  # rows 0..2047 of the 8,192-point transform see only this
    return np.packbits(_hadamard(folded) > 0)


def agreement_z(a: NDArray[np.uint8], b: NDArray[np.uint8], n_sketched: int) -> NDArray[np.float64]:
    """Standard score of two sets of sketches under independence.

    Args:
        a: uint8 [p, 256].
        b: uint8 [q, 256].
        n_sketched: weights behind each sketch; few weights make independent bits agree more widely.

    Returns:
        float64 [p, q].
    """
    distance = np.bitwise_count(a[:, None, :] ^ b[None, :, :]).sum(axis=2, dtype=np.int32)
    agreement: NDArray[np.float64] = 1 - 2 * distance / N_BITS
    return agreement / score_spread(n_sketched)


def score_spread(n_sketched: int, n_bits: int = N_BITS) -> float:
    """Standard deviation of 2 * agreement - 1 for independent weights, over the first `n_bits` of two sketches."""
    return float(np.sqrt(1 / n_bits + _HALF_PI_INVERSE_SQUARED / max(min(n_sketched, N_INPUT), 1)))


def _spaced(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if values.size <= N_INPUT:
        return values
    return values[np.arange(N_INPUT, dtype=np.int64) * values.size // N_INPUT]


def _codes(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Centre by the lower median, scale by an order statistic of the deviations, round to 8 bits."""
    middle = values.size // 2
    deviation = values - np.partition(values, middle)[middle]
    size = np.sort(np.abs(deviation))
    nonzero = size[np.searchsorted(size, 0, side="right") :]  # a pruned matrix is scaled by what is left of it
    if nonzero.size == 0:
        return np.zeros(values.size, np.int32)
    scale = nonzero[nonzero.size // 2]
    with np.errstate(over="ignore"):
        codes: NDArray[np.int32] = np.clip(np.rint(deviation / scale * np.float32(32)), -127, 127).astype(np.int32)
    return codes


@lru_cache(maxsize=1)
def _signs() -> NDArray[np.int32]:
    """8,192 fixed signs; from SHAKE-256, since random streams of libraries change between versions."""
    bits = np.frombuffer(hashlib.shake_256(b"hubdna sketch 1").digest(N_INPUT // 8), np.uint8)
    signs: NDArray[np.int32] = np.unpackbits(bits).astype(np.int32) * 2 - 1
    return signs


def _hadamard(x: NDArray[np.int32]) -> NDArray[np.float64]:
    """Walsh-Hadamard transform of a power-of-two length; sums stay below 127 * 8192, where float64 is exact."""
    n = 1 << (x.size.bit_length() - 1) // 2
    square = x.reshape(n, -1).astype(np.float64)
    sums: NDArray[np.float64] = _hadamard_matrix(n) @ square @ _hadamard_matrix(square.shape[1])
    return sums.reshape(-1)


@lru_cache(maxsize=16)
def _hadamard_matrix(n: int) -> NDArray[np.float64]:
    half = np.ones((1, 1)) if n == 1 else _hadamard_matrix(n // 2)
    return np.block([[half, half], [half, -half]]) if n > 1 else half
