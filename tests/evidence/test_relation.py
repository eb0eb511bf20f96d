"""What was done to a relative, as far as its weights show it, and no relation where they do not."""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from disguised_models import N_LAYERS, llama
from evidence_bench import Bench, Tensors, weights

from hubdna.dna.blocks import grid_bits
from hubdna.evidence.compare import compare_dna
from hubdna.records import Verdict
from hubdna.verdict import judge

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float16), BF16]
Edit = Callable[[np.ndarray], np.ndarray]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def base() -> Tensors:
    return llama(rng(0))


def maps(model: Tensors, edit: Edit) -> Tensors:
    """The same model with every matrix inside its layers edited."""
    return {n: edit(w).astype(np.float32) if w.ndim == 2 and "layers" in n else w for n, w in model.items()}


def stored(model: Tensors, dtype: np.dtype) -> Tensors:
    return {n: w.astype(dtype) for n, w in model.items()}


def noisy(model: Tensors, size: float, seed: int) -> Tensors:
    r = rng(seed)
    return maps(model, lambda w: w + size * w.std() * r.standard_normal(w.shape))


def said(verdict: Verdict) -> tuple[str, str | None, str]:
    return verdict.origin, verdict.relation, verdict.direction


def both_ways(bench: Bench, a: Tensors, b: Tensors) -> tuple[str, str | None, str]:
    """The verdict on A and B; that on B and A has to mirror it."""
    dna_a, dna_b = bench.dna(a), bench.dna(b)
    verdicts = judge(compare_dna(dna_a, dna_b)), judge(compare_dna(dna_b, dna_a))
    if verdicts[0].origin in ("no-evidence", "undecided"):  # then all hidden units are looked at, too
        verdicts = bench.compare(a, b), bench.compare(b, a)
    there, back = map(said, verdicts)
    mirrored = {"a-from-b": "b-from-a", "b-from-a": "a-from-b", "undirected": "undirected"}
    assert back == (*there[:2], mirrored[there[2]])
    return there


# Casts.


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("kept_as", [None, np.dtype(np.float32)], ids=["stored", "widened again"])
def test_a_model_rounded_to_sixteen_bits_is_a_cast_of_the_other(
    bench: Bench, dtype: np.dtype, kept_as: np.dtype | None
) -> None:
    rounded = stored(base(), dtype)
    assert both_ways(bench, base(), stored(rounded, kept_as or dtype)) == ("common", "cast", "b-from-a")


def test_two_casts_of_one_model_to_different_types_have_no_relation(bench: Bench) -> None:
    assert both_ways(bench, stored(base(), DTYPES[1]), stored(base(), BF16)) == ("common", None, "undirected")


# Grids.


