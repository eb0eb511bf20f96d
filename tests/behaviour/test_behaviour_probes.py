"""The probes fit any vocabulary and any size of pictures, and their scheme says when they change."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from hubdna.behaviour import probes, scheme
from hubdna.errors import BehaviourError


def tokenizer(words: dict[str, int]) -> Tokenizer:
    made = Tokenizer(models.WordLevel(words, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_a_scheme_changes_with_its_probes() -> None:
    assert scheme("text") == "behaviour-1/text=d5f66110/n=128/tokens=32/places=6"
    assert scheme("vision") == "behaviour-1/vision=41b9d6b1/n=192/places=6"


def test_the_shipped_sets_are_small_and_say_their_licence() -> None:
    folder = files("hubdna.behaviour") / "probes"
    assert sum(len(f.read_bytes()) for f in folder.iterdir()) < 2_000_000
    assert "Apache-2.0" in (folder / "README.md").read_text()


def test_probes_differ_from_each_other() -> None:
    assert len(set(probes.texts())) == probes.N_PROBES["text"]
    assert all(len(text) == probes.LETTERS for text in probes.texts())
    flat = probes.pictures().reshape(probes.N_PROBES["vision"], -1)
    assert len(np.unique(flat, axis=0)) == probes.N_PROBES["vision"]


@pytest.mark.parametrize(("size", "channels"), [((8, 8), 1), ((224, 224), 3), ((16, 48), 4), ((1, 1), 3)])
def test_pictures_fit_any_size(size: tuple[int, int], channels: int) -> None:
    x = probes.as_input(probes.shipped(), size, channels, [0.5], [0.5])
    assert x.shape == (probes.N_PROBES["vision"], channels, *size)
    assert bool(torch.isfinite(x).all()) and x.abs().max() <= 1.01


def test_a_deviation_of_zero_or_a_list_of_another_length_does_no_harm() -> None:
    assert bool(torch.isfinite(probes.as_input(probes.shipped(), (8, 8), 3, [0.1, 0.2], [0.0])).all())


@pytest.mark.parametrize(("size", "channels"), [((0, 8), 3), ((8, 100_000), 3), ((8, 8), 12), ((8, 8), 0)])
def test_sizes_that_no_picture_has_are_refused(size: tuple[int, int], channels: int) -> None:
    with pytest.raises(BehaviourError, match="expected 1, 3 or 4 channels of 1 to 1024 pixels"):
        probes.as_input(probes.shipped(), size, channels, [0.5], [0.5])


def test_every_text_has_as_many_tokens() -> None:
    assert probes.as_tokens(probes.shipped(), None, 256, 512).shape == (probes.N_PROBES["text"], probes.TOKENS)
    assert probes.as_tokens(probes.shipped(), None, 256, 16).shape == (probes.N_PROBES["text"], 16)


def test_a_vocabulary_of_long_words_gets_its_probes_repeated() -> None:
    found = sorted({word for text in probes.texts() for word in text.split()[:2]})
    ids = probes.as_tokens(
        probes.shipped(), tokenizer({"?": 0} | {w: n + 1 for n, w in enumerate(found)}), len(found) + 1, 512
    )
    assert ids.shape == (probes.N_PROBES["text"], probes.TOKENS)


@pytest.mark.parametrize(
    ("words", "vocabulary", "reason"),
    [
        ({"?": 0, "the": 1, "a": 2}, 3, "3 different tokens"),
        (
            {"?": 0} | {chr(97 + n): 90 + n for n in range(26)},
            50,
            "gives token 1.., the model has 50|gives token 9., the",
        ),
        (None, 3, "a vocabulary of 3 is too small for bytes"),
    ],
)
def test_a_vocabulary_that_cannot_tell_texts_apart_is_refused(
    words: dict[str, int] | None, vocabulary: int, reason: str
) -> None:
    with pytest.raises(BehaviourError, match=reason):
        probes.as_tokens(probes.shipped(), tokenizer(words) if words else None, vocabulary, 512)
