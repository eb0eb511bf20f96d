"""The baseline finds the trees that its own assumptions describe, and is as blind as they are."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts" / "boards"))

import mother
from mother import mother_tree

SIZE = 24
NAMES = [f"layers.{n}.self_attn.{part}_proj.weight" for n in range(2) for part in "qkvo"]
TREE = [("0", "1"), ("0", "2"), ("1", "3"), ("1", "4"), ("2", "5")]


def family(seed: int, slope: float, size: float = 0.1) -> dict[str, dict[str, np.ndarray]]:
    """Models of `TREE`: each child a random step from its parent, which also bends its tails by `slope`."""
    rng = np.random.default_rng(seed)
    models = {"0": {n: rng.standard_t(6, (SIZE, SIZE)).astype(np.float32) for n in NAMES}}
    for parent, child in TREE:
        moved = {n: w + size * rng.standard_normal(w.shape) for n, w in models[parent].items()}
        models[child] = {n: (w * np.abs(w) ** slope).astype(np.float32) for n, w in moved.items()}
    return models


@pytest.mark.parametrize("distance", ["minmax", "norm"])
def test_a_tree_whose_kurtosis_falls_is_found(distance: mother.Distance) -> None:
    assert mother_tree(family(0, -0.05), distance) == TREE


def test_the_root_hangs_on_the_sign_of_the_kurtosis() -> None:
    models = family(1, 0.05)
    assert mother_tree(models, "norm", rises=True) == TREE
    assert mother_tree(models, "norm") != TREE


def test_distances_are_symmetric_and_scaled_to_the_widest_pair() -> None:
    models = family(2, -0.02)
    far = mother.distances(models, sorted(models), "norm")
    assert np.array_equal(far, far.T) and not far.diagonal().any()
    assert far.max() == 1.0


def test_a_merged_adapter_is_as_far_as_its_rank() -> None:
    rng = np.random.default_rng(3)
    base = {n: rng.standard_normal((SIZE, SIZE)).astype(np.float32) for n in NAMES}
    low = {n: w + 0.1 * np.outer(*rng.standard_normal((2, SIZE))).astype(np.float32) for n, w in base.items()}
    assert mother.distances({"a": base, "b": low}, ["a", "b"], "rank")[0, 1] == len(NAMES)


def test_a_model_of_other_depth_takes_part_by_what_is_common() -> None:
    models = family(4, -0.05)
    models["5"] = {n: w for n, w in models["5"].items() if n.startswith("layers.0.")}
    assert mother_tree(models, "norm") == TREE


def test_nets_without_attention_are_measured_on_all_matrices() -> None:
    rng = np.random.default_rng(5)
    near, far, noise = (rng.standard_normal((8, 4, 3, 3)).astype(np.float32) for _ in range(3))
    named = {"near": near, "step": near + np.float32(0.01) * noise, "far": far}
    edges = mother_tree({name: {"conv.weight": w} for name, w in named.items()}, "norm")
    assert {frozenset(e) for e in edges} >= {frozenset(("near", "step"))}


def test_models_without_a_common_matrix_are_farthest_apart_and_one_model_is_no_tree() -> None:
    models = {"a": {"x": np.eye(3, dtype=np.float32)}, "b": {"y": np.eye(3, dtype=np.float32)}}
    assert mother.distances(models, ["a", "b"], "norm")[0, 1] == 1.0
    assert len(mother_tree(models)) == 1
    assert mother_tree({"a": models["a"]}) == []


def test_families_are_told_apart_when_their_number_is_known() -> None:
    models = {f"{seed}-{name}": w for seed in (6, 7) for name, w in family(seed, 0.0).items()}
    models["8-other"] = {"conv.weight": np.ones((4, 3, 3, 3), np.float32)}
    found = mother.clusters(models, 3)
    assert sorted(map(sorted, found)) == [*([f"{seed}-{n}" for n in "012345"] for seed in (6, 7)), ["8-other"]]


def test_families_of_nets_without_square_matrices_are_told_apart_too() -> None:
    rng = np.random.default_rng(8)
    roots = {name: rng.standard_normal((8, 4, 3, 3)).astype(np.float32) for name in "ab"}
    models = {f"{name}{n}": {"conv.weight": w + np.float32(0.01 * n)} for name, w in roots.items() for n in range(3)}
    assert sorted(mother.clusters(models, 2)) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
