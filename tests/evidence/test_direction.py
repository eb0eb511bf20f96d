"""Certain marks of direction: what casts, masks, grids and copies leave, and what looks like it and is not.

Every model is written to a file and read as a user's. `made(parent, child)` says what is claimed to be made from what.
"""

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from disguised_models import N_LAYERS, D, H, llama
from evidence_bench import Bench, Tensors

from hubdna.evidence.direction import marks
from hubdna.records import Dna

BF16, F16, F32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16), np.dtype(np.float32)
Edit = Callable[[np.ndarray], np.ndarray]
BASE = llama(np.random.default_rng(0))


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_map(name: str) -> bool:
    return "layers" in name and "norm" not in name


def maps(model: Tensors, edit: Edit, where: Callable[[str], bool] = is_map) -> Tensors:
    """The same model with some tensors edited; their types stay."""
    return {n: np.asarray(edit(w)).astype(w.dtype) if where(n) else w for n, w in model.items()}


def stored(model: Tensors, dtype: np.dtype) -> Tensors:
    return {n: w.astype(dtype) for n, w in model.items()}


def wide(model: Tensors) -> Tensors:
    return stored(model, F32)


def noisy(model: Tensors, size: float, seed: int = 1) -> Tensors:
    """What training does: every weight moves by a share of the matrix's typical weight."""
    r = rng(seed)
    return maps(model, lambda w: w.astype(F32) + size * w.astype(F32).std() * r.standard_normal(w.shape).astype(F32))


def stepped(model: Tensors, size: float, steps: int = 1, seed: int = 1) -> Tensors:
    """Steps of Adam, Lion or sign descent: each moves every weight equally far, rounded to the model's type."""
    r, new = rng(seed), model
    for _ in range(steps):
        new = maps(new, lambda w: w.astype(F32) + size * r.choice([-1, 1], w.shape).astype(F32))
    return new


def said(bench: Bench, parent: Tensors, child: Tensors) -> set[tuple[str, str]]:
    """Marks as (name, which of the two was made from the other); the same whichever is named first."""
    a, b = bench.dna(parent), bench.dna(child)
    found = {(m.name, ("parent", "child")[m.child]) for m in marks(a, b)}
    assert found == {(m.name, ("child", "parent")[m.child]) for m in marks(b, a)}
    return found


# Casts.


@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
def test_a_cast_was_made_from_the_finer_model(bench: Bench, dtype: np.dtype) -> None:
    assert said(bench, BASE, stored(BASE, dtype)) == {("cast", "child")}


def test_a_float16_release_has_a_bfloat16_cast(bench: Bench) -> None:
    fine = stored(BASE, F16)
    assert said(bench, fine, stored(fine, BF16)) == {("cast", "child")}


def test_the_same_values_in_a_wider_type_have_no_direction(bench: Bench) -> None:
    assert said(bench, stored(BASE, BF16), wide(stored(BASE, BF16))) == set()
    assert said(bench, stored(BASE, BF16), stored(stored(BASE, BF16), F16)) == set()


def test_two_casts_of_one_model_were_not_made_from_each_other(bench: Bench) -> None:
    larger = {n: w * 16 for n, w in BASE.items()}  # float16 keeps all of these, even the smallest
    for model in (BASE, larger):
        assert said(bench, stored(model, F16), stored(model, BF16)) == set()


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-3])
def test_a_float32_fine_tune_of_a_sixteen_bit_base_is_not_its_parent(bench: Bench, size: float) -> None:
    for dtype in (BF16, F16):
        base = stored(BASE, dtype)
        assert said(bench, base, noisy(wide(base), size)) == set()
        assert said(bench, base, stepped(wide(base), size / 10)) == set()


@pytest.mark.parametrize("upper", [True, False], ids=["large", "small"])
def test_a_fine_tune_of_large_or_small_weights_only_is_not_its_bases_parent(bench: Bench, upper: bool) -> None:
    base = stored(BASE, BF16)
    r = rng()

    def edit(w: np.ndarray) -> np.ndarray:
        moved = (np.abs(w) >= np.quantile(np.abs(w), 0.5)) == upper
        return w + moved * np.abs(w) * r.uniform(-(2.0**-9), 2.0**-9, w.shape).astype(F32)

    assert said(bench, base, maps(wide(base), edit)) == set()


