"""Labelled inputs of a model: a table whose rows mean the same thing in every copy of it, however it is disguised.

A residual stream can be rotated, permuted and rescaled without changing what a model computes, and its hidden units
shuffled. Nobody can relabel its inputs: token 2,000 stays token 2,000, the red channel stays red. So units are also
described by their products with rows of the token table, or, without one, with the columns of the first map from
pixels or samples. Everything is arithmetic on integers (float64 sums of them, exact below 2^53): every machine gets
the same bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import genes, roles, structure
from hubdna.records import TensorInfo

MAX_INPUTS = 4
"""Channels of an input: grey, two, three or four."""
MIN_ANCHORS = 24
MAX_MAP = 2_048
"""Labelled inputs taken of an input map; a patch of 16 x 16 x 3 has 768."""
FIXED_POSITIONS = frozenset(
    ("rwkv", "marian", "m2m_100", "nllb", "nllb-moe", "pegasus", "pegasus_x", "fsmt", "xglm", "speech_to_text",
     "whisper", "transfo-xl", "xlnet", "vit_mae", "detr", "conditional_detr", "informer", "time_series_transformer",
     "data2vec-audio", "wav2vec2-conformer", "seamless_m4t", "musicgen", "musicgen_melody")
)  # fmt: skip
"""Kinds of models whose position table is computed (sinusoids) and often not stored: it numbers the coordinates of
the residual stream alike in unrelated models. A kind only ever withholds a test."""
_NUMBERED = re.compile(r"time_(?:mix|maa|decay|first|faaaa)|sinusoid", re.I)
"""Tensors whose initial values depend on the coordinate's number (RWKV's token shift)."""


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """Rows of labelled inputs.

    Attributes:
        info: the tensor they come from.
        codes: int8 [n, d], each row to 1/127 of its largest weight, so that no row outweighs another.
        axis: the storage axis of the residual coordinates.
        is_tokens: whether the inputs are tokens.
    """

    info: TensorInfo
    codes: NDArray[np.int8]
    axis: int
    is_tokens: bool

    @property
    def width(self) -> int:
        """Coordinates of the residual stream."""
        return int(self.codes.shape[1])


def find_table(infos: Sequence[TensorInfo]) -> tuple[TensorInfo, int] | None:
    """The tensor of labelled inputs and the axis of its residual coordinates: a token table, else an input map."""
    table = roles.token_table(infos)
    if table is not None:
        return table, 1
    return next(((t, axis) for t in sorted(infos, key=lambda t: roles.natural(t.name))
                 if (axis := _coordinates(t)) is not None), None)  # fmt: skip


def _coordinates(info: TensorInfo) -> int | None:
    """Of a convolution from few channels: the axis of what it writes; [out, in, k, k] or [k, k, in, out]."""
    if len(info.shape) not in (3, 4) or roles.role_of(info) == "attention":
        return None
    last = len(info.shape) - 1
    for axis, channels in ((0, 1), (last, last - 1)):
        n, size = info.shape[axis], math.prod(info.shape) // max(info.shape[axis], 1)
        if info.shape[channels] <= MAX_INPUTS and n >= roles.MIN_AXIS and MIN_ANCHORS <= size <= MAX_MAP:
            return axis
    return None


def from_rows(info: TensorInfo, rows: NDArray[np.float32]) -> Anchors | None:
    """Anchors from float32 [n, d] rows of a token table; None when they cannot serve."""
    if len(rows) < MIN_ANCHORS or not np.isfinite(rows).all():
        return None
    return Anchors(info, genes.quantise(rows)[0], 1, True)


def from_map(info: TensorInfo, weights: NDArray[np.float32], axis: int) -> Anchors | None:
    """Anchors from a whole input map: one for each input it reads; None when they cannot serve."""
    table = np.moveaxis(weights, axis, -1).reshape(-1, weights.shape[axis])
    if not np.isfinite(table).all() or structure.structured(table.T, info.dtype) is not None:
        return None
    return Anchors(info, genes.quantise(np.ascontiguousarray(table))[0], axis, False)


def is_position_table(info: TensorInfo, width: int) -> bool:
    """Whether a tensor numbers positions along a residual stream of this width; by its name."""
    shape = [n for n in info.shape if n > 1]
    return len(shape) == 2 and shape[-1] == width and "pos" in info.name.lower()


def numbers_the_stream(infos: Sequence[TensorInfo], config: dict[str, Any] | None) -> bool:
    """Whether residual coordinates are known to be numbered by construction, so that they are not exchangeable."""
    kind = str((config or {}).get("model_type", "")).lower()
    return kind in FIXED_POSITIONS or any(_NUMBERED.search(t.name) for t in infos)
