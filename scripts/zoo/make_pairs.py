"""Trains the labelled pair sets and writes them, with the truth, below a cache folder.

    python scripts/zoo/make_pairs.py                       # whatever is missing, all sets
    python scripts/zoo/make_pairs.py --only decoder-128-s1
    python scripts/zoo/make_pairs.py --list                # what there is to make
    python scripts/zoo/pair_report.py                      # what was made

The folder is $HUBDNA_ZOO, or ~/.cache/hubdna-zoo. Each set is pairs/SET/ with a folder per model, `models.json` (how
each was made, what it cost, its loss) and `pairs.json`, the ground truth. Models whose folder is there are skipped. A
disguise that changes the function by more than `TOLERANCE` stops the run.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import fit
import pair_files
import torch
import transformers
from changes import CHANGES, INNER, Change
from pair_catalog import SETS, cache
from pair_kinds import KINDS, Kind, Net
from pair_rows import PICTURES, TEXT, PairSet, Recipe
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional

TOLERANCE = 2e-3  # largest difference of any logit; logits are of the order of ten
ADAPTED = {
    "decoder": ["q_proj", "v_proj", "down_proj"],
    "moe": ["q_proj", "v_proj"],
    "encoder": ["query", "value", "intermediate.dense"],
    "vit": ["attn.qkv", "mlp.fc2"],
}


class Maker:
    """Makes the models of one set."""

    def __init__(self, name: str, plan: PairSet, folder: Path) -> None:
        self.name, self.plan, self.folder = name, plan, folder
        self.notes_path = folder / "models.json"
        self.notes = json.loads(self.notes_path.read_text()) if self.notes_path.exists() else {}

    def run(self) -> None:
        """Makes what is missing, then writes the truth."""
        for recipe in self.plan.recipes:
            if recipe.name not in self.notes or not (self.folder / recipe.name).is_dir():
                self._make(recipe)
        self._write_pairs()

    def _make(self, recipe: Recipe) -> None:
        """Makes one model and notes what it cost."""
        begun, spent = time.perf_counter(), time.process_time()
        kind = recipe.kind or self.plan.kind
        net, facts = self._changed(recipe, kind)
        if recipe.data:
            net, more = self._trained(recipe, kind, net)
            facts |= more
        pair_files.write(self.folder / recipe.name, kind, net, recipe.layout, recipe.dtype, recipe.claims)
        facts["seconds"] = round(time.perf_counter() - begun, 1)
        facts["cpu_seconds"] = round(time.process_time() - spent, 1)
        shown = ", ".join(f"{key} {value:.3g}" for key, value in facts.items())
        print(f"{self.name}/{recipe.name}: {recipe.relation}, {shown}", flush=True)
        self.notes[recipe.name] = {"parent": recipe.parent, "kind": kind, "relation": recipe.relation} | facts
        write_json(self.notes_path, self.notes)

    def _changed(self, recipe: Recipe, kind: str) -> tuple[Net, dict[str, float]]:
        """Returns the net before training: fresh, or the parent after the recipe's change."""
        plan = self.plan
        torch.manual_seed(plan.seed_of(recipe.init_as or recipe.name, "init"))
        if recipe.how == "fresh":
            own = kind == plan.kind
            shape = plan.base | (plan.wide if recipe.shape == "wide" else {})
            return KINDS[kind].fresh(**(shape if own else {})), {}
        parent = pair_files.read(self.folder / recipe.parent)
        gen = torch.Generator().manual_seed(plan.seed_of(recipe.name, "change"))
        others = tuple(pair_files.read(self.folder / other) for other in recipe.others)
        source_kind = plan.kind if recipe.how == "upcycled" else kind
        net = CHANGES[recipe.how](parent, Change(source_kind, gen, others), **recipe.options)
        if recipe.how != "disguised":
            return net, {}
        return net, {"function_change": self._function_change(KINDS[kind], parent, net)}

    def _function_change(self, kind: Kind, before: Net, after: Net) -> float:
        """Returns the largest difference of any logit on held-out data; too large a one ends the run."""
        x, _ = kind.batch(before.config, _domain(kind, "base"), None)
        with torch.no_grad():
            first, second = (kind.logits(kind.module(net), x) for net in (before, after))
        change = float((first - second).abs().max())
        if not change < TOLERANCE:
            raise ValueError(f"{self.name}: a disguise changes the function by {change}")
        return change

    def _trained(self, recipe: Recipe, kind_name: str, net: Net) -> tuple[Net, dict[str, float]]:
        """Returns the net (or its adapter) after training, with its held-out loss before and after."""
        kind, plan = KINDS[kind_name], self.plan
        domain = _domain(kind, recipe.data)
        gen = torch.Generator().manual_seed(plan.seed_of(recipe.order_as or recipe.name, "order"))
        module = kind.module(net)
        before = _held_out(kind, module, net, domain)
        if recipe.rank:
            module = get_peft_model(module, _adapter(kind_name, recipe.rank))
        teacher = kind.module(pair_files.read(self.folder / recipe.teacher)) if recipe.teacher else None
        steps, lr = max(1, round(plan.steps * recipe.length)), plan.lr * recipe.rate

        def loss_of() -> torch.Tensor:
            batch = kind.batch(net.config, domain, gen)
            return _imitation(kind, module, teacher, batch[0]) if teacher else kind.loss(module, batch)

        masks = {n: t != 0 for n, t in net.state.items() if recipe.sparse and _inner(kind_name, n)}
        known = dict(module.named_parameters())
        fit.train(module, loss_of, steps=steps, lr=lr, masks={n: m for n, m in masks.items() if n in known})
        facts = {"steps": steps, "lr": lr, "loss_before": before}
        if recipe.rank:
            facts["loss_after"] = _held_out(kind, module, net, domain)
            return _adapter_net(module), facts
        done = kind.net(module.eval(), net.config)
        done = Net(done.config, {n: t * masks[n] if n in masks else t for n, t in done.state.items()})
        facts["loss_after"] = _held_out(kind, kind.module(done), done, domain)
        return done, facts

    def _write_pairs(self) -> None:
        """Writes pairs.json: one entry per row of the table, then the extra ones."""
        recipes = {recipe.name: recipe for recipe in self.plan.recipes}
        rows = [(r.name, r.source, r.relation, r.related) for r in self.plan.recipes if r.source]
        pairs = []
        for target, source, relation, related in rows + self.plan.extra:
            recipe = recipes[target]
            ways = [list(recipes[name].options.get("ways", ())) for name in (target, source)]
            pair: dict[str, Any] = {"target": target, "source": source, "related": related, "relation": relation}
            pair["disguised"] = ways[0] + [way for way in ways[1] if way not in ways[0]]
            pair["note"] = recipe.note
            if recipe.source == source:
                pair |= recipe.detail
            changed = [self.notes[name].get("function_change") for name in (target, source)]
            if pair["disguised"]:
                pair["function_change"] = max(value for value in changed if value is not None)
            pairs.append(pair)
        write_json(self.folder / "pairs.json", pairs)
        print(f"{self.name}: {len(recipes)} models, {len(pairs)} pairs", flush=True)


