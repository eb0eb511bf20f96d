"""Trains the behaviour zoo and writes it, with the truth, below the zoo's cache folder.

    python scripts/zoo/make_behaviour.py                    # whatever is missing
    python scripts/zoo/make_behaviour.py vit-digits         # one recipe
    python scripts/zoo/make_behaviour.py --check            # folders against the training's own forward
    python scripts/zoo/make_behaviour.py --report           # what was made, as a table

behaviour/RECIPE-N/KEY/ in $HUBDNA_ZOO (`~/.cache/hubdna-zoo` if unset) is one model, as it would lie on the Hub; N
counts the roots of a recipe, KEY is a row of `behaviour_catalog`. `models.json` of a family says what each cost and
learned, `truth.json` at the top where every model comes from. Roots of a recipe are trained seven at a time, and so is
each row of the table; what is there is skipped, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import behaviour_files as files
import behaviour_report as report
import changes
import torch
import transformers
from behaviour_catalog import CHECKPOINTS, N_ROOTS, RECIPES, ROOT, SIDE_BY_SIDE, Recipe, Row, seed_of
from behaviour_kinds import KINDS, fresh, head_of, source_head
from behaviour_lessons import Batch, Lesson
from make_pairs import ADAPTED
from pair_catalog import cache
from pair_kinds import Net
from stacked import Stack, stack, train, unstack
from torch.nn import functional
from tree_changes import LOWER

RANK = 4
DECAY = 0.05


class Grower:
    """Makes seven families of one recipe, side by side: from its root number `first` on."""

    def __init__(self, name: str, recipe: Recipe, folder: Path, first: int) -> None:
        self.recipe, self.folder = recipe, folder
        self.families = [f"{name}-{n}" for n in range(first, first + SIDE_BY_SIDE)]
        self.notes = {family: report.notes(folder / family) for family in self.families}

    def run(self) -> None:
        """Makes what is missing."""
        if not all(self._has(key) for key in (ROOT, *CHECKPOINTS)):
            self._grow_roots()
        roots = self._roots()
        for row in self.recipe.rows():
            if not self._has(row.key):
                self._grow(row, roots)

    def _has(self, key: str) -> bool:
        return all(key in self.notes[f] and (self.folder / f / key).is_dir() for f in self.families)

    def _seeds(self, key: str, purpose: str) -> list[int]:
        return [seed_of(family, key, purpose) for family in self.families]

    def _roots(self) -> Stack:
        """Returns the trained roots."""
        kind, names = self.recipe.kind, list(fresh(self.recipe.kind, self.recipe.config, 0))
        return stack([files.read(self.folder / f / ROOT, kind, names) for f in self.families])

    def _grow_roots(self) -> None:
        """Trains the roots, and keeps them at their checkpoints too."""
        recipe, clock = self.recipe, Clock()
        p = stack([fresh(recipe.kind, recipe.config, seed) for seed in self._seeds(ROOT, "init")])
        marks, kept = {round(share * recipe.steps): key for key, share in CHECKPOINTS.items()}, dict[str, Stack]()

        def watch(now: Stack, step: int) -> Stack:
            if step in marks:
                kept[marks[step]] = {name: t.detach().clone() for name, t in now.items()}
            return now

        facts = self._train(Row(ROOT, ROOT, recipe.data), recipe.kind, p, p, watch)
        lesson = Lesson(recipe.data, recipe.kind, [0] * SIDE_BY_SIDE, 0)
        for key, half in kept.items():
            quality = _quality(lesson, recipe.kind, half, "after")
            self._write(key, "checkpoint", recipe.kind, recipe.config, half, quality)
        self._write(ROOT, ROOT, recipe.kind, recipe.config, p, facts, clock)

    def _grow(self, row: Row, roots: Stack) -> None:
        """Makes one row of the table, of all families."""
        clock = Clock()
        kind, config, p = self._start(row, roots)
        if row.relation == "quantized":
            self._write(row.key, row.relation, kind, config, p, [{}] * SIDE_BY_SIDE, clock, torch.float16)
            return
        moving, whole = self._moving(row, p)
        facts = self._train(row, kind, moving, p, whole, roots if row.relation == "distilled" else None)
        with torch.no_grad():
            done = whole(moving, -1)
        self._write(row.key, row.relation, kind, config, done, facts, clock)

    def _start(self, row: Row, roots: Stack) -> tuple[str, dict[str, Any], Stack]:
        """Returns the architecture and the weights that the training begins with."""
        recipe, kind, config = self.recipe, self.recipe.kind, self.recipe.config
        seeds = self._seeds(row.key.replace("alone", "distilled"), "init")  # a control starts where its student does
        p = {name: t.clone() for name, t in roots.items()}
        if row.relation in ("distilled", "alone"):
            kind, config = recipe.other if row.key.endswith("-other") else (kind, config)
            return kind, config, stack([fresh(kind, config, seed) for seed in seeds])
        if row.relation == "head" and recipe.modality == "text":
            body = {name: t for name, t in p.items() if not re.match(KINDS[kind].head, name)}
            heads = stack([source_head(kind, config["hidden_size"], seed) for seed in seeds])
            return f"{kind}-source", config, body | heads
        if row.relation == "head" or (row.relation == "other-data" and recipe.modality == "vision"):
            classes = 2 if row.relation == "head" else 10
            return kind, config, p | stack([head_of(kind, config, classes, seed) for seed in seeds])
        if row.relation in ("pruned", "quantized"):
            p = stack([self._rounded(row, unstack(p, i)) for i in range(SIDE_BY_SIDE)])
        return kind, config, p

    def _rounded(self, row: Row, state: Stack) -> Stack:
        """Returns one model with half of the inner weights zero, or all on a grid of four bits."""
        net, change = Net({}, state), changes.Change(self.recipe.kind, torch.Generator())
        made = changes.pruned(net, change) if row.relation == "pruned" else changes.rounded(net, change, bits=4)
        return made.state

    def _moving(self, row: Row, p: Stack) -> tuple[Stack, Callable[[Stack, int], Stack]]:
        """Returns the tensors that are trained, and what makes the whole model of them."""
        kind = self.recipe.kind
        if row.relation == "frozen":
            moving = {n: t for n, t in p.items() if not re.fullmatch(LOWER[kind], n)}
            return moving, lambda now, step: p | now
        if row.relation == "pruned":
            masks = {n: t != 0 for n, t in p.items() if re.fullmatch(changes.INNER[kind], n)}
            return p, lambda now, step: now | {n: now[n] * mask for n, mask in masks.items()}
        if row.relation != "lora":
            return p, lambda now, step: now
        low: Stack = {}
        for name, t in p.items():
            if name.removesuffix(".weight").endswith(tuple(ADAPTED[kind])):
                draws = [_down(seed, t.shape[2]) for seed in self._seeds(row.key + name, "init")]
                low |= {name + ".A": torch.stack(draws), name + ".B": torch.zeros(SIDE_BY_SIDE, t.shape[1], RANK)}
        names = [name[:-2] for name in low if name.endswith(".A")]
        return low, lambda now, step: p | {n: p[n] + 2 * now[n + ".B"] @ now[n + ".A"] for n in names}

    def _train(
        self, row: Row, kind: str, moving: Stack, p: Stack, whole: Callable[[Stack, int], Stack],
        teachers: Stack | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Trains in place; returns for each model its steps, and its quality before and after."""
        recipe = self.recipe
        lesson = Lesson(row.data, kind, self._seeds(row.key.replace("alone", "distilled"), "order"), recipe.batch)
        steps = max(1, round(recipe.steps * row.length))
        before = _quality(lesson, kind, whole(p if row.relation != "lora" else moving, -1), "before")

        def loss_at(now: Stack, step: int) -> torch.Tensor:
            batch = lesson.draw()
            scores = KINDS[kind].scores(whole(now, step), batch, True)
            if teachers is None:
                return _loss(scores, batch)
            with torch.no_grad():
                wanted = KINDS[recipe.kind].scores(teachers, batch, False).softmax(-1)
            return -(wanted * scores.log_softmax(-1)).sum(-1).mean(1)

        train(moving, loss_at, steps=steps, lr=recipe.lr * row.rate, decay=DECAY)
        after = _quality(lesson, kind, whole(moving, -1), "after")
        told = {"data": row.data, "steps": steps, "lr": recipe.lr * row.rate, "frequencies": lesson.frequencies()}
        return [told | b | a for b, a in zip(before, after, strict=True)]

    def _write(
        self, key: str, relation: str, kind: str, config: dict[str, Any], p: Stack, facts: list[dict[str, Any]],
        clock: Clock | None = None, dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        """Writes a model of each family, then what is known of it."""
        spent = clock.share() if clock else 0.0
        for i, family in enumerate(self.families):
            files.write(self.folder / family / key, kind, config, unstack(p, i), dtype)
            known = {"relation": relation, "kind": kind, "config": config, "cpu_seconds": spent}
            self.notes[family][key] = known | facts[i]
            report.write_json(self.folder / family / "models.json", self.notes[family])
        print(f"{self.families[0]}/{key}: {self.notes[self.families[0]][key]}", flush=True)


class Clock:
    """CPU seconds since it was made."""

    def __init__(self) -> None:
        self.cpu = time.process_time()

    def share(self) -> float:
        """CPU seconds a model."""
        return round((time.process_time() - self.cpu) / SIDE_BY_SIDE, 2)


def _down(seed: int, width: int) -> torch.Tensor:
    """Returns the first matrix of an adapter."""
    return torch.randn(RANK, width, generator=torch.Generator().manual_seed(seed)) / width**0.5


def _loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Returns the cross entropy of each model, [M]."""
    losses = functional.cross_entropy(scores.flatten(0, 1), batch.y.flatten(), reduction="none")
    return losses.view(batch.y.shape).mean(1)


@torch.no_grad()
def _quality(lesson: Lesson, kind: str, p: Stack, when: str) -> list[dict[str, Any]]:
    """Returns each model's loss (nats) and accuracy on held-out data."""
    batch = lesson.held_out()
    scores = KINDS[kind].scores(p, batch, False)
    losses, right = _loss(scores, batch), (scores.argmax(-1) == batch.y).float().mean(1)
    pairs = zip(losses.tolist(), right.tolist(), strict=True)
    return [{f"loss_{when}": round(loss, 4), f"accuracy_{when}": round(share, 4)} for loss, share in pairs]


def main() -> int:
    """Makes every recipe that is missing or asked for."""
    parser = argparse.ArgumentParser(description="Train the behaviour zoo.")
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="a key of behaviour_catalog.RECIPES; default: all")
    parser.add_argument("--check", action="store_true", help="load the folders as a user does, compare their answers")
    parser.add_argument("--report", action="store_true", help="print the table of what was made")
    options = parser.parse_args()
    folder = cache() / "behaviour"
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    if options.report:
        print(report.made(folder))
        return 0
    if options.check:
        return int(not report.check(folder))
    for name in options.names or RECIPES:
        begun = time.process_time()
        for first in range(0, N_ROOTS[RECIPES[name].modality], SIDE_BY_SIDE):
            Grower(name, RECIPES[name], folder, first).run()
        print(f"{name}: {time.process_time() - begun:.0f} CPU s", flush=True)
        report.gather(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
