"""Sparse merges are found with base, parents and multiples; what shares weights for other reasons is none."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hubdna.evidence.rounding import stored
from hubdna.evidence.unmix import unmix
from hubdna.records import Block, Dna, Mixture, ModelRef

Matrix = NDArray[np.float64]
Weights = dict[str, Matrix]
SHAPE = (32, 64)
NAMES = [f"model.layers.{i}.mlp.{m}_proj.weight" for i in range(3) for m in ("up", "down")]


def draw(seed: int, scale: float = 0.05) -> Weights:
    rng = np.random.default_rng(seed)
    return {name: stored(scale * rng.normal(size=SHAPE), "F32") for name in NAMES}


def plus(start: Weights, *changes: Weights, dtype: str = "F32") -> Weights:
    return {n: stored(w + sum(c[n] for c in changes), dtype) for n, w in start.items()}


def tuned(start: Weights, seed: int, scale: float = 0.005) -> Weights:
    return plus(start, draw(seed, scale))


def cast(weights: Weights, dtype: str) -> Weights:
    return {n: stored(w, dtype) for n, w in weights.items()}


def largest(change: Matrix, share: float, leave_out: float = 0.0) -> NDArray[np.bool_]:
    """Where the largest are, without the very largest."""
    order = np.argsort(np.argsort(-np.abs(change), axis=None)).reshape(change.shape)
    few = int(leave_out * change.size)
    mask: NDArray[np.bool_] = (order >= few) & (order < few + int(share * change.size))
    return mask


def drawn(change: Matrix, share: float, seed: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.random.default_rng(seed + change.size).random(change.shape) < share
    return mask


def merged(
    base: Weights,
    parents: Sequence[Weights],
    weights: Sequence[float],
    density: Sequence[float],
    method: str,
    dtype: str = "F32",
    scale: float = 1.0,
) -> Weights:
    """TIES, DARE, DELLA and breadcrumbs, as their papers have them."""
    result = {}
    for number, (name, start) in enumerate(base.items()):
        kept = []
        for i, (parent, share) in enumerate(zip(parents, density, strict=True)):
            change = parent[name] - start
            if method.startswith("ties"):
                mask = largest(change, share)
            elif method.startswith("breadcrumbs"):
                mask = largest(change, share, 0.01)
            else:
                mask = drawn(change, share, 100 * number + i)
            factor = np.abs(change).sum() / np.abs(change * mask).sum() if method[0] == "d" else 1.0
            kept.append(weights[i] * factor * change * mask)
        parts = np.stack(kept)
        agree = np.ones(parts.shape) if method.endswith("linear") else np.sign(parts) == np.sign(parts.sum(axis=0))
        total = (parts * agree).sum(axis=0)
        if method in ("ties", "della"):
            divisor = np.tensordot(np.array(weights), agree & (parts != 0), 1)
            total = total / np.where(divisor == 0, 1, divisor)
        result[name] = stored(start + scale * total, dtype)
    return result


def dna(name: str, weights: Weights, dtype: str) -> Dna:
    blocks = [Block(n, SHAPE, "ffn", dtype, w.astype(np.float32), 0) for n, w in weights.items()]
    return Dna(ModelRef(name), "test", (), tuple(blocks))


def read(target: Weights, others: Mapping[str, Weights], dtype: str = "F32", theirs: str = "F32") -> Mixture | None:
    found = unmix(dna("target", target, dtype), [dna(n, w, theirs) for n, w in others.items()])
    return found if found is None or found.kind == "sparse" else None


def parents(found: Mixture | None) -> set[str]:
    return set() if found is None else {m.ref.repo_id for m in found.parents}


def base_of(found: Mixture | None) -> str:
    return "" if found is None or found.base is None else found.base.ref.repo_id


BASE = draw(0)
A, B, C, D = (tuned(BASE, seed) for seed in (1, 2, 3, 4))
FAMILY = {"base": BASE, "a": A, "b": B, "c": C, "d": D}
METHODS = ["ties", "ties-sum", "dare-linear", "dare-ties", "della", "della-linear", "breadcrumbs-linear", "breadcrumbs"]


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("method", METHODS)
def test_two_parents_and_the_base_are_found_and_called(method: str, dtype: str) -> None:
    found = read(merged(BASE, [A, C], [0.7, 0.4], [0.5, 0.6], method, dtype), FAMILY, dtype)
    assert (parents(found), base_of(found)) == ({"a", "c"}, "base")
    assert found is not None and found.directed


@pytest.mark.parametrize("method", ["ties", "dare-ties", "breadcrumbs"])
def test_three_parents_are_found(method: str) -> None:
    found = read(merged(BASE, [A, B, D], [0.6, 0.5, 0.4], [0.4, 0.6, 0.7], method), FAMILY)
    assert (parents(found), base_of(found)) == ({"a", "b", "d"}, "base")


def test_all_in_bfloat16_is_found() -> None:
    family = {n: cast(w, "BF16") for n, w in FAMILY.items()}
    target = merged(family["base"], [family["a"], family["b"]], [0.6, 0.5], [0.5, 0.5], "dare-ties", "BF16")
    assert parents(read(target, family, "BF16", "BF16")) == {"a", "b"}


def test_shares_are_the_weights_of_the_configuration() -> None:
    summed = read(merged(BASE, [A, C], [0.7, 0.4], [0.5, 0.6], "ties-sum"), FAMILY)
    mean = read(merged(BASE, [A, C], [0.6, 0.2], [0.5, 0.6], "ties"), FAMILY)
    for found, wanted in ((summed, {"a": 0.7, "c": 0.4}), (mean, {"a": 0.75, "c": 0.25})):
        assert found is not None
        assert {m.ref.repo_id: m.share for m in found.parents} == pytest.approx(wanted, abs=0.003)


def test_few_kept_weights_are_enough() -> None:
    found = read(merged(BASE, [A, C], [0.7, 0.4], [0.15, 0.15], "dare-linear"), FAMILY)
    assert parents(found) == {"a", "c"}


def test_few_dropped_weights_are_enough() -> None:
    """Two parents of which 90 % are kept leave the base's weights at two in a thousand of the places that tell."""
    found = read(merged(BASE, [A, C], [0.7, 0.4], [0.9, 0.9], "breadcrumbs-linear", "BF16"), FAMILY, "BF16")
    assert (parents(found), base_of(found)) == ({"a", "c"}, "base")


