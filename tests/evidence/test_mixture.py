"""Merges are found from exact weights, with shares and maps of layers; what only looks like one is not called one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hubdna.evidence.rounding import stored
from hubdna.evidence.unmix import unmix
from hubdna.records import Block, Dna, Mixture, ModelRef

Weights = dict[str, NDArray[np.float64]]
N_LAYERS, SHAPE = 4, (32, 64)
MATRICES = ("attn.q_proj", "mlp.up_proj", "mlp.down_proj")


def names(depth: int = N_LAYERS) -> list[str]:
    return [f"model.layers.{i}.{m}.weight" for i in range(depth) for m in MATRICES]


def draw(seed: int, scale: float = 1.0) -> Weights:
    rng = np.random.default_rng(seed)
    return {name: stored(scale * rng.normal(size=SHAPE), "F32") for name in names()}


def tuned(start: Weights, seed: int, layers: Sequence[int] = range(N_LAYERS), scale: float = 0.05) -> Weights:
    """Another training of some layers."""
    change = draw(seed, scale)
    return {n: stored(w + change[n] * (int(n.split(".")[2]) in layers), "F32") for n, w in start.items()}


def adapted(start: Weights, seed: int, scale: float, rank: int = 4) -> Weights:
    rng = np.random.default_rng(seed)
    change = {n: rng.normal(size=(32, rank)) @ rng.normal(size=(rank, 64)) / 50 for n in start}
    return {n: stored(w + scale * change[n], "F32") for n, w in start.items()}


def summed(*terms: tuple[float, Weights], dtype: str = "F32") -> Weights:
    return {n: stored(sum(s * w[n] for s, w in terms), dtype) for n in terms[0][1]}


def cast(weights: Weights, dtype: str) -> Weights:
    return {n: stored(w, dtype) for n, w in weights.items()}


def stacked(*layers: tuple[Weights, int]) -> Weights:
    return {
        f"model.layers.{i}.{m}.weight": w[f"model.layers.{j}.{m}.weight"]
        for i, (w, j) in enumerate(layers)
        for m in MATRICES
    }


def dna(name: str, weights: Weights, dtype: str = "F32") -> Dna:
    blocks = [Block(n, SHAPE, "ffn", dtype, w.astype(np.float32), 0) for n, w in weights.items()]
    return Dna(ModelRef(name), "test", (), tuple(blocks))


def read(target: Weights, others: Mapping[str, Weights], dtype: str = "F32") -> Mixture | None:
    kinds = {"bf16": "BF16", "f16": "F16"}
    return unmix(
        dna("target", target, dtype), [dna(n, w, kinds.get(n[-4:], "F32")) for n, w in others.items()], thorough=True
    )


def shares(mixture: Mixture | None) -> dict[str, float]:
    assert mixture is not None
    members = (*mixture.parents, *((mixture.base,) if mixture.base else ()))
    return {m.ref.repo_id: m.share for m in members}


def is_called(mixture: Mixture | None) -> bool:
    return mixture is not None and mixture.directed


BASE = draw(0)
A, B, C, D = (tuned(BASE, seed) for seed in (1, 2, 3, 4))
FAMILY = {"base": BASE, "a": A, "b": B, "c": C, "d": D}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_mean_gives_its_parents_and_their_shares(dtype: str) -> None:
    found = read(summed((0.7, A), (0.3, C), dtype=dtype), FAMILY, dtype)
    assert shares(found) == pytest.approx({"a": 0.7, "c": 0.3}, abs=0.002)
    assert is_called(found)


def test_task_vectors_give_their_base_too() -> None:
    found = read(summed((0.8, A), (0.6, B), (-0.4, BASE)), FAMILY)
    assert shares(found) == pytest.approx({"a": 0.8, "b": 0.6, "base": -0.4}, abs=1e-4)
    assert is_called(found)
    assert found is not None and found.base is not None and found.base.ref.repo_id == "base"


def test_a_mean_of_five_is_found() -> None:
    others = FAMILY | {"e": tuned(BASE, 5), "f": tuned(BASE, 6)}
    found = read(summed(*((0.2, w) for n, w in others.items() if n not in ("base", "f"))), others)
    assert shares(found) == pytest.approx(dict.fromkeys("abcde", 0.2), abs=1e-4)


def test_shares_may_differ_from_layer_to_layer() -> None:
    rising = {n: int(n.split(".")[2]) / 4 + 0.1 for n in A}
    found = read({n: stored(rising[n] * A[n] + (1 - rising[n]) * B[n], "F32") for n in A}, FAMILY)
    assert found is not None and found.directed
    [first] = [m for m in found.parents if m.ref.repo_id == "a"]
    assert first.shares == pytest.approx([rising[n] for n in found.tensors], abs=1e-4)


def test_a_fine_tune_is_no_merge() -> None:
    assert read(tuned(A, 9), FAMILY) is None


def test_a_parent_is_not_made_of_its_merge_and_the_other_parent() -> None:
    assert read(A, FAMILY | {"merge": summed((0.5, A), (0.5, B))} | {"a": C}) is None


def test_a_parent_is_not_made_of_several_of_its_merges() -> None:
    """A = .714 task + .571 mean - .286 base: all shares below one, but the mean has the simpler reading."""
    task = summed((1.0, A), (-0.4, B), (0.4, BASE))
    mean = summed((0.5, A), (0.5, B))
    others = {"base": BASE, "b": B, "c": C, "task": task, "mean": mean}
    assert not is_called(read(A, others))
    assert shares(read(mean, {"base": BASE, "a": A, "b": B, "task": task})) == pytest.approx(
        {"a": 0.5, "b": 0.5}, abs=1e-4
    )


def test_a_merge_is_made_of_its_parents_not_of_other_merges_of_them() -> None:
    spans = {
        "m1": summed((0.2, A), (0.8, B)),
        "m2": summed((0.9, A), (0.6, C), (-0.5, BASE)),
        "m3": summed((0.5, B), (0.5, C)),
    }
    found = read(summed((0.3, A), (0.4, B), (0.3, C)), FAMILY | spans)
    assert shares(found) == pytest.approx({"a": 0.3, "b": 0.4, "c": 0.3}, abs=1e-3)


def test_a_merge_of_a_merge_names_the_merge() -> None:
    found = read(summed((0.6, summed((0.5, A), (0.5, B))), (0.4, C)), FAMILY | {"m": summed((0.5, A), (0.5, B))})
    assert shares(found) == pytest.approx({"m": 0.6, "c": 0.4}, abs=1e-4)


def test_a_merge_is_made_of_two_parents_not_of_one_and_a_merge_between_them() -> None:
    merge = summed((0.23, A), (0.77, B), dtype="F16")
    between = {f"m{i}": summed((i / 10, merge), (1 - i / 10, B), dtype="F16") for i in (4, 6, 8)}
    found = read(merge, between | FAMILY, "F16")
    assert shares(found) == pytest.approx({"a": 0.23, "b": 0.77}, abs=1e-3)


def test_a_parent_is_not_lost_to_a_model_that_has_its_layers_twice() -> None:
    """The deeper one equals the parent wherever the merge has a place, and cannot be in the sum."""
    twice = stacked((A, 0), (A, 1), (A, 2), (A, 3), (A, 3))
    found = read(summed((0.4, A), (0.6, B)), {"twice": twice} | FAMILY)
    assert shares(found) == pytest.approx({"a": 0.4, "b": 0.6}, abs=1e-2)


def test_a_stack_names_a_parent_and_not_a_model_that_has_its_layers_twice() -> None:
    twice = stacked((A, 0), (A, 1), (A, 2), (A, 1), (A, 2), (A, 3))
    target = stacked((A, 0), (A, 1), (A, 2), (B, 1), (B, 2), (B, 3))
    found = read(target, {"twice": twice, "a": A, "b": B})
    assert found is not None and {m.ref.repo_id for m in found.parents} == {"a", "b"}


def test_a_mean_of_five_is_told_from_what_spans_it() -> None:
    """An arc's shares add up to more than one, so that a reading with it has one model less, and odd shares."""
    e, f = tuned(BASE, 5), tuned(BASE, 6)
    others = FAMILY | {
        "e": e,
        "f": f,
        "arc": summed((0.52, A), (0.52, B)),
        "arc2": summed((0.54, C), (0.5, D)),
        "four": summed((0.3, A), (0.25, C), (0.2, D), (0.35, e), (-0.1, BASE)),
        "stack": stacked((A, 0), (C, 1), (A, 2), (A, 3)),
    }
    found = read(summed((0.2, A), (0.2, B), (0.2, C), (0.2, D), (0.2, e), dtype="F16"), others, "F16")
    assert shares(found) == pytest.approx(dict.fromkeys("abcde", 0.2), abs=1e-3)


