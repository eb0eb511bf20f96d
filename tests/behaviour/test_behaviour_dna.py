"""The compact form of a behaviour: fragments, network, classifier. What it is worth is on board `behaviour`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from behaviour_bench import VIT

from hubdna.behaviour.fingerprints import familiar, fingerprint, scheme, shipped
from hubdna.behaviour.fragments import BLOCKS, BUCKETS, sketch, whitened
from hubdna.behaviour.likeness import judge
from hubdna.errors import BehaviourError
from hubdna.records import Behaviour

Demo = Callable[[str], Behaviour]

RNG = np.random.default_rng(0)


def states(n: int = 192, width: int = 40) -> np.ndarray:
    return RNG.normal(size=(n, width)) * np.geomspace(10, 0.1, width)


def relations(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(0)
    return (x @ x.T / (x * x).sum(1).mean()).astype(np.float32)


def behaviour(*places: np.ndarray) -> Behaviour:
    n = len(places[0])
    return Behaviour(
        "x", "vision", "timm", np.stack([relations(p) for p in places]), np.zeros((n, 0), np.float32),
        np.full(n, -1),
    )  # fmt: skip


def test_whitening_weakens_strong_directions_and_keeps_what_rotations_leave() -> None:
    x = states()
    turn = np.linalg.qr(RNG.normal(size=(40, 40)))[0]
    made = whitened(relations(x), 0.01)
    assert np.allclose(made, whitened(relations(x @ turn), 0.01), atol=1e-3)
    strong, weak = (np.outer(c, c) for c in (x[:, 0] - x[:, 0].mean(), x[:, 20] - x[:, 20].mean()))
    share = lambda k: abs((k * strong).sum() / np.linalg.norm(strong)) / abs((k * weak).sum() / np.linalg.norm(weak))  # noqa: E731
    assert share(made) < 0.1 * share(relations(x))


def test_whitening_gives_zero_where_nothing_was_seen() -> None:
    assert not whitened(np.zeros((8, 8), np.float32), 0.1).any()


def test_inner_products_of_sketches_are_those_of_relations() -> None:
    a = states()
    near = a + 0.2 * states()
    one, other, far = (sketch(behaviour(*[x] * 6)) for x in (a, near, states()))
    cosine = lambda u, v: float((u * v).sum() / np.linalg.norm(u) / np.linalg.norm(v))  # noqa: E731
    upper = np.triu_indices(192, 1)
    true = np.corrcoef(whitened(relations(a), 0.003)[upper], whitened(relations(near), 0.003)[upper])[0, 1]
    assert one.shape == (len(BLOCKS), BUCKETS)
    assert cosine(one, other) == pytest.approx(true, abs=0.15) and abs(cosine(one, far)) < 0.15


def test_the_order_of_probes_is_bound_into_the_sketch() -> None:
    """Without the code of each probe the same relations in another order would be the same model."""
    x = states()
    a, b = sketch(behaviour(*[x] * 6)), sketch(behaviour(*[x[::-1]] * 6))
    assert abs(float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))) < 0.15


def test_what_is_shipped_is_small_and_named_by_its_digest() -> None:
    for modality in ("text", "vision"):
        network = shipped(modality)
        assert network.project.shape == (4, 128, BUCKETS) and np.isfinite(network.project).all()
        assert network.lines[0] <= network.lines[1] and (network.lines[:2] >= 0).all()
        assert network.project.nbytes // 2 + network.known.nbytes // 2 < 2_500_000
        assert scheme(modality).startswith(f"behaviour-dna-1/{modality}=") and scheme(modality).endswith("/d=512")


def test_a_fingerprint_is_a_unit_vector_of_a_scheme(demo: Demo) -> None:
    made = fingerprint(demo(VIT))
    assert made.vector.shape == (512,) and made.vector.dtype == np.float32
    assert float(np.linalg.norm(made.vector)) == pytest.approx(1, abs=1e-3)
    assert -1 <= made.familiar <= 1 and made.scheme == scheme("vision")


def test_other_probes_are_refused(demo: Demo) -> None:
    with pytest.raises(BehaviourError, match="trained for behaviour-1/vision"):
        fingerprint(replace(demo(VIT), scheme="behaviour-0/vision"))


def test_a_model_of_nothing_is_familiar_to_nobody() -> None:
    assert familiar(np.zeros((4, BUCKETS), np.float32), shipped("vision")) == -1


def test_what_hardly_moved_is_similar_and_a_stranger_is_not(demo: Demo) -> None:
    own = fingerprint(demo(VIT))
    near = replace(own, vector=own.vector + np.float32(1e-3), familiar=1.0)
    told = judge(replace(own, familiar=1.0), near)
    assert told.verdict == "behaviourally similar" and told.error_rate == 0.01
    assert told.probability is not None and told.probability > 0.99
    drawn = RNG.normal(size=512).astype(np.float32)
    far = judge(replace(own, familiar=1.0), replace(own, vector=drawn / np.linalg.norm(drawn), familiar=1.0))
    assert far.verdict == "not similar" and far.error_rate is None


def test_it_abstains_outside_of_what_was_learned(demo: Demo) -> None:
    own = replace(fingerprint(demo(VIT)), familiar=0.0)
    told = judge(own, own)
    assert (told.verdict, told.probability, told.error_rate) == ("undecided", None, None)
    assert "like no recipe" in told.reason


def test_two_schemes_do_not_compare(demo: Demo) -> None:
    own = fingerprint(demo(VIT))
    with pytest.raises(BehaviourError, match="do not compare"):
        judge(own, replace(own, scheme="behaviour-dna-1/text"))
