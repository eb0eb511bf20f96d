"""Owners' marks for board `protect`: are those that are there verified, and those that are not never.

A marked model is a release of SA-MAP with a random key, scans to digits of fonts or the other way, of a small net (two
convolutions of 24 and 48 channels, 12 pixels) built and trained from a seed of its own. An unmarked one is a smaller
net yet (one convolution) so that there can be hundreds: each is built and trained on its own, from a seed of its own;
no key was ever used on it, and it is asked for one fresh random key: one claim a net.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import torch
from domains import Domain, domain
from torch import nn

import protect_methods as methods
import protect_nets as nets
from hubdna.protect import Pictures, verify

SIDE, DOMAINS = 12, ("pen", "fonts")
N_MARKED, N_UNMARKED = 20, 300
TRAINED, BRIEFLY = 300, 60
"""Steps of a net that is released, and of one that only has to know nothing of a key."""
N_OTHERS = 99
"""Other keys for unmarked nets; marked ones are asked with the library's own number."""


def net() -> nn.Module:
    """A small classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(432, 10),
    )  # fmt: skip


def tiny() -> nn.Module:
    """A smaller one."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip


def _trained(make: Callable[[], nn.Module], source: Domain, seed: int, steps: int) -> nn.Module:
    torch.manual_seed(seed)
    return nets.fit(make(), source.x, source.y, "vgg", seed, steps)


def _ask(model: nn.Module, data: Domain, key: bytes, n_others: int = N_OTHERS) -> dict[str, Any]:
    found = verify(model, Pictures(data.held_x, data.held_y), key, n_others)
    return {
        "p": round(found.p, 4), "clean": round(found.clean.accuracy, 4), "drop": round(found.drop, 4),
        "verified": found.verified,
    }  # fmt: skip


def marked(index: int) -> dict[str, Any]:
    """A release with a key: what its own key shows, and what another one does."""
    source, target = (domain(name, SIDE) for name in (DOMAINS if index % 2 else DOMAINS[::-1]))
    model, key = _trained(net, source, 9000 + index, TRAINED), secrets.token_bytes(32)
    release = methods.masked(model, methods.mask(model, "SA", source, target, index, key))
    return _ask(release, source, key, 199) | {"other": _ask(release, source, secrets.token_bytes(32), 199)["verified"]}


def unmarked(index: int) -> dict[str, Any]:
    """A net without a mark, and a fresh key."""
    data = domain(DOMAINS[index % 2], SIDE)
    return _ask(_trained(tiny, data, index, BRIEFLY), data, secrets.token_bytes(32))
