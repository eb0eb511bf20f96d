"""Which gene of A is compared with which gene of B. Names do not count, and the tested units are not looked at.

Choosing partners by anything that depends on the tested units selects for fixed points: with 96 tensors and 4,096-bit
sketches of the tested rows, unrelated models reached K = 25. So a pair may follow only from what relabelling the
tested units leaves alone: the view, the shape, sketches of other units, and the order among equal shapes.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from hubdna.dna.genes import MIN_SKETCHED
from hubdna.dna.sketch import agreement_z
from hubdna.records import Dna, Gene

RELIABLE_Z = 5.0
"""One pair in 3.5 million by chance; below, equal counts are paired in their order."""

Pair = tuple[Gene, Gene]
Key = tuple[str, int, tuple[int, ...]]


def pair_genes(a: Dna, b: Dna) -> list[Pair]:
    """Pair genes of equal view and shape: first by sketches that agree beyond chance, then what is left by order.

    Returns:
        Pairs in A's order. Genes of a shape that the models hold in different numbers stay alone unless their
        sketches agree.
    """
    shelf_a, shelf_b = shelves(a), shelves(b)
    pairs: list[Pair] = []
    for key, genes_a in shelf_a.items():
        if genes_b := shelf_b.get(key):
            pairs += _pair_equal_shapes(genes_a, genes_b)
    return pairs


def shelves(dna: Dna) -> dict[Key, list[Gene]]:
    """Genes by what they must share to be compared."""
    shelf: dict[Key, list[Gene]] = defaultdict(list)
    for gene in dna.genes:
        shelf[gene.key].append(gene)
    return shelf


def _pair_equal_shapes(genes_a: list[Gene], genes_b: list[Gene]) -> list[Pair]:
    left_a, left_b = list(range(len(genes_a))), list(range(len(genes_b)))
    pairs: list[tuple[int, int]] = []
    blind = genes_a[0].view != "unseen"  # whose sketch is of the tested tokens themselves
    if blind and (len(genes_a) > 1 or len(genes_b) > 1) and genes_a[0].n_sketched >= MIN_SKETCHED:
        z = agreement_z(
            np.stack([g.sketch for g in genes_a]),
            np.stack([g.sketch for g in genes_b]),
            genes_a[0].n_sketched,
        )
        best_a, best_b = z.argmax(axis=1), z.argmax(axis=0)
        pairs = [(i, int(j)) for i, j in enumerate(best_a) if best_b[j] == i and z[i, j] >= RELIABLE_Z]
        left_a = [i for i in left_a if i not in {p[0] for p in pairs}]
        left_b = [j for j in left_b if j not in {p[1] for p in pairs}]
    if len(left_a) == len(left_b):
        pairs += list(zip(left_a, left_b, strict=True))
    return [(genes_a[i], genes_b[j]) for i, j in sorted(pairs)]