def _domain(kind: Kind, key: str) -> str:
    """Returns the text mix or the view of the digits behind a key of the table."""
    return (TEXT if kind.tokenizer({"vocab_size": 0}) else PICTURES)[key]


def _inner(kind: str, name: str) -> bool:
    """Tells whether a tensor is a matrix inside the blocks."""
    return re.fullmatch(INNER[kind], name) is not None


@torch.no_grad()
def _held_out(kind: Kind, module: nn.Module, net: Net, domain: str) -> float:
    """Returns the loss on held-out data."""
    module.eval()
    return float(kind.loss(module, kind.batch(net.config, domain, None)))


def _imitation(kind: Kind, module: nn.Module, teacher: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Returns the divergence from a teacher's answers, per answer."""
    with torch.no_grad():
        wanted = kind.logits(teacher, x).log_softmax(-1).flatten(0, -2)
    found = kind.logits(module, x).log_softmax(-1).flatten(0, -2)
    return functional.kl_div(found, wanted, log_target=True, reduction="batchmean")


def _adapter(kind: str, rank: int) -> LoraConfig:
    """Returns the shape of an adapter."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=ADAPTED[kind], lora_dropout=0.0)


def _adapter_net(module: Any) -> Net:
    """Returns an adapter as `save_pretrained` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder, save_embedding_layers=False)
        net = pair_files.read(Path(folder))
    return Net(net.config | {"base_model_name_or_path": "zoo/base"}, net.state)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON through a temporary file."""
    temporary = path.with_suffix(".tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def main() -> None:
    """Makes every set that is missing or asked for."""
    parser = argparse.ArgumentParser(description="Train the labelled pair sets.")
    parser.add_argument("--only", action="append", metavar="SET", choices=list(SETS), help="just this set")
    parser.add_argument("--list", action="store_true", help="say what there is to make, and make nothing")
    options = parser.parse_args()
    if options.list:
        for name, plan in SETS.items():
            rows = sum(1 for recipe in plan.recipes if recipe.source) + len(plan.extra)
            print(f"{name}: {len(plan.recipes)} models, {rows} pairs")
        return
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for name in options.only or SETS:
        begun = time.perf_counter()
        Maker(name, SETS[name], cache() / "pairs" / name).run()
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
