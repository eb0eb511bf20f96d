"""The architectures of the pair sets: how each is built, fed and scored.

A model is a `Net`: its config and its tensors, under the names they have in the file. Whatever is done to a model
without training (`disguises`, `changes`) is a function of nets; only training and checking need a module, and
`Kind.module` makes one from a net. So what is checked is what a reader of the file will load.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import images
import pair_text
import timm
import torch
import transformers
from families import VIT_ARGS
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

State = dict[str, torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor]
WINDOW, IGNORED = 32, -100
TINY_CONVNEXT = {"dims": (32, 48, 64, 96), "depths": (1, 2, 2, 1), "patch_size": 4, "in_chans": 1}
TINY_RESNET = {"channels": (48, 64, 80, 96), "layers": (2, 2, 2, 1), "in_chans": 1}


@dataclass(frozen=True)
class Net:
    """One model: what config.json says and what the weights file holds."""

    config: dict[str, Any]
    state: State

    def double(self) -> Net:
        """Returns the net with its float tensors in double precision, for exact surgery."""
        return Net(self.config, {n: t.double() if t.is_floating_point() else t for n, t in self.state.items()})

    def float(self) -> Net:
        """Returns the net in single precision, as it is trained and stored."""
        tensors = {n: t.float() if t.is_floating_point() else t for n, t in self.state.items()}
        return Net(self.config, {n: t.contiguous() for n, t in tensors.items()})


class Kind:
    """What all architectures share; see the module's docstring."""

    batch_size = 8

    def fresh(self, **changes: Any) -> Net:
        """Returns a freshly initialised net; the caller has seeded torch."""
        raise NotImplementedError

    def module(self, net: Net) -> nn.Module:
        """Returns a module that computes what the net computes."""
        raise NotImplementedError

    def net(self, module: nn.Module, config: dict[str, Any]) -> Net:
        """Returns the net of a module."""
        raise NotImplementedError

    def batch(self, config: dict[str, Any], domain: str, gen: torch.Generator | None) -> Batch:
        """Returns inputs and labels: random training ones, or a fixed held-out batch when `gen` is None."""
        raise NotImplementedError

    def logits(self, module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores, whichever library the module comes from."""
        out = module(x)
        return out if isinstance(out, torch.Tensor) else out.logits

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the cross entropy of a batch."""
        return functional.cross_entropy(self.logits(module, batch[0]), batch[1])

    def tokenizer(self, config: dict[str, Any]) -> str:
        """Returns the name of the model's vocabulary; empty where it has none."""
        return ""


class Transformers(Kind):
    """A model class of transformers; `tests/` of that library fix how its names map to those in the file."""

    def __init__(self, config: str, model: str, **defaults: Any) -> None:
        self.config_class, self.model_class = getattr(transformers, config), getattr(transformers, model)
        self.defaults = defaults

    def fresh(self, **changes: Any) -> Net:
        """Returns a freshly initialised net."""
        config = self.config_class(**(self.defaults | changes))
        return self.net(self.model_class(config), {})

    def module(self, net: Net) -> nn.Module:
        """Returns the module, loaded as `from_pretrained` loads a file."""
        config = self.config_class(**net.config)
        module, report = self.model_class.from_pretrained(
            None, config=config, state_dict=dict(net.state), output_loading_info=True
        )
        unused = report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"]
        if unused:
            raise ValueError(f"{self.model_class.__name__}: weights and config disagree: {unused}")
        return module.eval()

    def net(self, module: nn.Module, config: dict[str, Any]) -> Net:
        """Returns what `save_pretrained` writes."""
        with tempfile.TemporaryDirectory() as folder:
            module.save_pretrained(folder)
            state = load_file(Path(folder) / "model.safetensors")
        made = module.config.to_dict() | {"architectures": [self.model_class.__name__], "dtype": "float32"}
        return Net(made, dict(sorted(state.items())))


class Decoder(Transformers):
    """A causal language model on byte pairs."""

    def tokenizer(self, config: dict[str, Any]) -> str:
        """Returns the vocabulary that fits the embedding."""
        words = config["vocab_size"]
        if words == pair_text.CUT:
            return "bpe-cut"
        return "bpe-reserved" if words in (WORDS_RESERVED, WORDS_RESERVED + 64) else "bpe"

    def batch(self, config: dict[str, Any], domain: str, gen: torch.Generator | None) -> Batch:
        """Returns windows of text; the model predicts each next token."""
        x = _windows(pair_text.ids(self.tokenizer(config), domain), gen, self.batch_size)
        return x, x

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the cross entropy of the next token."""
        scores = self.logits(module, batch[0])[:, :-1]
        return functional.cross_entropy(scores.flatten(0, 1), batch[1][:, 1:].flatten())


class Encoder(Transformers):
    """A masked language model on word pieces."""

    batch_size = 16

    def tokenizer(self, config: dict[str, Any]) -> str:
        """Returns the name of BERT's kind of vocabulary."""
        return "wordpiece"

    def batch(self, config: dict[str, Any], domain: str, gen: torch.Generator | None) -> Batch:
        """Returns windows of text with 30 % of the tokens masked: more to learn per step than 15 %."""
        y = _windows(pair_text.ids("wordpiece", domain), gen, self.batch_size)
        masked = torch.rand(y.shape, generator=gen or torch.Generator().manual_seed(98)) < 0.3
        return y.masked_fill(masked, pair_text.UNUSED + 4), y.masked_fill(~masked, IGNORED)

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the cross entropy of the masked tokens."""
        return functional.cross_entropy(self.logits(module, batch[0]).flatten(0, 1), batch[1].flatten())


class HubVit(Transformers):
    """A vision transformer of transformers, on the digits."""

    batch_size = 32

    def batch(self, config: dict[str, Any], domain: str, gen: torch.Generator | None) -> Batch:
        """Returns digits in a view."""
        return _digits(domain, config["image_size"], gen, self.batch_size)


class Timm(Kind):
    """A model of timm, on the digits."""

    batch_size = 32

    def __init__(self, name: str, side: int, **defaults: Any) -> None:
        self.name, self.side, self.defaults = name, side, defaults

    def fresh(self, **changes: Any) -> Net:
        """Returns a freshly initialised net, with the config.json that timm writes when it pushes a model."""
        config = {"architecture": self.name, "num_classes": 10, "model_args": self.defaults | changes}
        return self.net(self._create(config), config)

    def module(self, net: Net) -> nn.Module:
        """Returns the module with the net's weights."""
        module = self._create(net.config)
        module.load_state_dict(net.state)
        return module.eval()

    def net(self, module: nn.Module, config: dict[str, Any]) -> Net:
        """Returns the module's weights with the config it was built from."""
        return Net(config, {name: t.detach().clone() for name, t in module.state_dict().items()})

    def batch(self, config: dict[str, Any], domain: str, gen: torch.Generator | None) -> Batch:
        """Returns digits in a view."""
        return _digits(domain, self.side, gen, self.batch_size)

    def _create(self, config: dict[str, Any]) -> nn.Module:
        """Returns a module of the config's shape."""
        return timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])


