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
    ("rwkv", "rwkv5", "rwkv6", "rwkv7", "marian", "m2m_100", "nllb", "nllb-moe", "pegasus", "pegasus_x",
     "fsmt", "xglm", "speech_to_text", "speech_to_text_2", "speecht5", "fastspeech2_conformer", "whisper",
     "transfo-xl", "xlnet", "ctrl", "trocr", "kosmos-2", "funnel", "vit_mae", "videomae", "detr",
     "conditional_detr", "deformable_detr", "dab-detr", "deta", "rt_detr", "rt_detr_v2", "d_fine",
     "table-transformer", "maskformer", "mask2former", "oneformer", "grounding-dino", "mm-grounding-dino",
     "omdet-turbo", "informer", "autoformer", "time_series_transformer", "timesfm", "patchtst", "patchtsmixer",
     "data2vec-audio", "wav2vec2-conformer", "seamless_m4t", "seamless_m4t_v2", "musicgen", "musicgen_melody")
)  # fmt: skip
"""Kinds of models whose position table is computed (sinusoids) and often not stored: it numbers the coordinates of
the residual stream alike in unrelated models. A kind only ever withholds a test."""
_NUMBERED = re.compile(r"time_(?:mix|maa|decay|first|faaaa)|sinusoid|(?:^|[._/])(?:att|attn|ffn)\.x_[rwkvag]$", re.I)
"""Tensors whose initial values depend on the coordinate's number (RWKV's token shift)."""


Table = tuple[TensorInfo, int]
"""A tensor and its axis of residual coordinates; every place on its other axes is a labelled input."""


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """Rows of labelled inputs.

    Attributes:
        info: the tensor they come from, the first one if there are several.
        codes: int8 [n, d], each row to 1/127 of its largest weight, so that no row outweighs another.
        axis: the storage axis of the residual coordinates.
        sources: names of all tensors they come from.
        first: the token that the first row belongs to; 0 without tokens.
    """

    info: TensorInfo
    codes: NDArray[np.int8]
    axis: int
    sources: frozenset[str]
    first: int = 0

    @property
    def width(self) -> int:
        """Coordinates of the residual stream."""
        return int(self.codes.shape[1])


def find_tables(infos: Sequence[TensorInfo]) -> list[Table]:
    """Where a model's labelled inputs are: its token table; else its input map, positions and classes."""
    table = roles.token_table(infos)
    if table is not None:
        return [(table, 1)]
    named = sorted(infos, key=lambda t: (roles.is_depthwise(t), roles.natural(t.name)))
    units = roles.written_lengths(infos)
    maps = ((t, axis) for t in named if (axis := _coordinates(t)) is not None)
    found = next(((t, axis) for t, axis in maps if not roles.is_depthwise(t) or t.shape[axis] in units), None)
    if found is None:
        return []
    width = found[0].shape[found[1]]
    labels = [(t, len(t.shape) - 1) for t in named if is_position_table(t, width) or _is_head(t, width)]
    return [found, *labels]


def _coordinates(info: TensorInfo) -> int | None:
    """Of a convolution from few channels: the axis of what it writes; [out, in, k, k] or [k, k, in, out]."""
    if len(info.shape) not in (3, 4) or roles.role_of(info) == "attention":
        return None
    last = len(info.shape) - 1
    for axis, channels in ((0, 1), (last, last - 1)):
        n, size = info.shape[axis], math.prod(info.shape) // max(info.shape[axis], 1)
        if info.shape[channels] <= MAX_INPUTS and n >= roles.MIN_AXIS and 1 < size <= MAX_MAP:
            return axis
    return None


def _is_head(info: TensorInfo, width: int) -> bool:
    """Whether a matrix reads classes off the stream: each class is a labelled output."""
    classes = len(info.shape) == 2 and info.shape[1] == width and info.shape[0] <= MAX_MAP
    return classes and roles.role_of(info) == "label" and "pos" not in info.name.lower()


def from_rows(info: TensorInfo, rows: NDArray[np.float32], first: int) -> Anchors | None:
    """Anchors from float32 [n, d] rows of a token table, from token `first` on; None when they cannot serve."""
    if len(rows) < MIN_ANCHORS or not np.isfinite(rows).all():
        return None
    return Anchors(info, genes.quantise(rows)[0], 1, frozenset([info.name]), first)


def from_tables(tables: Sequence[Table], weights: Sequence[NDArray[np.float32]]) -> Anchors | None:
    """Anchors from whole tensors: one for each input that they label; None when they cannot serve."""
    parts = [
        np.moveaxis(w, axis, -1).reshape(-1, w.shape[axis])
        for (info, axis), w in zip(tables, weights, strict=True)
        if np.isfinite(w).all() and structure.structured(w.reshape(-1, w.shape[-1]).T, info.dtype) is None
    ]
    joined = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if len(joined) < MIN_ANCHORS:
        return None
    names = frozenset(info.name for info, _ in tables)
    return Anchors(tables[0][0], genes.quantise(np.ascontiguousarray(joined))[0], tables[0][1], names)


def is_position_table(info: TensorInfo, width: int) -> bool:
    """Whether a tensor numbers positions along a residual stream of this width; by its name."""
    shape = [n for n in info.shape if n > 1]
    return len(shape) == 2 and shape[-1] == width and "pos" in info.name.lower()


def numbers_the_stream(infos: Sequence[TensorInfo], config: dict[str, Any] | None) -> bool:
    """Whether residual coordinates are known to be numbered by construction, so that they are not exchangeable."""
    kinds = {str(part.get("model_type", "")).lower() for part in _parts(config or {})}
    return bool(kinds & FIXED_POSITIONS) or any(_NUMBERED.search(t.name) for t in infos)


def _parts(config: dict[str, Any]) -> list[dict[str, Any]]:
    """A configuration and those of its parts (`text_config`, `decoder`)."""
    return [config, *(part for part in config.values() if isinstance(part, dict))]
