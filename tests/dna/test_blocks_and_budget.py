"""How much of a model is kept, and what a read may cost: columns nest, corners are exact, budgets hold."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.dna import blocks, genes, plan, roles
from hubdna.dna.model import fetch_dna
from hubdna.dna.plan import BUDGETS, Budget
from hubdna.models import Loader
from hubdna.records import Dna, ModelRef, ReadLevel, Snapshot, TensorInfo
from hubdna.sources.interface import LocalReader
from hubdna.sources.safetensors import plain_tensor

WIDTH, INNER, N_LAYERS, N_TOKENS = 384, 1024, 6, 3200


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (0.02 * rng.standard_normal(shape)).astype(ml_dtypes.bfloat16)


def llama(seed: int = 0) -> dict[str, np.ndarray]:
    """25 MB in bfloat16: more than a standard read may take."""
    rng = np.random.default_rng(seed)
    model = {
        "model.embed_tokens.weight": weights(rng, N_TOKENS, WIDTH),
        "lm_head.weight": weights(rng, N_TOKENS, WIDTH),
    }
    for i in range(N_LAYERS):
        layer = f"model.layers.{i}"
        model |= {f"{layer}.self_attn.{p}_proj.weight": weights(rng, WIDTH, WIDTH) for p in "qkvo"}
        model |= {f"{layer}.mlp.{p}_proj.weight": weights(rng, INNER, WIDTH) for p in ("gate", "up")}
        model |= {f"{layer}.mlp.down_proj.weight": weights(rng, WIDTH, INNER)}
        model |= {f"{layer}.{n}_layernorm.weight": weights(rng, WIDTH) for n in ("input", "post_attention")}
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    save_file(llama(), path / "model.safetensors")
    tokens = {str(N_TOKENS - 48 + i): {"content": f"<|reserved_special_token_{i}|>"} for i in range(48)}
    (path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": tokens}))
    assert (path / "model.safetensors").stat().st_size > BUDGETS["standard"].n_bytes
    return path


@pytest.fixture(scope="module")
def reads(folder: Path) -> dict[str, Dna]:
    levels: list[ReadLevel] = ["small", "standard", "full"]
    return {level: Loader(level=level).load(ModelRef(str(folder))).dna for level in levels}


# Columns.


@pytest.mark.parametrize("n", [1, 2, 7, 64, 100, 2049, 11_008])
def test_fewer_columns_are_the_beginning_of_more_and_none_is_taken_twice(n: int) -> None:
    every = genes.spread_order(n, n)
    assert sorted(every.tolist()) == list(range(n))
    for limit in (0, 1, 5, 64, 640, 2048):
        assert genes.spread_order(n, limit).tolist() == every[:limit].tolist()


def test_wherever_columns_are_cut_they_are_spread_over_the_row() -> None:
    for limit in (16, 64, 640):
        gaps = np.diff(np.sort(genes.spread_order(11_008, limit)))
        assert gaps.max() <= 3 * 11_008 / limit


@pytest.mark.parametrize(("n_few", "n_many"), [(64, 640), (640, 2048), (100, 101), (1, 64)])
def test_a_gene_that_keeps_fewer_columns_holds_the_beginning_of_one_that_keeps_more(n_few: int, n_many: int) -> None:
    info = TensorInfo("mlp.up_proj.weight", "F32", (512, 3000), (0, 0), "model.safetensors")
    block = np.random.default_rng(1).standard_normal((64, 3000)).astype(np.float32)
    few, many = (genes.make_gene(info, 0, block, n) for n in (n_few, n_many))
    assert not isinstance(few, str) and not isinstance(many, str) and few.rows is not None and many.rows is not None
    assert few.rows.shape == (32, n_few) and many.rows.shape == (32, n_many)
    assert few.rows.tobytes() == np.ascontiguousarray(many.rows[:, :n_few]).tobytes()
    assert few.scales is not None and many.scales is not None and few.scales.tobytes() == many.scales.tobytes()
    assert few.sketch.tobytes() == many.sketch.tobytes() and few.hashes.tobytes() == many.hashes.tobytes()


def model_of(n_layers: int) -> list[TensorInfo]:
    shapes = {"gate_proj": (INNER, WIDTH), "up_proj": (INNER, WIDTH), "down_proj": (WIDTH, INNER)}
    return [TensorInfo(f"model.layers.{i}.mlp.{n}.weight", "BF16", s, (0, 2 * s[0] * s[1]), "m.safetensors")
            for i in range(n_layers) for n, s in shapes.items()]  # fmt: skip


@pytest.mark.parametrize("n_layers", [1, 4, 12, 40, 200])
def test_all_columns_kept_of_a_model_stay_bounded_and_the_first_genes_keep_most(n_layers: int) -> None:
    infos = model_of(n_layers)
    axes = roles.testable_axes(infos)
    kept = plan.keep_columns([plain_tensor(i) for i in infos], axes)
    assert set(kept) == {(name, axis) for name, found in axes.items() for axis in found}
    wide = [key for key, n in kept.items() if n == plan.WIDE]
    assert len(wide) == min(plan.FIRST_LAYERS_GENES, sum(a == 0 for _, a in kept)) and all(a == 0 for _, a in wide)
    others = [n for key, n in kept.items() if key not in wide]
    assert all(plan.MIN_KEPT <= n <= plan.NARROW for n in others)
    assert sum(others[: plan.MAX_PARTIAL_GENES]) <= plan.SHARED_COLUMNS


# Corners.


@pytest.mark.parametrize("level", ["standard", "full"])
def test_corners_are_the_weights_themselves(reads: dict[str, Dna], level: str) -> None:
    model, corners = llama(), reads[level].blocks
    assert {b.role for b in corners} == {"attention", "ffn"} and len(corners) == blocks.N_ATTENTION + blocks.N_OTHER
    for block in corners:
        stored = model[block.tensor].astype(np.float32)[: blocks.N_ROWS, : blocks.N_COLUMNS]
        assert block.values.tobytes() == np.ascontiguousarray(stored).tobytes(), block.tensor
        assert (block.shape, block.dtype, block.grid) == (model[block.tensor].shape, "BF16", 0)


@pytest.mark.parametrize("level", ["standard", "full"])
def test_other_matrices_leave_a_small_exact_sample(reads: dict[str, Dna], level: str) -> None:
    model, samples = llama(), reads[level].samples
    assert samples and not {s.tensor for s in samples} & {b.tensor for b in reads[level].blocks}
    assert "label" not in {s.role for s in samples}
    for sample in samples:
        stored = model[sample.tensor].astype(np.float32)[: blocks.SAMPLE_ROWS, : blocks.SAMPLE_COLUMNS]
        assert sample.values.tobytes() == np.ascontiguousarray(stored).tobytes(), sample.tensor


def test_a_model_of_many_matrices_leaves_samples_spread_over_its_depth() -> None:
    names = [f"layers.{i}.{kind}.weight" for i in range(80) for kind in ("up_proj", "down_proj", "q_proj", "o_proj")]
    infos = [TensorInfo(name, "BF16", (64, 64), (0, 0), "m.safetensors") for name in names]
    tensors = [plain_tensor(info) for info in infos]
    chosen = blocks.choose_samples(tensors, blocks.choose(tensors))
    layers = {int(t.info.name.split(".")[1]) for t in chosen}
    assert len(chosen) == blocks.N_SAMPLES and {0, 79} <= layers and len(layers) > 40


def test_a_smaller_read_has_no_corner_that_a_larger_one_lacks(reads: dict[str, Dna]) -> None:
    held = [{b.tensor: b.values.tobytes() for b in reads[level].blocks} for level in ("small", "standard", "full")]
    assert held[0].items() <= held[1].items() <= held[2].items()


def test_corners_of_convolutions_have_their_later_axes_flattened() -> None:
    info = TensorInfo("layer1.0.conv1.weight", "F32", (64, 48, 3, 3), (0, 0), "m.safetensors")
    w = np.random.default_rng(2).standard_normal((64, 48, 3, 3)).astype(np.float32)
    block = blocks.make_block(info, w)
    assert block is not None and np.array_equal(block.values, w.reshape(64, -1)[:32, :128])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_corner_whose_rows_are_no_numbers_is_not_kept(value: float) -> None:
    info, w = TensorInfo("up_proj.weight", "F32", (64, 400), (0, 0), "m"), np.ones((64, 400), np.float32)
    w[3, 399] = value
    assert blocks.make_block(info, w) is None


@pytest.mark.parametrize(("n", "limit"), [(0, 4), (1, 4), (4, 4), (5, 4), (100, 6)])
def test_a_spread_has_the_first_and_the_last(n: int, limit: int) -> None:
    chosen = blocks.spread(list(range(n)), limit)
    assert len(chosen) == min(n, limit) == len(set(chosen))
    assert not n or (chosen[0], chosen[-1]) == (0, n - 1)


# Budgets.


@pytest.mark.parametrize("level", ["small", "standard"])
def test_a_read_with_tokens_that_no_training_saw_stays_in_its_budget(reads: dict[str, Dna], level: ReadLevel) -> None:
    dna, budget = reads[level], BUDGETS[level]
    assert dna.content is None, "more than the budget: read in parts"
    assert dna.n_bytes_read <= budget.n_bytes and dna.n_requests <= budget.n_requests
    assert any(g.view == "unseen" for g in dna.genes) == (level != "small")


def test_what_is_left_over_goes_to_whole_tensors_for_their_other_axis(reads: dict[str, Dna]) -> None:
    assert not any(g.axis for g in reads["small"].genes if g.view == "rows")
    found = {g.tensor for g in reads["standard"].genes if g.view == "rows" and g.axis == 1}
    assert found == {f"model.layers.{i}.mlp.down_proj.weight" for i in range(N_LAYERS)}
    assert {g.view for g in reads["standard"].genes} == {"rows", "response", "gram", "residual", "unseen"}


def test_genes_and_corners_of_a_larger_read_hold_those_of_a_smaller_one(reads: dict[str, Dna]) -> None:
    for smaller, larger in (("small", "standard"), ("standard", "full")):
        there = {(g.view, g.tensor, g.axis): g for g in reads[larger].genes}
        for gene in (g for g in reads[smaller].genes if g.view != "residual"):  # as many columns as anchors
            other = there[gene.view, gene.tensor, gene.axis]
            assert gene.rows is not None and other.rows is not None
            assert gene.rows.tobytes() == other.rows.tobytes(), (smaller, gene.view, gene.tensor, gene.axis)
            assert gene.sketch.tobytes() == other.sketch.tobytes() and gene.ids.tobytes() == other.ids.tobytes()


def test_nothing_is_taken_twice_where_a_tensor_is_read_in_part_and_then_whole(tmp_path: Path) -> None:
    """Convolutions without a stream have units on both axes; a relative that was read whole has each gene once."""
    rng = np.random.default_rng(3)
    shapes = {f"features.{i}.weight": (224, 224, 3, 3) for i in range(11)} | {"features.11.weight": (1600, 224, 3, 3)}
    tensors = {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    standard, full = (Loader(level=level).load(ModelRef(str(tmp_path))).dna for level in ("standard", "full"))  # type: ignore[arg-type]
    assert standard.content is None and standard.n_bytes_read <= BUDGETS["standard"].n_bytes
    both = {g.tensor for g in standard.genes if g.axis == 0} & {g.tensor for g in standard.genes if g.axis == 1}
    assert both, "no tensor was read twice: nothing is shown"
    for dna in (standard, full):
        keys = [(g.view, g.tensor, g.axis) for g in dna.genes]
        assert len(set(keys)) == len(keys)
        assert len({b.tensor for b in dna.blocks}) == len(dna.blocks)


def test_what_does_not_fit_is_left_out_and_the_next_is_tried() -> None:
    tensors = [plain_tensor(i) for i in model_of(2)]
    wanted = [(t, 0, n) for t, n in zip(tensors, (10, 1000, 10, 1000, 20, 5), strict=True)]
    chosen = plan.affordable(wanted, Budget(2 * WIDTH * 40 + 2 * INNER * 20, 3, 0))
    assert [n for _, _, n in chosen] == [10, 10, 20]
    assert plan.affordable(wanted, Budget(10**9, 0, 0)) == plan.affordable(wanted, Budget(0, 10, 0)) == []
    assert plan.affordable(wanted, Budget(-5, -5, 0)) == []


@pytest.mark.parametrize("copy", [False, True])
def test_a_second_copy_beside_the_model_costs_no_more_than_the_budget(folder: Path, copy: bool) -> None:
    files = ("model.safetensors", "tokenizer_config.json")
    if copy:
        (folder / "pytorch_model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        files = (*files, "pytorch_model.safetensors")
    dna = fetch_dna(LocalReader(folder), Snapshot(ModelRef("./m"), files), "standard")
    assert dna.n_bytes_read <= BUDGETS["standard"].n_bytes and dna.n_requests <= BUDGETS["standard"].n_requests
