"""What a thief with labelled pictures of the target gets back from a release, for board `protect`; and what it costs.

The release of SA-MAP is tuned on a share of the target's training pictures; beside it the same net, drawn anew, on the
same pictures, by the same recipe and number of steps. What the release gives above the fresh net is what the mask
did not take away.

    python scripts/boards/protect_attacks.py mask|tune     # processor seconds and peak memory of 100 steps, as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import protect_methods as methods
import protect_nets as nets
import protect_run as run
from hubdna.protect import Pictures, Recipe, files, train_mask
from hubdna.protect.arrays import arrays
from hubdna.protect.data import generator

SHARES, STEPS, COST_STEPS = (0.01, 0.05, 0.1, 1.0), 120, 100
KEPT = 0.1
"""Of this share, the tuned release is kept for the tests of lineage."""
PAIRS = (("pen", "fonts"), ("fonts", "pen"))


def restored(kind: str, source: str, target: str, seed: int, share: float) -> dict[str, Any]:
    """Accuracy on the target's held-out pictures, of the tuned release and of a fresh net."""
    data = run.domain(target, nets.SIDE)
    n = max(round(len(data.y) * share), 1)
    chosen = torch.randperm(len(data.y), generator=generator(seed + 77, 0))[:n]
    x, y = data.x[chosen], data.y[chosen]
    release = tuned(kind, source, target, seed, x, y)
    if share == KEPT:
        save_file(release.state_dict(), tuned_file(kind, source, target, seed))
    fresh = nets.fit(nets.build(kind, seed + 500), x, y, kind, seed + 40, STEPS)
    return {"n": n, "release": round(nets.right(release, data), 4), "fresh": round(nets.right(fresh, data), 4)}


def tuned(kind: str, source: str, target: str, seed: int, x: torch.Tensor, y: torch.Tensor) -> torch.nn.Module:
    """The SA release of a pair, tuned on pictures of the target."""
    mask = files.read_mask(run.MASKS / f"{kind} {source} {target} {seed} SA.safetensors")
    return nets.fit(methods.masked(run.net(kind, source, seed), mask), x, y, kind, seed + 40, STEPS)


def tuned_file(kind: str, source: str, target: str, seed: int) -> Path:
    """Where the release lies that was tuned on a tenth of the target."""
    return run.MASKS / f"{kind} {source} {target} {seed} tuned.safetensors"


def cost() -> dict[str, Any]:
    """Mask training by tuning of the same net, each in a process of its own."""
    told = {}
    for what in ("mask", "tune"):
        command = [sys.executable, __file__, what]
        told[what] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        "steps": COST_STEPS,
        "time": round(told["mask"]["seconds"] / told["tune"]["seconds"], 2),
        "memory": round(told["mask"]["mib"] / told["tune"]["mib"], 2),
        "mib": [round(told[what]["mib"], 1) for what in ("mask", "tune")],
    }


def _spend(what: str) -> dict[str, float]:
    torch.set_num_threads(1)
    model = run.net("vgg", "pen", 0)
    s, t = run.domain("pen", nets.SIDE), run.domain("fonts", nets.SIDE)
    nets.right(model, s)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, begun = _memory("VmRSS"), time.process_time()
    if what == "mask":
        train_mask(model, source=Pictures(s.x, s.y), target=Pictures(t.x, t.y), recipe=Recipe(steps=COST_STEPS))
    else:
        nets.fit(model, t.x, t.y, "vgg", 0, COST_STEPS)
    return {"seconds": time.process_time() - begun, "mib": _memory("VmHWM") - before}


def _memory(what: str) -> float:
    """VmRSS, what this process holds, or VmHWM, the most that it held, in MiB (Linux)."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(told[what].split()[0]) / 1024


def bits(folder: Path) -> dict[str, float]:
    """Bits a covered weight that a mask's file takes: of the board's VGG, and of timm's ResNet-18 with random holes."""
    import timm

    from hubdna.protect.cover import covered
    from hubdna.protect.mask import Mask, model_root

    sizes = {}
    for name, model in (("vgg", nets.build("vgg", 0)), ("resnet18", timm.create_model("resnet18", num_classes=10))):
        weights, draw = arrays(model.eval()), torch.Generator().manual_seed(0)
        kept = {n: (torch.rand(weights[n].shape, generator=draw) > 0.01).numpy() for n in covered(model)}
        path = folder / "mask.safetensors"
        files.write_mask(path, Mask(model_root(weights), kept, {}))
        sizes[name] = round(8 * path.stat().st_size / sum(k.size for k in kept.values()), 4)
    return sizes


if __name__ == "__main__":
    print(json.dumps(_spend(sys.argv[1])))
