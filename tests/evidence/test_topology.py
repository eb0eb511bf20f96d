"""The shortest tree over models of one origin, how firm its edges are, and where its root may be."""

import itertools
import math
from collections.abc import Iterator, Sequence

import networkx as nx
import numpy as np
import pytest

from hubdna.evidence import topology
from hubdna.records import Block, Dna, ModelRef

N_PLACES, SHAPE = 12, (32, 128)
Weights = list[np.ndarray]
Edges = set[frozenset[int]]


def dna(name: str, weights: Weights, n_tensors: int = N_PLACES, first: int = 0) -> Dna:
    """A model of some corners and nothing else."""
    blocks = tuple(Block(f"layers.{first + i}.w", SHAPE, "dense", "F32", w.astype(np.float32), 0)
                   for i, w in enumerate(weights))  # fmt: skip
    return Dna(ModelRef(f"a/{name}"), "s", (), blocks, n_tensors=n_tensors)


def draw(rng: np.random.Generator, size: float = 1.0) -> Weights:
    return [size * rng.standard_normal(SHAPE) for _ in range(N_PLACES)]


def plus(a: Weights, b: Weights, share: float = 1.0) -> Weights:
    return [x + share * y for x, y in zip(a, b, strict=True)]


def grown(parents: Sequence[int], rng: np.random.Generator, shared: Weights | None = None) -> list[Dna]:
    """A root, and one model for each parent: independent steps of different sizes, and what siblings share."""
    found = [draw(rng)]
    for parent in parents:
        step = draw(rng, float(rng.uniform(0.02, 0.2)))
        found.append(
            plus(plus(found[parent], step), shared, rng.uniform(0.5, 2)) if shared else plus(found[parent], step)
        )
    return [dna(str(i), w) for i, w in enumerate(found)]


def edges_of(graph: nx.Graph) -> Edges:
    return {frozenset(edge) for edge in graph.edges}


def shortest(models: Sequence[Dna], made_from: dict[int, int] | None = None) -> Edges:
    return edges_of(topology.tree(models, topology.measure(models), made_from or {}))


def truth(parents: Sequence[int]) -> Edges:
    return {frozenset((i, p)) for i, p in enumerate(parents, start=1)}


def fair(parent: int, child: int) -> float:
    return 1.0


