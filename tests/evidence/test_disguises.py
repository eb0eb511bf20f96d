"""Changes of the weights that leave the function alone: what sees past which, and what they are taken for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disguised_models import (
    N_RESERVED,
    N_TOKENS,
    D,
    H,
    all_at_once,
    flipped,
    folded,
    heads_moved,
    judged,
    llama,
    logits,
    permuted,
    rescaled,
    resnet,
    resnet_output,
    resnet_permuted,
    resnet_shuffled,
    resnet_signs,
    rotated,
    shuffled,
    units_changed,
    write,
)
from evidence_bench import Tensors, weights

from hubdna.models import Loader
from hubdna.records import ReadLevel

Change = Callable[[Tensors, np.random.Generator], Tensors]
UNITS, STREAM = "hidden units shuffled", "residual stream rotated, permuted or rescaled"


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def resnet_all(model: Tensors, rng: np.random.Generator) -> Tensors:
    return resnet_signs(resnet_permuted(resnet_shuffled(model, rng), rng), rng)


def tuned(model: Tensors, rng: np.random.Generator) -> Tensors:
    return {n: (w + 0.2 * w.std() * rng.standard_normal(w.shape)).astype(np.float32) for n, w in model.items()}


@pytest.mark.parametrize("change", [shuffled, rescaled, flipped, folded, rotated, permuted, all_at_once])
def test_a_disguise_of_a_llama_leaves_its_function_alone_and_not_its_weights(change: Change) -> None:
    model, tokens = llama(rng(0)), np.arange(20)
    changed = change(model, rng(1))
    before = logits(model, tokens)
    assert np.abs(logits(changed, tokens) - before).max() < 1e-5 * np.abs(before).max()
    assert any(not np.array_equal(changed[n], w) for n, w in model.items() if "up_proj" in n)
    assert {n: w.shape for n, w in changed.items()} == {n: w.shape for n, w in model.items()}


@pytest.mark.parametrize("change", [resnet_shuffled, resnet_permuted, resnet_signs, resnet_all])
def test_a_disguise_of_a_resnet_leaves_its_function_alone_and_not_its_weights(change: Change) -> None:
    model, picture = resnet(rng(0)), rng(2).standard_normal((3, 8, 8))
    changed = change(model, rng(1))
    before = resnet_output(model, picture)
    assert np.abs(resnet_output(changed, picture) - before).max() < 1e-5 * np.abs(before).max()
    assert not np.array_equal(changed["layer1.1.conv1.weight"], model["layer1.1.conv1.weight"])


@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize(
    ("change", "disguise"),
    [(shuffled, (UNITS,)), (rescaled, ("rows rescaled",)), (flipped, ("signs flipped",)), (rotated, (STREAM,)),
     (permuted, (STREAM,)), (lambda m, r: rotated(rescaled(m, r), r), (STREAM,)),
     (lambda m, r: permuted(flipped(m, r), r), (STREAM,)),
     (lambda m, r: rescaled(flipped(m, r), r), ("signs flipped", "rows rescaled"))],
    ids="shuffled rescaled flipped rotated permuted rotated+rescaled permuted+flipped signs+scales".split(),
)  # fmt: skip
def test_one_disguise_of_a_llama_is_seen_past_and_named(
    tmp_path: Path, change: Change, disguise: tuple[str, ...], reserved: bool
) -> None:
    model = llama(rng(0))
    verdict = judged(tmp_path, model, change(model, rng(1)), reserved=reserved)
    assert (verdict.origin, verdict.relation, verdict.direction) == ("common", None, "undirected")
    assert verdict.disguise == disguise
    assert verdict.log10_p is not None and verdict.log10_p < -30


@pytest.mark.parametrize("change", [shuffled, rescaled, flipped, rotated, permuted])
def test_a_copy_that_was_trained_on_and_then_disguised_is_common(tmp_path: Path, change: Change) -> None:
    model = llama(rng(0))
    assert judged(tmp_path, model, change(tuned(model, rng(2)), rng(1))).origin == "common"


@pytest.mark.parametrize(
    ("change", "disguise"),
    [(resnet_shuffled, (UNITS,)), (resnet_permuted, (STREAM,)), (resnet_signs, ("signs flipped",))],
)
def test_one_disguise_of_a_resnet_is_seen_past_and_named(
    tmp_path: Path, change: Change, disguise: tuple[str, ...]
) -> None:
    model = resnet(rng(0))
    verdict = judged(tmp_path, model, change(model, rng(1)))
    assert (verdict.origin, verdict.relation, verdict.disguise) == ("common", None, disguise)


@pytest.mark.parametrize("level", ["small", "standard", "full"])
@pytest.mark.parametrize("n_keys", [2, 8])
@pytest.mark.parametrize("first", [0, 1])
def test_attention_heads_in_another_order_are_seen_past_and_not_named(
    tmp_path: Path, level: ReadLevel, n_keys: int, first: int
) -> None:
    """Heads are not looked at. Where the first one stays, a corner keeps half of its rows: no adapter did that."""
    model, tokens = llama(rng(0), n_keys), np.arange(20)
    changed = heads_moved(model, rng(4), first)
    assert np.abs(logits(changed, tokens) - logits(model, tokens)).max() < 1e-5
    assert any(not np.array_equal(changed[n], w) for n, w in model.items() if "q_proj" in n)
    for other in (changed, tuned(changed, rng(2))):
        verdict = judged(tmp_path, model, other, level=level)
        assert (verdict.origin, verdict.relation, verdict.disguise) == ("common", None, ())


def test_gains_that_were_folded_into_the_maps_are_named(tmp_path: Path) -> None:
    model = llama(rng(0))
    model |= {n: w ** np.float32(0.4) for n, w in model.items() if w.ndim == 1}  # rows stay alike
    assert judged(tmp_path, model, folded(model)).disguise == ("gains folded",)


def test_all_disguises_at_once_are_seen_past_by_tokens_that_no_training_saw(tmp_path: Path) -> None:
    model = llama(rng(0))
    verdict = judged(tmp_path, model, all_at_once(model, rng(1)), reserved=True)
    assert (verdict.origin, verdict.disguise) == ("common", (UNITS, STREAM))
    assert min(verdict.evidence.agreement) > 0.9
    passed = {b.view for b in verdict.evidence.buckets if b.log10_p < -14.3}
    assert passed == {"unseen"}


def test_all_disguises_at_once_need_a_full_read(tmp_path: Path) -> None:
    model = llama(rng(0))
    verdict = judged(tmp_path, model, all_at_once(model, rng(1)), reserved=True, level="standard")
    assert (verdict.origin, verdict.relation, verdict.disguise) == ("undecided", "component", ())
    assert "needs --read full" in (verdict.undecided_because or "")


@pytest.mark.parametrize(("make", "change"), [(llama, all_at_once), (resnet, resnet_all)])
def test_all_disguises_at_once_without_such_tokens_are_undecided_and_the_count_is_told(
    tmp_path: Path, make: Callable[[np.random.Generator], Tensors], change: Change
) -> None:
    model = make(rng(0))
    verdict = judged(tmp_path, model, change(model, rng(1)))
    assert (verdict.origin, verdict.relation, verdict.disguise) == ("undecided", None, ())
    assert "two independent matchings" in (verdict.undecided_because or "")
    assert min(verdict.evidence.agreement) > 0.9 and (verdict.log10_p or 0) > -6


@pytest.mark.parametrize(("width", "n_layers"), [(47, 0), (48, 3)])
def test_layers_too_narrow_for_a_share_of_their_units_are_not_matched(
    tmp_path: Path, width: int, n_layers: int
) -> None:
    def narrow(seed: int) -> Tensors:
        return units_changed(llama(rng(seed)), lambda gate, up, down: (gate[:width], up[:width], down[:, :width]))

    assert len(judged(tmp_path, narrow(0), narrow(1)).evidence.agreement) == n_layers


def test_shuffled_hidden_units_alone_need_a_full_read_too(tmp_path: Path) -> None:
    model = llama(rng(0))
    verdict = judged(tmp_path, model, shuffled(model, rng(1)), level="standard")
    assert verdict.origin == "undecided" and "needs --read full" in (verdict.undecided_because or "")


@pytest.mark.parametrize("make", [llama, resnet])
@pytest.mark.parametrize("level", ["small", "standard", "full"])
@pytest.mark.parametrize("reserved", [False, True])
def test_strangers_of_one_architecture_show_no_evidence(
    tmp_path: Path, make: Callable[[np.random.Generator], Tensors], level: ReadLevel, reserved: bool
) -> None:
    verdict = judged(tmp_path, make(rng(5)), make(rng(6)), reserved=reserved, level=level)
    assert (verdict.origin, verdict.relation, verdict.disguise) == ("no-evidence", None, ())
    assert all(share < 0.1 for share in verdict.evidence.agreement)


@pytest.mark.parametrize("level", ["standard", "full"])
@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_a_model_that_only_took_over_the_table_of_tokens_is_never_common(
    tmp_path: Path, level: ReadLevel, reserved: bool, moved: bool
) -> None:
    model, other = llama(rng(0)), llama(rng(9))
    names = ("model.embed_tokens.weight", "lm_head.weight")
    other |= {n: tuned({n: model[n]}, rng(3))[n] if moved else model[n] for n in names}
    verdict = judged(tmp_path, model, other, reserved=reserved, level=level)
    assert (verdict.origin, verdict.relation, verdict.disguise) == ("undecided", "component", ())
    assert (verdict.log10_p or 0) < -30
    assert ("needs --read full" if level == "standard" else "taken over") in (verdict.undecided_because or "")


def test_a_model_that_only_took_over_the_first_convolution_is_never_common(tmp_path: Path) -> None:
    model, other = resnet(rng(0)), resnet(rng(9))
    verdict = judged(tmp_path, model, other | {"conv1.weight": model["conv1.weight"]})
    assert verdict.origin == "undecided"


def sinusoids(n: int, d: int) -> np.ndarray:
    angle = np.arange(n)[:, None] / 10_000 ** (np.arange(0, d, 2) / d)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


def views(
    folder: Path, model: Tensors, config: dict[str, Any] | None = None, level: ReadLevel = "standard"
) -> set[str]:
    ref = write(folder / str(len(list(folder.iterdir()))), model, config=config)
    return {g.view for g in Loader(level=level).load(ref).dna.genes}


PLAIN, STREAM_VIEWS = {"rows", "response"}, {"gram", "residual"}
POSITIONS = "model.embed_positions.weight"


def test_a_table_of_sinusoids_withholds_the_views_of_the_stream_and_a_learned_one_does_not(tmp_path: Path) -> None:
    model = llama(rng(0))
    assert views(tmp_path, model) == PLAIN | STREAM_VIEWS
    assert views(tmp_path, model | {POSITIONS: weights(rng(1), 512, D)}) == PLAIN | STREAM_VIEWS
    for table in (sinusoids(512, D), sinusoids(512, D)[None], 0.02 * sinusoids(64, D)):
        assert views(tmp_path, model | {POSITIONS: table}) == PLAIN


@pytest.mark.parametrize(
    "name",
    ["blocks.0.att.time_mix_k", "blocks.0.att.time_decay", "blocks.0.att.time_maa_x", "model.layers.0.ffn.x_k",
     "rwkv.blocks.0.attention.time_first", "encoder.sinusoidal_positions"],
)  # fmt: skip
def test_names_of_tensors_that_number_the_stream_withhold_its_views(tmp_path: Path, name: str) -> None:
    assert views(tmp_path, llama(rng(0)) | {name: weights(rng(1), D, 1)[:, 0]}) == PLAIN


@pytest.mark.parametrize(
    ("config", "withheld"),
    [({"model_type": "whisper"}, True), ({"model_type": "RWKV"}, True), ({"decoder": {"model_type": "trocr"}}, True),
     ({"text_config": {"model_type": "xglm"}, "model_type": "llava"}, True), ({"model_type": "llama"}, False),
     ({"model_type": ["whisper"]}, False), ({"model_type": None, "x": [1]}, False), ({"decoder": "whisper"}, False)],
)  # fmt: skip
def test_kinds_of_models_with_computed_positions_withhold_its_views(
    tmp_path: Path, config: dict[str, Any], withheld: bool
) -> None:
    assert views(tmp_path, llama(rng(0)), config) == (PLAIN if withheld else PLAIN | STREAM_VIEWS)


@pytest.mark.parametrize("reserved", [False, True])
def test_tokens_that_no_training_saw_are_a_view_when_the_tokenizer_names_them(tmp_path: Path, reserved: bool) -> None:
    ref = write(tmp_path / "a", llama(rng(0)), reserved=reserved)
    found = [g for g in Loader().load(ref).dna.genes if g.view == "unseen"]
    assert len(found) == reserved
    if reserved:
        assert found[0].ids.tolist() == list(range(N_TOKENS - N_RESERVED, N_TOKENS))
        assert found[0].rows is not None and found[0].rows.shape == (N_RESERVED, 256)


def test_hidden_layers_of_other_widths_do_not_disturb_the_matchings(tmp_path: Path) -> None:
    model = llama(rng(0))
    cut = {
        n: w[: H - 64] if "gate" in n or "up_" in n else w[:, : H - 64] if "down" in n else w for n, w in model.items()
    }
    assert judged(tmp_path, model, shuffled_cut(cut)).origin == "common"


def shuffled_cut(model: Tensors) -> Tensors:
    new, order = dict(model), rng(4).permutation(H - 64)
    for name, w in model.items():
        new[name] = w[order] if "gate" in name or "up_" in name else w[:, order] if "down_proj" in name else w
    return new
