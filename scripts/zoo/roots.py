"""The null populations: per architecture hundreds of independent roots of one config and one data set.

    python scripts/zoo/roots.py                     # every architecture, 200 roots each
    python scripts/zoo/roots.py decoder --upto 100  # a part
    python scripts/zoo/roots.py --check             # are the stacked forwards those of transformers and timm?
    python scripts/zoo/roots.py --list              # what is there (needs no torch)

Two roots of a population share everything but the seed: that is the hardest thing a test of common origin must call
independent. The last quarter of each population even sees the data in one and the same order.

They are written to `$HUBDNA_ZOO/roots/<architecture>/<NNN>.safetensors` (default `~/.cache/hubdna-zoo`), with the
token lists a tokenizer would give and an `about.json`. Complete batches are skipped, so a stopped run goes on.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipes import Recipe

N_ROOTS = 200
SAME_ORDER_FROM = 150  # from this root on all see the data in the same order
ORDERS = 50_000  # seeds of the data orders lie this far from those of the initialisations


@dataclass(frozen=True)
class Population:
    """The roots of one architecture.

    Attributes:
        name: the architecture.
        folder: where its files are.
        files: one weights file a root, in order.
        same_order: those of them that also share the order of the data.
        about: config, seeds, losses, seconds and versions.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    same_order: tuple[Path, ...]
    about: dict[str, Any]


def zoo() -> Path:
    """Returns the folder of the whole zoo."""
    return Path(os.environ.get("HUBDNA_ZOO") or Path.home() / ".cache" / "hubdna-zoo")


def populations() -> dict[str, Population]:
    """Lists the populations that are there, by architecture. Needs neither torch nor the recipes."""
    found = {}
    for folder in sorted(path.parent for path in (zoo() / "roots").glob("*/about.json")):
        files = tuple(sorted(folder.glob("[0-9]*.safetensors")))
        same = tuple(path for path in files if int(path.stem) >= SAME_ORDER_FROM)
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        found[folder.name] = Population(folder.name, folder, files, same, about)
    return found


def show() -> None:
    """Prints the populations as a table."""
    print("| architecture | roots | unit | before | after: least, median, most | not learned | core seconds a root |")
    print("|---|---|---|---|---|---|---|")
    for name, found in populations().items():
        about, before = found.about, sorted(root["before"] for root in found.about["roots"].values())
        after = ", ".join(f"{value:.3f}" for value in about["held_out"].values())
        cells = [name, len(found.files), about["unit"], f"{before[len(before) // 2]:.3f}", after]
        print(
            "|", " | ".join(map(str, [*cells, len(about["not_learned"]), about.get("core_seconds_a_root", "-")])), "|"
        )


def write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def train_batch(recipe: "Recipe", numbers: Sequence[int], folder: Path) -> dict[str, dict[str, Any]]:
    """Trains the roots of one stack and writes those that learned; returns what happened to each."""
    from recipes import fresh
    from safetensors.torch import save
    from stacked import stack, train, unstack

    wall, core = time.perf_counter(), time.process_time()
    orders = [recipe.seed + ORDERS + (n if n < SAME_ORDER_FROM else N_ROOTS) for n in numbers]
    p = stack([fresh(recipe, recipe.seed + n) for n in numbers])
    lesson = recipe.lesson(recipe.forward, orders, recipe.batch)
    before = lesson.score(p)
    train(p, lesson.loss, steps=recipe.steps, lr=recipe.lr, decay=recipe.decay)
    after, facts = lesson.score(p), {}
    wall, core = (time.perf_counter() - wall) / len(numbers), (time.process_time() - core) / len(numbers)
    for i, n in enumerate(numbers):
        learned = recipe.learned(float(after[i]))
        facts[f"{n:03d}"] = {
            "seed": recipe.seed + n, "order": orders[i], "before": round(float(before[i]), 4),
            "after": round(float(after[i]), 4), "seconds": round(wall, 2), "core_seconds": round(core, 2),
            "learned": learned,
        }  # fmt: skip
        if learned:
            write(folder / f"{n:03d}.safetensors", save(unstack(p, i), metadata={"format": "pt"}))
    return facts


