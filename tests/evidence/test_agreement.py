"""Two matchings of hidden units: alike in a copy, however it is numbered, and by chance only in strangers."""

import numpy as np
import pytest

from hubdna.evidence.agreement import Sides, agreement

N, K = 200, 96


def sides(rng: np.random.Generator, n: int = N, k: int = K) -> Sides:
    return rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal((n, k)).astype(np.float32)


def renumbered(model: Sides, rng: np.random.Generator) -> Sides:
    order = rng.permutation(len(model[0]))
    return model[0][order], model[1][order]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_agrees_on_every_unit_whatever_its_order(dtype: type) -> None:
    rng = np.random.default_rng(0)
    model: Sides = tuple(x.astype(dtype) for x in sides(rng))  # type: ignore[assignment]
    assert agreement(model, model) == agreement(model, renumbered(model, rng)) == 1.0


@pytest.mark.parametrize("n", [32, 100, 400])
def test_strangers_agree_on_about_one_unit_of_n(n: int) -> None:
    rng = np.random.default_rng(n)
    shares = [agreement(sides(rng, n), sides(rng, n)) for _ in range(30)]
    assert np.mean(shares) * n < 2.0
    assert max(shares) * n <= 6


def test_signs_and_scales_of_units_say_nothing() -> None:
    rng = np.random.default_rng(1)
    model = sides(rng)
    changed = [x * rng.choice([-1.0, 1.0], (N, 1)) * rng.uniform(0.1, 10, (N, 1)) for x in model]
    assert agreement(model, renumbered((changed[0], changed[1]), rng)) > 0.98


def test_what_all_inputs_have_in_common_says_nothing() -> None:
    rng = np.random.default_rng(2)
    model = sides(rng)
    moved = tuple(x + 50 * rng.standard_normal((N, 1)) for x in model)
    assert agreement(model, moved) > 0.99
    strangers = [tuple(x + 50 for x in sides(rng)) for _ in range(2)]
    assert agreement(*strangers) < 0.05


def test_sides_that_were_shuffled_apart_do_not_agree() -> None:
    rng = np.random.default_rng(3)
    model = sides(rng)
    assert agreement(model, (model[0], model[1][rng.permutation(N)])) < 0.05


@pytest.mark.parametrize(("noise", "at_least"), [(0.3, 0.99), (1.0, 0.9)])
def test_a_copy_that_was_trained_on_agrees_still(noise: float, at_least: float) -> None:
    rng = np.random.default_rng(4)
    model = sides(rng)
    tuned = tuple((x + noise * rng.standard_normal(x.shape)).astype(np.float32) for x in model)
    assert agreement(model, renumbered((tuned[0], tuned[1]), rng)) > at_least


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_of_units_that_two_models_have_in_common_is_measured(share: float) -> None:
    rng = np.random.default_rng(5)
    a, b, n = sides(rng), sides(rng), int(share * N)
    mixed = tuple(np.concatenate([x[:n], y[n:]]) for x, y in zip(a, b, strict=True))
    assert agreement(a, renumbered((mixed[0], mixed[1]), rng)) == pytest.approx(share, abs=0.02)


def test_layers_of_other_widths_agree_on_what_both_have() -> None:
    rng = np.random.default_rng(6)
    model = sides(rng)
    half = model[0][: N // 2], model[1][: N // 2]
    assert agreement(half, renumbered(model, rng)) > 0.98
    assert agreement(renumbered(model, rng), half) == pytest.approx(0.5, abs=0.02)


def test_dead_and_equal_units_are_no_agreement() -> None:
    zeros = np.zeros((N, K), np.float32)
    with np.errstate(all="raise"):
        assert agreement((zeros, zeros), (zeros, zeros)) <= 1 / N
        assert agreement((zeros + 1, zeros + 1), sides(np.random.default_rng(7))) <= 2 / N
