"""The only home of faiss: eight gene sketches a model in a flat binary index, searched by Hamming distance.

Flat and exact: two million models are 2.4 GB; no training, no recall to measure beside the sketch's own. A gene of the
query meets only sketches that the exact test could compare it with, and of equal sketches one, so copies of one model
do not crowd others out. The faiss file is derived data with a sidecar that says from what.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.dna.sketch import score_spread
from hubdna.errors import MissingExtraError
from hubdna.records import Dna, Gene
from hubdna.store import votes
from hubdna.store.slots import LAYOUT, Layout, index_genes, key_of
from hubdna.store.table import Table, make_table
from hubdna.store.votes import VOTE_Z, Hits
from hubdna.writing import whole

FORMAT = "hubdna.sketches/2"
"""Stands in the sidecar; a file of another format is made anew."""
NEIGHBOURS = 256
"""Distinct sketches taken for each gene of the query."""


class Vectors:
    """Sketches of many models; add, remove, and vote.

    Args:
        path: of a file that `write` wrote; none: empty.
        layout: how many bits a model gets, and for what.

    Raises:
        ValueError: the file holds something else.
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, path: Path | None = None, layout: Layout = LAYOUT) -> None:
        self.faiss, self.layout = library(), layout
        n_bytes = layout.bits // 8
        self._table = make_table(np.zeros(0, np.int64), np.zeros((0, n_bytes), np.uint8))
        self._new: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = [self._read(path)] if path else []

    @property
    def table(self) -> Table:
        """All rows, what was added last among them."""
        if self._new:
            parts = [(self._table.ids, self._table.codes), *self._new]
            self._table = make_table(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            self._new = []
        return self._table

    @property
    def model_ids(self) -> set[int]:
        """Models that are in."""
        return set(self.table.models.tolist())

    def add(self, model_id: int, dna: Dna) -> None:
        """Add one model's sketches."""
        if genes := index_genes(dna, self.layout):
            self._new.append((np.array([(key_of(g) << 32) + model_id for g in genes], np.int64), self._cut(genes)))

    def remove(self, model_ids: set[int]) -> None:
        """Remove models."""
        kept = np.ones(len(self.table.ids), bool)
        kept[self.table.rows_of(model_ids)] = False
        self._table = make_table(self._table.ids[kept], self._table.codes[kept])

    def holds(self, model_id: int, dna: Dna) -> bool:
        """Whether what is held for a model is what its DNA gives; for verification."""
        rows, genes = self.table.rows_of([model_id]), index_genes(dna, self.layout)
        held = [(int(self.table.ids[row] >> 32), self.table.codes[row].tobytes()) for row in rows]
        due = [(key_of(g), code.tobytes()) for g, code in zip(genes, self._cut(genes), strict=True)]
        return sorted(held) == sorted(due)

    def vote(self, genes: Sequence[Gene]) -> list[tuple[int, float]]:
        """Rank models by how far their sketches agree with the query's, several weak genes voting together.

        Returns:
            (model id, sum of weighted standard scores beyond 2.5), best first. Models that only sketches without weight
            speak for (many unrelated ones share them) come last, with 0.
        """
        hits = votes.best(self._search(genes))
        return votes.count(hits, votes.weigh(hits, len(genes), self.table), self.table)

    def _search(self, genes: Sequence[Gene]) -> Hits:
        """Per gene, the nearest distinct sketches of its key."""
        found: list[NDArray[np.float64]] = [np.zeros((3, 0))]
        by_key: dict[int, list[int]] = defaultdict(list)
        for i, gene in enumerate(genes):
            if gene.n_sketched:
                by_key[key_of(gene)].append(i)
        for key, members in by_key.items():
            start, stop = self.table.distinct(key)
            if start == stop:
                continue
            stored, asked = self.table.codes[self.table.starts[start:stop]], self._cut([genes[i] for i in members])
            distances, places = self.faiss.knn_hamming(asked, stored, min(NEIGHBOURS, stop - start))
            spread = np.array([[score_spread(genes[i].n_sketched, self.layout.bits)] for i in members])
            z = (1 - 2 * distances / self.layout.bits) / spread
            which, _ = np.nonzero(near := z > VOTE_Z)
            found.append(np.stack([np.array(members)[which], places[near] + start, z[near]]))
        whose, what, z = np.concatenate(found, axis=1)
        return Hits(whose.astype(np.int64), what.astype(np.int64), z)

    def _cut(self, genes: Sequence[Gene]) -> NDArray[np.uint8]:
        n_bytes = self.layout.bits // 8
        return np.stack([g.sketch[:n_bytes] for g in genes]) if genes else np.zeros((0, n_bytes), np.uint8)

    def write(self, path: Path) -> None:
        """Write atomically: faiss itself truncates in place."""
        index = self.faiss.IndexBinaryIDMap(self.faiss.IndexBinaryFlat(self.layout.bits))
        index.add_with_ids(self.table.codes, self.table.ids)
        with whole(path) as temporary:
            self.faiss.write_index_binary(index, str(temporary))

    def _read(self, path: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        index = self.faiss.read_index_binary(str(path))
        if not hasattr(index, "id_map") or index.d != self.layout.bits:
            raise ValueError(f"{path}: not sketches of {self.layout.bits} bits with ids")
        flat = self.faiss.downcast_IndexBinary(index.index)
        ids, codes = self.faiss.vector_to_array(index.id_map), self.faiss.vector_to_array(flat.xb)
        return ids, codes.reshape(len(ids), self.layout.bits // 8)


def library() -> Any:
    """The library. Raises MissingExtraError."""
    try:
        import faiss
    except (ImportError, RuntimeError):  # the gpu build raises RuntimeError without its CUDA libraries
        raise MissingExtraError("faiss", "cpu") from None
    return faiss
