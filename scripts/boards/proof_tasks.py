"""Models and real data of board `proof`: digits, Fashion-MNIST (Debian package), Python's own reference as text."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hubdna.proof import example
from hubdna.proof.examples import Digits

FASHION = Path("/usr/share/datasets/fashion-mnist")
N_FASHION = 2048
"""Of 60,000 images: all are hashed by every verifier, and the board is to end within its hour."""
LENGTH, N_WINDOWS = 32, 1024


class Block(nn.Module):
    """Two 3 x 3 convolutions beside an identity that pads channels with zeros (He et al., option A)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.more = stride, outside - inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of `inside` channels to `outside`."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        kept = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return torch.relu(y + kept)


class Fashion:
    """Which garment is this? ResNet-20 (272,000 weights), as in the paper's first setting; images of 28 x 28 pixels."""

    name = "fashion-resnet20"

    def __len__(self) -> int:
        return N_FASHION

    def sample(self, index: int) -> dict[str, torch.Tensor]:
        """`image`: float32[1, 28, 28] in [0, 1]; `label`: int64[]."""
        images, labels = _fashion("train")
        return {"image": images[index], "label": labels[index]}

    def build_model(self, config: Mapping[str, Any]) -> nn.Module:
        """Three stages of three blocks."""
        plan = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        first = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
        return nn.Sequential(*first, *(Block(*row) for row in plan), *last)

    def loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy."""
        return cross_entropy(model(batch["image"]), batch["label"])


@cache
def _fashion(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    def read(name: str, skip: int) -> np.ndarray:
        with gzip.open(FASHION / f"{part}-{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=skip)

    images = torch.tensor(read("images-idx3", 16).reshape(-1, 1, 28, 28)[:N_FASHION]).float() / 255
    return images, torch.tensor(read("labels-idx1", 8)[:N_FASHION].astype(np.int64))


class Text:
    """Which byte of Python's language reference is next? `kind`: gpt2 (dropout, tied embeddings) or llama; `width`."""

    name = "python-reference"

    def __len__(self) -> int:
        return N_WINDOWS

    def sample(self, index: int) -> dict[str, torch.Tensor]:
        """`input_ids`, `labels`: the same bytes, int64[LENGTH]."""
        return {"input_ids": _windows()[index], "labels": _windows()[index]}

    def build_model(self, config: Mapping[str, Any]) -> nn.Module:
        """Two layers, four heads."""
        from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

        width = config["width"]
        if config["kind"] == "gpt2":
            ids = {"bos_token_id": None, "eos_token_id": None}
            shape = {"vocab_size": 256, "n_positions": LENGTH, "n_embd": width, "n_layer": 2, "n_head": 4}
            return GPT2LMHeadModel(GPT2Config(**shape, **ids))
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=256, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=LENGTH,
            )
        )  # fmt: skip

    def loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What Trainer computes."""
        return model(**batch).loss


@cache
def _windows() -> torch.Tensor:
    from pydoc_data.topics import topics

    raw = "".join(topics[name] for name in sorted(topics)).encode()[: N_WINDOWS * LENGTH]
    return torch.tensor(list(raw), dtype=torch.int64).reshape(N_WINDOWS, LENGTH)


class Autocast(Digits):
    """Digits in mixed precision: products in bfloat16, weights in float32."""

    def loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross entropy, in mixed precision."""
        with torch.autocast("cpu", torch.bfloat16):
            return super().loss(model, batch)


def task(name: str) -> Any:
    """A task by its name in the board's rows; `+bf16`: in mixed precision."""
    plain, _, half = name.partition("+")
    if plain == "resnet20":
        return Fashion()
    if plain in ("gpt2", "llama"):
        return Text()
    return Autocast(f"digits-{plain}") if half else example(f"digits-{plain}")
