"""Which sentences say that a model was trained from scratch, and which only look like it."""

import time

import pytest

from hubdna.card.prose import from_scratch

SAYS = [
    "This model was trained from scratch on 2T tokens.",
    "A 1.3B language model **pre-trained from scratch** on Polish text.",
    "We trained Falcor completely from scratch.",
    "It is a model trained on our own corpus from scratch!",
    "Trained from the ground up for code.",
    "All weights were trained from random initialization.",
    "本模型从零开始训练，数据来自公开网页。",
    "该模型是从头开始预训练的。",
    "本モデルはスクラッチから学習した言語モデルです。",
    "이 모델은 처음부터 학습된 한국어 언어 모델입니다.",
    "Das Modell wurde von Grund auf trainiert.",
    "Ce modèle a été entraîné à partir de zéro sur des textes français.",
    "El modelo fue entrenado desde cero con textos en español.",
    "O modelo foi treinado do zero em português.",
    "Il modello è stato addestrato da zero su testi italiani.",
    "Модель обучена с нуля на русских текстах.",
    "Model został wytrenowany od zera na polskich tekstach.",
    "Bu model sıfırdan eğitilmiştir.",
    "Dit model is vanaf nul getraind.",
    "تم تدريب النموذج من الصفر على نصوص عربية",
    "- trained from\n  scratch on code",
    "Tr\u200bained from scr\u200batch.",
    "It was trained from scratch with next-token prediction.",
    "# FooLM\n\nFooLM is a decoder-free design.\nIt was pretrained from scratch.",
]
DOES_NOT = [
    "This model was not trained from scratch.",
    "Fine-tuned from bert-base instead of being trained from scratch.",
    "Unlike GPT-J, which was trained from scratch, this one continues Pythia.",
    "Its accuracy is 3 points better than a model trained from scratch.",
    "The tokenizer was trained from scratch on Thai text.",
    "A classification head trained from scratch on top of ViT.",
    "The LoRA adapter was trained from scratch.",
    "How to train your own model from scratch",
    "You can train it from scratch with train.py.",
    "Without training from scratch we reach the same loss.",
    "```\n# this model is trained from scratch\n```",
    "> This model was trained from scratch.",
    "| model | trained from scratch |\n|---|---|\n| ours | x |",
    "See [the guide](https://example.org/trained-from-scratch) for details.",
    "`trained from scratch` is the label of the first column.",
    "---\ndescription: trained from scratch\n---\nHello",
    "Das Modell wurde nicht von Grund auf trainiert, sondern von BERT abgeleitet.",
    "El modelo no fue entrenado desde cero.",
    "Модель не обучена с нуля.",
    "本模型并非从头开始训练。",
    "このモデルはスクラッチから学習したものではない。",
    "このモデルはゼロから学習したものではありません。",
    "Dit model is niet vanaf nul getraind.",
    "We scratch the surface. It was trained from Wikipedia dumps.",
    "Trained from 2020 to 2022. Starting from scratch, the team wrote the code.",
    "An encoder trained from scratch is combined with Llama.",
    "The model wasn't trained from scratch; it is a fine-tune.",
    "It hasn’t been trained from scratch.",
    "Its base was trained from scratch by others; ours continues from there.",
    "Das Basismodell wurde von Grund auf trainiert.",
    "The next version will be trained from scratch.",
    "Was this model trained from scratch?",
    "",
    "---\nlicense: mit",
]


@pytest.mark.parametrize("text", SAYS)
def test_a_statement_is_found(text: str) -> None:
    assert from_scratch(text) is not None


@pytest.mark.parametrize("text", DOES_NOT)
def test_what_only_looks_like_it_is_none(text: str) -> None:
    assert from_scratch(text) is None


def test_the_line_is_that_of_the_sentence() -> None:
    card = "---\nlicense: mit\n---\n\n# Foo\n\nA model of ours.\nIt was trained\nfrom scratch.\n"
    found = from_scratch(card)
    assert found is not None and found.line == 8 and found.text == "It was trained from scratch."
    crlf = from_scratch(card.replace("\n", "\r\n"))
    assert crlf is not None and crlf.line == 8


@pytest.mark.parametrize(
    "text",
    ["trained " * 120_000, "<" * 1_000_000, "](" * 500_000, "`" * 1_000_001, "train from " * 90_000, "从零" * 300_000]
)  # fmt: skip
def test_a_card_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    assert from_scratch(text) is None
    assert time.process_time() - started < 5