@pytest.mark.parametrize("decay", [1e-4, 1.5e-3, 1.9e-3])
def test_weights_that_only_decayed_are_not_the_parent_of_what_they_were(bench: Bench, decay: float) -> None:
    base = stored(BASE, BF16)
    shrunk = {n: w * np.float32(1 - decay) for n, w in wide(base).items()}
    assert said(bench, base, shrunk) == set()


def test_gains_trained_per_row_are_not_the_parent_of_what_they_were(bench: Bench) -> None:
    base, r = stored(BASE, BF16), rng()
    scaled = maps(wide(base), lambda w: w * (1 + r.uniform(-(2.0**-9), 2.0**-9, (len(w), 1)).astype(F32)))
    assert said(bench, base, scaled) == set()


def test_one_step_on_weights_of_one_size_is_not_their_parent(bench: Bench) -> None:
    """Binary weights: no small ones tell a light fine-tune from what rounding left."""
    base = stored(maps(BASE, lambda w: np.sign(w) * 2.0**-4), BF16)
    assert said(bench, base, stepped(wide(base), 0.35 * 2.0**-11)) == set()
    uniform = maps(wide(base), lambda w: w + rng().uniform(-(2.0**-12), 2.0**-12, w.shape).astype(F32))
    assert said(bench, base, uniform) == set()


def test_rounding_at_random_leaves_no_certain_cast(bench: Bench) -> None:
    r = rng()

    def at_random(w: np.ndarray) -> np.ndarray:
        bits = w.astype(F32).view(np.uint32).astype(np.uint64) + r.integers(0, 2**16, w.shape, np.uint64)
        return (bits.astype(np.uint32) & np.uint32(0xFFFF0000)).view(F32)

    assert said(bench, BASE, stored({n: at_random(w) for n, w in BASE.items()}, BF16)) == set()


@pytest.mark.parametrize("part", ["self_attn", "mlp", "layers.2.", "layers.1.mlp.up_proj"])
def test_the_cast_of_a_base_was_not_made_from_a_fine_tune_of_a_part(bench: Bench, part: str) -> None:
    r = rng()
    tuned = maps(BASE, lambda w: w + 1e-4 * w.std() * r.standard_normal(w.shape).astype(F32), lambda n: part in n)
    assert said(bench, tuned, stored(BASE, BF16)) == set()


def test_the_cast_of_a_base_was_not_made_from_a_fine_tune_of_rows_beyond_every_corner(bench: Bench) -> None:
    tuned = maps(BASE, lambda w: np.concatenate([w[:12], w[12:] + 1e-4 * w.std()]), lambda n: "up_proj" in n)
    assert said(bench, tuned, stored(BASE, BF16)) == set()


def test_an_average_of_weights_and_its_base_have_no_direction(bench: Bench) -> None:
    base = stored(BASE, BF16)
    other = noisy(wide(base), 0.01)
    for share in (0.9, 0.99, 0.999, 0.9999):
        average = {n: np.float32(share) * w + np.float32(1 - share) * other[n] for n, w in wide(base).items()}
        assert said(bench, base, average) == set()


def test_a_model_partly_stored_in_sixteen_bits_is_not_the_parent_of_its_sibling(bench: Bench) -> None:
    partly = {n: w.astype(BF16) if "layers.0." in n else w for n, w in BASE.items()}
    assert said(bench, partly, stored(BASE, BF16)) == set()


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e4, 1e30])
def test_weights_of_extreme_size_are_cast_the_right_way_or_not_at_all(bench: Bench, scale: float) -> None:
    model = {n: (w * scale).astype(F32) for n, w in BASE.items()}
    assert said(bench, model, stored(model, BF16)) <= {("cast", "child")}
    assert said(bench, stored(model, BF16), noisy(wide(stored(model, BF16)), 1e-5)) == set()
    if scale < 1e4:
        assert said(bench, model, stored(model, F16)) <= {("cast", "child")}


# Zeros.


def smallest(share: float) -> Edit:
    return lambda w: np.where(np.abs(w) < np.quantile(np.abs(w), share), 0, w)


def by_row(w: np.ndarray) -> np.ndarray:
    return np.where(np.abs(w) < np.quantile(np.abs(w), 0.5, axis=1, keepdims=True), 0, w)


def two_of_four(w: np.ndarray) -> np.ndarray:
    groups = np.abs(w).reshape(-1, 4)
    kept = np.zeros(groups.shape, bool)
    np.put_along_axis(kept, np.argsort(groups, axis=1)[:, 2:], True, axis=1)
    return np.where(kept.reshape(w.shape), w, 0)


