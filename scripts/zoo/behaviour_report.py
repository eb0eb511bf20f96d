"""What is told of the behaviour zoo: its truth, a table, and a check of the folders."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import behaviour_files as files
import torch
from behaviour_catalog import N_ROOTS, RECIPES, ROOT
from behaviour_kinds import KINDS, fresh
from behaviour_lessons import Lesson
from make_pairs import write_json
from stacked import stack

Notes = dict[str, dict[str, Any]]
BAR = {"digits": 0.85, "clothes": 0.65}
"""A root has learned with this held-out accuracy; of text, with a loss a tenth of a nat below the frequencies'."""


def notes(folder: Path) -> Notes:
    """Returns what is known of a family's models, by key."""
    path = folder / "models.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def complete(folder: Path) -> dict[str, list[Notes]]:
    """Returns the families of every recipe that is complete."""
    found = {}
    for name, recipe in RECIPES.items():
        known = [notes(folder / f"{name}-{n}") for n in range(N_ROOTS[recipe.modality])]
        if all(row.key in made for made in known for row in recipe.rows()):
            found[name] = known
    return found


def learned(root: dict[str, Any]) -> bool:
    """Tells whether a root is above its bar."""
    if root["frequencies"] is None:
        return bool(root["accuracy_after"] >= BAR[root["data"]])
    return bool(root["loss_after"] <= root["frequencies"] - 0.1)


def gather(folder: Path) -> None:
    """Writes the truth of all complete recipes into one file."""
    found = []
    for name, known in complete(folder).items():
        for n, made in enumerate(known):
            models = {
                key: {
                    "relation": note["relation"],
                    "kind": note["kind"],
                    "source": None if note["relation"] in (ROOT, "alone") else ROOT,
                }
                for key, note in made.items()
            }
            found.append({"family": f"{name}-{n}", "recipe": name, "modality": RECIPES[name].modality,
                          "learned": learned(made[ROOT]), "models": models})  # fmt: skip
    write_json(folder / "truth.json", {"families": found})
    print(f"{len(found)} families, {sum(len(one['models']) for one in found)} models in {folder}", flush=True)


def made(folder: Path) -> str:
    """Returns a table, in Markdown, of the recipes that are complete."""
    head = ["recipe", "models", "not learned", "root: least, median", "heavy", "other data", "head", "distilled, alone"]
    head += ["a quarter, half way", "CPU s"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, known in complete(folder).items():

        def middle(key: str, known: list[Notes] = known) -> str:
            return f"{median(made[key]['accuracy_after'] for made in known):.3f}"

        least = min(made[ROOT]["accuracy_after"] for made in known)
        spent = sum(note["cpu_seconds"] for made in known for note in made.values())
        failed = sum(not learned(made[ROOT]) for made in known)
        cells = [name, sum(map(len, known)), failed, f"{least:.3f}, {middle(ROOT)}", middle("heavy")]
        cells += [middle("other-data"), middle("head"), f"{middle('distilled')}, {middle('alone')}"]
        cells += [f"{middle('checkpoint-25')}, {middle('checkpoint-50')}", f"{spent:.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


@torch.no_grad()
def check(folder: Path) -> bool:
    """Loads one folder of every kind as a user does, and compares its answers with the training's own forward."""
    right = True
    for name in complete(folder):
        for key, note in notes(folder / f"{name}-0").items():
            kind, config = note["kind"], note["config"]
            if kind.endswith("-source") or note["relation"] in ("head", "other-data"):
                continue  # their heads are no part of what `fresh` names
            batch = Lesson(RECIPES[name].data, kind, [0], 8).draw()
            p = stack([files.read(folder / f"{name}-0" / key, kind, fresh(kind, config, 0))])
            ours = KINDS[kind].scores(p, batch, False)[0]
            theirs = files.answers(files.load(folder / f"{name}-0" / key, kind).float(), kind, batch)
            error = float((ours - theirs).abs().max() / theirs.abs().mean())
            right &= error < 1e-4
            print(f"{name}-0/{key}: largest difference {error:.1e} of the mean score")
    return right