def test_a_base_is_found_behind_models_that_have_more_of_the_weights() -> None:
    """Light fine-tunes in 16 bits: most weights of a merge equal those of other merges of its parents."""
    base = cast(BASE, "BF16")
    light = {n: plus(base, draw(seed, 0.001), dtype="BF16") for n, seed in (("a", 1), ("b", 2), ("c", 3), ("d", 4))}
    partly = {f"p{i}": base | {name: cast(tuned(base, i), "BF16")[name]} for i, name in enumerate(NAMES)}
    means = {f"mean{i}": {n: stored((0.5 + i / 20) * light["a"][n] + (0.5 - i / 20) * light["b"][n], "BF16")
                          for n in NAMES} for i in range(-4, 5)}  # fmt: skip
    target = merged(base, [light["a"], light["b"]], [0.66, 0.53], [0.8, 0.8], "breadcrumbs-linear", "BF16")
    found = read(target, {"base": base} | light | partly | means, "BF16", "BF16")
    assert (parents(found), base_of(found)) == ({"a", "b"}, "base")


def test_one_parent_alone_is_no_merge() -> None:
    assert read(merged(BASE, [A], [0.7], [0.5], "dare-linear"), FAMILY) is None


def test_a_hidden_parent_gives_no_merge() -> None:
    hidden = {n: w for n, w in FAMILY.items() if n != "c"}
    assert read(merged(BASE, [A, C], [0.7, 0.4], [0.5, 0.6], "dare-linear"), hidden) is None


@pytest.mark.parametrize("method", ["della", "ties", "dare-linear"])
def test_neither_base_nor_parent_is_a_merge_of_its_merges(method: str) -> None:
    """With a multiple above one the base is the same bits as a mean of changes from its merge."""
    density = ([0.6, 0.6], [0.5, 0.5], [0.7, 0.7])
    made = {f"m{i}": merged(BASE, [A, C], [0.9, 0.8], d, method, scale=1.1) for i, d in enumerate(density)}
    for name in ("base", "a"):
        others = {n: w for n, w in (FAMILY | made).items() if n != name}
        found = read(FAMILY[name], others)
        assert found is None or not found.directed
    assert base_of(read(made["m0"], FAMILY | {n: w for n, w in made.items() if n != "m0"})) == "base"


def test_a_fine_tune_with_frozen_weights_is_no_merge() -> None:
    for seed, share in ((1, 0.3), (2, 0.7)):
        change = {n: c * drawn(c, share, seed) for n, c in draw(9, 0.005).items()}
        assert read(plus(BASE, change), FAMILY) is None
    rows = {n: c * (np.arange(32) < 16)[:, None] for n, c in draw(9, 0.005).items()}
    assert read(plus(A, rows), FAMILY) is None


