"""Fragments: each probe bound to what the model made of it, and their sum as a sketch.

Mu et al. make a model's DNA of fragments [enc(x_i); f(x_i)]: a sample, and what the model computes for it. Ours bind
the two by multiplication. f(x_i) is how the model relates probe i to all others, at each place; enc(x_i) is a random
code of the probe, signs and buckets; a fragment is f under that code, and the fragments of a model add up to a sketch
whose inner products are those of all relations (Charikar, Chen and Farach-Colton, *Finding frequent items in data
streams*, ICALP 2002). Without the code all fragments would add up to zero, for relations are centred.

Before that, relations are whitened. A few directions make up nearly all of a model's states, and training on other
data changes those first; two trainings of one recipe share them, too. What is left is weaker and tells models apart.
With K the relations, s their mean eigenvalue: K (K + strength * s)^-1, at two strengths. It needs K alone, so widths do
not matter.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from hubdna.records.behaviour import Behaviour

STRENGTHS = (0.003, 0.1)
BLOCKS = {"early": (0, 1), "middle": (2,), "late": (3, 4), "answer": (5,)}
"""Which of `PLACES` make up a block: each has a sketch, and later a part of the DNA, of its own."""
BUCKETS = 2048
SEED = 2308_02121


def sketch(behaviour: Behaviour, buckets: int = BUCKETS) -> NDArray[np.float32]:
    """All fragments of a model, added up.

    Args:
        behaviour: a model on n probes.
        buckets: length of the sketch of a block.

    Returns:
        float32 [4, buckets], a row for each of `BLOCKS`; zero where nothing was seen.
    """
    n = len(behaviour.top)
    upper = np.triu_indices(n, 1)
    made = np.zeros((len(BLOCKS), buckets), np.float32)
    spectra = [_spectrum(relations) for relations in behaviour.relations]
    for block, places in enumerate(BLOCKS.values()):
        values = np.concatenate([_damped(*spectra[p], by)[upper] for by in STRENGTHS for p in places])
        bucket, sign = _code(block, len(values), buckets)
        made[block] = np.bincount(bucket, sign * values, buckets) / np.sqrt(len(values))
    return made


def whitened(relations: NDArray[np.float32], strength: float) -> NDArray[np.float64]:
    """Relations [n, n] with their strong directions damped, centred, without diagonal, mean square 1; or zero."""
    return _damped(*_spectrum(relations), strength)


def _spectrum(relations: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(relations.astype(np.float64))
    return values.clip(0), vectors


def _damped(values: NDArray[np.float64], vectors: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    if not values[-1]:
        return np.zeros(vectors.shape)
    mean = values.sum() / (values > 1e-6 * values[-1]).sum()
    k = (vectors * (values / (values + strength * mean))) @ vectors.T
    k = k - k.mean(0)[None] - k.mean(1)[:, None] + k.mean()
    np.fill_diagonal(k, 0)
    scaled: NDArray[np.float64] = k / max(float(np.sqrt((k * k).sum() / (k.size - len(k)))), 1e-12)
    return scaled


@functools.lru_cache(16)
def _code(block: int, n: int, buckets: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bucket and sign of every relation. RandomState's stream is frozen for all versions of numpy."""
    random = np.random.RandomState((SEED + block) % 2**32)
    return random.randint(0, buckets, n), random.choice([-1.0, 1.0], n)