PRUNED = {"half": smallest(0.5), "nine tenths": smallest(0.9), "by row": by_row, "2:4": two_of_four}


@pytest.mark.parametrize("how", PRUNED)
def test_a_pruned_model_was_made_from_the_dense_one(bench: Bench, how: str) -> None:
    assert said(bench, BASE, maps(BASE, PRUNED[how])) == {("masked", "child")}


@pytest.mark.parametrize("how", PRUNED)
@pytest.mark.parametrize("size", [0.03, 0.3, 0.5, 1.0])
def test_a_sparse_model_grown_dense_is_not_its_parent(bench: Bench, how: str, size: float) -> None:
    """The kept weights are frozen; the new ones are Gaussian, uniform, or what ten steps of Adam make of zeros."""
    sparse, r = maps(BASE, PRUNED[how]), rng()
    grown: dict[str, Edit] = {
        "gaussian": lambda w: w.std() * size * r.standard_normal(w.shape),
        "uniform": lambda w: w.std() * size * r.uniform(-1, 1, w.shape),
        "steps": lambda w: w.std() * size * r.choice([-0.1, 0.1], (10, *w.shape)).sum(axis=0),
    }
    for name, new in grown.items():
        assert said(bench, sparse, maps(sparse, lambda w, new=new: np.where(w == 0, new(w), w))) == set(), name


def test_a_pruned_model_that_was_tuned_has_no_certain_mark(bench: Bench) -> None:
    sparse = maps(BASE, smallest(0.5))
    tuned = maps(sparse, lambda w: w + 1e-3 * w.std() * (w != 0) * rng().standard_normal(w.shape))
    assert said(bench, BASE, tuned) == set() == said(bench, sparse, tuned)


def test_pruning_by_movement_leaves_no_certain_mark(bench: Bench) -> None:
    assert said(bench, BASE, maps(BASE, lambda w: np.where(rng().random(w.shape) < 0.5, 0, w))) == set()


def test_of_two_pruned_from_one_neither_was_made_from_the_other(bench: Bench) -> None:
    some = maps(BASE, smallest(0.5), lambda n: is_map(n) and "layers.0." in n)
    assert said(bench, some, maps(BASE, smallest(0.5))) == set()
    assert said(bench, maps(BASE, smallest(0.3)), maps(BASE, smallest(0.6))) <= {("masked", "child")}


@pytest.mark.parametrize("dead", [0.1, 0.4, 0.6, 1.0])
def test_zero_rows_that_were_trained_are_no_mark(bench: Bench, dead: float) -> None:
    """Zero initialisation: the last rows of each matrix begin as zeros, and are all that is trained."""
    fresh = maps(BASE, lambda w: w * (np.arange(len(w)) >= 32 * dead)[:, None])
    for size in (0.01, 0.3, 1.0):
        new = maps(fresh, lambda w, size=size: np.where(w == 0, size * w.std() * rng().standard_normal(w.shape), w))
        assert said(bench, fresh, new) == set()


# Grids.


def on_grid(bits: int, group: int | None, scale: np.dtype = F16) -> Edit:
    """Round to nearest on symmetric levels, scales stored in `scale`."""

    def edit(w: np.ndarray) -> np.ndarray:
        g, n = w.astype(F32).reshape(-1, group or w.shape[1]), 2 ** (bits - 1) - 1
        step = (np.abs(g).max(axis=1, keepdims=True) / n).astype(scale).astype(F32)
        step[step == 0] = 1
        return (np.clip(np.rint(g / step), -n, n) * step).reshape(w.shape)

    return edit


def fp8(w: np.ndarray) -> np.ndarray:
    scale = np.abs(w).max(axis=1, keepdims=True) / 448
    return (w / scale).astype(ml_dtypes.float8_e4m3fn).astype(F32) * scale


GRIDS = [(8, 32), (8, 128), (8, None), (4, 32)]


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("source", [F32, BF16], ids=str)
def test_a_model_on_an_eight_bit_grid_was_made_from_the_finer_one(bench: Bench, group: int, source: np.dtype) -> None:
    base = stored(BASE, source)
    assert said(bench, base, maps(wide(base), on_grid(8, group))) == {("quantised", "child")}


