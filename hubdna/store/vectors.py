"""The only home of faiss: four gene sketches a model in a flat binary index, searched by Hamming distance.

Flat and exact: two million models are 2 GB and a query touches all of it; no training, no recall to measure beside
the sketch's own. Ids are model id * 4 + slot. The faiss file is derived data with a sidecar that says from what.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.sketch import N_BITS, score_spread
from hubdna.errors import MissingExtraError
from hubdna.records import Dna, Gene

SLOTS = 4
"""Gene sketches a model: 4 * 2,048 bits = 1 KiB. `scripts/boards/sketch.py` measured the alternatives."""
NEIGHBOURS = 256
"""Hits taken for each sketch of the query."""
VOTE_Z = 2.5
"""Hits below add more noise than votes."""


def index_genes(dna: Dna) -> list[Gene]:
    """Choose the genes whose sketches stand for a model: the richest, spread over the depth."""
    genes = [g for g in dna.genes if g.view == "rows"]
    if not genes:
        return []
    ranked = sorted(range(len(genes)), key=lambda i: (-genes[i].n_sketched, i))
    rich = [i for i in ranked if genes[i].n_sketched == genes[ranked[0]].n_sketched]
    if len(rich) >= SLOTS:
        return [genes[rich[j * len(rich) // SLOTS]] for j in range(SLOTS)]
    return [genes[i] for i in ranked[:SLOTS]]


class Vectors:
    """Sketches of many models; add, remove, and vote."""

    def __init__(self, path: Path | None = None) -> None:
        self.faiss = _faiss()
        self.index: Any = self.faiss.read_index_binary(str(path)) if path else self._empty()

    def _empty(self) -> Any:
        return self.faiss.IndexBinaryIDMap2(self.faiss.IndexBinaryFlat(N_BITS))

    @property
    def model_ids(self) -> set[int]:
        """Models that are in."""
        return {int(i) // SLOTS for i in self.faiss.vector_to_array(self.index.id_map)}

    def add(self, model_id: int, dna: Dna) -> None:
        """Add one model's sketches."""
        genes = index_genes(dna)
        if not genes:
            return
        ids = model_id * SLOTS + np.arange(len(genes), dtype=np.int64)
        self.index.add_with_ids(np.stack([g.sketch for g in genes]), ids)

    def remove(self, model_ids: set[int]) -> None:
        """Remove models."""
        ids = np.array([m * SLOTS + s for m in model_ids for s in range(SLOTS)], np.int64)
        self.index.remove_ids(self.faiss.IDSelectorBatch(ids))

    def sketches(self, model_id: int) -> list[bytes]:
        """The sketches held for a model, for verification."""
        held = set(self.faiss.vector_to_array(self.index.id_map).tolist())
        ids = [model_id * SLOTS + s for s in range(SLOTS) if model_id * SLOTS + s in held]
        return [self.index.reconstruct(i).tobytes() for i in ids]

    def vote(self, genes: Sequence[Gene]) -> list[tuple[int, float]]:
        """Rank models by how far their sketches agree with the query's, several weak genes voting together.

        Returns:
            (model id, sum of standard scores beyond 2.5), best first.
        """
        if self.index.ntotal == 0 or not genes:
            return []
        queries = np.stack([g.sketch for g in genes])
        distances, ids = self.index.search(queries, min(NEIGHBOURS, self.index.ntotal))
        spread = np.array([score_spread(g.n_sketched) for g in genes])
        z: NDArray[np.float64] = (1 - 2 * distances / N_BITS) / spread[:, None]
        best: dict[int, float] = {}  # a stored sketch votes once, for its best query gene
        for slot, score in zip(ids.reshape(-1).tolist(), z.reshape(-1).tolist(), strict=True):
            best[slot] = max(score, best.get(slot, 0.0))
        votes: dict[int, float] = defaultdict(float)
        for slot, score in best.items():
            if slot >= 0 and score > VOTE_Z:
                votes[slot // SLOTS] += score - VOTE_Z
        return sorted(votes.items(), key=lambda v: (-v[1], v[0]))

    def write(self, path: Path) -> None:
        """Write atomically: faiss itself truncates in place."""
        temporary = path.with_name(path.name + ".tmp")
        self.faiss.write_index_binary(self.index, str(temporary))
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


def _faiss() -> Any:
    try:
        import faiss
    except (ImportError, RuntimeError):  # the gpu build raises RuntimeError without its CUDA libraries
        raise MissingExtraError("faiss", "cpu") from None
    return faiss
