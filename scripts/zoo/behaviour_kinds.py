"""The architectures of the behaviour zoo: built by transformers and timm, answering and trained in stacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import recipes
import stacked_text
import stacked_vision
import torch
from behaviour_lessons import SOURCES, Batch
from lessons import SIDE, SPAN
from stacked import Stack, linear
from torch import nn

LARGE = 16  # pixels of the pictures that a ConvNeXt reads: its first map takes four of each side
Scores = Callable[[Stack, Batch, bool], torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """One architecture.

    Attributes:
        scores: answers of a stack, [M, K, classes], to a batch with labels [M, K]; the flag is set in training.
        build: makes one freshly initialised model of a config; the caller has seeded torch.
        head: which tensors answer.
    """

    scores: Scores
    build: Callable[[dict[str, Any]], nn.Module]
    head: str = r"$^"


def _decoder(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    return stacked_text.decoder(p, batch.x)


def _encoder(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    x = stacked_text.encoder(p, batch.x)
    assert batch.places is not None
    rows = (torch.arange(batch.x.shape[1]).unsqueeze(1) * SPAN + batch.places).flatten(1)
    return stacked_text.unmask(p, x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[-1])))


def _decoder_source(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    """Llama's classifier of sequences: a linear map of the last token's state."""
    scores = stacked_text.decoder(p | {"lm_head.weight": p["score.weight"]}, batch.x)
    return scores.view(*batch.x.shape, -1)[:, :, -1]


def _encoder_source(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    """BERT's classifier of sequences: pooler and linear map of the first token's state."""
    first = stacked_text.encoder(p, batch.x).view(*batch.x.shape, -1)[:, :, 0]
    return linear(p, "classifier", linear(p, "bert.pooler.dense", first).tanh())


def _vit(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    return stacked_vision.vit(p, batch.pictures(SIDE), training)


def _resnet(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    return stacked_vision.resnet(p, batch.pictures(SIDE), training)


def _convnext(p: Stack, batch: Batch, training: bool) -> torch.Tensor:
    return stacked_vision.convnext(p, batch.pictures(LARGE), training)


def _build_resnet(config: dict[str, Any]) -> nn.Module:
    """Timm's basic blocks, in as many stages as there are channels."""
    from timm.models.resnet import BasicBlock, ResNet

    channels, stem = config["channels"], config["stem"]
    model = ResNet(BasicBlock, num_classes=10, layers=(1,) * 4, channels=(*channels, 64, 64)[:4], in_chans=1)
    for stage in range(len(channels), 4):
        setattr(model, f"layer{stage + 1}", nn.Identity())
    model.conv1, model.bn1 = nn.Conv2d(1, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
    model.layer1 = nn.Sequential(BasicBlock(stem, channels[0]))
    model.fc = nn.Linear(channels[-1], 10)
    model.init_weights()
    return model


def fresh(kind: str, config: dict[str, Any], seed: int) -> Stack:
    """Returns the initialisation of one model."""
    torch.manual_seed(seed)
    return recipes.state_of(KINDS[kind].build(config))


def source_head(kind: str, width: int, seed: int) -> Stack:
    """Returns the fresh head of a classifier of text, drawn as transformers draws it."""
    gen = torch.Generator().manual_seed(seed)
    draw = lambda *shape: 0.02 * torch.randn(*shape, generator=gen)  # noqa: E731
    if kind == "decoder":
        return {"score.weight": draw(len(SOURCES), width)}
    pooler = {"bert.pooler.dense.weight": draw(width, width), "bert.pooler.dense.bias": torch.zeros(width)}
    return pooler | {"classifier.weight": draw(len(SOURCES), width), "classifier.bias": torch.zeros(len(SOURCES))}


def head_of(kind: str, config: dict[str, Any], classes: int, seed: int) -> Stack:
    """Returns the fresh head of a classifier of pictures."""
    made = fresh(kind, config, seed)
    return {name: tensor[:classes].clone() for name, tensor in made.items() if re.match(KINDS[kind].head, name)}


KINDS: dict[str, Kind] = {
    "decoder": Kind(_decoder, lambda c: recipes._llama(recipes.LLAMA | c), r"lm_head\."),
    "encoder": Kind(_encoder, lambda c: recipes._bert(recipes.BERT | c), r"cls\."),
    "decoder-source": Kind(_decoder_source, lambda c: recipes._llama(recipes.LLAMA | c)),
    "encoder-source": Kind(_encoder_source, lambda c: recipes._bert(recipes.BERT | c)),
    "vit": Kind(_vit, recipes._vit, r"head\."),
    "resnet": Kind(_resnet, _build_resnet, r"fc\."),
    "convnext": Kind(_convnext, recipes._convnext, r"head\.fc\."),
}