SHAPES = {
    "star": [0, 0, 0, 0, 0],
    "chain": [0, 1, 2, 3, 4, 5],
    "caterpillar": [0, 1, 2, 0, 1, 2, 3],
    "random": [int(np.random.default_rng(5).integers(i)) for i in range(1, 12)],
    "five": [0, 0, 1, 1],
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_independent_steps_give_the_tree_back(shape: str, seed: int) -> None:
    assert shortest(grown(SHAPES[shape], np.random.default_rng(seed))) == truth(SHAPES[shape])


@pytest.mark.parametrize("seed", range(3))
def test_what_siblings_share_does_not_make_a_chain_of_a_star(seed: int) -> None:
    """All children drift the same few ways (the same data, the same decay), some far and some not."""
    rng = np.random.default_rng(seed)
    drift = [0.05 * rng.standard_normal((32, 3)) @ rng.standard_normal((3, 128)) for _ in range(N_PLACES)]
    models = grown([0] * 6, rng, drift)
    assert shortest(models) == truth([0] * 6)
    raw = np.array([[sum(((x.values - y.values) ** 2).sum() for x, y in zip(a.blocks, b.blocks, strict=True))
                     for b in models] for a in models])  # fmt: skip
    assert edges_of(nx.minimum_spanning_tree(nx.from_numpy_array(raw))) != truth([0] * 6)


def test_casts_and_grids_stay_leaves() -> None:
    rng = np.random.default_rng(1)
    models = grown([0, 0, 1, 1], rng)
    rounded = [dna(f"c{i}", [w + 0.002 * rng.uniform(-1, 1, SHAPE) for w in (b.values for b in models[i].blocks)])
               for i in (0, 1)]  # fmt: skip
    found = shortest([*models, *rounded], {5: 0, 6: 1})
    assert found == truth([0, 0, 1, 1]) | {frozenset((5, 0)), frozenset((6, 1))}


@pytest.mark.parametrize("seed", range(5))
def test_a_coarse_grid_is_no_bridge_between_fine_tunes(seed: int) -> None:
    """The grid's own error is far larger than the light steps around it."""
    rng = np.random.default_rng(seed)
    base = draw(rng)
    light = [plus(base, draw(rng, 0.001)) for _ in range(4)]
    grid = [np.rint(w * 4) / 4 for w in base]
    models = [dna(str(i), w) for i, w in enumerate([base, *light, grid])]
    assert shortest(models, {5: 0}) == truth([0, 0, 0, 0, 0])


def test_equal_weights_of_another_shape_hang_on_their_own_kind() -> None:
    base = draw(np.random.default_rng(0))
    models = [dna("0", base), dna("1", base), dna("2", base, 20), dna("3", base, 20)]
    found = shortest(models)
    assert len(found) == 3 and {frozenset((0, 1)), frozenset((2, 3))} <= found


def test_equal_distances_give_some_tree_and_always_the_same() -> None:
    models = [dna(str(i), draw(np.random.default_rng(0))) for i in range(5)]
    first = shortest(models)
    assert len(first) == 4 and first == shortest(models)


def test_models_without_common_places_stand_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = grown([0, 0], rng), [dna(f"o{i}", w[:1]) for i, w in enumerate([draw(rng), draw(rng)])]
    other = [Dna(m.ref, "s", (), tuple(Block("x", (64, 256), "dense", "F32", b.values, 0) for b in m.blocks))
             for m in second]  # fmt: skip
    graph = topology.tree([*first, *other], topology.measure([*first, *other]), {})
    assert len(graph) == 5 and not any(len({*edge} & {3, 4}) == 1 for edge in graph.edges)


def test_one_model_is_a_tree_without_edges() -> None:
    for models in ([dna("0", draw(np.random.default_rng(0)))], [Dna(ModelRef("a/b"), "s", ())]):
        distances = topology.measure(models)
        assert edges_of(topology.tree(models, distances, {})) == set()
        assert topology.firmness(topology.draws(models, distances, {}), fair) == {}


def test_of_two_models_either_may_be_the_parent() -> None:
    models = grown([0], np.random.default_rng(0))
    firm = topology.firmness(topology.draws(models, topology.measure(models), {}), fair)
    assert firm == {(0, 1): pytest.approx(0.5), (1, 0): pytest.approx(0.5)}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chances_of_a_pair_sum_to_one_at_most(shape: str) -> None:
    rng = np.random.default_rng(0)
    models = grown(SHAPES[shape], rng)
    models += [
        dna(f"near{i}", [b.values + 0.001 * rng.standard_normal(SHAPE) for b in models[0].blocks]) for i in (0, 1)
    ]
    firm = topology.firmness(topology.draws(models, topology.measure(models), {}), fair)
    pairs = {frozenset(pair) for pair in firm}
    sums = [sum(firm.get(way, 0.0) for way in itertools.permutations(pair)) for pair in pairs]
    assert all(0 <= chance <= 1 + 1e-9 for chance in firm.values())
    assert max(sums) <= 1 + 1e-9 and sum(sums) == pytest.approx(len(models) - 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_the_models_changes_nothing(shape: str) -> None:
    models = grown(SHAPES[shape], np.random.default_rng(3))
    first, made_from = shortest(models), {len(models) - 1: SHAPES[shape][-1]}
    firm = topology.firmness(topology.draws(models, topology.measure(models), made_from), fair)
    for seed in range(3):
        order = [int(i) for i in np.random.default_rng(seed).permutation(len(models))]
        moved = [models[i] for i in order]
        assert {frozenset(order[i] for i in edge) for edge in shortest(moved)} == first
        there = {order.index(c): order.index(p) for c, p in made_from.items()}
        again = topology.firmness(topology.draws(moved, topology.measure(moved), there), fair)
        for (u, v), chance in again.items():
            assert firm[order[u], order[v]] == pytest.approx(chance, abs=0.02)
    again = topology.firmness(topology.draws(models, topology.measure(models), made_from), fair)
    assert firm == again


# Roots.


def orders(graph: nx.Graph, root: int) -> int:
    """In how many orders the tree can have grown from a root: each model after its parent. By enumeration."""

    def grow(held: frozenset[int]) -> int:
        new = {n for h in held for n in graph[h]} - held
        return sum(grow(held | {n}) for n in new) if new else 1

    return grow(frozenset([root]))


def trees() -> Iterator[nx.Graph]:
    for n in range(1, 8):
        yield from (nx.convert_node_labels_to_integers(t) for t in nx.nonisomorphic_trees(n))


@pytest.mark.parametrize("biased", [False, True], ids=["fair", "with odds"])
def test_root_chances_are_those_of_all_orders_of_growth(biased: bool) -> None:
    rng = np.random.default_rng(0)
    for graph in trees():
        way = {frozenset(e): math.exp(rng.normal(0, 2)) for e in graph.edges}

        def odds(parent: int, child: int, way: dict[frozenset[int], float] = way) -> float:
            strength = way[frozenset((parent, child))] if biased else 1.0
            return strength if parent < child else 1 / strength

        weight = {}
        for root in graph:
            directed = nx.bfs_edges(graph, root)
            weight[root] = orders(graph, root) * math.prod(math.sqrt(odds(p, c)) for p, c in directed)
        for start in graph:
            found = topology.root_chances(list(nx.bfs_edges(graph, start)), start, odds)
            for root in graph:
                assert found[root] == pytest.approx(weight[root] / sum(weight.values()))


def test_a_mark_of_a_thousand_turns_an_edge() -> None:
    models = grown([0], np.random.default_rng(0))
    firm = topology.firmness(
        topology.draws(models, topology.measure(models), {}), lambda p, c: 1000.0 if (p, c) == (1, 0) else 0.001
    )
    assert firm[1, 0] == pytest.approx(1000 / 1001)