def test_an_adapter_at_another_scale_is_no_merge() -> None:
    others = {"base": BASE, "adapted": adapted(BASE, 7, 1.0), "a": A}
    assert read(adapted(BASE, 7, 0.5), others) is None
    assert is_called(read(summed((0.5, A), (0.5, others["adapted"])), others))


def test_a_sum_that_nobody_would_write_is_left_open() -> None:
    """The target is a mean with a base that is in no index, but for a sum whose shares change from layer to layer."""
    part = {n: 0.2 + 0.1 * int(n.split(".")[2]) for n in BASE}
    stock = {n: stored((1 - part[n]) * BASE[n] + part[n] / 2 * (A[n] + C[n]), "F32") for n in BASE}
    found = read(summed((0.5, BASE), (0.5, B)), {"stock": stock, "a": A, "b": B, "c": C, "d": D})
    assert found is not None and not found.directed


def test_parents_are_preferred_to_their_casts() -> None:
    others = {"a-bf16": cast(A, "BF16"), "b-bf16": cast(B, "BF16"), **FAMILY}
    assert shares(read(summed((0.5, A), (0.5, B)), others)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-4)


def test_a_cast_of_the_merge_does_not_hide_it() -> None:
    merge = summed((0.5, A), (0.5, B))
    others = FAMILY | {"cast-bf16": cast(merge, "BF16"), "copy": merge}
    assert shares(read(merge, others)) == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-4)


