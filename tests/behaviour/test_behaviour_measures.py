"""The plain measures: what they give where the truth is known, and what they refuse."""

from collections.abc import Callable

import behaviour_bench as bench
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from hubdna.behaviour.measures import agreement, agreement_test, all_cka, cka, holm, projection
from hubdna.errors import BehaviourError
from hubdna.records import Behaviour

N = 128


def made(seed: int, states: np.ndarray | None = None, top: np.ndarray | None = None, k: int = 10) -> Behaviour:
    """A behaviour with the given states at every place."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(N, 30)) if states is None else states
    states = states - states.mean(0)
    products = states @ states.T
    relations = np.repeat((products / np.trace(products) * N)[None].astype(np.float32), 6, 0)
    top = rng.integers(k, size=N) if top is None else top
    return Behaviour("s", "vision", "timm", relations, np.zeros((N, k), np.float32), top.astype(np.int64))


def test_equal_relations_give_one_whatever_the_coordinates() -> None:
    states = np.random.default_rng(0).normal(size=(N, 30))
    turned = 5 * states @ np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0] + 3
    assert cka(made(0, states), made(0, turned), 0) == pytest.approx(1, abs=1e-5)


def test_unrelated_states_give_nothing_on_average_however_wide_they_are() -> None:
    """The biased form gives 0.8 here: 512 coordinates for 128 probes."""
    rng = np.random.default_rng(2)
    found = [cka(made(0, rng.normal(size=(N, 512))), made(0, rng.normal(size=(N, 512))), 0) for _ in range(20)]
    assert abs(np.mean([f for f in found if f is not None])) < 0.01


def test_alignment_grows_with_what_two_models_share() -> None:
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(N, 20)), rng.normal(size=(2, N, 20))
    found = [cka(*(made(0, common * s + part * (1 - s)) for part in own), 0) for s in (0.0, 0.3, 0.6, 0.9)]
    assert found == sorted(found) and found[-1] > 0.9


def test_places_that_were_not_seen_say_nothing() -> None:
    a = made(0)
    a.relations[:5] = 0
    assert all_cka(a, made(1))[:5] == (None,) * 5
    assert not projection(a, 0).any()


def test_two_schemes_do_not_mix() -> None:
    other = Behaviour("t", "vision", "timm", made(0).relations, made(0).answers, made(0).top)
    for measure in (agreement, all_cka):
        with pytest.raises(BehaviourError, match="s and t do not compare"):
            measure(made(0), other)


def test_agreement_is_a_share_of_probes() -> None:
    a = made(0)
    half = a.top.copy()
    half[::2] = (half[::2] + 1) % 10
    assert agreement(a, made(1, top=half)) == 0.5
    assert agreement(a, made(1, k=2)) is None
    assert agreement(made(0, k=0, top=np.full(N, -1)), made(1, k=0, top=np.full(N, -1))) is None


def test_a_source_has_to_beat_every_unrelated_model() -> None:
    target, strangers = made(0), [made(seed) for seed in (1, 2, 3)]
    close = target.top.copy()
    close[:20] = (close[:20] + 1) % 10
    source = made(9, top=close)
    alone = agreement_test(target, source, strangers)
    assert alone is not None and alone < 1e-12
    assert agreement_test(target, source, [*strangers, made(8, top=target.top)]) > 0.99
    assert agreement_test(target, source, []) is None
    assert agreement_test(target, source, [made(1, k=2)]) is None


def test_the_sign_test_is_exact() -> None:
    target, source, other = made(0), made(1), made(2)
    ours = int(((target.top == source.top) & (target.top != other.top)).sum())
    theirs = int(((target.top != source.top) & (target.top == other.top)).sum())
    expected = binomtest(ours, ours + theirs, alternative="greater").pvalue
    assert agreement_test(target, source, [other]) == pytest.approx(expected)


def test_strangers_are_seldom_taken_for_sources() -> None:
    """Answers drawn at random: at 5 %, at most 5 % of 400 are rejected, up to the error of counting."""
    rng = np.random.default_rng(4)
    seen = [agreement_test(*(made(int(s)) for s in rng.integers(1 << 30, size=2)), [made(7)]) for _ in range(400)]
    assert np.mean([p is not None and p <= 0.05 for p in seen]) < 0.08


@given(st.lists(st.floats(0, 1), max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_keeps_the_order_and_never_lowers_a_p_value(values: list[float]) -> None:
    corrected = holm(values)
    assert all(v <= c <= 1 for v, c in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [corrected[i] for i in order] == sorted(corrected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_projections_keep_what_relations_say(demo: Callable[[str], Behaviour]) -> None:
    root, pruned = demo(bench.VIT), demo("opticlab/vit-digits-pruned")
    assert np.linalg.norm(projection(root)) == pytest.approx(1)
    assert float(projection(root) @ projection(pruned)) > float(projection(root) @ projection(made(0)))