def describe(recipe: "Recipe", roots: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the about.json of a population."""
    import timm
    import torch
    import transformers

    after = sorted(root["after"] for root in roots.values())
    core = [root["core_seconds"] for root in roots.values() if "core_seconds" in root]
    return {
        "config": recipe.config,
        "training": {k: getattr(recipe, k) for k in ("steps", "batch", "lr", "decay")},
        "unit": recipe.lesson.unit,
        "held_out": {"least": after[0], "median": after[len(after) // 2], "most": after[-1]},
        "bar": recipe.bar,
        "not_learned": [name for name, root in roots.items() if not root["learned"]],
        "seconds": round(sum(root["seconds"] for root in roots.values()), 1),
        "core_seconds_a_root": round(sum(core) / max(1, len(core)), 2),
        "versions": {m.__name__: str(m.__version__) for m in (torch, transformers, timm)},
        "roots": dict(sorted(roots.items())),
    }


def grow(name: str, recipe: "Recipe", upto: int) -> None:
    """Brings one population to `upto` roots, batch by batch."""
    from recipes import tokenizer_files

    folder = zoo() / "roots" / name
    about = folder / "about.json"
    roots = json.loads(about.read_text(encoding="utf-8"))["roots"] if about.exists() else {}
    for first in range(0, min(upto, recipe.roots), recipe.together):
        numbers = [n for n in range(first, min(first + recipe.together, recipe.roots)) if f"{n:03d}" not in roots]
        if not numbers:
            continue
        roots |= train_batch(recipe, numbers, folder)
        facts = describe(recipe, roots)
        for file, content in tokenizer_files(recipe).items():
            write(folder / file, content.encode())
        write(about, (json.dumps(facts, indent=1) + "\n").encode())
        print(f"{name} {len(roots):3d} roots  {facts['held_out']} {facts['unit']}  {facts['seconds']} s", flush=True)


def check(name: str, recipe: "Recipe") -> bool:
    """Compares a stacked forward with the framework's own, on weights moved away from their start."""
    import torch
    from lessons import SPAN, Digits, Masked
    from recipes import state_of
    from stacked import stack
    from stacked_text import unmask

    torch.manual_seed(0)
    model = recipe.build(recipe.config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += 0.05 * torch.randn_like(tensor)
        p = stack([state_of(model)] * 2)
        if issubclass(recipe.lesson, Digits):
            side = recipe.lesson(recipe.forward, [0], 1).side
            x = torch.randn(5, 1, side, side)
            theirs, ours = model(x), recipe.forward(p, x.expand(2, *x.shape))
        else:
            ids = torch.randint(256, (3, SPAN))
            theirs, ours = model(input_ids=ids).logits.flatten(0, 1), recipe.forward(p, ids.expand(2, *ids.shape))
            ours = unmask(p, ours) if recipe.lesson is Masked else ours
        ours = ours[0] if isinstance(ours, tuple) else ours
        error = float((ours - theirs).abs().max() / theirs.abs().mean())
    print(f"{name}: largest difference {error:.1e} of the mean score")
    return error < 1e-4


def main() -> int:
    """Grows what was asked for."""
    parser = argparse.ArgumentParser(description="Train populations of independent roots.")
    parser.add_argument("names", nargs="*", metavar="ARCHITECTURE", help="a key of recipes.RECIPES; default: all")
    parser.add_argument("--upto", type=int, default=N_ROOTS, help="roots an architecture should have")
    parser.add_argument("--check", action="store_true", help="compare the forwards with the frameworks', train nothing")
    parser.add_argument("--list", action="store_true", help="print what is there")
    options = parser.parse_args()
    if options.list:
        show()
        return 0
    import torch
    from recipes import RECIPES

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    chosen = {name: RECIPES[name] for name in options.names or RECIPES}
    if options.check:
        right = [check(name, recipe) for name, recipe in chosen.items()]
        return int(not all(right))
    for name, recipe in chosen.items():
        grow(name, recipe, options.upto)
    return 0


if __name__ == "__main__":
    sys.exit(main())
