"""The nets of board `protect`, small: a VGG with batch norms, timm's ResNet and ViT; and how they are trained."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))

from domains import Domain

from hubdna.protect.data import generator
from hubdna.protect.neighbours import shaken

SIDE, BATCH = 24, 64
STEPS, RATE = {"vgg": 500, "resnet": 500, "vit": 900}, {"vgg": 2e-3, "resnet": 2e-3, "vit": 1e-3}


def build(kind: str, seed: int) -> nn.Module:
    """A fresh net for 24 pixels and ten classes."""
    import timm

    torch.manual_seed(seed)
    if kind == "vgg":
        return _vgg((12, 12, "M", 24, 24, "M", 48, 48, "M"))
    if kind == "resnet":
        from timm.models.resnet import BasicBlock, ResNet

        return ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, channels=(16, 24, 32, 48))
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=SIDE, patch_size=4, embed_dim=64, depth=3, num_heads=4, num_classes=10
    )


def _vgg(plan: tuple[int | str, ...]) -> nn.Module:
    layers: list[nn.Module] = []
    width = 3
    for step in plan:
        if isinstance(step, int):
            layers += [nn.Conv2d(width, step, 3, padding=1, bias=False), nn.BatchNorm2d(step), nn.ReLU()]
            width = step
        else:
            layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(width * 9, 96), nn.ReLU(), nn.Linear(96, 10)]
    return nn.Sequential(*layers, *head)


def fit(model: nn.Module, x: torch.Tensor, y: torch.Tensor, kind: str, seed: int, steps: int = 0) -> nn.Module:
    """Train a net on one domain's pictures, each shaken a little."""
    steps = steps or STEPS[kind]
    optimizer = torch.optim.AdamW(model.parameters(), RATE[kind], weight_decay=1e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE[kind], steps)
    model.train().requires_grad_(True)
    for step in range(steps):
        draw = generator(seed, step)
        chosen = torch.randint(len(y), (BATCH,), generator=draw)
        loss = functional.cross_entropy(model(shaken(x[chosen], draw)), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return model.eval()


def right(model: nn.Module, domain: Domain) -> float:
    """Accuracy on a domain's held-out pictures."""
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in domain.held_x.split(256)])
    return float((found == domain.held_y).float().mean())
