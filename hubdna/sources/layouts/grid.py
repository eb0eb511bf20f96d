"""Scales that each stand for a block of a weight: per tensor, channel, group or tile.

    scale shape          of a weight [out, in]       block
    [] or all ones       one for all                 out x in
    [out] or [out, 1]    one a row                   1 x in
    [ceil(out / 128), ceil(in / 128)]                128 x 128; other sizes only if the config names them
    [out, G]             G groups along a row        1 x in / G

Axes before the last two (experts) have one each or one for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.sources.layouts.base import blocks

TILE = (128, 128)
"""DeepSeek-V3's, and everybody's since."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How many units of each weight axis share a scale, and the scale's shape padded to as many axes."""

    sizes: tuple[int, ...]
    shape: tuple[int, ...]

    def rows(self, first: int, n: int) -> tuple[int, int]:
        """Rows of the scale that cover units [first, first + n) of the weight."""
        return blocks(first, n, self.sizes[0])

    def spread(self, scale: NDArray[np.float32], first: int, n: int, weight: tuple[int, ...]) -> NDArray[np.float32]:
        """The scale's rows as they were read -> what broadcasts to weights [n, *weight[1:]]."""
        spread = scale.reshape(-1, *self.shape[1:])
        spread = spread[np.arange(first, first + n) // self.sizes[0] - first // self.sizes[0]]
        for axis in range(1, len(self.sizes)):
            if 1 < self.sizes[axis] and self.shape[axis] > 1:
                spread = np.repeat(spread, self.sizes[axis], axis)
                spread = spread[(slice(None),) * axis + (slice(weight[axis]),)]
        return spread

    def merged(self, weight: tuple[int, ...]) -> Grid | None:
        """The grid of the weight with its first two axes made one, unless blocks would begin within a block."""
        if len(weight) < 3:
            return None
        b, (s, t) = self.sizes[1], self.shape[:2]
        if s == t == 1:
            return Grid((weight[0] * weight[1], *self.sizes[2:]), (1, *self.shape[2:]))
        if s == weight[0] and b * t == weight[1]:
            return Grid(self.sizes[1:], (s * t, *self.shape[2:]))
        return None

    @property
    def word(self) -> str:
        """What a layout's name says about it: "", "-C" (channels), "-G32" (groups) or "-B128" (tiles)."""
        if math.prod(self.shape) == 1:
            return ""
        if len(self.sizes) < 2 or (self.shape[-1] == 1 and 1 in (self.sizes[-2], self.shape[-2])):
            return "-C"
        return f"-G{self.sizes[-1]}" if self.sizes[-2] == 1 else f"-B{self.sizes[-1]}"


def fit(weight: tuple[int, ...], scale: tuple[int, ...], hint: Mapping[str, Any]) -> Grid | None:
    """The one grid that fits both shapes, or None."""
    ones = (1,) * len(weight)
    if not weight or math.prod(scale) == 1:
        return Grid(weight, ones) if weight else None
    if len(scale) == 1 and scale[0] == weight[0]:
        return Grid((1, *weight[1:]), (weight[0], *ones[1:]))
    if len(scale) != len(weight) or len(weight) < 2:
        return None
    leading = [_size(n, s) for n, s in zip(weight[:-2], scale[:-2], strict=True)]
    tile = _tile(weight[-2:], scale[-2:], hint)
    if tile is None or None in leading:
        return None
    return Grid((*[size or 1 for size in leading], *tile), scale)


def _size(n: int, s: int) -> int | None:
    return n if s == 1 else (1 if s == n else None)


def _tile(weight: tuple[int, ...], scale: tuple[int, ...], hint: Mapping[str, Any]) -> tuple[int, int] | None:
    (n_out, n_in), (s_out, s_in) = weight, scale
    if s_in == 1 and (size := _size(n_out, s_out)):
        return size, n_in
    named = hint.get("weight_block_size")
    tiles = [TILE]
    if isinstance(named, list) and len(named) == 2 and all(type(b) is int and b > 0 for b in named):
        tiles.append((named[0], named[1]))
    for a, b in tiles:
        if s_out == -(-n_out // a) and s_in == -(-n_in // b):
            return min(a, n_out), min(b, n_in)
    if s_out == n_out and n_in % s_in == 0:
        return 1, n_in // s_in
    return None
