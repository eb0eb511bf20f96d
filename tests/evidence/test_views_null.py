"""Views of the residual stream where its coordinates carry labels: trained constructions that once made relatives."""

import numpy as np
from evidence_bench import Bench, Tensors, assert_null, plain, weights

from hubdna.dna.anchors import numbers_the_stream
from hubdna.dna.roles import stream_widths
from hubdna.records import TensorInfo

D, H = 96, 192
_PATTERN = np.random.default_rng(0).standard_normal((D, 16)).astype(np.float32) / 4
"""Directions that every training learns to read, since all see the same coordinates."""


def blocks(rng: np.random.Generator, labelled: float, d: int = D, prefix: str = "blocks") -> Tensors:
    """Residual blocks whose first maps lean to the common directions; their hidden units are drawn anew."""
    model = {"head.weight": weights(rng, 10, d)}
    for i in range(2):
        W = weights(rng, H, d)
        model[f"{prefix}.{i}.mlp.fc1.weight"] = W + labelled * weights(rng, H, 16) @ _PATTERN.T
        model[f"{prefix}.{i}.mlp.fc2.weight"] = weights(rng, d, H)
        model[f"{prefix}.{i}.norm.weight"] = 1 + weights(rng, d, 1)[:, 0]
    return model


def test_blocks_that_stand_on_input_features_have_no_gram(bench: Bench) -> None:
    """No map writes their stream: it is the input, whose order is one in every training (mean K was 20 of 32)."""
    assert {g.view for g in bench.dna(blocks(np.random.default_rng(0), 1.0)).genes} == {"rows"}
    assert_null(bench.unrelated(lambda rng: blocks(rng, 1.0), 6))


def test_filters_of_input_features_are_not_tested(bench: Bench) -> None:
    """One filter for each feature resembles that feature's in every training (mean K was 10 of 32)."""
    common = weights(np.random.default_rng(4), D, 1, 25)

    def make(rng: np.random.Generator) -> Tensors:
        return {"time.weight": common + weights(rng, D, 1, 25), **blocks(rng, 0.0)}

    assert not any(
        g.tensor == "time.weight" and g.view == "rows" for g in bench.dna(make(np.random.default_rng(0))).genes
    )
    assert not {v.origin for v in bench.unrelated(make, 6)} & {"common", "identical"}


def test_hidden_units_trained_anew_on_a_table_that_was_taken_over_make_no_relatives(bench: Bench) -> None:
    table = weights(np.random.default_rng(1), 600, D)

    def make(rng: np.random.Generator) -> Tensors:
        return {"embed_tokens.weight": table + 0.3 * weights(rng, 600, D), **blocks(rng, 1.0)}

    verdicts = bench.unrelated(make, 4)
    assert max(b.fixed_points for v in verdicts for b in v.evidence.buckets if b.view == "gram") >= 18
    assert {(v.origin, v.relation) for v in verdicts} == {("undecided", "component")}


def test_coordinates_that_something_unseen_numbers_make_no_relatives(bench: Bench) -> None:
    """Sinusoids that are added and not stored, in a model whose kind nobody told; its table shows nothing."""
    verdicts = bench.unrelated(lambda r: {"embed_tokens.weight": weights(r, 600, D), **blocks(r, 1.0)}, 4)
    assert max(b.fixed_points for v in verdicts for b in v.evidence.buckets if b.view == "gram") >= 18
    assert not {v.origin for v in verdicts} & {"common", "identical"}


def test_two_composite_models_that_share_a_tuned_tower_have_a_part_in_common(bench: Bench) -> None:
    def tower(rng: np.random.Generator) -> Tensors:
        shapes = {"fc1.weight": (160, 64), "fc2.weight": (64, 160)}
        return {f"vision_tower.layers.{i}.mlp.{n}": weights(rng, *s) for i in range(2) for n, s in shapes.items()}

    def language(rng: np.random.Generator) -> Tensors:
        return {f"language_model.{name}": w for name, w in blocks(rng, 0.0).items()}

    def tuned(model: Tensors, rng: np.random.Generator) -> Tensors:
        return {n: (w + 0.1 * w.std() * rng.standard_normal(w.shape)).astype(np.float32) for n, w in model.items()}

    shared, rngs = tower(np.random.default_rng(2)), [np.random.default_rng([3, i]) for i in range(3)]
    towers = [tuned(shared, rng) for rng in rngs]
    models = [{**language(rng), **t} for rng, t in zip(rngs, towers, strict=True)]
    verdict = bench.compare(models[0], models[1])
    assert max(b.fixed_points for b in plain(verdict.evidence)) >= 18
    assert (verdict.origin, verdict.relation) == ("undecided", "component")
    retrained = {**tuned(models[0], rngs[1]), **tower(rngs[2])}
    assert bench.compare(models[0], retrained).origin == "common", "most of its weights are the other's"
    assert bench.compare(models[0], towers[1]).origin == "common", "one of them is nothing but that part"


def _infos(*shapes: tuple[str, tuple[int, ...]]) -> list[TensorInfo]:
    return [TensorInfo(name, "F32", shape, (0, 0), "model.safetensors") for name, shape in shapes]


def test_the_kind_of_any_part_and_rwkv_names_withhold_views_of_the_stream() -> None:
    assert numbers_the_stream([], {"model_type": "speech-encoder-decoder", "decoder": {"model_type": "trocr"}})
    assert numbers_the_stream(_infos(("model.layers.0.ffn.x_k", (64,))), None)
    assert not numbers_the_stream(_infos(("model.layers.0.mlp.fc1.weight", (256, 64))), {"model_type": "llama"})


def test_a_stream_has_a_map_that_writes_it() -> None:
    body = [
        (f"b.{i}.{n}", s) for i in range(2) for n, s in (("fc1.weight", (H, D)), ("fc2.weight", (D, H)), ("norm", (D,)))
    ]
    assert stream_widths(_infos(*body, ("head.weight", (10, D)))) == set()
    assert stream_widths(_infos(*body, ("pos_embed", (50, D)))) == set()
    for stem in (("stem.weight", (D, 40)), ("patch_embed.proj.weight", (D, 1, 4, 4)), ("Dense_0.kernel", (40, D))):
        assert stream_widths(_infos(*body, stem)) == {D}, stem
