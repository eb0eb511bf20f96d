"""Trains the sixteen models of `hubdna demo` and writes them as Hub repos.

    python scripts/zoo/train_demo.py                      # whatever is missing
    python scripts/zoo/train_demo.py --force              # everything again
    python scripts/zoo/train_demo.py --only pixelworks/vit-digits --force

Two trees of decoders, two of vision transformers, two of CNNs. Within a family all models share one
configuration and much the same data, so nothing but the weights can tell who descends from whom. Children
start from the *published* weights of their parent, rounding included, as they would on the Hub.

A folder with `.hub.json` is complete and is skipped. What a run measured is kept in `measured.json`.
"""

import argparse
import json
import time
from pathlib import Path

import corpora
import families
import fit
import publish
import torch
import truth
from catalog import BY_ID, Recipe, training_order
from peft import LoraConfig, get_peft_model
from torch import nn

MEASURED = Path(__file__).with_name("measured.json")
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def start_of(recipe: Recipe) -> nn.Module:
    """Returns the weights a training begins with: fresh, or the parent's under a new head if need be."""
    torch.manual_seed(recipe.seed)
    model = families.build(recipe.family, recipe.classes)
    if recipe.parent is None:
        return model
    fresh = model.state_dict()
    parent = publish.load_model(BY_ID[recipe.parent]).state_dict()
    model.load_state_dict({n: parent[n] if parent[n].shape == fresh[n].shape else fresh[n] for n in fresh})
    return model


def train(recipe: Recipe) -> nn.Module:
    """Returns the trained model of a recipe."""
    model = start_of(recipe)
    if recipe.relation == "copy":
        return model
    if recipe.family == "text":
        return _train_text(recipe, model)
    masks = fit.magnitude_masks(model, 0.5) if recipe.relation == "pruned" else None
    if masks:
        fit.apply_masks(model, masks)
    goal = {"view": recipe.data, "task": recipe.task, "epochs": recipe.steps, "lr": recipe.lr}
    fit.train_images(model, recipe.family, seed=recipe.seed, masks=masks, **goal)
    return model


def _train_text(recipe: Recipe, model: nn.Module) -> nn.Module:
    """Returns the trained decoder; a LoRA is trained beside the weights and merged at the end."""
    tokens, _ = corpora.load(recipe.data)
    if recipe.relation != "lora":
        fit.train_text(model, tokens, steps=recipe.steps, lr=recipe.lr, seed=recipe.seed)
        return model
    adapter = LoraConfig(r=8, lora_alpha=16, target_modules=LORA_TARGETS, task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, adapter)
    fit.train_text(wrapped, tokens, steps=recipe.steps, lr=recipe.lr, seed=recipe.seed)
    return wrapped.merge_and_unload()


def make(recipe: Recipe) -> None:
    """Trains and publishes one model, and notes what it cost."""
    print(f"{recipe.repo_id}: {recipe.relation} of {recipe.parent or 'nothing'}", flush=True)
    begun = time.perf_counter()
    measured = publish.publish(recipe, train(recipe))
    seconds = time.perf_counter() - begun
    print(f"    {measured}, {seconds:.0f} s", flush=True)
    notes = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    notes[recipe.repo_id] = {key: round(value, 4) for key, value in measured.items()} | {"seconds": round(seconds)}
    MEASURED.write_text(json.dumps(dict(sorted(notes.items())), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Makes every model that is missing or asked for, then writes the truth file."""
    parser = argparse.ArgumentParser(description="Train the models of `hubdna demo`.")
    parser.add_argument("--force", action="store_true", help="train again what is already there")
    parser.add_argument("--only", action="append", metavar="REPO_ID", choices=sorted(BY_ID), help="just this model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    begun = time.perf_counter()
    for recipe in training_order():
        if options.only and recipe.repo_id not in options.only:
            continue
        if options.force or not publish.complete(recipe.repo_id):
            make(recipe)
    truth.write()
    size = sum(path.stat().st_size for path in publish.MODELS.rglob("*") if path.is_file())
    print(f"done in {(time.perf_counter() - begun) / 60:.1f} min; {size / 1e6:.2f} MB in {publish.MODELS}")


if __name__ == "__main__":
    main()