def test_pruned_models_are_no_merges_of_each_other() -> None:
    def pruned(weights: Weights, share: float) -> Weights:
        return {n: w * largest(w, share) for n, w in weights.items()}

    others = FAMILY | {"p3": pruned(A, 0.3), "p7": pruned(A, 0.7), "pb": pruned(BASE, 0.5)}
    assert read(pruned(A, 0.5), others) is None
    assert read(A, others) is None
    assert read(tuned(pruned(A, 0.5), 8, 0.001), others) is None


def test_fine_tunes_on_the_same_data_are_no_merges_of_each_other() -> None:
    shared = draw(20, 0.005)
    siblings = {f"s{i}": plus(BASE, shared, draw(21 + i, 0.002)) for i in range(5)}
    assert read(plus(BASE, shared, draw(30, 0.002)), FAMILY | siblings) is None


def test_an_adapter_at_two_scales_is_no_merge() -> None:
    rng = np.random.default_rng(5)
    adapter = {n: rng.normal(size=(32, 4)) @ rng.normal(size=(4, 64)) / 500 for n in NAMES}
    scaled = {f"x{s}": plus(BASE, {n: s * c for n, c in adapter.items()}) for s in (0.5, 1.0)}
    assert read(plus(BASE, {n: 0.7 * c for n, c in adapter.items()}), FAMILY | scaled) is None


def test_quantised_siblings_are_no_merges() -> None:
    def quantised(weights: Weights, levels: int) -> Weights:
        step = {n: np.abs(w).max(axis=1, keepdims=True) / levels for n, w in weights.items()}
        return {n: stored(np.rint(w / step[n]) * step[n], "F16") for n, w in weights.items()}

    others = FAMILY | {"q4": quantised(A, 7), "q8": quantised(A, 127), "q4b": quantised(B, 7), "b4": quantised(BASE, 7)}
    for levels in (7, 31, 127):
        assert read(quantised(A, levels), {n: w for n, w in others.items() if n != "q4" or levels != 7}, "F16") is None


def test_a_light_fine_tune_in_bfloat16_is_no_merge() -> None:
    """Half of its weights are bit-equal to its base's, and changes are a step or two."""
    family = {n: cast(w, "BF16") for n, w in FAMILY.items()}
    light = {f"l{i}": cast(tuned(family["base"], 40 + i, 0.0002), "BF16") for i in range(4)}
    assert read(cast(tuned(family["base"], 50, 0.0002), "BF16"), family | light, "BF16", "BF16") is None


def test_a_child_of_a_sparse_merge_is_none_itself() -> None:
    merge = merged(BASE, [A, C], [0.7, 0.4], [0.5, 0.6], "dare-linear")
    assert read(tuned(merge, 9, 0.001), FAMILY | {"merge": merge}) is None
    assert read(tuned(merge, 9, 0.001), FAMILY) is None


def test_a_model_is_no_merge_of_children_that_trained_other_parts_of_it_each() -> None:
    """From one child's view each weight is another child's, or its own: but nowhere do two of them add up."""
    model, third = tuned(BASE, 7), {n: np.random.default_rng(11 + i).integers(0, 3, SHAPE) for i, n in enumerate(NAMES)}

    def child(frozen: int, scale: float) -> Weights:
        return plus(model, {n: c * (third[n] != frozen) for n, c in draw(40 + frozen, scale).items()})

    children = {f"child{i}": child(i, scale) for i, scale in enumerate((0.003, 0.006, 0.006))}
    assert read(model, {"base": BASE, "a": A} | children) is None


def test_a_mean_whose_multiple_is_two_leaves_open_which_model_was_the_base() -> None:
    """M = B + 2 (mean - B) and B = M + 2 (mean - M) are the same bits; siblings' changes lie too near to tell."""
    shared, start = draw(20, 0.004), BASE
    siblings = {f"s{i}": plus(start, shared, draw(21 + i, 0.004)) for i in range(2)}
    merge = {}
    for number, (name, w) in enumerate(start.items()):
        mask = np.stack([drawn(w, 0.5, 100 * number + 1000 * i) for i in range(2)])
        weights = np.array([0.6, 0.4])[:, None, None] * mask
        mean = sum(x * (s[name] - w) for x, s in zip(weights, siblings.values(), strict=True))
        merge[name] = stored(w + 2 * mean / np.where(mask.any(axis=0), weights.sum(axis=0), 1), "F32")
    for target, others in ((start, {"m": merge}), (merge, {"base": start})):
        found = read(target, others | siblings | {"a": A})
        assert found is None or not found.directed
    three_halves = {n: stored(BASE[n] + 0.75 * (w - BASE[n]), "F32") for n, w in merge.items()}
    assert parents(read(three_halves, siblings | {"base": BASE, "a": A})) == {"s0", "s1"}
