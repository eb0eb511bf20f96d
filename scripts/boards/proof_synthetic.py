"""Zhang et al. (https://arxiv.org/abs/2108.09454): data made so that stolen weights follow from them.

The thief walks from an initialisation to the stolen weights in small steps, and shapes the images of each step by
gradient descent until their own gradient is that step. Here the order of the data follows from the thief's key before
the data exist, and each sample is used once (one epoch), so the thief is free to shape all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from proof_bench import blend, forge

import proof_forge
from hubdna.proof import Recipe, verify
from hubdna.proof.order import batch_indices
from hubdna.proof.tensors import State, build, sample_digest
from hubdna.roots import merkle_root
from proof_forge import MLP, THIEF, Victim

STEPS = 20
DESCENTS = 150
"""Steps of gradient descent on the images of one training step. Each costs a gradient of a gradient."""
RECIPE = Recipe(STEPS, 1, 64, "SGD", {"lr": 0.5}, config={"width": 16})


class Synthetic(type(MLP)):  # type: ignore[misc]
    """Digits whose images were shaped."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__("digits-mlp")
        self._images = images


def synthesised(v: Victim, folder: Path) -> dict[str, Any]:
    """A row: how near the shaped data come to each step, the verdict with these data at hand, and the cost."""
    claim = replace(v.receipt.claim, **v.claim(recipe=RECIPE))
    model = build(MLP, RECIPE, RECIPE.seed)
    start = State({n: t.clone() for n, t in model.state_dict().items()}, {})
    states = [State(blend(start, v.states[-1], i / STEPS).weights, {}) for i in range(STEPS + 1)]
    images, misses = MLP._images.clone(), []
    for step in range(STEPS):
        model.load_state_dict(states[step].weights)
        taken = batch_indices(claim, step).copy()
        shaped, miss = _shape(model, images[taken], MLP._labels[taken], states[step], states[step + 1])
        images[taken] = shaped
        misses.append(miss)
    task = Synthetic(images)
    rows = [sample_digest(task.sample(i)) for i in range(len(task))]
    samples = np.frombuffer(b"".join(rows), np.uint8).reshape(len(task), 32)
    changes = v.claim(recipe=RECIPE, data=merkle_root(rows).hex())
    forged = forge(folder, v.receipt, states, THIEF, samples=samples, **changes)
    report = verify(forged, task, budget=1.0, challenge=1)
    failed = [c for c in report.checks if c.outcome != "passed"]
    return {
        "full": report.verdict, "by": failed[0].name if failed else "", "says": failed[0].says if failed else "",
        "miss": [min(misses), sum(misses) / STEPS, max(misses)], "near": sum(m <= 0.1 for m in misses),
        "cost": 2 * STEPS * DESCENTS / proof_forge.RECIPE.steps,
    }  # fmt: skip


def _shape(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, here: State, there: State
) -> tuple[torch.Tensor, float]:
    """Images whose gradient is the step, as nearly as could be; l2 distance of the two, by the step's length."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    wanted = [(here.weights[n] - there.weights[n]) / RECIPE.settings["lr"] for n in names]
    size = sum(float(w.square().sum()) for w in wanted)
    x, best, nearest = images.clone().requires_grad_(), images, float("inf")
    descent = torch.optim.Adam([x], lr=0.05)
    for _ in range(DESCENTS):
        loss = MLP.loss(model, {"image": x, "label": labels})
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
        gap = sum((g - w).square().sum() for g, w in zip(gradient, wanted, strict=True)) / size
        if gap.item() < nearest:
            best, nearest = x.detach().clone(), gap.item()
        descent.zero_grad()
        gap.backward()
        descent.step()
    return best, nearest**0.5