def _windows(parts: tuple[torch.Tensor, torch.Tensor], gen: torch.Generator | None, count: int) -> torch.Tensor:
    """Returns random windows of the training text, or 128 evenly spaced ones of the held-out text."""
    ids = parts[0] if gen is not None else parts[1]
    last = len(ids) - WINDOW
    start = torch.randint(0, last, (count,), generator=gen) if gen is not None else torch.linspace(0, last - 1, 128)
    return ids[start.long().unsqueeze(1) + torch.arange(WINDOW)]


def _digits(view: str, side: int, gen: torch.Generator | None, count: int) -> Batch:
    """Returns random training digits, shaken, or all held-out ones as they are."""
    x, y, x_test, y_test = images.digits()
    if gen is None:
        return images.prepare(x_test, view, side, torch.Generator().manual_seed(99)), y_test
    rows = torch.randint(0, len(x), (count,), generator=gen)
    return images.prepare(x[rows], view, side, gen, augment=True), y[rows]


WORDS_RESERVED = pair_text.WORDS + pair_text.RESERVED
TEXT = {
    "num_attention_heads": 4,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "max_position_embeddings": 256,
}
KINDS: dict[str, Kind] = {
    "decoder": Decoder("LlamaConfig", "LlamaForCausalLM", num_key_value_heads=4, tie_word_embeddings=False, **TEXT),
    "moe": Decoder(
        "MixtralConfig", "MixtralForCausalLM", num_key_value_heads=4, tie_word_embeddings=False, num_local_experts=4,
        num_experts_per_tok=2, sliding_window=None, **TEXT,
    ),
    "encoder": Encoder(
        "BertConfig", "BertForMaskedLM", vocab_size=pair_text.WORDS, num_attention_heads=4, max_position_embeddings=64,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
    ),
    "hub-vit": HubVit(
        "ViTConfig", "ViTForImageClassification", hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=128, image_size=16, patch_size=4, num_channels=1, num_labels=10,
    ),
    "vit": Timm("vit_tiny_patch16_224", 16, **VIT_ARGS),
    "resnet": Timm("resnet18", 32, **TINY_RESNET),
    "convnext": Timm("convnext_atto", 32, **TINY_CONVNEXT),
}  # fmt: skip
