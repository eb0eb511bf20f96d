"""From neighbours to a ranking: several weak genes vote for one model, and what unrelated models share counts less.

A buffer of fixed numbers, a frozen layer or a table of inputs that many took over is equal in models that have nothing
else in common. Its sketch finds them all, with the best score there is. So each gene of the query gets a weight by its
*document frequency*: the number of origins, not of uploads, among the models that it finds. Models are of one origin
when any other sketch of theirs agrees; a thousand copies or fine-tunes of one model are one. Models that agree with the
query in another gene as well are its own family, and one origin too. Everything follows from the index itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hubdna.dna.sketch import score_spread
from hubdna.evidence.pairing import RELIABLE_Z
from hubdna.store.table import Table

VOTE_Z = 2.5
"""Hits below add more noise than votes."""
MAX_ORIGINS = 64
"""A sketch that so many origins share counts nothing; of a small index, one that all share."""
_WEIGHTS = 2048
"""Weights behind a stored sketch, about: only for telling whether two stored ones agree."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Stored sketches that agree with the query's: int64 [h] which gene, which distinct sketch; float64 [h] how far."""

    gene: NDArray[np.int64]
    sketch: NDArray[np.int64]
    z: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_]) -> Hits:
        """Some of them."""
        return Hits(self.gene[chosen], self.sketch[chosen], self.z[chosen])


def best(hits: Hits) -> Hits:
    """A stored sketch votes once, for its best gene."""
    order = np.lexsort((hits.gene, -hits.z, hits.sketch))
    sketch = hits.sketch[order]
    first = np.ones(len(order), bool)
    first[1:] = sketch[1:] != sketch[:-1]
    kept = order[first]
    return Hits(hits.gene[kept], hits.sketch[kept], hits.z[kept])


def count(hits: Hits, weights: NDArray[np.float64], table: Table) -> list[tuple[int, float]]:
    """Sum up each model's votes; a gene of the query votes once for a model.

    Args:
        hits: each distinct sketch once, as `best` gives them.
        weights: float64 [genes], 0 to 1.
        table: where the sketches are.

    Returns:
        (model id, sum of weighted scores beyond VOTE_Z), best first; those that only weightless genes found come last.
    """
    rows, which = table.rows_with(hits.sketch)
    model, gene, score = table.models_of(rows), hits.gene[which], hits.z[which] - VOTE_Z
    order = np.lexsort((-score, gene, model))
    model, gene, score = model[order], gene[order], score[order]
    once = np.ones(len(order), bool)
    once[1:] = (model[1:] != model[:-1]) | (gene[1:] != gene[:-1])
    models, place = np.unique(model[once], return_inverse=True)
    raw = np.bincount(place, score[once], len(models))
    weighted = np.bincount(place, score[once] * weights[gene[once]], len(models))
    ranked = np.lexsort((models, -raw, -weighted))
    return list(zip(models[ranked].tolist(), weighted[ranked].tolist(), strict=True))


def weigh(hits: Hits, n_genes: int, table: Table) -> NDArray[np.float64]:
    """A weight for each gene of the query, from how many origins it finds.

    Args:
        hits: each distinct sketch once, as `best` gives them.
        n_genes: of the query.
        table: where the sketches are.

    Returns:
        float64 [n_genes]: 1 for up to one origin, falling with the logarithm to 0 for MAX_ORIGINS, or for all origins
        of a smaller index.
    """
    strong = hits.where(hits.z >= RELIABLE_Z)
    rows, which = table.rows_with(strong.sketch)
    model, gene = table.models_of(rows), strong.gene[which]
    pairs = np.unique(np.stack([model, gene]), axis=1)
    models, n_found = np.unique(pairs[0], return_counts=True)
    family = models[n_found > 1]
    limit = min(MAX_ORIGINS, len(np.unique(table.sheets[:: max(len(table.sheets) // 4096, 1)])))
    weights = np.ones(n_genes)
    for g in np.unique(gene).tolist():
        lone = np.setdiff1d(model[gene == g], family)
        if limit > 2 and len(lone) > 1:
            n = n_origins(lone, rows[gene == g], table) + bool(np.isin(family, model[gene == g]).any())
            weights[g] = max(1 - np.log(max(n, 1)) / np.log(limit), 0.0)
    return weights


def n_origins(models: NDArray[np.int64], shared: NDArray[np.int64], table: Table) -> int:
    """How many origins some models have, judged by all but the rows that they share.

    Args:
        models: int64 [m] ids, ascending. Of many, up to MAX_ORIGINS different ones are looked at.
        shared: rows that say nothing here.
        table: where the rows are.
    """
    place = np.searchsorted(table.models, models)
    _, different = np.unique(table.sheets[place], return_index=True)
    chosen = different[np.unique(np.linspace(0, len(different) - 1, MAX_ORIGINS).astype(int))]
    rows = np.setdiff1d(table.rows_of(models[chosen]), shared)
    _, whose = np.unique(table.models_of(rows), return_inverse=True)
    key, words = table.ids[rows] >> 32, table.codes[rows].view(np.uint64)
    n_bits = 64 * words.shape[1]
    a, b = np.nonzero(np.triu(key[:, None] == key[None, :], 1))
    distance = np.bitwise_count(words[a] ^ words[b]).sum(axis=1, dtype=np.int64)
    alike = 1 - 2 * distance / n_bits >= RELIABLE_Z * score_spread(_WEIGHTS, n_bits)
    edges = coo_array(
        (np.ones(alike.sum()), (whose[a][alike], whose[b][alike])), shape=(whose.max(initial=-1) + 1,) * 2
    )
    return int(connected_components(edges, directed=False)[0]) if len(rows) else 0
