"""The architectures of the root populations: how a root is built and initialised, and how it is trained.

Built by transformers, timm or torch, so the initialisation is the one users meet. Widths are small but every axis
with hidden units has 64 or more of them.
"""

import itertools
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import stacked_text
import stacked_vision
import torch
from lessons import BERT_VOCABULARY, CONTEXT, RESERVED, SIDE, SPAN, VOCABULARY, Clothes, Digits, Lesson, Masked, Text
from stacked import Stack
from stacked_recurrent import Recurrent, gru, lstm
from torch import nn

COMMON = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": CONTEXT}
LLAMA = COMMON | {
    "vocab_size": VOCABULARY, "intermediate_size": 128, "num_hidden_layers": 3, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
MIXTRAL = LLAMA | {
    "intermediate_size": 96, "num_hidden_layers": 2, "num_key_value_heads": 4, "num_local_experts": 4,
    "num_experts_per_tok": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
}  # fmt: skip
BERT = COMMON | {
    "vocab_size": len(BERT_VOCABULARY), "intermediate_size": 128, "num_hidden_layers": 2, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "max_position_embeddings": SPAN,
}  # fmt: skip
VIT = {"img_size": 12, "patch_size": 4, "in_chans": 1, "embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 2}
RESNET = {"layers": (1, 1), "channels": (64, 96), "in_chans": 1}
RESNET_WIDE = RESNET | {"channels": (96, 128)}
CONVNEXT = {"patch_size": 2, "in_chans": 1, "depths": (2, 1, 1, 1), "dims": (64, 96, 96, 96)}
MLP = {"inputs": 64, "hidden_sizes": [128, 128, 96]}
GRU = {"vocab_size": VOCABULARY, "embedding_size": 64, "hidden_size": 96, "num_layers": 2}
LSTM = {"vocab_size": VOCABULARY, "embedding_size": 64, "hidden_size": 64, "num_layers": 2, "feed_forward": 256}


@dataclass(frozen=True)
class Recipe:
    """One architecture.

    Attributes:
        seed: of root 0; root n has the n-th seed after it.
        config: what the framework builds it from.
        build: makes one freshly initialised model from the config; the caller has seeded torch.
        forward: the same model over a stack.
        lesson: what it learns.
        steps: optimiser steps.
        batch: windows or pictures a step.
        lr: peak learning rate.
        decay: weight decay of matrices.
        bar: a root has learned when its held-out loss is below this (text) or its accuracy above (pictures).
        together: models in one stack.
        roots: how many there should be.
    """

    seed: int
    config: dict[str, Any]
    build: Callable[[dict[str, Any]], nn.Module]
    forward: Callable[..., Any]
    lesson: type[Lesson]
    steps: int
    batch: int
    lr: float
    decay: float
    bar: float
    together: int = 25
    roots: int = 200

    def learned(self, score: float) -> bool:
        """Whether a root with this held-out score counts."""
        return score > self.bar if issubclass(self.lesson, Digits) else score < self.bar


def _llama(config: dict[str, Any]) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**config))


def _mixtral(config: dict[str, Any]) -> nn.Module:
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(MixtralConfig(**config))


def _bert(config: dict[str, Any]) -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(**config))


def _vit(config: dict[str, Any]) -> nn.Module:
    import timm

    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **config)


def _resnet(config: dict[str, Any]) -> nn.Module:
    from timm.models.resnet import BasicBlock, ResNet

    stem = config.get("stem", 64)
    model = ResNet(BasicBlock, num_classes=10, **{k: v for k, v in config.items() if k != "stem"})
    model.layer3 = model.layer4 = nn.Identity()  # its forward wants four stages
    if stem != 64:  # timm's is always 64
        model.conv1, model.bn1 = nn.Conv2d(1, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        model.layer1 = nn.Sequential(BasicBlock(stem, config["channels"][0]))
        model.init_weights()
    return model


def _convnext(config: dict[str, Any]) -> nn.Module:
    from timm.models.convnext import ConvNeXt

    model = ConvNeXt(num_classes=10, **config)
    model.stages = model.stages[:2]  # its constructor wants four
    return model


def _mlp(config: dict[str, Any]) -> nn.Module:
    """Torch's own linear layers; the names are fc1, fc2, ... and head."""
    widths = [config["inputs"], *config["hidden_sizes"]]
    layers: dict[str, nn.Module] = {"flat": nn.Flatten()}
    for n, (a, b) in enumerate(itertools.pairwise(widths), 1):
        layers |= {f"fc{n}": nn.Linear(a, b), f"relu{n}": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers | {"head": nn.Linear(widths[-1], 10)}))


