"""Models of Gaussian weights, as DNA: three feed-forward layers of 64 units over 256 inputs, without a file."""

import hashlib
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import codec
from hubdna.dna.genes import make_gene, n_read
from hubdna.dna.read import SCHEME
from hubdna.records import Claim, Dna, Gene, ModelRef, TensorInfo
from hubdna.store import Entry, IndexDir

LAYERS, SHAPE = 3, (64, 256)
Weights = list[NDArray[np.float32]]


def draw(seed: int, shape: tuple[int, int] = SHAPE) -> Weights:
    """Independent weights of every layer."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for _ in range(LAYERS)]


def child(parent: Weights, rho: float, seed: int) -> Weights:
    """Weights of correlation rho with the parent's."""
    return [rho * w + np.float32(np.sqrt(1 - rho**2)) * n for w, n in zip(parent, draw(seed), strict=True)]


def dna_of(name: str, weights: Weights) -> Dna:
    """Their DNA; equal weights give equal bytes."""
    made = [make_gene(info(i, w.shape), 0, w[: n_read(w.shape, 0)], 256) for i, w in enumerate(weights)]
    genes = tuple(g for g in made if isinstance(g, Gene))
    assert len(genes) == len(weights)
    content = hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()
    return Dna(ModelRef(name, "main", "0" * 40), SCHEME, genes, content=content)


def info(layer: int, shape: tuple[int, ...]) -> TensorInfo:
    """Of a feed-forward map."""
    return TensorInfo(
        f"layers.{layer}.mlp.up_proj.weight", "F32", shape, (0, 4 * math.prod(shape)), "model.safetensors"
    )


def add(index: IndexDir, dna: Dna, created_at: str | None = None) -> None:
    """Put a model into an index."""
    data = codec.encode(dna)
    claim, n_genes = Claim(), len(dna.genes)
    index.add(Entry(dna.ref, codec.digest(data), claim, n_genes, "full", dna.content, created_at=created_at), data)


def renamed(dna: Dna, name: str) -> Dna:
    """A copy under another name."""
    return replace(dna, ref=ModelRef(name, "main", "0" * 40))
