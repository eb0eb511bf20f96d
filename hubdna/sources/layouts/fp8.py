"""8-bit floats (E4M3 without infinities, or E5M2), with scales of any block, or without.

    X.weight            F8_E4M3 [out, in]
    X.weight_scale      per tensor, channel, group or tile (`grid.py`): compressed-tensors, ModelOpt, Quanto, FBGEMM
    X.weight_scale_inv  tiles of 128 x 128: DeepSeek-V3; in spite of its name it is multiplied with
    X.scale_weight      per tensor: ComfyUI
    X.scale             tiles: DeepSeek's own files
    Y, Y_scale, Y_scale_inv   fused experts whose name has no `weight`

weight[o, i] = stored[o, i] * scale[o // a, i // b]. Models are stored as plain casts too: where no tensor has any of
these, all are what they say. One whose scale does not fit, or lies in a shard that was not opened while others have
theirs, is left alone. `input_scale` belongs to activations. Sources: DeepSeek-V3 inference/kernel.py (weight_dequant),
compressed-tensors naive_quantized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor, merge_axes
from hubdna.sources.layouts.base import MAX_AXES, Group, Pool, bundle, floats, rows
from hubdna.sources.layouts.grid import Grid, fit

STORED = ("F8_E4M3", "F8_E5M2")
AFTER_NAME, AFTER_STEM = ("_scale_inv", "_scale"), ("scale_weight", "scale")
"""What a scale is called: the weight's name and this, or what stands before its `weight` and this."""
OTHER_PARTS = ("_zero_point", "_global_scale", "_scale_2")
"""Signs of a layout that is not this one."""
SCALE_TYPES = ("F32", "F16", "BF16", "F8_E8M0")


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout, and all 8-bit floats that stand alone."""
    found = [(weight, _scales(weight, pool)) for weight in pool if _is_weight(weight, pool)]
    plain = not any(scales for _, scales in found)
    for weight, scales in found:
        if plain:
            yield Group(_tensor(weight, None, None), frozenset((weight.name,)))
        elif len(scales) == 1 and scales[0].dtype in SCALE_TYPES:
            if grid := fit(weight.shape, scales[0].shape, pool.hint):
                yield Group(_tensor(weight, scales[0], grid), frozenset((weight.name, scales[0].name)))


def _is_weight(info: TensorInfo, pool: Pool) -> bool:
    if info.dtype not in STORED or not 1 <= len(info.shape) <= MAX_AXES or _is_scale(info.name):
        return False
    return not any(pool.get(info.name + part) for part in OTHER_PARTS)


def _is_scale(name: str) -> bool:
    """Whether a tensor of 8-bit floats scales others (NVFP4) and is no weight itself."""
    return name.endswith(("scale", "scales", "_scale_inv"))


def _scales(weight: TensorInfo, pool: Pool) -> list[TensorInfo]:
    names = [weight.name + suffix for suffix in AFTER_NAME]
    if weight.name.endswith("weight"):
        names += [weight.name.removesuffix("weight") + suffix for suffix in AFTER_STEM]
    return [found for name in names if (found := pool.get(name))]


def _tensor(weight: TensorInfo, scale: TensorInfo | None, grid: Grid | None) -> Tensor:
    def plan(first: int, n: int) -> list[Extent]:
        parts = [rows(weight, first, first + n)]
        return [*parts, rows(scale, *grid.rows(first, n))] if scale and grid else parts

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        values = floats(data[0], weight.dtype, n, *weight.shape[1:])
        if scale and grid:
            values *= grid.spread(floats(data[1], scale.dtype, -1), first, n, weight.shape)
        return values

    word = "FP8-" + weight.dtype.removeprefix("F8_") + (grid.word if grid else "")
    finer = grid.merged(weight.shape) if grid else None

    def merged() -> Tensor:
        of_rows = merge_axes(scale) if scale and len(scale.shape) > 2 else scale
        return _tensor(merge_axes(weight), of_rows, finer)

    able = len(weight.shape) > 2 and (finer or not grid)
    return bundle(weight.name, word, weight.shape, weight, plan, decode, merged if able else None)