def on_grid(w: np.ndarray, bits: int, group: int | None, symmetric: bool, dtype: np.dtype) -> np.ndarray:
    """Round to nearest on 2^bits levels, scales in float16 as they are stored."""
    g = w.astype(np.float32).reshape(-1, group or w.shape[1])
    if symmetric:
        n = 2 ** (bits - 1) - 1
        step = (np.abs(g).max(axis=1, keepdims=True) / n).astype(np.float16).astype(np.float32)
        values = np.clip(np.rint(g / step), -n - 1, n) * step
    else:
        low, high = g.min(axis=1, keepdims=True), g.max(axis=1, keepdims=True)
        step = ((high - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
        zero = np.rint(-low / step)
        values = (np.clip(np.rint(g / step) + zero, 0, 2**bits - 1) - zero) * step
    return values.reshape(w.shape).astype(dtype)


@pytest.mark.parametrize("group", [32, 64, 128, None])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_bits_of_a_grid_are_told_from_its_values(dtype: np.dtype, group: int | None) -> None:
    for seed in range(3):
        w = 0.02 * rng(seed).standard_normal((32, 256)).astype(np.float32)
        for bits, symmetric in [(b, True) for b in (2, 3, 4, 5, 6, 8)] + [(b, False) for b in (2, 3, 4)]:
            found = grid_bits(on_grid(w, bits, group, symmetric, dtype).astype(np.float32))
            assert found == bits, (bits, symmetric, seed)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_weights_are_on_no_grid(dtype: np.dtype) -> None:
    r, found = rng(1), set()
    draws: list[Callable[[tuple[int, int]], np.ndarray]] = [
        r.standard_normal, lambda s: r.laplace(size=s), lambda s: r.uniform(-1, 1, s), lambda s: r.standard_t(3, s),
        lambda s: r.standard_normal(s) * np.exp(r.normal(0, 1, (s[0], 1))),
    ]  # fmt: skip
    for i in range(300):
        rows = 0.02 * draws[i % len(draws)]((32, (32, 64, 200, 512)[i % 4]))
        found.add(grid_bits(rows.astype(np.float32).astype(dtype).astype(np.float32)))
    assert found == {0}


def test_small_zero_and_constant_rows_are_on_no_grid() -> None:
    for rows in (np.zeros((32, 64)), np.ones((4, 64)), np.ones((32, 16)), np.zeros((0, 64)), np.zeros((32, 0))):
        assert grid_bits(rows.astype(np.float32)) == 0


@pytest.mark.parametrize(
    ("bits", "group", "symmetric", "dtype"),
    [(2, 32, False, DTYPES[0]), (3, 64, True, BF16), (4, 32, True, DTYPES[1]), (4, 128, False, BF16),
     (6, 64, True, BF16), (8, None, True, BF16)],
)  # fmt: skip
def test_a_model_on_a_grid_was_quantised_from_the_other(
    bench: Bench, bits: int, group: int | None, symmetric: bool, dtype: np.dtype
) -> None:
    edited = {n: on_grid(w, bits, group, symmetric, dtype) if "layers" in n and w.ndim == 2 else w.astype(dtype)
              for n, w in base().items()}  # fmt: skip
    assert both_ways(bench, base(), edited) == ("common", "quantized", "b-from-a")


# Zeros.


def smallest(share: float) -> Edit:
    return lambda w: np.where(np.abs(w) < np.quantile(np.abs(w), share), 0, w)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_model_with_weights_set_to_zero_is_a_mask_of_the_other(bench: Bench, share: float) -> None:
    assert both_ways(bench, base(), maps(base(), smallest(share))) == ("common", "mask-of", "b-from-a")


def test_two_of_four_and_masks_of_random_places_are_masks_too(bench: Bench) -> None:
    def two_of_four(w: np.ndarray) -> np.ndarray:
        g = np.abs(w.reshape(-1, 4))
        return np.where(g >= np.sort(g, axis=1)[:, 2:3], w.reshape(-1, 4), 0).reshape(w.shape)

    for edit in (two_of_four, lambda w: w * (rng(3).random(w.shape) > 0.3)):
        assert both_ways(bench, base(), maps(base(), edit)) == ("common", "mask-of", "b-from-a")


def test_a_model_that_was_pruned_and_trained_on_is_pruned(bench: Bench) -> None:
    def edit(w: np.ndarray) -> np.ndarray:
        kept = smallest(0.5)(w)
        return np.where(kept != 0, kept + 0.05 * w.std() * rng(4).standard_normal(w.shape), 0)

    assert both_ways(bench, base(), maps(base(), edit)) == ("common", "pruned", "undirected")


def test_a_few_zeros_are_no_pruning(bench: Bench) -> None:
    assert both_ways(bench, base(), maps(base(), smallest(0.02)))[1] is None


def few(share: float) -> Edit:
    """Zeros at random places: like a mask that was learnt, which does not look at size."""
    return lambda w: w * (rng(5).random(w.shape) > share)


def test_a_learnt_mask_takes_few_weights_and_leaves_all_others(bench: Bench) -> None:
    assert both_ways(bench, base(), maps(base(), few(0.01))) == ("common", "mask-of", "b-from-a")


def test_a_filled_mask_looks_like_the_parent_so_that_direction_is_likely_only(bench: Bench) -> None:
    """Whoever fills the holes of a masked model and calls that the parent cannot be told from the owner by weights."""
    release = maps(base(), few(0.2))
    filled = maps(release, lambda w: np.where(w == 0, w.std() * rng(6).standard_normal(w.shape), w))
    verdict = bench.compare(filled, release)
    assert (verdict.relation, verdict.direction, verdict.certainty) == ("mask-of", "b-from-a", "likely")


def test_few_zeros_beside_other_changes_are_no_mask(bench: Bench) -> None:
    edited = maps(base(), lambda w: few(0.01)(w + 0.01 * w.std() * rng(7).standard_normal(w.shape)))
    assert both_ways(bench, base(), edited)[1] is None


# Changes of low rank.


def low_rank(rank: int, size: float, seed: int) -> Edit:
    """A change whose weights are `size` times as large as the matrix's own."""
    r = rng(seed)

    def edit(w: np.ndarray) -> np.ndarray:
        change = r.standard_normal((w.shape[0], rank)) @ r.standard_normal((rank, w.shape[1]))
        return w + size * w.std() * change / change.std()

    return edit


@pytest.mark.parametrize("rank", [1, 2, 8, 16])
@pytest.mark.parametrize(("dtype", "size"), [(DTYPES[0], 0.003), (DTYPES[0], 0.3), (BF16, 0.1), (DTYPES[1], 0.05)])
def test_a_change_of_low_rank_is_told_with_its_rank(bench: Bench, rank: int, dtype: np.dtype, size: float) -> None:
    first = stored(base(), dtype)
    second = stored(maps({n: w.astype(np.float32) for n, w in first.items()}, low_rank(rank, size, 5)), dtype)
    verdict = bench.compare(first, second)
    assert said(verdict) == ("common", "adapter-merged", "undirected")
    assert verdict.evidence.difference is not None and verdict.evidence.difference.rank == rank


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_two_merges_of_one_base_differ_by_a_low_rank_too(bench: Bench, dtype: np.dtype) -> None:
    merged = [stored(maps(base(), low_rank(4, 0.1, seed)), dtype) for seed in (6, 7)]
    verdict = bench.compare(*merged)
    assert said(verdict) == ("common", "adapter-merged", "undirected")
    assert verdict.evidence.difference is not None and verdict.evidence.difference.rank == 8


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [0.003, 0.02, 0.1, 0.3])
def test_a_change_of_full_rank_is_no_adapter_whatever_its_size(bench: Bench, dtype: np.dtype, size: float) -> None:
    first = stored(base(), dtype)
    second = stored(noisy({n: w.astype(np.float32) for n, w in first.items()}, size, 8), dtype)
    assert said(bench.compare(first, second)) == ("common", None, "undirected")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
def test_a_tiny_training_in_bfloat16_that_moves_single_bits_is_no_adapter(bench: Bench, share: float) -> None:
    first, r = stored(base(), BF16), rng(9)
    second = {n: w.copy() for n, w in first.items()}
    for w in second.values():
        places = r.random(w.shape) < share
        w.view(np.uint16)[places] += r.choice(np.array([1, 2**16 - 1], np.uint16), int(places.sum()))
    assert said(bench.compare(first, second)) == ("common", None, "undirected")


# Structure.


def renumbered(model: Tensors, order: list[int]) -> Tensors:
    """Layer i of the result is layer order[i]."""
    new = {n: w for n, w in model.items() if "layers" not in n}
    for i, source in enumerate(order):
        old = f"model.layers.{source}."
        new |= {n.replace(old, f"model.layers.{i}."): w for n, w in model.items() if n.startswith(old)}
    return new


@pytest.mark.parametrize(
    "order", [[0, 2], [0], [1, 2], [0, 1, 1, 2], [0, 1, 2, 0, 1, 2], [2, 1, 0], [1, 0, 2]], ids=str
)
def test_layers_dropped_repeated_or_moved_are_a_change_of_depth(bench: Bench, order: list[int]) -> None:
    assert both_ways(bench, base(), renumbered(noisy(base(), 0.2, 10), order)) == ("common", "depth", "undirected")
    if sorted(order) != [0, 1, 2]:
        assert said(bench.compare(base(), renumbered(base(), order))) == ("common", "depth", "undirected")


def test_layers_that_were_only_moved_are_the_same_weights_under_other_names(bench: Bench) -> None:
    assert both_ways(bench, base(), renumbered(base(), [2, 1, 0])) == ("identical", "converted", "undirected")


def test_hidden_layers_of_another_width_are_a_change_of_width(bench: Bench) -> None:
    cut = {n: w[:256] if "gate" in n or "up_" in n else w[:, :256] if "down_" in n else w for n, w in base().items()}
    assert both_ways(bench, base(), cut) == ("common", "width", "undirected")


@pytest.mark.parametrize("n_tokens", [600, 690])
def test_a_table_that_was_cut_is_a_change_of_vocabulary(bench: Bench, n_tokens: int) -> None:
    cut = {n: w[:n_tokens] if "embed" in n or "lm_head" in n else w for n, w in noisy(base(), 0.05, 11).items()}
    assert both_ways(bench, base(), cut) == ("common", "vocabulary", "undirected")


def test_a_part_of_a_composite_model_is_a_component(bench: Bench) -> None:
    tower = {f"vision_tower.layers.{i}.mlp.{n}.weight": weights(rng(12 + i), *s)
             for i in range(3) for n, s in (("fc1", (256, 96)), ("fc2", (96, 256)))}  # fmt: skip
    whole = tower | {f"language_model.{n}": w for n, w in base().items()}
    assert both_ways(bench, whole, base()) == ("common", "component", "undirected")


def test_hidden_layers_copied_into_experts_are_upcycled(bench: Bench) -> None:
    experts = {n: w for n, w in base().items() if ".mlp." not in n}
    for i in range(N_LAYERS):
        experts[f"model.layers.{i}.block_sparse_moe.gate.weight"] = weights(rng(20 + i), 4, 128)
        for e in range(4):
            for old, new in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
                w, size = base()[f"model.layers.{i}.mlp.{old}_proj.weight"], 0.05 * e
                moved = w + size * w.std() * rng(30 + e).standard_normal(w.shape)
                experts[f"model.layers.{i}.block_sparse_moe.experts.{e}.{new}.weight"] = moved.astype(np.float32)
    assert both_ways(bench, base(), experts) == ("common", "upcycled", "undirected")


# Where the weights leave it open.


@pytest.mark.parametrize("size", [0.003, 0.05, 0.3, 1.0])
def test_a_full_fine_tune_has_no_relation(bench: Bench, size: float) -> None:
    assert both_ways(bench, base(), noisy(base(), size, 13)) == ("common", None, "undirected")


def test_siblings_twins_and_trainings_of_frozen_parts_have_no_relation(bench: Bench) -> None:
    assert both_ways(bench, noisy(base(), 0.1, 14), noisy(base(), 0.1, 15)) == ("common", None, "undirected")
    assert both_ways(bench, noisy(base(), 1.5, 16), noisy(base(), 1.5, 17)) == ("common", None, "undirected")
    half = {n: w if "layers.0" in n or "embed" in n else v for (n, w), v in zip(
        base().items(), noisy(base(), 0.1, 18).values(), strict=True)}  # fmt: skip
    assert both_ways(bench, base(), half) == ("common", None, "undirected")


def test_a_copy_is_identical_and_strangers_have_neither_relation_nor_evidence(bench: Bench) -> None:
    assert both_ways(bench, base(), base()) == ("identical", "identical", "undirected")
    assert both_ways(bench, base(), llama(rng(1))) == ("no-evidence", None, "undirected")
    grid = maps(llama(rng(1)), lambda w: on_grid(w, 4, 32, True, DTYPES[0]))
    zeros = maps(llama(rng(1)), smallest(0.5))
    assert both_ways(bench, base(), grid) == both_ways(bench, base(), zeros) == ("no-evidence", None, "undirected")
