"""Choosing partners must not look at the tested units, and must find shuffled tensors again."""

import numpy as np
from evidence_bench import Bench, assert_null, mixed, weights

from hubdna.dna.genes import n_tested
from hubdna.evidence.compare import compare_dna
from hubdna.evidence.pairing import pair_genes
from hubdna.verdict import judge

N = 100


def many(rng: np.random.Generator, n: int = N) -> dict[str, np.ndarray]:
    return {f"{i}.w": weights(rng, 64, 64) for i in range(n)}


def test_the_best_of_many_partners_is_chosen_without_a_look_at_the_tested_units(bench: Bench) -> None:
    """200 genes of one shape: choosing by sketches of the tested rows gave K = 25 between unrelated models."""
    dnas = [bench.dna(many(np.random.default_rng(s))) for s in range(5)]
    assert all(len(d.genes) == 2 * N for d in dnas)
    assert_null([judge(compare_dna(a, b)) for a in dnas for b in dnas if a is not b], at_least=20)


def test_partners_do_not_change_when_the_tested_units_do(bench: Bench) -> None:
    a, b = many(np.random.default_rng(1), 6), many(np.random.default_rng(2), 6)
    m = n_tested(64)
    for i in range(6):  # what is left of B comes from A, in another order
        b[f"{i}.w"][m:, m:] = a[f"{(i + 2) % 6}.w"][m:, m:]
    names = [(x.tensor, x.axis, y.tensor, y.axis) for x, y in pair_genes(bench.dna(a), bench.dna(b))]
    for W in b.values():
        W[:m], W[:, :m] = weights(np.random.default_rng(3), m, 64), weights(np.random.default_rng(4), 64, m)
    assert names == [(x.tensor, x.axis, y.tensor, y.axis) for x, y in pair_genes(bench.dna(a), bench.dna(b))]
    assert {(x, y) for x, _, y, _ in names} == {(f"{(i + 2) % 6}.w", f"{i}.w") for i in range(6)}


def test_partners_found_by_what_is_not_tested_leave_the_test_its_null(bench: Bench) -> None:
    base = many(np.random.default_rng(1), 6)
    m = n_tested(64)

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        model = many(rng, 6)
        for (_, W), original in zip(sorted(model.items()), rng.permutation(list(base.values())), strict=True):
            W[m:, m:] = original[m:, m:]
        return model

    assert_null(bench.unrelated(make, 7), at_least=21)


def test_relatives_at_a_correlation_of_three_tenths_find_all_partners_in_any_order(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    a = {f"{i}.w": weights(rng, 128, 128) for i in range(24)}
    order = rng.permutation(24)
    b = {f"{j}.w": mixed(a[f"{i}.w"], 0.3, rng) for j, i in enumerate(order)}
    dna_a, dna_b = bench.dna(a), bench.dna(b)
    pairs = {(x.tensor, x.axis, y.tensor, y.axis) for x, y in pair_genes(dna_a, dna_b)}
    assert pairs == {(f"{i}.w", axis, f"{j}.w", axis) for j, i in enumerate(order) for axis in (0, 1)}
    verdict = judge(compare_dna(dna_a, dna_b))
    assert verdict.origin == "common"
    assert abs(verdict.similarity - 0.3) < 0.02


def test_shapes_held_in_different_numbers_are_not_paired_blindly(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    a = {f"{i}.w": weights(rng, 128, 128) for i in range(3)}
    b = {f"{i}.w": weights(rng, 128, 128) for i in range(4)}
    assert bench.compare(a, b).evidence.n_genes == 0
    b["9.w"] = a["1.w"] * 2
    pairs = pair_genes(bench.dna(a), bench.dna(b))
    assert [(x.tensor, y.tensor) for x, y in pairs] == [("1.w", "9.w")] * 2