@pytest.mark.parametrize(("bits", "group"), [(8, None), (6, 64), (4, 32), (4, 128), (3, 64), (2, 64)])
def test_a_coarse_or_cut_grid_points_to_its_source_or_nowhere(bench: Bench, bits: int, group: int | None) -> None:
    assert said(bench, BASE, maps(BASE, on_grid(bits, group))) <= {("quantised", "child")}


@pytest.mark.parametrize(("bits", "group"), GRIDS)
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
def test_a_fine_tune_of_an_unpacked_native_release_is_not_its_parent(
    bench: Bench, bits: int, group: int | None, dtype: np.dtype
) -> None:
    """Steps of every size against the grid's, one or many, in the types in which people train."""
    native = maps(BASE, on_grid(bits, group))
    unpacked = stored(native, dtype)
    step = float(np.abs(BASE["model.layers.0.mlp.up_proj.weight"][:, : group or D]).max(axis=1).mean()) / (
        2 ** (bits - 1) - 1
    )
    for share in (0.3, 0.4):
        for tuned in (stepped(unpacked, share * step), stepped(unpacked, share * step / 8, 8)):
            assert said(bench, native, tuned) == set(), share
    for size in (1e-4, 1e-2):
        assert said(bench, native, noisy(unpacked, size)) == set(), size


def test_noise_that_fills_the_cells_of_a_native_grid_is_not_its_parent(bench: Bench) -> None:
    native = maps(BASE, on_grid(8, 64))

    def dithered(w: np.ndarray) -> np.ndarray:
        step = np.abs(w).reshape(-1, 64).max(axis=1).mean() / 127
        return w + rng().uniform(-0.45, 0.45, w.shape) * step

    assert said(bench, native, maps(native, dithered)) == set()


@pytest.mark.parametrize("part", ["self_attn", "layers.0.", "mlp.down_proj"])
def test_training_a_part_of_an_unpacked_native_release_leaves_no_mark(bench: Bench, part: str) -> None:
    native = maps(BASE, on_grid(8, 64))
    tuned = maps(native, lambda w: w + 1e-3 * w.std() * rng().standard_normal(w.shape), lambda n: part in n)
    assert said(bench, native, tuned) == set()


@pytest.mark.parametrize(("fine", "coarse"), [((8, 32), (4, 32)), ((8, 64), (4, 64)), ((8, None), (4, 128)),
                                              ((6, 64), (4, 64)), ((8, 64), (8, 32)), ((4, 128), (4, 32))])  # fmt: skip
def test_of_two_grids_of_one_model_neither_was_made_from_the_other(
    bench: Bench, fine: tuple[int, int | None], coarse: tuple[int, int | None]
) -> None:
    assert said(bench, maps(BASE, on_grid(*fine)), maps(BASE, on_grid(*coarse))) == set()


@pytest.mark.parametrize(("first", "second"), [((8, 64), (4, 64)), ((4, 64), (8, 64)), ((4, 128), (4, 32))])
def test_what_was_quantised_twice_points_to_the_first_at_most(
    bench: Bench, first: tuple[int, int], second: tuple[int, int]
) -> None:
    once = maps(BASE, on_grid(*first))
    assert said(bench, once, maps(once, on_grid(*second))) <= {("quantised", "child")}


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_grid_of_a_base_was_not_made_from_the_bases_fine_tune_or_cast(bench: Bench, bits: int) -> None:
    grid = maps(BASE, on_grid(bits, 64))
    for size in (1e-4, 0.005):
        assert said(bench, noisy(BASE, size), grid) == set(), size
    for dtype in (BF16, F16):
        assert said(bench, stored(BASE, dtype), grid) == set()


def test_a_copy_with_renumbered_experts_is_not_the_parent_of_the_bases_children(bench: Bench) -> None:
    r = rng()
    moe = mixture(BASE)
    moe = maps(moe, lambda w: w + w.std() * r.standard_normal(w.shape), lambda n: "experts" in n)
    other = {0: 1, 1: 2, 2: 0}
    moved = {n: w for n, w in moe.items() if "experts" not in n}
    for n, w in moe.items():
        if "experts" in n:
            e = int(n.split("experts.")[1][0])
            moved[n.replace(f"experts.{e}.", f"experts.{other[e]}.")] = w
    for made in (stored(moe, BF16), maps(moe, smallest(0.5)), maps(moe, on_grid(8, 64))):
        assert said(bench, moved, made) == set() != said(bench, moe, made)


