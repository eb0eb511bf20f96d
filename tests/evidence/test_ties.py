"""Equal rows, zero rows and constants answer nothing, however many of them two models share."""

import numpy as np
import pytest
from evidence_bench import Bench, assert_null, weights

from hubdna.errors import NoGenesError
from hubdna.evidence.fixed_points import shuffled_assignment


def planted(change) -> object:
    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        tensors = {f"{i}.w": weights(rng, 96, 96) for i in range(4)}
        for W in tensors.values():
            change(W)
        return tensors

    return make


def zero_rows(W: np.ndarray) -> None:
    W[[1, 5, 8]] = 0


def constant_rows(W: np.ndarray) -> None:
    W[[0, 3, 9]] = 0.25


def repeated_rows(W: np.ndarray) -> None:
    W[[2, 7, 11]] = W[40]


def scaled_rows(W: np.ndarray) -> None:
    W[[4, 6, 21]] = np.outer([-1, 2, 3], W[4])


def zero_columns(W: np.ndarray) -> None:
    W[:, 3::5] = 0


@pytest.mark.parametrize("change", [zero_rows, constant_rows, repeated_rows, scaled_rows, zero_columns])
def test_rows_that_two_unrelated_models_lack_or_repeat_at_the_same_places_are_no_evidence(bench: Bench, change) -> None:
    assert_null(bench.unrelated(planted(change), 6), at_least=15)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3])
def test_models_that_hold_constants_only_are_no_evidence_and_no_copies(bench: Bench, value: float) -> None:
    constant = {"a.w": np.full((96, 96), value, np.float32), "b.w": np.full((96, 96), value, np.float32)}
    with pytest.raises(NoGenesError, match="no testable units"):
        bench.compare(constant, {**constant, "c.bias": np.ones(3, np.float32)})


def test_a_few_rows_planted_bit_for_bit_in_unrelated_models_do_not_make_them_relatives(bench: Bench) -> None:
    shared = weights(np.random.default_rng(1), 8, 96)

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        tensors = {f"{i}.w": weights(rng, 96, 96) for i in range(2)}
        for W in tensors.values():
            W[:8] = shared
        return tensors

    origins = {v.origin for v in bench.unrelated(make)}
    assert origins <= {"no-evidence", "undecided"}


def test_a_constant_matrix_has_one_fixed_point_on_average_as_the_shuffle_leaves_nothing_to_the_solver() -> None:
    ks = [(shuffled_assignment(np.full((32, 32), value)) == np.arange(32)).sum() for value in np.linspace(-1, 1, 400)]
    assert 0.8 < np.mean(ks) < 1.2
    assert max(ks) < 8


def test_half_tied_matrices_have_one_fixed_point_on_average() -> None:
    rng, ks = np.random.default_rng(2), []
    for _ in range(400):
        S = np.zeros((32, 32))
        S[np.ix_(rng.permutation(32)[:16], rng.permutation(32)[:16])] = rng.standard_normal((16, 16))
        ks.append((shuffled_assignment(S) == np.arange(32)).sum())
    assert 0.8 < np.mean(ks) < 1.2