def test_a_hidden_parent_leaves_no_linear_merge() -> None:
    assert read(summed((0.5, A), (0.5, tuned(BASE, 8))), FAMILY) is None


def thinned(start: Weights, parent: Weights, keep: float, factor: float, seed: int) -> Weights:
    """What is added to a base of one parent's change."""
    rng = np.random.default_rng(seed)
    return {n: factor * (parent[n] - w) * (rng.random(w.shape) < keep) for n, w in start.items()}


def test_a_sparse_sum_gives_its_parents_base_and_multiples() -> None:
    parts = (thinned(BASE, A, 0.5, 1.5, 1), thinned(BASE, C, 0.4, 1.2, 2))
    found = read(summed((1.0, BASE), *((1.0, p) for p in parts)), FAMILY)
    assert found is not None and found.kind == "sparse" and found.base is not None
    assert found.base.ref.repo_id == "base"
    assert {m.ref.repo_id: m.share for m in found.parents} == pytest.approx({"a": 1.5, "c": 1.2}, abs=0.01)


def test_a_sparse_sum_with_a_hidden_parent_is_not_called() -> None:
    parts = (thinned(BASE, A, 0.5, 1.5, 1), thinned(BASE, tuned(BASE, 8), 0.4, 1.2, 2))
    assert not is_called(read(summed((1.0, BASE), *((1.0, p) for p in parts)), FAMILY))


def test_a_parent_is_no_sparse_sum_of_its_sparse_merges() -> None:
    merges = {
        f"m{i}": summed((1.0, BASE), (1.0, thinned(BASE, A, 0.5, 1.5, i)), (1.0, thinned(BASE, B, 0.5, 1.5, 10 + i)))
        for i in range(2)
    }
    assert read(A, {n: w for n, w in FAMILY.items() if n != "a"} | merges) is None


def test_a_stack_gives_its_map_of_layers() -> None:
    found = read(stacked((A, 0), (A, 1), (B, 2), (B, 3)), FAMILY)
    assert found is not None and found.kind == "layers" and found.directed
    assert [(s.layer, s.ref.repo_id, s.source_layer) for s in found.layers] == [
        (0, "a", 0), (1, "a", 1), (2, "b", 2), (3, "b", 3),
    ]  # fmt: skip


def test_a_deeper_stack_gives_its_map_even_of_two_models_alone() -> None:
    found = read(stacked((A, 0), (A, 1), (A, 2), (B, 1), (B, 2), (B, 3)), {"a": A, "b": B})
    assert found is not None and found.directed
    assert [(s.ref.repo_id, s.source_layer) for s in found.layers] == [
        *(("a", i) for i in range(3)),
        *(("b", i) for i in (1, 2, 3)),
    ]


def test_a_base_is_no_stack_of_its_partly_frozen_fine_tunes() -> None:
    lower, upper = tuned(BASE, 5, layers=(0, 1)), tuned(BASE, 6, layers=(2, 3))
    others = {
        "lower": lower,
        "upper": upper,
        "a": A,
        "b": B,
        "child": tuned(lower, 7),
        "mean": summed((0.5, lower), (0.5, upper)),
    }
    assert not is_called(read(BASE, others))


def test_two_models_alone_leave_it_open_whether_the_third_is_their_stack() -> None:
    found = read(stacked((A, 0), (A, 1), (B, 2), (B, 3)), {"a": A, "b": B})
    assert found is not None and not found.directed


def test_repeated_layers_of_one_model_are_no_merge() -> None:
    assert read(stacked((A, 0), (A, 1), (A, 1), (A, 2), (A, 3)), FAMILY) is None


def test_a_parent_is_no_stack_of_its_stacks() -> None:
    stacks = {"s1": stacked((A, 0), (A, 1), (B, 2), (B, 3)), "s2": stacked((C, 0), (C, 1), (A, 2), (A, 3))}
    others = {k: v for k, v in FAMILY.items() if k != "a"} | stacks
    assert not is_called(read(A, others))
    assert is_called(read(stacks["s1"], FAMILY | {"s2": stacks["s2"]}))


def test_strangers_give_no_merge() -> None:
    assert read(draw(50), {f"s{i}": draw(60 + i) for i in range(8)}) is None


def test_fewer_than_two_candidates_give_no_merge() -> None:
    merge = summed((0.5, A), (0.5, B))
    assert read(merge, {}) is None
    assert read(merge, {"a": A}) is None


def test_models_without_shared_places_give_no_merge() -> None:
    others = [Dna(ModelRef(n), "test", (), ()) for n in ("x", "y", "z")]
    assert unmix(dna("target", A), others) is None
