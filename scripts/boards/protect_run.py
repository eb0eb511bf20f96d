"""Trains what board `protect` shows: nets, masks and the other methods, one small JSON a cell.

    python scripts/boards/protect_run.py [--net NET] [--methods SA,NTL] [--seeds 0,1]   # whatever is missing

$HUBDNA_ZOO/masks/NET SOURCE SEED.pt is a trained net; `NET SOURCE TARGET SEED METHOD.json` what became of it. Cheap
methods come first, so that an interrupted run has whole columns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))

import torch
from domains import TASKS, Domain, domain
from safetensors.torch import load_file, save_file
from torch import nn

import protect_methods as methods
import protect_nets as nets
from hubdna.protect import files
from hubdna.writing import whole, write_atomically

MASKS = Path(os.environ.get("HUBDNA_ZOO", Path.home() / ".cache" / "hubdna-zoo")) / "masks"
PAIRS = (
    ("pen", "fonts"), ("fonts", "pen"), ("fonts-blend", "pen"), ("pen-blend", "fonts"), ("fashion", "fashion-blend"),
    ("fashion-blend", "fashion-invert"), ("pen", "pen-blend"),
)  # fmt: skip
SEEDS = (0, 1, 2)
METHODS = ("supervised", "SA", "magnitude", "NTL", "SF", "DF")
SMALL = {"resnet": PAIRS[:2], "vit": PAIRS[:2], "vgg": PAIRS}


def net(kind: str, source: str, seed: int) -> nn.Module:
    """The trained net of a domain."""
    path, model = MASKS / f"{kind} {source} {seed}.safetensors", nets.build(kind, seed)
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval()
    data = domain(source, nets.SIDE)
    nets.fit(model, data.x, data.y, kind, seed)
    with whole(path) as temporary:
        save_file(model.state_dict(), temporary)
    return model


def cell(kind: str, source: str, target: str, seed: int, method: str) -> dict[str, Any]:
    """One method on one net and pair; measured if it was not yet."""
    path = MASKS / f"{kind} {source} {target} {seed} {method}.json"
    if path.exists():
        return json.loads(path.read_text())
    torch.manual_seed(seed)
    model, begun = net(kind, source, seed), time.process_time()
    made, facts = _protected(model, method, kind, source, target, seed)
    spent = time.process_time() - begun
    told = facts | {"cpu_seconds": round(spent, 1), "before": _all(model, source), "after": _all(made, source)}
    write_atomically(path, json.dumps(told).encode())
    return told


def _protected(
    model: nn.Module, method: str, kind: str, source: str, target: str, seed: int
) -> tuple[nn.Module, dict[str, Any]]:
    s, t = (domain(name, nets.SIDE) for name in (source, target))
    if method == "supervised":
        return model, {}
    if method == "NTL":
        return methods.ntl(model, s, t, seed), {}
    if method == "magnitude":
        sparsity = cell(kind, source, target, seed, "SA")["sparsity"]
        return methods.magnitude(model, sparsity), {"sparsity": sparsity}
    found = methods.mask(model, method, s, t, seed)
    files.write_mask(MASKS / f"{kind} {source} {target} {seed} {method}.safetensors", found)
    return methods.masked(model, found), {"sparsity": found.sparsity}


def _all(model: nn.Module, source: str) -> dict[str, float]:
    """Accuracy on every domain of the source's task."""
    task = next(names for names in TASKS.values() if source in names)
    return {name: round(nets.right(model, _held(name)), 4) for name in task}


def _held(name: str) -> Domain:
    return domain(name, nets.SIDE)


def main() -> None:
    """Runs what is missing, and says how it goes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--net", choices=list(SMALL))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    args = parser.parse_args()
    torch.set_num_threads(1)
    MASKS.mkdir(parents=True, exist_ok=True)
    kinds = [args.net] if args.net else list(SMALL)
    wanted, seeds = args.methods.split(","), [int(seed) for seed in args.seeds.split(",")]
    for kind in kinds:
        for method in wanted:
            for source, target in SMALL[kind]:
                for seed in seeds:
                    told = cell(kind, source, target, seed, method)
                    b, a = told["before"], told["after"]
                    print(
                        f"{kind} {source} -> {target} {seed} {method}: source {b[source]:.3f} {a[source]:.3f}, "
                        f"target {b[target]:.3f} {a[target]:.3f}, {told['cpu_seconds']} s", flush=True,
                    )  # fmt: skip


if __name__ == "__main__":
    main()
