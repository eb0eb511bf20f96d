"""From a trained model to a Hub repo in a folder, and back.

The weights are rounded to the stored precision first and measured afterwards, so the numbers on a card are
those of the file that lies beside it. `.hub.json` is written last: a folder that has it is complete.
"""

import json
from pathlib import Path
from typing import Any

import corpora
import families
import fit
import torch
from catalog import Recipe
from safetensors.torch import load_file, save_file
from torch import nn

import cards

Tensors = dict[str, torch.Tensor]

MODELS = Path(__file__).resolve().parents[2] / "hubdna" / "demo" / "models"
DTYPE = {"F32": torch.float32, "BF16": torch.bfloat16}
PREFIX = "fast_code_lm."  # what the mirror's wrapper class left on every tensor name


def folder(repo_id: str) -> Path:
    """Returns where a model's repo lies."""
    return MODELS / repo_id


def complete(repo_id: str) -> bool:
    """Whether a model was written to the end."""
    return (folder(repo_id) / ".hub.json").is_file()


def load_tensors(repo_id: str) -> Tensors:
    """Returns all tensors of a published model, from one file or from its shards."""
    tensors: Tensors = {}
    for path in sorted(folder(repo_id).glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def load_model(recipe: Recipe) -> nn.Module:
    """Returns a published model, in single precision."""
    model = families.build(recipe.family, recipe.classes)
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in load_tensors(recipe.repo_id).items()}
    model.load_state_dict(tensors)
    return model


def evaluate(recipe: Recipe, model: nn.Module) -> dict[str, float]:
    """Returns the measured quality of a model on the held-out data of its own domain."""
    if recipe.family == "text":
        held_out = corpora.load(recipe.data)[1]
        return {"loss": fit.text_loss(model, held_out), "unigram": corpora.unigram_entropy(held_out)}
    found = {"accuracy": fit.accuracy(model, recipe.family, recipe.data, recipe.task)}
    if recipe.relation == "pruned":
        blocks = [t for n, t in model.state_dict().items() if n.startswith("blocks.") and t.ndim >= 2]
        found["zeros"] = sum(int((t == 0).sum()) for t in blocks) / sum(t.numel() for t in blocks)
    return found


def publish(recipe: Recipe, model: nn.Module) -> dict[str, float]:
    """Writes a model's repo and returns what was measured on the stored weights.

    Args:
        recipe: what is being published.
        model: the trained model; its weights are rounded in place.
    """
    tensors = _rounded(recipe, model.state_dict())
    model.load_state_dict(tensors)
    measured = evaluate(recipe, model)
    params = sum(p.numel() for p in model.parameters())
    target = folder(recipe.repo_id)
    target.mkdir(parents=True, exist_ok=True)
    (target / ".hub.json").unlink(missing_ok=True)
    _write_weights(target, recipe, tensors)
    _write_json(target / "config.json", families.config(recipe.family, recipe.classes, DTYPE[recipe.dtype]))
    (target / "README.md").write_text(cards.write(recipe, measured, params), encoding="utf-8")
    _write_json(target / ".hub.json", {"created_at": recipe.created})
    return measured


def _rounded(recipe: Recipe, state: Tensors) -> Tensors:
    """Returns the tensors in the file's precision; batch norm keeps its statistics in single precision."""
    wide = recipe.family == "cnn"
    return {
        name: tensor.contiguous().to(DTYPE[recipe.dtype])
        if tensor.is_floating_point() and not (wide and tensor.ndim < 2)
        else tensor.contiguous()
        for name, tensor in state.items()
    }


def _write_weights(target: Path, recipe: Recipe, tensors: Tensors) -> None:
    """Writes the tensors in the recipe's layout: one file, two shards, or one file with prefixed names.

    One metadata entry at most: safetensors writes several in a random order, and the bytes must not vary.
    """
    if recipe.layout == "sharded":
        _write_shards(target, tensors)
    elif recipe.layout == "prefixed":
        named = {PREFIX + name: tensor for name, tensor in tensors.items()}
        save_file(named, target / "model.safetensors", metadata={"exported_with": "fastlm 0.3"})
    else:
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def _write_shards(target: Path, tensors: Tensors) -> None:
    """Writes two files of about the same size and the index that says what lies where."""
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    names, seen, where = list(tensors), 0, {}
    for name in names:
        where[name] = f"model-0000{1 if seen < total / 2 else 2}-of-00002.safetensors"
        seen += tensors[name].numel() * tensors[name].element_size()
    for file in sorted(set(where.values())):
        part = {name: tensors[name] for name in names if where[name] == file}
        save_file(part, target / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    _write_json(target / "model.safetensors.index.json", index)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