def test_a_grid_was_not_made_from_an_eight_bit_float_release_of_its_parent(bench: Bench) -> None:
    floats = maps(BASE, fp8)
    assert said(bench, floats, maps(BASE, on_grid(4, 64))) == set()
    assert said(bench, BASE, floats) <= {("quantised", "child")}
    assert said(bench, floats, noisy(floats, 1e-3)) == set()


def test_a_grid_was_not_made_from_a_model_whose_other_matrices_differ(bench: Bench) -> None:
    grid = maps(BASE, on_grid(4, 64), lambda n: "mlp" in n)
    other = maps(BASE, lambda w: w + 1e-3 * w.std() * rng().standard_normal(w.shape), lambda n: "self_attn" in n)
    assert said(bench, other, grid) == set()


# Copies inside a model.


def layers(model: Tensors, order: list[int]) -> Tensors:
    """A model with its layers repeated or left out."""
    new = {n: w for n, w in model.items() if "layers" not in n}
    for to, of in enumerate(order):
        new |= {n.replace(f"layers.{of}.", f"layers.{to}."): w for n, w in model.items() if f"layers.{of}." in n}
    return new


def mixture(model: Tensors, n_experts: int = 3) -> Tensors:
    """Every feed-forward block copied into experts, behind a fresh router."""
    new = {n: w for n, w in model.items() if ".mlp." not in n}
    for n, w in model.items():
        if ".mlp." in n:
            new |= {n.replace(".mlp.", f".mlp.experts.{e}."): w for e in range(n_experts)}
    routers = {f"model.layers.{i}.mlp.router.weight": rng(i).standard_normal((n_experts, D)) for i in range(N_LAYERS)}
    return new | {n: w.astype(F32) for n, w in routers.items()}


def test_a_deepened_model_was_made_from_the_shallow_one(bench: Bench) -> None:
    assert said(bench, BASE, layers(BASE, [0, 1, 1, 2])) == {("repeated", "child")}
    assert said(bench, BASE, layers(BASE, [0, 1, 0, 1, 2])) == {("repeated", "child")}


def test_a_mixture_of_copied_experts_was_made_from_the_dense_model(bench: Bench) -> None:
    assert said(bench, BASE, mixture(BASE)) == {("repeated", "child")}


def test_a_shallower_cut_of_a_deepened_model_is_not_its_parent(bench: Bench) -> None:
    deep = layers(BASE, [0, 1, 0, 1, 2])
    for cut in ([0, 1, 4], [0, 1, 2, 4], [0, 1], [1, 4], [0, 3, 4]):
        assert ("repeated", "parent") not in said(bench, deep, layers(deep, cut)) or cut in ([0, 1, 4], [0, 3, 4])
    for cut in ([0, 1], [1, 4], [0, 2]):
        assert said(bench, deep, layers(deep, cut)) == set()


def test_a_deepened_deepened_model_never_points_up(bench: Bench) -> None:
    once = layers(BASE, [0, 1, 1, 2])
    assert said(bench, once, layers(once, [0, 1, 2, 3, 3])) <= {("repeated", "child")}
    assert said(bench, BASE, layers(once, [0, 1, 2, 3, 3])) <= {("repeated", "child")}


@pytest.mark.parametrize("part", ["self_attn", "o_proj", "layers.0.self_attn.q_proj"])
def test_copies_of_a_base_were_not_made_from_its_fine_tune_of_attention(bench: Bench, part: str) -> None:
    tuned = maps(BASE, lambda w: w + 1e-3 * w.std() * rng().standard_normal(w.shape), lambda n: part in n)
    for copies in (layers(BASE, [0, 1, 1, 2]), mixture(BASE)):
        assert said(bench, tuned, copies) == set()


def test_a_dense_model_taken_out_of_a_tuned_mixture_is_not_its_parent(bench: Bench) -> None:
    """Attention was trained, the equal experts were frozen: whoever takes an expert out takes the new attention too."""
    moe = maps(mixture(BASE), lambda w: w + 0.01 * w.std() * rng().standard_normal(w.shape), lambda n: "self_attn" in n)
    dense = {n.replace("experts.0.", ""): w for n, w in moe.items() if "router" not in n and "s.1." not in n}
    assert ("repeated", "parent") not in said(bench, BASE, moe)
    assert said(bench, BASE, {n: w for n, w in dense.items() if "experts" not in n}) == set()


