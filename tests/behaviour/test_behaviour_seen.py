"""What is seen of real models: the same whatever the batch, comparable across widths, closer after a light change."""

from collections.abc import Callable
from pathlib import Path

import behaviour_bench as bench
import numpy as np
import pytest
import torch

from hubdna.behaviour import Limits, Observer, scheme
from hubdna.behaviour.relations import TOLERANCE, _products
from hubdna.records import Behaviour

Demo = Callable[[str], Behaviour]


@pytest.mark.parametrize(
    ("parent", "child", "stranger"),
    [(bench.VIT, "opticlab/vit-digits-pruned", bench.VIT_STRANGER), (bench.LM, bench.LM_CHILD, bench.LM_STRANGER)],
)
def test_after_a_light_change_a_model_behaves_more_like_its_parent_than_a_stranger_of_the_recipe_does(
    demo: Demo, parent: str, child: str, stranger: str
) -> None:
    root = demo(parent).relations
    assert bench.agreement(root, demo(child).relations) > bench.agreement(root, demo(stranger).relations)


def test_after_a_heavy_change_a_stranger_that_learned_the_same_is_closer(demo: Demo) -> None:
    """Why plain agreement decides nothing, and why behaviour never makes an edge of a family tree."""
    root = demo(bench.VIT).relations
    child, stranger = demo(bench.VIT_CHILD).relations, demo(bench.VIT_STRANGER).relations
    assert bench.agreement(root, child) < bench.agreement(root, stranger)


def test_what_is_seen_of_a_classifier_and_of_a_language_model(demo: Demo) -> None:
    vit, lm = demo(bench.VIT), demo(bench.LM)
    assert (vit.modality, vit.loader, vit.scheme) == ("vision", "timm", scheme("vision"))
    assert (lm.modality, lm.loader, lm.scheme) == ("text", "transformers", scheme("text"))
    assert vit.answers.shape == (192, 10) and lm.answers.shape == (128, 256)
    assert np.allclose(np.exp(vit.answers).sum(1), 1, atol=1e-4)
    assert (vit.top == vit.answers.argmax(1)).all()
    assert vit.seen == lm.seen == (True,) * 6
    assert "bytes were given as token ids" in lm.notes[0]
    assert vit.seconds > 0 and vit.peak_bytes > 1_000_000


def test_relations_are_centred_and_scaled(demo: Demo) -> None:
    for matrix in demo(bench.VIT).relations.astype(float):
        assert np.abs(matrix - matrix.T).max() < 1e-5
        assert np.abs(matrix.sum(0)).max() < 1e-3
        assert np.trace(matrix) / len(matrix) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", [bench.VIT, bench.LM])
def test_the_size_of_a_batch_does_not_matter(demo: Demo, observer: Observer, name: str) -> None:
    again = observer.observe(bench.DEMO / name, Limits(batch=7))
    assert np.abs(again.relations - demo(name).relations).max() < TOLERANCE


def test_a_second_look_gives_the_same_bits(demo: Demo, observer: Observer) -> None:
    assert np.array_equal(observer.observe(bench.DEMO / bench.VIT).relations, demo(bench.VIT).relations)


def test_other_coordinates_scales_and_shifts_do_not_count() -> None:
    gen = torch.Generator().manual_seed(0)
    states = torch.randn(128, 40, generator=gen)
    turned = torch.linalg.qr(torch.randn(40, 40, generator=gen))[0]
    other = 3 * states @ turned + torch.randn(40, generator=gen)
    assert np.abs(_products(states, "end") - _products(other, "end")).max() < 1e-5
    assert not _products(torch.ones(128, 40), "end").any()


def test_shuffled_hidden_units_do_not_count(demo: Demo, observer: Observer, tmp_path: Path) -> None:
    order = torch.randperm(256, generator=torch.Generator().manual_seed(1))

    def shuffled(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        at = "blocks.1.mlp."
        rows = {at + n: tensors[at + n][order] for n in ("fc1.weight", "fc1.bias")}
        return tensors | rows | {at + "fc2.weight": tensors[at + "fc2.weight"][:, order]}

    found = observer.observe(bench.edit_weights(bench.copy(bench.VIT, tmp_path), shuffled))
    assert np.abs(found.relations - demo(bench.VIT).relations).max() < TOLERANCE


def test_other_widths_and_vocabularies_compare(demo: Demo, observer: Observer, tmp_path: Path) -> None:
    folder = bench.llama(tmp_path / "narrow", 300)
    names = {"?": 0} | {
        word: n + 1 for n, word in enumerate(["the", "a", "and", "of", "is", "in", "to", "(", ")", ","])
    }
    names |= {word: len(names) + n for n, word in enumerate("def for return if was two it he she not or by at".split())}
    found = observer.observe(bench.words(folder, names))
    assert found.relations.shape == demo(bench.LM).relations.shape
    assert found.answers.shape == (128, 300) and found.notes == ()
    assert bench.agreement(found.relations, demo(bench.LM).relations) < 0.5


def test_a_model_of_pictures_tells_its_own_size(demo: Demo, observer: Observer, tmp_path: Path) -> None:
    folder = bench.copy("convfoundry/resnet-digits", tmp_path)
    bench.edit(folder, "preprocessor_config.json", size={"height": 32, "width": 32}, image_mean=[0.5], image_std=[0.5])
    found = observer.observe(folder)
    assert (found.loader, found.notes, found.answers.shape) == ("transformers", (), (192, 10))
    assert found.seen == (True,) * 6


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_an_onnx_file_shows_its_answers(observer: Observer, tmp_path: Path, batch: int) -> None:
    bench.onnx_classifier(tmp_path / "model.onnx", batch)
    found = observer.observe(tmp_path)
    assert (found.modality, found.loader, found.answers.shape) == ("vision", "onnxruntime", (192, 10))
    assert found.seen == (False,) * 5 + (True,)


def test_a_head_that_would_be_drawn_at_random_gives_no_answers(demo: Demo, observer: Observer, tmp_path: Path) -> None:
    def headless(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {n: t for n, t in tensors.items() if not n.startswith("lm_head")}

    found = observer.observe(bench.edit_weights(bench.copy(bench.LM, tmp_path), headless))
    assert "the head is not in the weights: no answers" in found.notes
    assert found.answers.shape == (128, 0) and (found.top == -1).all() and not found.seen[-1]
    assert np.array_equal(found.relations[:-1], demo(bench.LM).relations[:-1])


def test_half_precision_weights_are_computed_in_single(demo: Demo, observer: Observer, tmp_path: Path) -> None:
    """bfloat16 moves the weights themselves, by one part in 256: a coarser bound than for batches."""

    def halved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {n: t.to(torch.bfloat16) for n, t in tensors.items()}

    found = observer.observe(bench.edit_weights(bench.copy(bench.VIT, tmp_path), halved))
    assert bench.agreement(found.relations, demo(bench.VIT).relations) > 0.99


def test_a_classifier_over_a_decoder_that_names_no_padding_is_seen(observer: Observer, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    torch.manual_seed(0)
    shape = {"vocab_size": 256, "n_positions": 256, "n_embd": 16, "n_layer": 2, "n_head": 2, "num_labels": 3}
    GPT2ForSequenceClassification(GPT2Config(**shape, bos_token_id=None, eos_token_id=None)).save_pretrained(tmp_path)
    seen = observer.observe(tmp_path)
    assert seen.answers.shape == (128, 3)
    assert np.abs(observer.observe(tmp_path, Limits(batch=1)).answers - seen.answers).max() < 1e-4
