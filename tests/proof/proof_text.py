"""A tiny decoder of transformers on real text: the licence and the reference texts that every Python carries."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

LENGTH = 32


@cache
def _windows() -> torch.Tensor:
    """Bytes of Python's language reference, in windows: int64[n, LENGTH]."""
    from pydoc_data.topics import topics

    raw = "".join(topics[name] for name in sorted(topics)).encode()[: 512 * LENGTH]
    return torch.tensor(list(raw), dtype=torch.int64).reshape(-1, LENGTH)


class Text:
    """Which byte is next? `config`: `width`, 8 to 256, `kind`, gpt2 or llama."""

    name = "python-reference"

    def __len__(self) -> int:
        return len(_windows())

    def sample(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": _windows()[index], "labels": _windows()[index]}

    def build_model(self, config: Mapping[str, Any]) -> torch.nn.Module:
        from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

        width = config["width"]
        assert type(width) is int and 8 <= width <= 256 and config["kind"] in ("gpt2", "llama")
        if config["kind"] == "gpt2":  # with dropout, and input and output embeddings that are one tensor
            return GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=width, n_layer=2, n_head=2))
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=256, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
                num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=LENGTH,
            )
        )  # fmt: skip

    def loss(self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return model(**batch).loss