def state_of(model: nn.Module) -> Stack:
    """Returns a model's tensors under the names they have on the Hub, each once.

    transformers 5 keeps Mixtral's experts fused in memory; its files, like all on the Hub, hold them one by one.
    """
    state: Stack = {}
    for name, tensor in model.state_dict().items():
        at, _, part = name.replace(".mlp.", ".block_sparse_moe.").rpartition("experts.")
        if part == "gate_up_proj":
            for n, both in enumerate(tensor):
                state[f"{at}experts.{n}.w1.weight"], state[f"{at}experts.{n}.w3.weight"] = both.chunk(2)
        elif part == "down_proj":
            state |= {f"{at}experts.{n}.w2.weight": one for n, one in enumerate(tensor)}
        elif not name.startswith("cls.predictions.decoder."):  # BERT's head is the word embedding
            state[name.replace(".mlp.gate.", ".block_sparse_moe.gate.")] = tensor
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def fresh(recipe: Recipe, seed: int) -> Stack:
    """Returns the initialisation of one root."""
    torch.manual_seed(seed)
    return state_of(recipe.build(recipe.config))


def tokenizer_files(recipe: Recipe) -> dict[str, str]:
    """Returns the files that say which tokens are reserved, by name."""
    if recipe.lesson is Masked:
        return {"vocab.txt": "\n".join(BERT_VOCABULARY) + "\n"}
    if recipe.lesson is not Text:
        return {}
    added = {
        str(VOCABULARY - RESERVED + n): {"content": f"<|reserved_special_token_{n}|>", "special": True}
        for n in range(RESERVED)
    }
    made = {"added_tokens_decoder": added, "model_max_length": CONTEXT, "tokenizer_class": "PreTrainedTokenizerFast"}
    return {"tokenizer_config.json": json.dumps(made, indent=1) + "\n"}


RECIPES = {
    "decoder": Recipe(100_000, LLAMA, _llama, stacked_text.decoder, Text, 400, 8, 6e-3, 0.1, 2.7),
    "moe": Recipe(200_000, MIXTRAL, _mixtral, stacked_text.moe, Text, 250, 8, 6e-3, 0.1, 2.8),
    "encoder": Recipe(300_000, BERT, _bert, stacked_text.encoder, Masked, 700, 10, 1.5e-3, 0.1, 3.05),
    "mlp": Recipe(400_000, MLP, _mlp, stacked_vision.mlp, Digits, 440, 64, 2e-3, 0.01, 0.9),
    "resnet": Recipe(500_000, RESNET, _resnet, stacked_vision.resnet, Digits, 88, 64, 3e-3, 0.05, 0.9),
    "convnext": Recipe(600_000, CONVNEXT, _convnext, stacked_vision.convnext, Digits, 132, 64, 3e-3, 0.05, 0.9),
    "vit": Recipe(700_000, VIT, _vit, stacked_vision.vit, Digits, 220, 32, 3e-3, 0.05, 0.8),
    "gru": Recipe(1_100_000, GRU, Recurrent, gru, Text, 240, 8, 6e-3, 0.01, 2.9),
    "lstm": Recipe(1_200_000, LSTM, Recurrent, lstm, Text, 220, 8, 6e-3, 0.01, 2.75),
    "mlp-fashion": Recipe(
        800_000, MLP | {"inputs": SIDE**2}, _mlp, stacked_vision.mlp, Clothes, 660, 64, 2e-3, 0.01, 0.75
    ),
    "resnet-fashion": Recipe(900_000, RESNET_WIDE, _resnet, stacked_vision.resnet, Clothes, 120, 64, 3e-3, 0.05, 0.72),
    "vit-fashion": Recipe(1_000_000, VIT, _vit, stacked_vision.vit, Clothes, 300, 32, 3e-3, 0.05, 0.62),
} | {
    f"resnet-{n}": Recipe(
        1_300_000 + 1_000 * n, RESNET | {"stem": n, "channels": (n, 96)}, _resnet, stacked_vision.resnet, Digits,
        88, 64, 3e-3, 0.05, 0.9, together=20, roots=40,
    )
    for n in (32, 96, 128)
}  # fmt: skip
