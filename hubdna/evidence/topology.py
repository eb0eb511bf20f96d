"""Many models of one origin -> an unrooted tree, how firm each of its edges is, and where its root may be.

Squared distances between weights add up along a lineage as long as every step goes its own way, so the shortest tree
is the family tree. Steps do not quite go their own way: fine-tunes of one base share directions (the same data, the
same decay), and a light one then seems to lie on the way of a heavy one. What is shared sits in a few directions of
each matrix: they are found over the whole family and taken out before anything is measured. How firm an edge is, is
asked as in the trees of life: by drawing the matrices again, with replacement (Felsenstein, Confidence limits on
phylogenies, 1985).

A star and a chain leave the same distances, so the tree has no root. Where the root may be follows from the shape: if
every model is as likely as any other to be the next one's parent, the chance of each root is known exactly (rumour
centrality; Shah and Zaman, Rumors in a network, 2011, section III). Marks of direction multiply it.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from hubdna.evidence.places import Place, align
from hubdna.records import Dna

N_SHARED = 8
"""Directions on either side of a corner (32 x 128) that are taken as shared by the family."""
MIN_WEIGHTS = 1024
"""Corners below hold too few directions to take eight away."""
OTHER_SHAPE = 1.1
"""Factor on the distance of models with other numbers of layers or tokens: equal weights are nearest in equal shape."""
NEGLIGIBLE = 1e-6
"""Relative size below which a change has no direction."""
N_DRAWS = 100
BETWEEN = 0.1
"""What two branches may share, in squares of the shorter one, of a model that they both start from. Siblings whose
parent is missing share all that the nearest of them went alone."""

Matrix = NDArray[np.float64]
Odds = Callable[[int, int], float]


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """Squared distances between n models at p places, shared directions taken out.

    Attributes:
        squared: float64 [p, n, n]; mean squared difference of weights over their own mean square.
        found: bool [p, n, n]; whether both models have the place.
        n_weights: float64 [n, n]; weights that a pair was compared on.
    """

    squared: Matrix
    found: NDArray[np.bool_]
    n_weights: Matrix

    def mean(self, places: NDArray[np.intp] | slice = slice(None)) -> Matrix:
        """float64 [n, n]; over all places or some, NaN where two models share none of them."""
        total, held = self.squared[places].sum(axis=0), self.found[places].sum(axis=0)
        return np.where(held > 0, total / np.maximum(held, 1), np.nan)


def measure(models: Sequence[Dna]) -> Distances:
    """Measure models of one origin. The one that has most in common with the others sets the places."""
    places = [p for p in align(_widest(models), models) if p.values.size >= MIN_WEIGHTS]
    n = len(models)
    squared, found = np.zeros((len(places), n, n)), np.zeros((len(places), n, n), bool)
    centre = _centre(places, n)
    for k, place in enumerate(places):
        found[k] = np.outer(place.found, place.found)
        squared[k] = np.where(found[k], _squared_gaps(_own_ways(place, centre)) / place.values.size, 0)
    sizes = np.array([p.values.size for p in places], float)
    return Distances(squared, found, np.tensordot(sizes, found, axes=1))


def _widest(models: Sequence[Dna]) -> Dna:
    """The model whose matrices most others have."""
    shapes = [{b.tensor: b.shape for b in m.blocks + m.samples}.items() for m in models]
    return models[max(range(len(models)), key=lambda i: sum(len(shapes[i] & s) for s in shapes))]


def _centre(places: Sequence[Place], n: int) -> int:
    """The model with the least median distance to the others, shared directions and all."""
    total, held = np.zeros((n, n)), np.zeros((n, n))
    for place in places:
        both = np.outer(place.found, place.found)
        total += np.where(both, np.sqrt(_squared_gaps(np.nan_to_num(place.others))), 0)
        held += both
    typical = np.where(held > 0, total / np.maximum(held, 1), np.inf)
    return int(np.median(typical, axis=1).argmin()) if n else 0


def _squared_gaps(x: Matrix) -> Matrix:
    """Squared distances between the rows of float64 [n, d], as [n, n]."""
    products = x @ x.T
    squares = np.diag(products)
    gaps: Matrix = np.maximum(squares[:, None] + squares - 2 * products, 0)
    return gaps


def _own_ways(place: Place, centre: int) -> Matrix:
    """float64 [n, d]: the models' changes at a place, without the directions that the family shares; 0 where absent."""
    scale = math.sqrt(float((place.values**2).mean())) or 1.0
    origin = place.others[centre] if place.names[centre] else place.values
    change = np.nan_to_num((place.others - origin) / scale).reshape(len(place.others), *place.shape)
    size = np.linalg.norm(change, axis=(1, 2))
    moved = change[size > NEGLIGIBLE * math.sqrt(place.values.size)]
    if len(moved) > 1:
        unit = moved / np.linalg.norm(moved, axis=(1, 2), keepdims=True)
        left = np.linalg.eigh(np.einsum("nij,nkj->ik", unit, unit))[1][:, -N_SHARED:]
        right = np.linalg.eigh(np.einsum("nji,njk->ik", unit, unit))[1][:, -N_SHARED:]
        change = change - left @ (left.T @ change)
        change = change - (change @ right) @ right.T
    return change.reshape(len(change), -1)


def tree(models: Sequence[Dna], distances: Distances, made_from: Mapping[int, int]) -> nx.Graph:
    """The shortest tree over models of one origin; a forest when some share no places.

    Args:
        models: of one origin.
        distances: between them.
        made_from: for models that were cast, quantised or pruned, the one that they were made from. What that changed
            is so small that their distances to third models are mostly noise; they stay leaves unless a third model
            plainly carries the change.
    """
    return _shortest(models, distances.mean(), distances.n_weights, made_from)


