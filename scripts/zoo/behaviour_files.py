"""The folders of the behaviour zoo: config.json, model.safetensors and, for text, a tokenizer of single bytes.

Training knows tensors by the names of `stacked_vision` and `stacked_text`; a folder has the names and the config of its
library: timm for the vision transformer, transformers for the rest (timm's ResNet and ConvNeXt want four stages, and
pictures of 12 pixels leave room for two or three). `load` opens a folder with that library, for the check.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import recipes
import torch
import transformers
from behaviour_kinds import LARGE
from behaviour_lessons import SOURCES, Batch
from lessons import BERT_VOCABULARY, FIRST_BYTE, SIDE
from safetensors.torch import load_file, save_file
from stacked import Stack
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CLASSES = {
    "decoder": "LlamaForCausalLM",
    "encoder": "BertForMaskedLM",
    "decoder-source": "LlamaForSequenceClassification",
    "encoder-source": "BertForSequenceClassification",
    "resnet": "ResNetForImageClassification",
    "convnext": "ConvNextForImageClassification",
}
RESNET_NAMES = [
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^layer(\d)\.0\.conv(\d)\.", r"resnet.encoder.stages.<\1>.layers.0.layer.<\2>.convolution."),
    (r"^layer(\d)\.0\.bn(\d)\.", r"resnet.encoder.stages.<\1>.layers.0.layer.<\2>.normalization."),
    (r"^layer(\d)\.0\.downsample\.0\.", r"resnet.encoder.stages.<\1>.layers.0.shortcut.convolution."),
    (r"^layer(\d)\.0\.downsample\.1\.", r"resnet.encoder.stages.<\1>.layers.0.shortcut.normalization."),
    (r"^fc\.", "classifier.1."),
]
"""Timm's names and transformers'; a number in angle brackets is counted from zero there."""
CONVNEXT_NAMES = [
    (r"^stem\.0\.", "convnext.embeddings.patch_embeddings."),
    (r"^stem\.1\.", "convnext.embeddings.layernorm."),
    (r"^stages\.(\d)\.downsample\.(\d)\.", r"convnext.encoder.stages.\1.downsampling_layer.\2."),
    (r"^stages\.(\d)\.blocks\.(\d)\.conv_dw\.", r"convnext.encoder.stages.\1.layers.\2.dwconv."),
    (r"^stages\.(\d)\.blocks\.(\d)\.norm\.", r"convnext.encoder.stages.\1.layers.\2.layernorm."),
    (r"^stages\.(\d)\.blocks\.(\d)\.mlp\.fc(\d)\.", r"convnext.encoder.stages.\1.layers.\2.pwconv\3."),
    (r"^stages\.(\d)\.blocks\.(\d)\.gamma$", r"convnext.encoder.stages.\1.layers.\2.layer_scale_parameter"),
    (r"^head\.norm\.", "convnext.layernorm."),
    (r"^head\.fc\.", "classifier."),
]
NAMES = {"resnet": RESNET_NAMES, "convnext": CONVNEXT_NAMES}


def write(folder: Path, kind: str, config: dict[str, Any], state: Stack, dtype: torch.dtype = torch.float32) -> None:
    """Writes one model's folder, complete or not at all.

    Args:
        folder: where it goes; what is there is replaced.
        kind: a key of `behaviour_kinds.KINDS`.
        config: what the model is built from.
        state: its tensors, under the names of the training.
        dtype: of the floats in the file.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    renamed = {_rename(kind, name): t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
    save_file({name: t.contiguous() for name, t in sorted(renamed.items())}, temporary / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    told = json.dumps(_config(kind, config, state) | {"dtype": str(dtype).removeprefix("torch.")}, indent=2)
    (temporary / "config.json").write_text(told + "\n", encoding="utf-8")
    if "coder" in kind:
        _tokenizer(kind).save_pretrained(temporary)
    elif kind != "vit":
        (temporary / "preprocessor_config.json").write_text(
            json.dumps(_pictures(kind), indent=2) + "\n", encoding="utf-8"
        )
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def read(folder: Path, kind: str, names: Iterable[str]) -> Stack:
    """Returns the tensors of a folder, under the names of the training, in single precision."""
    stored = load_file(folder / "model.safetensors")
    found = {name: stored[_rename(kind, name)] for name in names}
    return {name: t.float() if t.is_floating_point() else t for name, t in found.items()}


def load(folder: Path, kind: str) -> torch.nn.Module:
    """Returns the model as a user loads it."""
    if kind == "vit":
        import timm

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval()
    return getattr(transformers, CLASSES[kind]).from_pretrained(folder).eval()


def _config(kind: str, config: dict[str, Any], state: Stack) -> dict[str, Any]:
    """Returns config.json."""
    if kind == "vit":
        classes = len(state["head.bias"])
        told = {"input_size": [1, 12, 12], "mean": [0.5], "std": [0.5], "interpolation": "bilinear", "crop_pct": 1.0}
        return {"architecture": "vit_tiny_patch16_224", "num_classes": classes, "model_args": config,
                "pretrained_cfg": told | {"num_classes": classes}}  # fmt: skip
    if kind == "resnet":
        made = transformers.ResNetConfig(
            num_channels=1, embedding_size=config["stem"], hidden_sizes=list(config["channels"]),
            depths=list(config["layers"]), layer_type="basic", num_labels=len(state["fc.bias"]),
        )  # fmt: skip
    elif kind == "convnext":
        made = transformers.ConvNextConfig(
            num_channels=1, patch_size=config["patch_size"], hidden_sizes=list(config["dims"][:2]), image_size=LARGE,
            depths=list(config["depths"][:2]), num_stages=2, layer_norm_eps=1e-6, num_labels=len(state["head.fc.bias"]),
        )  # fmt: skip
    elif kind.startswith("decoder"):
        made = transformers.LlamaConfig(**recipes.LLAMA | config, num_labels=len(SOURCES), pad_token_id=None)
    else:
        made = transformers.BertConfig(**recipes.BERT | config, num_labels=len(SOURCES))
    return made.to_dict() | {"architectures": [CLASSES[kind]]}


def _pictures(kind: str) -> dict[str, Any]:
    """Returns what an image processor of transformers does to pictures of 0 to 255."""
    side = LARGE if kind == "convnext" else SIDE
    told = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    return told | {"size": {"height": side, "width": side}, "image_mean": [0.5], "image_std": [0.5]}


def _rename(kind: str, name: str) -> str:
    """Returns a tensor's name in the file."""
    for ours, theirs in NAMES.get(kind, []):
        if re.search(ours, name):
            return re.sub(r"<(\d+)>", lambda number: str(int(number[1]) - 1), re.sub(ours, theirs, name))
    return name


def _tokenizer(kind: str) -> transformers.PreTrainedTokenizerFast:
    """Returns a tokenizer of single bytes: byte n is token n of a decoder; an encoder has names before them."""
    first = FIRST_BYTE if kind.startswith("encoder") else 0
    words = {letter: byte + first for byte, letter in _letters().items()}
    special = {word: n for n, word in enumerate(BERT_VOCABULARY[:FIRST_BYTE])} if first else {}
    made = Tokenizer(models.BPE(vocab=special | words, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    names = {f"{w.lower()}_token": f"[{w}]" for w in ("PAD", "UNK", "CLS", "SEP", "MASK")} if first else {}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _letters() -> dict[int, str]:
    """Returns the letter that stands for each byte in GPT-2's and all later byte-level vocabularies."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in shown}
    hidden = (byte for byte in range(256) if byte not in letters)
    return letters | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


def answers(model: torch.nn.Module, kind: str, batch: Batch) -> torch.Tensor:
    """Returns what a loaded model answers to the first model's part of a batch, [K, classes]."""
    if kind in ("vit", "resnet", "convnext"):
        out = model(batch.pictures(LARGE if kind == "convnext" else SIDE)[0])
        return out if isinstance(out, torch.Tensor) else out.logits
    scores = model(input_ids=batch.x[0]).logits
    if batch.places is None:
        return scores.flatten(0, 1)
    return scores.gather(1, batch.places[0].unsqueeze(-1).expand(-1, -1, scores.shape[-1])).flatten(0, 1)
