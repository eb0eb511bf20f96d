"""A merge with a parent that is in no index tells of it by spikes; what is no merge has none that count."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from hubdna.evidence.rounding import stored
from hubdna.evidence.unmix import unmix
from hubdna.records import Block, Dna, Mixture, ModelRef

Weights = dict[str, NDArray[np.float64]]
SHAPE, N = (32, 64), 6


def draw(seed: int, scale: float = 1.0) -> Weights:
    rng = np.random.default_rng(seed)
    return {f"model.layers.{i}.mlp.up_proj.weight": scale * rng.normal(size=SHAPE) for i in range(N)}


def plus(start: Weights, *parts: tuple[float, Weights], dtype: str = "F32") -> Weights:
    return {n: stored(w + sum(s * p[n] for s, p in parts), dtype) for n, w in start.items()}


def kept(change: Weights, share: float, seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return {n: w * (rng.random(w.shape) < share) for n, w in change.items()}


def dna(name: str, weights: Weights) -> Dna:
    blocks = [Block(n, SHAPE, "ffn", "F32", w.astype(np.float32), 0) for n, w in weights.items()]
    return Dna(ModelRef(name), "test", (), tuple(blocks))


def read(target: Weights, others: Mapping[str, Weights]) -> Mixture | None:
    return unmix(dna("target", target), [dna(n, w) for n, w in others.items()], remarks=True)


def is_alarm(mixture: Mixture | None) -> bool:
    return mixture is not None and mixture.unexplained > 0


BASE = plus(draw(0))
CHANGES = {name: draw(seed, 0.05) for seed, name in enumerate("abcdh", start=1)}
FAMILY = {"base": BASE} | {name: plus(BASE, (1.0, CHANGES[name])) for name in "abcd"}
FAMILY["frozen"] = plus(BASE, (1.0, kept(draw(30, 0.05), 0.98, 9)))
SPARSE = plus(BASE, (1.5, kept(CHANGES["a"], 0.5, 1)), (1.2, kept(CHANGES["h"], 0.5, 2)))


def test_a_sparse_merge_with_a_hidden_parent_names_the_other_one_and_what_is_left() -> None:
    found = read(SPARSE, FAMILY)
    assert found is not None and found.base is not None and not found.directed
    assert {m.ref.repo_id: m.share for m in found.parents} == pytest.approx({"a": 1.5}, abs=0.01)
    assert found.base.ref.repo_id == "base"
    assert found.unexplained == pytest.approx(2 / 3, abs=0.03)


def test_with_a_multiple_above_one_others_must_tell_the_base_from_the_merge() -> None:
    """M = B + s (A - B) and B = M + s / (s - 1) (A - M): nothing is said where no model holds weights of either."""
    few = {n: FAMILY[n] for n in "ab"}
    assert read(SPARSE, few | {"base": BASE}) is None
    assert read(BASE, few | {"merge": SPARSE}) is None
    small = plus(BASE, (0.7, kept(CHANGES["a"], 0.5, 1)), (0.6, kept(CHANGES["h"], 0.5, 2)))
    assert is_alarm(read(small, few | {"base": BASE}))
    assert read(BASE, few | {"merge": small}) is None


def test_a_mean_with_a_hidden_parent_that_stood_still_in_places_is_noticed() -> None:
    still = plus(BASE, (0.6, CHANGES["a"]), (0.4, kept(CHANGES["h"], 0.9, 3)))
    found = read(still, FAMILY)
    assert is_alarm(found) and found is not None
    assert {m.ref.repo_id: m.share for m in found.parents} == pytest.approx({"a": 0.6}, abs=0.01)


def test_a_mean_with_a_hidden_parent_that_moved_everywhere_is_not_noticed() -> None:
    assert read(plus(BASE, (0.5, CHANGES["a"]), (0.5, CHANGES["h"])), FAMILY) is None


def test_trainings_that_share_much_of_their_way_are_no_alarm() -> None:
    sibling = plus(BASE, (0.6, CHANGES["a"]), (0.05, draw(20)))
    assert read(sibling, FAMILY) is None


def test_a_training_of_a_model_is_no_alarm() -> None:
    assert read(plus(FAMILY["a"], (0.05, draw(21))), FAMILY) is None
    assert read(plus(FAMILY["a"], (1.0, kept(draw(21, 0.05), 0.5, 4))), FAMILY) is None


def test_the_parent_of_a_sparse_merge_is_no_alarm() -> None:
    others = {n: w for n, w in FAMILY.items() if n != "a"} | {"merge": SPARSE}
    assert not is_alarm(read(FAMILY["a"], others))


def test_the_parent_of_several_sparse_merges_is_no_alarm_even_without_the_base() -> None:
    second = plus(BASE, (0.7, kept(CHANGES["a"], 0.5, 5)), (1.1, kept(CHANGES["b"], 0.5, 6)))
    others = {n: w for n, w in FAMILY.items() if n not in ("a", "base")} | {"one": SPARSE, "two": second}
    assert not is_alarm(read(FAMILY["a"], others))


def test_the_base_is_no_alarm_where_a_merge_takes_a_parent_away() -> None:
    task = plus(BASE, (1.0, kept(CHANGES["a"], 0.8, 7)), (-0.4, CHANGES["c"]))
    others = {n: w for n, w in FAMILY.items() if n != "base"} | {"task": task}
    assert not is_alarm(read(BASE, others))


def test_an_adapter_at_another_scale_is_no_alarm() -> None:
    rng = np.random.default_rng(9)
    change = {n: rng.normal(size=(32, 4)) @ rng.normal(size=(4, 64)) / 50 for n in BASE}
    others = FAMILY | {"adapted": plus(BASE, (1.0, change)), "merge": SPARSE}
    assert not is_alarm(read(plus(BASE, (0.5, change)), others))


def test_a_pruned_model_is_no_alarm_beside_another_one() -> None:
    pruned = {n: w * (np.abs(w) > 0.7) for n, w in FAMILY["a"].items()}
    others = FAMILY | {"pruned": {n: w * (np.abs(w) > 0.7) for n, w in FAMILY["b"].items()}}
    assert not is_alarm(read(pruned, others))


def test_weights_that_decayed_alike_are_no_alarm() -> None:
    """Rows that no training reached shrink by one factor: the changes of two trainings are multiples there."""
    longer, target = (
        {n: stored(w + np.where(np.arange(32)[:, None] < 8, -fade * w, more[n]), "F32") for n, w in BASE.items()}
        for fade, more in ((0.1, CHANGES["d"]), (0.05, CHANGES["h"]))
    )
    assert not is_alarm(read(target, FAMILY | {"longer": longer}))
