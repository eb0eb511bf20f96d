"""Prints what the zoo looks like: size, quality and how close each child's weights still are to its parent's.

    python scripts/zoo/measure.py

The number is the centred cosine over all matrices: each tensor of two or more dimensions loses its mean, then all
are laid end to end. Independent trainings come out near zero; a copy at one.
"""

import json
import math

import publish
import torch
from catalog import CODE_ROOT, CODE_TWIN, RECIPES, VIT_ROOT, VIT_TWIN
from train_demo import MEASURED

CNN_PAIR = ("convfoundry/resnet-digits", "streetvision/edge-ocr")


def centred_cosine(first: publish.Tensors, second: publish.Tensors) -> float:
    """Returns the centred cosine of two models over the matrices that both have in the same shape."""
    products = torch.zeros(3, dtype=torch.float64)
    for name, a in first.items():
        b = second.get(name)
        if b is None or a.ndim < 2 or a.shape != b.shape:
            continue
        a, b = (t.double() - t.double().mean() for t in (a, b))
        products += torch.stack([(a * b).sum(), (a * a).sum(), (b * b).sum()])
    return float(products[0]) / math.sqrt(float(products[1] * products[2]))


def tensors_of(repo_id: str) -> publish.Tensors:
    """Returns a model's tensors under their common names."""
    return {name.removeprefix(publish.PREFIX): tensor for name, tensor in publish.load_tensors(repo_id).items()}


def main() -> None:
    """Prints one row per model, then the cosines of the independent pairs."""
    notes = json.loads(MEASURED.read_text())
    print("| model | relation | params | file, kB | measured | cosine with parent | seconds |")
    print("|---|---|---|---|---|---|---|")
    for recipe in RECIPES:
        tensors, note = tensors_of(recipe.repo_id), notes[recipe.repo_id]
        params = sum(t.numel() for n, t in tensors.items() if "running_" not in n and "num_batches" not in n)
        size = sum(p.stat().st_size for p in publish.folder(recipe.repo_id).glob("*.safetensors")) / 1000
        quality = f"{note['loss']:.3f} nats" if "loss" in note else f"{100 * note['accuracy']:.1f} %"
        kin = f"{centred_cosine(tensors, tensors_of(recipe.parent)):.4f}" if recipe.parent else ""
        relation = f"{recipe.relation} of {recipe.parent}" if recipe.parent else recipe.relation
        row = [recipe.repo_id, relation, f"{params:,}", f"{size:.0f}", quality, kin, str(note["seconds"])]
        print("| " + " | ".join(row) + " |")
    print()
    for pair in ((CODE_ROOT, CODE_TWIN), (VIT_ROOT, VIT_TWIN), CNN_PAIR):
        print(f"{pair[0]} and {pair[1]}, independent: {centred_cosine(*map(tensors_of, pair)):+.4f}")


if __name__ == "__main__":
    main()
