"""Owners' marks for board `protect`: are those that are there verified, and those that are not never.

A marked model is a release of SA-MAP of the board's VGG, with a key drawn at random, by the default recipe. An unmarked
one is much smaller (one convolution, 12 pixels) so that there can be hundreds: each is built and trained on its own,
from a seed of its own; no key was ever used on it, and it is asked for one fresh random key: one claim a net. The rank
test does not look at size.

Small nets do not hold a mark beside a mask: of six pilots (12 and 16 pixels, 3,000 to 64,000
weights, default recipe) two were verified, both with scans as their source.
"""

from __future__ import annotations

import secrets
from typing import Any

import torch
from domains import Domain, domain
from torch import nn

import protect_methods as methods
import protect_nets as nets
import protect_run as run
from hubdna.protect import Pictures, verify

SIDE, DOMAINS = 12, ("pen", "fonts")
N_UNMARKED, BRIEFLY = 300, 60
"""Nets, and steps of each."""
N_OTHERS = 99
"""Other keys for unmarked nets; marked ones are asked with the library's own number."""


def tiny() -> nn.Module:
    """A tiny classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip


def _ask(model: nn.Module, data: Domain, key: bytes, n_others: int = N_OTHERS) -> dict[str, Any]:
    found = verify(model, Pictures(data.held_x, data.held_y), key, n_others)
    return {
        "p": round(found.p, 4), "clean": round(found.clean.accuracy, 4), "drop": round(found.drop, 4),
        "verified": found.verified,
    }  # fmt: skip


def marked(source: str, target: str, seed: int) -> dict[str, Any]:
    """A release with a key: what its key shows, and what the mask still does."""
    ours, theirs = (run.domain(name, nets.SIDE) for name in (source, target))
    model, key = run.net("vgg", source, seed), secrets.token_bytes(32)
    release = methods.masked(model, methods.mask(model, "SA", ours, theirs, seed, key))
    right = {"source": round(nets.right(release, ours), 4), "target": round(nets.right(release, theirs), 4)}
    return _ask(release, ours, key, 199) | right


def unmarked(index: int) -> dict[str, Any]:
    """A net without a mark, and a fresh key."""
    data = domain(DOMAINS[index % 2], SIDE)
    torch.manual_seed(index)
    model = nets.fit(tiny(), data.x, data.y, "vgg", index, BRIEFLY)
    return _ask(model, data, secrets.token_bytes(32))
