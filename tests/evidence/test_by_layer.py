"""Layer by layer: the test finds what was kept, does not find what was not, and is paid for."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from evidence_bench import Bench, Tensors, mixed, weights
from scipy import stats

from hubdna.evidence.by_layer import by_layer, layer_name, layer_names, pay
from hubdna.verdict import COMMON_LOG10_P, NO_EVIDENCE_LOG10_P

D, H, N_LAYERS = 64, 128, 4


def net(rng: np.random.Generator) -> Tensors:
    """Blocks of a gated feed-forward net with one attention matrix each."""
    shapes = {"attn.q_proj": (D, D), "mlp.gate_proj": (H, D), "mlp.up_proj": (H, D), "mlp.down_proj": (D, H)}
    return {f"layers.{i}.{m}.weight": weights(rng, *s) for i in range(N_LAYERS) for m, s in shapes.items()}


def tuned(model: Tensors, rho: float, seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {name: mixed(w, rho, rng).astype(np.float32) for name, w in model.items()}


def of_layer(name: str, layer: int) -> bool:
    return name.startswith(f"layers.{layer}.")


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("model.layers.3.mlp.up_proj.weight", "model.layers.3"),
        ("stages.0.blocks.1.conv.weight", "stages.0.blocks.1"),
        ("layer1.0.conv1.weight", "layer1.0"),
        ("net.0.weight", "net.0"),
        ("model.layers.3.moe.experts.7.w1.weight", "model.layers.3"),
        ("lm_head.weight", "lm_head"),
        ("weight", "weight"),
        ("3", "3"),
    ],
)
def test_a_tensor_belongs_to_the_layer_that_its_name_says(tensor: str, layer: str) -> None:
    assert layer_name(tensor) == layer


def test_layers_stand_from_input_to_output(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    ends = {"final.proj.weight": weights(rng, H, D), "patch_stem.conv.weight": weights(rng, H, D)}
    between = tuple(f"layers.{i}" for i in range(N_LAYERS))
    assert layer_names(bench.dna(ends | net(rng))) == ("patch_stem.conv", *between, "final.proj")


def test_every_layer_of_a_fine_tune_passes_and_names_its_counterpart(bench: Bench) -> None:
    base = net(np.random.default_rng(1))
    found = by_layer(bench.dna(tuned(base, 0.7, 2)), bench.dna(base))
    assert [one.other for one in found] == [one.layer for one in found] == [f"layers.{i}" for i in range(N_LAYERS)]
    for one in found:
        assert one.log10_p is not None and one.log10_p <= COMMON_LOG10_P and not one.equal
        assert one.similarity == pytest.approx(0.7, abs=0.05) and one.resemblance == pytest.approx(0.7, abs=0.05)


def test_a_retrained_layer_is_a_hole_and_a_frozen_one_is_equal(bench: Bench) -> None:
    base, other = net(np.random.default_rng(3)), net(np.random.default_rng(4))
    child = tuned(base, 0.9, 5)
    child |= {n: w for n, w in other.items() if of_layer(n, 2)} | {n: w for n, w in base.items() if of_layer(n, 1)}
    found = by_layer(bench.dna(child), bench.dna(base))
    passed = [one.log10_p is not None and one.log10_p <= COMMON_LOG10_P for one in found]
    assert passed == [True, True, False, True] and [one.equal for one in found] == [False, True, False, False]
    hole = found[2]
    assert hole.log10_p is not None and hole.log10_p > NO_EVIDENCE_LOG10_P
    assert abs(hole.similarity or 0) < 0.1 and (hole.detectable or 1) <= 0.3


def test_a_moved_layer_is_found_where_it_stands_now(bench: Bench) -> None:
    base = net(np.random.default_rng(6))
    order = {0: 1, 1: 0, 2: 2, 3: 3}
    moved = {f"layers.{i}{n[8:]}": base[f"layers.{j}{n[8:]}"] for i, j in order.items() for n in base if n[7] == str(i)}
    assert [one.other for one in by_layer(bench.dna(moved), bench.dna(base))] == [f"layers.{j}" for j in order.values()]


def test_a_p_value_is_one_over_k_factorial_times_everything_that_was_tried(bench: Bench) -> None:
    base = net(np.random.default_rng(7))
    found = by_layer(bench.dna(tuned(base, 0.3, 8)), bench.dna(base))
    n = sum(one.n_tests for one in found)
    assert n >= N_LAYERS
    for one in found:
        assert one.log10_p == pytest.approx(min(0, math.log10(n / math.factorial(one.fixed_points))))
    for one, more in zip(found, pay(found, 100 * n), strict=True):
        assert more.log10_p == pytest.approx(min(0, math.log10(100 * n / math.factorial(one.fixed_points))))


def test_layers_of_independent_models_match_as_often_as_chance_says(bench: Bench) -> None:
    """Of all layers of all pairs, K >= 4 (which 1/4! bounds in one test) in no more than the union bound allows."""
    models = [bench.dna(net(np.random.default_rng([11, i]))) for i in range(10)]
    layers = [one for a, b in itertools.combinations(models, 2) for one in by_layer(a, b)]
    assert len(layers) == 45 * N_LAYERS and all(one.n_tests for one in layers)
    best = [one for one in layers if one.fixed_points >= 4]
    bound = sum(min(1.0, one.n_tests / math.factorial(4)) for one in layers)
    assert len(best) <= stats.binom.isf(1e-4, len(layers), bound / len(layers))
    assert min(one.log10_p for one in layers if one.log10_p is not None) > NO_EVIDENCE_LOG10_P
    assert not any(one.equal for one in layers)


def test_two_schemes_are_not_compared(bench: Bench) -> None:
    model = bench.dna(net(np.random.default_rng(12)))
    assert all(one.log10_p is None and not one.n_weights for one in by_layer(model, replace(model, scheme="other")))
