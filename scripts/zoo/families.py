"""The three architectures of the demo: a byte-level Llama, a timm vision transformer, a residual CNN.

Every model of a family has the same configuration, which is what makes the demo hard: shapes, layer counts
and even the training data say nothing about lineage here; only the weights do. All three load with the
ordinary library calls (`AutoModelForCausalLM`, `timm.create_model`, `AutoModelForImageClassification`).
"""

from typing import Any

import timm
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, ResNetConfig, ResNetForImageClassification

CONTEXT = 128  # bytes the decoder sees at once
SIDE = {"vit": 16, "cnn": 32}  # pictures the classifiers read, in pixels

VIT_ARGS: dict[str, Any] = {
    "img_size": 16,
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 64,
    "depth": 4,
    "num_heads": 4,
    "mlp_ratio": 4,
}


def build(family: str, classes: int = 10) -> nn.Module:
    """Returns a freshly initialised model; the caller has seeded torch.

    Args:
        family: ``text``, ``vit`` or ``cnn``.
        classes: labels of a classifier.
    """
    if family == "text":
        return LlamaForCausalLM(_llama_config())
    if family == "vit":
        return timm.create_model("vit_tiny_patch16_224", num_classes=classes, **VIT_ARGS)
    return ResNetForImageClassification(_resnet_config(classes))


def config(family: str, classes: int, dtype: torch.dtype) -> dict[str, Any]:
    """Returns what the Hub's config.json holds for a model of this family."""
    if family == "vit":
        return _timm_config(classes)
    made = (_llama_config() if family == "text" else _resnet_config(classes)).to_dict()
    made["architectures"] = ["LlamaForCausalLM" if family == "text" else "ResNetForImageClassification"]
    made["dtype"] = str(dtype).removeprefix("torch.")
    return made


def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Returns the raw scores, whichever library the model comes from."""
    out = model(x)
    return out if isinstance(out, torch.Tensor) else out.logits


def _llama_config() -> LlamaConfig:
    """Hidden 64, four layers of four heads, one token per byte, output matrix of its own."""
    return LlamaConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def _resnet_config(classes: int) -> ResNetConfig:
    """Three stages of one basic block each, 24-48-80 channels."""
    return ResNetConfig(
        num_channels=1,
        embedding_size=24,
        hidden_sizes=[24, 48, 80],
        depths=[1, 1, 1],
        layer_type="basic",
        num_labels=classes,
    )


def _timm_config(classes: int) -> dict[str, Any]:
    """The config.json that timm writes when it pushes a model."""
    return {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": classes,
        "num_features": VIT_ARGS["embed_dim"],
        "global_pool": "token",
        "model_args": VIT_ARGS,
        "pretrained_cfg": {
            "input_size": [1, SIDE["vit"], SIDE["vit"]],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [0.5],
            "std": [0.5],
            "num_classes": classes,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
