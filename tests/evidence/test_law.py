"""P(K >= k) <= 1/k!, exactly, whatever the matrix; and how strong a relation has to be to show."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from evidence_bench import Bench, mixed, plain, weights

from hubdna.evidence.compare import compare_dna
from hubdna.evidence.fixed_points import MIN_UNITS, POWER_Z, log10_factorial, shuffled_assignment
from hubdna.verdict import COMMON_LOG10_P, MAX_DETECTABLE, judge

FIXED_POINTS_OF_5 = {0: 44, 1: 45, 2: 20, 3: 10, 5: 1}
"""How many of the 120 permutations of five have so many fixed points."""


def count_over_relabellings(S: np.ndarray) -> Counter[int]:
    m = len(S)
    orders = itertools.permutations(range(m))
    return Counter(int((shuffled_assignment(S[:, list(o)]) == np.arange(m)).sum()) for o in orders)


@pytest.mark.parametrize("seed", range(5))
def test_over_all_relabellings_of_any_matrix_k_counts_as_the_fixed_points_of_permutations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    S = rng.standard_normal((5, 5)) + rng.standard_normal(5) * rng.choice([0, 5]) + np.diag([seed] * 5)
    assert count_over_relabellings(S) == FIXED_POINTS_OF_5


def test_a_solver_that_answers_ties_with_the_identity_would_break_the_law() -> None:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.zeros((32, 32)), maximize=True)
    assert (rows == columns).all()  # what the shuffle is for
    assert (shuffled_assignment(np.zeros((32, 32))) == np.arange(32)).sum() < 8


@pytest.mark.parametrize("k", range(1, 33))
def test_one_over_k_factorial_bounds_the_exact_law(k: int) -> None:
    m, derangements = 32, [1, 0]
    for n in range(2, m + 1):
        derangements.append((n - 1) * (derangements[-1] + derangements[-2]))
    exact = sum(math.comb(m, j) * derangements[m - j] for j in range(k, m + 1))
    assert exact * math.factorial(k) <= math.factorial(m)
    assert log10_factorial(k) == pytest.approx(math.log10(math.factorial(k)), rel=1e-12)


def test_eighteen_is_the_first_count_that_passes_the_line_at_half_of_the_error() -> None:
    half = math.log10(2)
    assert half - log10_factorial(MIN_UNITS) <= COMMON_LOG10_P < half - log10_factorial(MIN_UNITS - 1)


@pytest.mark.parametrize("lengths", [(96,), (96, 128), (64, 96, 128, 160)])
def test_every_axis_length_that_was_tried_is_paid_for(bench: Bench, lengths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    a = {f"{n}.w": weights(rng, n, n) for n in lengths}
    b = {name: mixed(w, 0.25, rng) for name, w in a.items()}
    evidence = bench.compare(a, b).evidence
    best = max(bucket.fixed_points for bucket in plain(evidence))
    assert len(plain(evidence)) == len(lengths)
    expected = math.log10(2 * len(lengths)) - math.log10(math.factorial(best))
    assert min(b.log10_p for b in plain(evidence)) == pytest.approx(expected)
    assert evidence.log10_p == min(b.log10_p for b in evidence.buckets)


def test_half_of_the_error_goes_to_the_plain_tests_and_half_to_all_others(bench: Bench) -> None:
    rng = np.random.default_rng(5)
    a = {f"{n}.w": weights(rng, n, n) for n in (64, 96, 128)}
    evidence = bench.compare(a, {name: mixed(w, 0.9, rng) for name, w in a.items()}).evidence
    others = [b for b in evidence.buckets if b not in plain(evidence)]
    for tests in (plain(evidence), others):
        for bucket in tests:
            price = bucket.log10_p + log10_factorial(bucket.fixed_points)
            assert price == pytest.approx(math.log10(2 * len(tests)))
    assert len(others) == len(plain(evidence)) == 3


@pytest.mark.parametrize("columns", [128, 512])
def test_the_correlation_that_shows_in_nine_of_ten_pairs_is_the_one_we_promise(bench: Bench, columns: int) -> None:
    """POWER_Z within 15 %: at 15 % above the promised floor nine of ten pass, at 15 % below fewer do."""
    shares = dict.fromkeys((0.85, 1.15), 0.0)
    for factor in shares:
        for seed in range(30):
            rng = np.random.default_rng([columns, seed])
            a = {"x.w": weights(rng, 512, columns + 32), "y.w": weights(rng, 4, 512)}
            b = {"x.w": mixed(a["x.w"], factor * POWER_Z / math.sqrt(columns), rng), "y.w": a["y.w"]}
            (bucket,) = plain(compare_dna(bench.dna(a), bench.dna(b)))
            assert (bucket.n_axis, bucket.n_columns) == (512, columns)
            shares[factor] += (bucket.fixed_points >= MIN_UNITS) / 30
    assert shares[1.15] >= 0.9 > shares[0.85]


def test_strangers_are_only_called_so_when_a_relation_would_have_shown(bench: Bench) -> None:
    def net(seed: int, columns: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        halves = columns // 2, columns - columns // 2
        return {**{f"{i}.w": weights(rng, 64, n) for i, n in enumerate(halves)}, "out.w": weights(rng, 8, 64)}

    floor = (POWER_Z / MAX_DETECTABLE) ** 2  # 64 columns
    small, large = (bench.compare(net(1, n), net(2, n)) for n in (math.ceil(floor) - 9, math.ceil(floor) - 8))
    assert (small.origin, large.origin) == ("undecided", "no-evidence")
    assert judge(large.evidence).undecided_because is None
