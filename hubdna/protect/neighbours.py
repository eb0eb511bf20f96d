"""Neighbour domains: the same things, seen otherwise.

Where no data of an unauthorised domain are at hand, it is made up from pictures of the authorised one by changes that
leave the things in them alone and change how they look: colours (mean and contrast of each channel, the paper's change
of style), light on dark for dark on light, textures (random convolutions; Xu et al.,
https://arxiv.org/abs/2007.13003), other backgrounds, hard edges, blur. Each picture gets one of them at random.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

N_KERNELS = 4
Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def neighbours(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Pictures [n, channels, height, width] in another style each, within the range of all of them.

    Pixels may have any range; it is taken from the pictures.
    """
    low, high = x.min(), x.max()
    scaled = (x - low) / (high - low).clamp(min=1e-12) * 2 - 1
    made = torch.stack([change(scaled, draw) for change in CHANGES], 1)
    chosen = torch.randint(len(CHANGES), (len(x),), generator=draw)
    return (made[torch.arange(len(x)), chosen].clamp(-1, 1) + 1) / 2 * (high - low) + low


def shaken(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Each picture turned by up to 10 degrees, moved by up to a tenth, and up to a tenth larger or smaller."""
    n = len(x)
    angle = (_uniform(draw, n) - 0.5) * 0.35
    scale, shift = 0.95 + 0.15 * _uniform(draw, n), (_uniform(draw, n, 2) - 0.5) * 0.2
    rows = [
        torch.stack([angle.cos() * scale, -angle.sin() * scale, shift[:, 0]], 1),
        torch.stack([angle.sin() * scale, angle.cos() * scale, shift[:, 1]], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False).to(x)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _colours(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    n, channels = x.shape[:2]
    gain = _sign(draw, n) * (0.3 + _uniform(draw, n, channels, 1, 1))
    return x * gain.to(x) + ((_uniform(draw, n, channels, 1, 1) - 0.5) * 1.2).to(x)


def _texture(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    n, channels = x.shape[:2]
    kernels = torch.randn(channels * N_KERNELS, channels, 5, 5, generator=draw).to(x)
    all_ways = functional.conv2d(x, kernels, padding=2).view(n, N_KERNELS, *x.shape[1:])
    way = all_ways[torch.arange(n), torch.randint(N_KERNELS, (n,), generator=draw)]
    return way / (way.std((1, 2, 3), keepdim=True) + 1e-3) * 0.6


def _background(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return (x - _clouds(x, draw)).abs() - 1


def _fog(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return 0.6 * x + 0.4 * _clouds(x, draw)


def _edges(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    grey = x.mean(1, keepdim=True)
    hard = ((grey - grey.mean((1, 2, 3), keepdim=True)) * 4).tanh()
    return (hard * _sign(draw, len(x)).to(x)).expand_as(x)


def _blur(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    soft = functional.avg_pool2d(functional.avg_pool2d(x, 3, 1, 1), 3, 1, 1)
    return _colours(soft, draw)


CHANGES: tuple[Change, ...] = (_colours, _texture, _background, _fog, _edges, _blur)


def _clouds(x: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    small = torch.rand(len(x), x.shape[1], 6, 6, generator=draw) * 2 - 1
    return functional.interpolate(small.to(x), size=x.shape[2:], mode="bilinear", align_corners=False)


def _sign(draw: torch.Generator, n: int) -> torch.Tensor:
    return torch.where(_uniform(draw, n, 1, 1, 1) < 0.5, -1.0, 1.0)


def _uniform(draw: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=draw)