def draws(models: Sequence[Dna], distances: Distances, made_from: Mapping[int, int]) -> Iterator[nx.Graph]:
    """The tree again, 100 times, of places drawn with replacement; the same draws on every machine."""
    rng = np.random.default_rng(0)
    n = len(distances.squared)
    for _ in range(N_DRAWS):
        drawn = distances.mean(rng.integers(n, size=n) if n else np.zeros(0, np.intp))
        yield _shortest(models, drawn, distances.n_weights, made_from)


def _shortest(models: Sequence[Dna], squared: Matrix, n_weights: Matrix, made_from: Mapping[int, int]) -> nx.Graph:
    shapes = np.array([(m.n_tensors, m.n_tokens) for m in models])
    other = (shapes[:, None] != shapes).any(axis=2)
    doubts = _doubts(squared, n_weights, made_from)
    length = squared * np.where(other, OTHER_SHAPE, 1.0) + np.maximum(doubts, doubts.T) + np.where(other, 2e-12, 1e-12)
    known = np.isfinite(length) & ~np.eye(len(models), dtype=bool)
    edges = sparse.csr_array((length[known], np.nonzero(known)), shape=known.shape)  # dense ones lose small weights
    found = csgraph.minimum_spanning_tree(edges).tocoo()
    graph = nx.Graph()
    graph.add_nodes_from(range(len(models)))
    graph.add_edges_from(zip(found.row.tolist(), found.col.tolist(), strict=True))
    return graph


def _doubts(squared: Matrix, n_weights: Matrix, made_from: Mapping[int, int]) -> Matrix:
    """Twice the standard deviation of how much nearer a third model may seem to a conversion than to its source."""
    doubts = np.zeros_like(squared)
    for leaf, source in made_from.items():
        row = 4 * np.sqrt(squared[leaf, source] * squared[source] / np.maximum(n_weights[leaf], 1))
        row[[leaf, source]] = 0
        doubts[leaf] = np.nan_to_num(row)
    return doubts


def firmness(graphs: Iterator[nx.Graph], odds: Odds) -> dict[tuple[int, int], float]:
    """For each ordered pair, the chance that the second was made from the first, over trees drawn again and roots.

    Args:
        graphs: forests over the same nodes.
        odds: for an edge (parent, child), how many times likelier its marks make this way than the other.
    """
    chance: dict[tuple[int, int], float] = defaultdict(float)
    for graph in graphs:
        for nodes in nx.connected_components(graph):
            edges = list(nx.bfs_edges(graph, min(nodes)))
            below = root_chances(edges, min(nodes), odds)
            for parent, child in reversed(edges):  # a child's chances, and those of all below it
                below[parent] = below.get(parent, 0.0) + below[child]
                chance[child, parent] += below[child] / N_DRAWS
                chance[parent, child] += (1 - below[child]) / N_DRAWS
    return dict(chance)


def root_chances(edges: Sequence[tuple[int, int]], start: int, odds: Odds) -> dict[int, float]:
    """How likely each node of a tree is its root.

    Moving the root over an edge changes the number of orders in which the tree can have grown by size / (n - size) of
    the part below, and turns the edge.

    Args:
        edges: (parent, child) of the tree as seen from `start`, parents first.
        start: any node.
        odds: as above.

    Returns:
        Chance of each node; they sum to 1.
    """
    size: dict[int, int] = defaultdict(lambda: 1)
    for parent, child in reversed(edges):
        size[parent] += size[child]
    n = len(edges) + 1
    log = {start: 0.0}
    for parent, child in edges:
        log[child] = log[parent] + math.log(size[child] / (n - size[child])) - math.log(odds(parent, child))
    top = max(log.values())
    total = sum(math.exp(x - top) for x in log.values())
    return {node: math.exp(x - top) / total for node, x in log.items()}


def passed_through(graph: nx.Graph, distances: Distances) -> set[tuple[int, int]]:
    """Neighbours (u, v) of a tree between which u stands as a branching point, not as a sibling of v.

    Some other branch starts from u and shares nothing with the one to v. If u were a sibling of v and the model that
    both were made from were missing, all branches from u would share the way from it to u.
    """
    squared = distances.mean()
    found: set[tuple[int, int]] = set()
    for u in graph:
        near = np.array(graph[u], np.intp)
        length = squared[u, near]
        shared = (length[:, None] + length - squared[np.ix_(near, near)]) / 2
        shorter = np.minimum(length[:, None], length)
        apart = (np.abs(shared) <= BETWEEN * shorter) & (shorter > 0) & ~np.eye(len(near), dtype=bool)
        found |= {(u, int(v)) for v in near[apart.any(axis=1)]}
    return found


def tie(graph: nx.Graph, squared: NDArray[np.float64], pairs: Iterable[tuple[int, int]]) -> None:
    """Make the two of each pair neighbours in a tree; of the circle that this closes, the longest other edge goes.

    Args:
        graph: the tree; changed in place.
        squared: float64[n, n], squared distances; NaN where there is none.
        pairs: (i, j), i < j; edges between them stay.
    """
    firm = set(pairs)
    for i, j in sorted(firm):
        if graph.has_edge(i, j):
            continue
        path = [(min(u, v), max(u, v)) for u, v in itertools.pairwise(nx.shortest_path(graph, i, j))]
        if loose := [pair for pair in path if pair not in firm]:
            graph.remove_edge(*max(loose, key=lambda pair: float(np.nan_to_num(squared[pair], nan=np.inf))))
            graph.add_edge(i, j)