def test_layers_that_were_shared_in_training_have_no_direction(bench: Bench) -> None:
    """Stored once or as often as they are used: that is a matter of the program."""
    one = layers(BASE, [0])
    assert said(bench, layers(BASE, [0, 0, 0, 0]), one) == set()
    assert said(bench, layers(BASE, [0, 1, 2, 0, 1, 2]), BASE) == set()
    assert said(bench, layers(BASE, [0, 0, 1, 1, 2, 2]), BASE) == set()


def test_tied_parts_that_are_stored_once_or_twice_have_no_direction(bench: Bench) -> None:
    """A decoder or a second tower that shares the encoder's weights, and a head that shares the table's."""
    twice = {f"{side}.{n}": w for n, w in BASE.items() for side in ("encoder", "decoder")}
    assert said(bench, twice, {n: w for n, w in twice.items() if "encoder" in n}) == set()
    assert said(bench, twice, BASE) == set()
    partly = {n: w for n, w in BASE.items() if "layers.2" not in n or "mlp" not in n}
    doubled = BASE | {n.replace("layers.1", "shared.1"): w for n, w in partly.items() if "layers.1" in n}
    assert said(bench, doubled, BASE) == set()
    tied = BASE | {"lm_head.weight": BASE["model.embed_tokens.weight"]}
    assert said(bench, tied, {n: w for n, w in tied.items() if n != "lm_head.weight"}) == set()


# All else.


def test_equal_models_have_no_direction(bench: Bench) -> None:
    assert said(bench, BASE, dict(BASE)) == set()


@pytest.mark.parametrize("n", [-100, 100])
def test_another_vocabulary_is_no_mark(bench: Bench, n: int) -> None:
    tables = ("model.embed_tokens.weight", "lm_head.weight")
    new = {k: BASE[k][:n] if n < 0 else np.concatenate([BASE[k], np.zeros((n, D), F32)]) for k in tables}
    assert said(bench, BASE, BASE | new) == set()


def test_siblings_and_chains_of_fine_tunes_have_no_mark(bench: Bench) -> None:
    for size in (1e-6, 1e-3, 0.1):
        first = noisy(BASE, size)
        assert said(bench, BASE, first) == set() == said(bench, first, noisy(first, size, 2))
        assert said(bench, first, noisy(BASE, size, 3)) == set()


def test_constant_and_zero_matrices_are_no_mark(bench: Bench) -> None:
    for value in (0.0, 1.0):
        some = maps(BASE, lambda w, value=value: np.full(w.shape, value), lambda n: "self_attn" in n)
        assert said(bench, some, maps(some, lambda w: w + 1e-5 * rng().standard_normal(w.shape))) == set()


def test_a_handful_of_weights_carries_no_mark() -> None:
    """One corner of 16 times 32 weights."""
    from hubdna.records import Block, ModelRef

    w = rng().standard_normal((16, 32)).astype(F32)

    def dna(values: np.ndarray, dtype: str, grid: int = 0) -> Dna:
        return Dna(ModelRef("a/b"), "s", (), (Block("w", w.shape, "dense", dtype, values.astype(F32), grid),))

    for made in (dna(w.astype(BF16), "BF16"), dna(smallest(0.5)(w), "F32"), dna(on_grid(8, 32)(w), "F32", 8)):
        assert marks(dna(w, "F32"), made) == ()


@pytest.mark.parametrize("change", ["cast", "masked", "quantised"])
def test_what_was_read_in_part_carries_the_same_mark_or_none(bench: Bench, change: str) -> None:
    child = {"cast": stored(BASE, BF16), "masked": maps(BASE, smallest(0.5)), "quantised": maps(BASE, on_grid(8, 32))}
    parent, made = bench.dna(BASE), bench.dna(child[change])
    for n in (5, 9, 10):
        a, b = (replace(d, blocks=d.blocks[:n], samples=d.samples[:n], content=None) for d in (parent, made))
        assert {m.child for m in marks(a, b)} <= {1}
    assert {m.name for m in marks(a, b)} == {change}
    fewer = replace(made, blocks=made.blocks[:3], samples=())
    assert marks(parent, fewer) == ()


def test_the_model_is_wide_enough_for_what_is_tested() -> None:
    assert D == 128 and H % 64 == 0 and N_LAYERS == 3
