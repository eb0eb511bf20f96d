"""Trains the family trees and writes them, with the truth, below the zoo's cache folder.

    python scripts/zoo/make_trees.py                  # whatever is missing, all trees
    python scripts/zoo/make_trees.py --only vision-a  # one tree
    python scripts/zoo/make_trees.py --list           # what there is to make
    python scripts/zoo/make_trees.py --report         # what was made, as a table

Each tree is trees/TREE/ in $HUBDNA_ZOO (`~/.cache/hubdna-zoo` if unset): a folder per model, named by a random-looking
id; `models.json`, what each model cost and learned; and, when all are there, `truth.json`, the edges. Models whose
folder is there are skipped. Cards say nothing.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any

import fit
import make_pairs
import pair_files
import torch
import transformers
import tree_check
import tree_report
from changes import INNER, Change
from make_pairs import ADAPTED
from pair_catalog import cache
from pair_kinds import KINDS, Batch, Kind, Net
from peft import LoraConfig, get_peft_model
from torch import nn
from tree_catalog import TREES
from tree_changes import CHANGES, LOWER
from tree_rows import EFFORT, Row, Tree


class Grower:
    """Makes the models of one tree."""

    def __init__(self, tree: Tree, folder: Path) -> None:
        self.tree, self.folder = tree, folder
        self.notes = tree_report.notes(folder)

    def run(self) -> None:
        """Makes what is missing, checks the files, then writes the truth."""
        for row in (self.tree.root, *self.tree.rows):
            name = self.tree.id_of(row.key)
            if name not in self.notes or not (self.folder / name).is_dir():
                self._make(row, name)
        tree_check.check(self.tree, self.folder)
        make_pairs.write_json(self.folder / "truth.json", tree_report.truth(self.tree, self.notes))

    def _make(self, row: Row, name: str) -> None:
        """Makes one model and notes what it cost."""
        begun, spent = time.perf_counter(), time.process_time()
        kind, dtype = self.tree.kind_of(row.key), self.tree.dtype_of(row.key)
        net, facts = self._changed(row), {}
        if row.data:
            net, facts = self._trained(row, kind, net)
        pair_files.write(self.folder / name, kind, net, row.layout, dtype)
        facts |= {"kind": kind, "dtype": dtype, "layout": row.layout, "seconds": round(time.perf_counter() - begun, 1)}
        facts["cpu_seconds"] = round(time.process_time() - spent, 1)
        print(f"{self.tree.name}/{row.key} {row.kind}: {facts}", flush=True)
        self.notes[name] = facts
        make_pairs.write_json(self.folder / "models.json", self.notes)

    def _changed(self, row: Row) -> Net:
        """Returns the net before training, in float32: fresh, or the parent after the row's change."""
        tree = self.tree
        if not row.parent:
            torch.manual_seed(tree.seed_of(row.key, "init"))
            return KINDS[tree.kind].fresh(**tree.base)
        parent = pair_files.read(self.folder / tree.id_of(row.parent)).float()
        if "dtype" in parent.config:  # transformers would load, and train, in the type of the file
            parent = Net(parent.config | {"dtype": "float32"}, parent.state)
        gen = torch.Generator().manual_seed(tree.seed_of(row.key, "change"))
        return CHANGES[row.how](parent, Change(tree.kind_of(row.parent), gen), **row.options)

    def _trained(self, row: Row, kind_name: str, net: Net) -> tuple[Net, dict[str, Any]]:
        """Returns the net after training, with its steps and its held-out loss before and after."""
        kind, module = KINDS[kind_name], KINDS[kind_name].module(net)
        gen = torch.Generator().manual_seed(self.tree.seed_of(row.key, "order"))
        length, rate = EFFORT[row.effort] if row.parent else (1.0, 1.0)
        steps, lr = max(1, round(self.tree.steps * length)), self.tree.lr * rate
        facts: dict[str, Any] = {"steps": steps, "lr": lr, "loss_before": _held_out(kind, module, net, row.data)}
        if row.rank:
            shape = LoraConfig(r=row.rank, lora_alpha=2 * row.rank, target_modules=ADAPTED[kind_name])
            module = get_peft_model(module, shape)
        for name, parameter in module.named_parameters():
            if row.frozen and re.fullmatch(LOWER[kind_name], name):
                parameter.requires_grad_(False)
        masks = {n: t != 0 for n, t in net.state.items() if row.sparse and re.fullmatch(INNER[kind_name], n)}
        known = dict(module.named_parameters())

        def loss_of() -> torch.Tensor:
            return kind.loss(module, _batch(kind, net, row.data, gen))

        moving = {n: m for n, m in masks.items() if n in known}
        fit.train(module, loss_of, steps=steps, lr=lr, masks=moving, decay=row.decay)
        done = kind.net((module.merge_and_unload() if row.rank else module).eval(), net.config)
        done = Net(done.config, {n: t * masks[n] if n in masks else t for n, t in done.state.items()})
        return done, facts | {"loss_after": _held_out(kind, kind.module(done), done, row.data)}


def _batch(kind: Kind, net: Net, data: str, gen: torch.Generator | None) -> Batch:
    """Returns a batch of a text mix or of a view of the digits, whose labels are 0 and 1 for `/parity`."""
    domain, _, task = data.partition("/")
    x, y = kind.batch(net.config, domain, gen)
    return x, y % 2 if task else y


@torch.no_grad()
def _held_out(kind: Kind, module: nn.Module, net: Net, data: str) -> float:
    """Returns the loss on held-out data."""
    module.eval()
    return round(float(kind.loss(module, _batch(kind, net, data, None))), 4)


def main() -> None:
    """Makes every tree that is missing or asked for."""
    parser = argparse.ArgumentParser(description="Train the family trees.")
    parser.add_argument("--only", action="append", metavar="TREE", choices=list(TREES), help="just this tree")
    parser.add_argument("--list", action="store_true", help="say what there is to make, and make nothing")
    parser.add_argument("--report", action="store_true", help="print the table of what was made")
    options = parser.parse_args()
    if options.list or options.report:
        print(tree_report.plan(TREES) if options.list else tree_report.made(TREES, cache() / "trees"))
        return
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for name in options.only or TREES:
        begun = time.perf_counter()
        Grower(TREES[name], cache() / "trees" / name).run()
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
