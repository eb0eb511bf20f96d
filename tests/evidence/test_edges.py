"""Where a test begins and ends: axis lengths, live units, columns."""

import numpy as np
import pytest
from evidence_bench import Bench, assert_null, mixed, plain, weights


def net(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Units of length n with 25 + 25 + 20 columns, too few to be an axis of their own."""
    return {"a.w": weights(rng, n, 25), "b.w": weights(rng, n, 25), "c.w": weights(rng, 20, n)}


@pytest.mark.parametrize(
    ("n", "tested"), [(32, 24), (33, 25), (36, 28), (39, 31), (40, 32), (47, 32), (48, 32), (64, 32), (65, 32)]
)
def test_an_axis_gives_eight_units_to_pairing_and_up_to_32_to_the_test(bench: Bench, n: int, tested: int) -> None:
    rng = np.random.default_rng(n)
    a = net(rng, n)
    related = bench.compare(a, {name: mixed(w, 0.8, rng) for name, w in a.items()})
    assert [(b.n_axis, b.n_units, b.fixed_points) for b in plain(related.evidence)] == [(n, tested, tested)]
    assert related.origin == "common"


def test_an_axis_of_31_units_is_too_short(bench: Bench) -> None:
    a = net(np.random.default_rng(0), 31)
    verdict = bench.compare(a, {name: w * 2 for name, w in a.items()})
    assert (verdict.origin, verdict.evidence.n_genes) == ("undecided", 0)


@pytest.mark.parametrize("n", [32, 33, 36, 39, 40, 47, 64])
def test_short_axes_keep_the_null(bench: Bench, n: int) -> None:
    assert_null(bench.unrelated(lambda r: net(r, n), 7), at_least=21)


@pytest.mark.parametrize("n", range(32, 41))
def test_square_maps_of_short_axes_have_eight_free_columns_left_and_keep_the_null(bench: Bench, n: int) -> None:
    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {f"{i}.w": weights(rng, n, n) + 0.5 * np.eye(n, dtype=np.float32) for i in range(4)}

    assert_null(bench.unrelated(make, 6), at_least=15)


@pytest.mark.parametrize(("n_dead", "origin"), [(14, "common"), (15, "undecided")])
def test_a_test_needs_eighteen_live_units(bench: Bench, n_dead: int, origin: str) -> None:
    """Each tensor is nearly whole, but together they leave 18 units, or 17."""
    rng = np.random.default_rng(1)
    a = {f"{i}.w": weights(rng, 96, 30) for i in range(8)} | {"out.w": weights(rng, 20, 96)}
    b = {name: mixed(w, 0.8, rng) for name, w in a.items()}
    for unit in range(n_dead):
        a[f"{unit % 8}.w"][unit] = 0
    verdict = bench.compare(a, b)
    assert verdict.origin == origin
    if origin == "undecided":
        assert "18" in (verdict.undecided_because or "")
    else:
        assert [(x.n_units, x.fixed_points) for x in plain(verdict.evidence)] == [(18, 18)]


def test_a_tensor_with_many_dead_units_does_not_cost_the_others_theirs(bench: Bench) -> None:
    rng = np.random.default_rng(1)
    a = {f"{i}.w": weights(rng, 96, 28 + i) for i in range(3)} | {"out.w": weights(rng, 20, 96)}
    a["1.w"][:20] = 0
    verdict = bench.compare(a, {name: mixed(w, 0.8, rng) for name, w in a.items()})
    assert [(x.n_units, x.n_genes, x.fixed_points) for x in plain(verdict.evidence)] == [(32, 3, 32)]


@pytest.mark.parametrize(("columns", "tested"), [(7, False), (8, True)])
def test_rows_of_fewer_than_eight_numbers_are_not_looked_at(bench: Bench, columns: int, tested: bool) -> None:
    rng = np.random.default_rng(1)
    a = {"a.w": weights(rng, 96, columns), "out.w": weights(rng, 4, 96)}
    evidence = bench.compare(a, {name: mixed(w, 0.9, rng) for name, w in a.items()}).evidence
    assert bool(evidence.buckets) == tested
