"""The ways to protect a net that board `protect` compares. Each takes a trained net and gives a protected one.

* SA, SF, DF: `hubdna.protect.train_mask` with its default recipe.
* NTL (Wang et al., *Non-Transferable Learning*, ICLR 2022), target-specified, from its formula: all weights are tuned
  on cross entropy of the source minus min(1, 0.1 * cross entropy of the target * min(1, 0.1 * MMD of the features));
  the features are what the last layer reads, the kernel is a sum of five Gaussians. Steps, batch and optimiser are
  ours.
* magnitude: as many weights as SA took, the smallest, go.
* supervised: nothing is done.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))

import numpy as np
import torch
from domains import Domain
from torch import nn
from torch.nn import functional

from hubdna.protect import Recipe, apply, train_mask
from hubdna.protect.arrays import arrays, put
from hubdna.protect.cover import covered
from hubdna.protect.data import Pictures, generator
from hubdna.protect.mask import Mask
from hubdna.protect.neighbours import shaken
from protect_nets import BATCH

SETTINGS = {"SA": (True, True), "SF": (False, True), "DF": (False, False), "source only": (True, False)}
NTL_STEPS, NTL_RATE, NTL_BOUND, NTL_SHARE = 400, 1e-3, 1.0, 0.1


def mask(model: nn.Module, setting: str, source: Domain, target: Domain, seed: int, key: bytes | None = None) -> Mask:
    """A mask by the library's defaults, with what the setting has at hand."""
    has_source, has_target = SETTINGS[setting]
    return train_mask(
        copy.deepcopy(model),
        source=Pictures(source.x, source.y) if has_source else None,
        target=Pictures(target.x, target.y) if has_target else None,
        shape=tuple(source.x.shape[1:]), key=key, recipe=Recipe(seed=seed),
    )  # fmt: skip


def masked(model: nn.Module, found: Mask) -> nn.Module:
    """A copy of the net under a mask."""
    made = copy.deepcopy(model)
    put(made, apply(found, arrays(made)))
    return made.eval()


def magnitude(model: nn.Module, sparsity: float) -> nn.Module:
    """A copy whose smallest weights, of those that a mask covers, are zero."""
    made = copy.deepcopy(model).eval()
    weights = [tensor for name, tensor in made.named_parameters() if name in set(covered(made))]
    sizes = torch.cat([w.detach().abs().flatten() for w in weights])
    line = np.quantile(sizes.numpy(), sparsity)
    with torch.no_grad():
        for w in weights:
            w[w.abs() <= line] = 0
    return made


def ntl(model: nn.Module, source: Domain, target: Domain, seed: int) -> nn.Module:
    """A copy tuned to lose the target."""
    made = copy.deepcopy(model).train().requires_grad_(True)
    seen: list[torch.Tensor] = []
    last = [module for module in made.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    optimizer = torch.optim.AdamW(made.parameters(), NTL_RATE)
    for step in range(NTL_STEPS):
        draw = generator(seed + 9, step)
        batches = []
        for domain in (source, target):
            chosen = torch.randint(len(domain.y), (BATCH,), generator=draw)
            batches.append((shaken(domain.x[chosen], draw), domain.y[chosen]))
        seen.clear()
        losses = [functional.cross_entropy(made(x), y) for x, y in batches]
        apart = (NTL_SHARE * _mmd(*seen)).clamp(max=NTL_BOUND)
        loss = losses[0] - (NTL_SHARE * losses[1] * apart).clamp(max=NTL_BOUND)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last._forward_pre_hooks.clear()
    return made.eval()


def _mmd(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy under five Gaussians around the mean distance."""
    both = torch.cat([a.flatten(1), b.flatten(1)])
    far = torch.cdist(both, both).square()
    width = far.detach().sum() / (len(both) ** 2 - len(both)) / 4
    kernel = sum(torch.exp(-far / (width * 2**k)) for k in range(5))
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
