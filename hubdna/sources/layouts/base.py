"""What every layout needs: the pool of raw tensors, rows of them as byte ranges, and several of them as one Tensor.

A quantised weight is stored as a group of tensors (packed numbers, scales, zero points) whose names share a stem. A
layout looks for its groups in the `Pool`, checks names, dtypes and shapes against each other, and gives one float
Tensor for each; nothing of a group is read before somebody asks for units.

Three layouts keep the shape of the weight in a tiny tensor instead of the header (bitsandbytes 4-bit, HQQ, packed
compressed-tensors). Those are read at once, one for all tensors that look alike (`Pool.peek`): layers repeat, and a
request for every one of them would cost more than the weights. Each tensor checks its own when it is decoded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import ByteReader, Extent, Tensor, read_spans
from hubdna.sources.safetensors import ITEMSIZE

FLOAT_SCALES = ("F32", "F16", "BF16")
"""Types that scales are stored in by every layout; F64 was never seen."""
MAX_PEEK = 4096
"""Bytes of a tensor that says a shape; real ones have 8 to 250."""
JOIN_GAP = 4096
"""Bytes between two parts worth reading to make them one range: a request costs more, a budget of 4 MB notices none."""
_INDEX = re.compile(r"(?<![^.])\d+(?=\.(?!weight\b|weight_shape|W_q|shape)\w)")
"""The number of a layer or an expert: a word of its own, before the module's name. `fc1` and the 0 and 2 of a
sequence of maps tell maps apart that often are each other's transpose, with as many weights."""
MAX_AXES = 8
"""Axes of a weight; convolutions over space and time have five."""

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn), "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I8": np.dtype("i1"), "U32": np.dtype("<u4"), "U8": np.dtype("u1"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """One logical tensor and the names of the raw tensors it stands for."""

    tensor: Tensor
    parts: frozenset[str]


class Pool:
    """The raw tensors that no layout has taken yet, what the config says, and the small reads that shapes need.

    Attributes:
        hint: config.json's `quantization_config` (MLX: `quantization`), or an empty dict. May be absent or wrong.
    """

    def __init__(
        self, tensors: Sequence[Tensor], config: Mapping[str, Any] | None, reader: ByteReader | None, max_peeks: int
    ) -> None:
        counts = Counter(t.info.name for t in tensors)
        self._infos = {t.info.name: t.info for t in tensors if _is_raw(t) and counts[t.info.name] == 1}
        self._reader, self._left = reader, max_peeks
        found = [(config or {}).get(key) for key in ("quantization_config", "quantization")]
        self.hint: dict[str, Any] = next((f for f in found if isinstance(f, dict)), {})

    def __iter__(self) -> Iterator[TensorInfo]:
        return iter(list(self._infos.values()))

    def get(self, name: str, *dtypes: str) -> TensorInfo | None:
        """The tensor of that name if it has one of those dtypes."""
        info = self._infos.get(name)
        return info if info is not None and (not dtypes or info.dtype in dtypes) else None

    def ending(self, suffix: str, *dtypes: str) -> list[tuple[str, TensorInfo]]:
        """(name without the suffix, tensor) of all that end so and have one of those dtypes."""
        found = [(i.name.removesuffix(suffix), i) for i in self if i.name.endswith(suffix)]
        return [(stem, info) for stem, info in found if info.dtype in dtypes]

    def take(self, group: Group) -> bool:
        """Remove a group's parts; False when its name belongs to a tensor outside the group, and nothing is taken."""
        if group.tensor.info.name in self._infos.keys() - group.parts or not group.parts <= self._infos.keys():
            return False
        for name in group.parts:
            del self._infos[name]
        return True

    def peek(self, wanted: Iterable[tuple[TensorInfo, Hashable]]) -> dict[str, bytes]:
        """Read tiny tensors, one for each class of tensors that look alike.

        Args:
            wanted: tensors of at most MAX_PEEK bytes, and what must be equal for two of them to say the same; the
                name but for the layer's number always must.

        Returns:
            By name, the bytes of the representative; names that could not be afforded are left out.
        """
        classes: dict[Hashable, list[TensorInfo]] = {}
        for info, key in wanted:
            if info.data_offsets[1] - info.data_offsets[0] <= MAX_PEEK:
                classes.setdefault((_INDEX.sub("#", info.name), key), []).append(info)
        if self._reader is None:
            return {}
        chosen = [members[0] for members in classes.values()][: self._left]
        self._left -= len(chosen)
        found: dict[Extent, bytes] = {}
        for filename in dict.fromkeys(i.filename for i in chosen):
            spans = list({i.data_offsets for i in chosen if i.filename == filename})
            for span, data in read_spans(self._reader, filename, spans):
                found[(filename, *span)] = bytes(data)
        return {
            info.name: found[whole(members[0])]
            for members in classes.values() if whole(members[0]) in found for info in members
        }  # fmt: skip


def _is_raw(tensor: Tensor) -> bool:
    return not tensor.quantised and tensor.info.dtype in ITEMSIZE and all(n > 0 for n in tensor.info.shape)


def rows(info: TensorInfo, first: int, stop: int) -> Extent:
    """Where rows [first, stop) of the first axis lie; a scalar has one."""
    row = math.prod(info.shape[1:]) * ITEMSIZE[info.dtype]
    begin = info.data_offsets[0]
    return info.filename, begin + first * row, begin + stop * row


def whole(info: TensorInfo) -> Extent:
    """Where all of a tensor lies."""
    return info.filename, *info.data_offsets


def blocks(first: int, n: int, size: int) -> tuple[int, int]:
    """First block and block after the last, of `size` units each, that hold units [first, first + n)."""
    return first // size, max(-(-(first + n) // size), first // size)


def array(data: memoryview, dtype: str, *shape: int) -> NDArray[Any]:
    """Stored values as they are; one length may be -1."""
    return np.frombuffer(data, DTYPES[dtype]).reshape(shape)


def floats(data: memoryview, dtype: str, *shape: int) -> NDArray[np.float32]:
    """Stored floats as float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array(data, dtype, *shape).astype(np.float32)


Plan = Callable[[int, int], list[Extent]]
Decode = Callable[[Sequence[memoryview], int, int], NDArray[np.float32]]


def bundle(
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    packed: TensorInfo,
    plan: Plan,
    decode: Decode,
    merged: Callable[[], Tensor] | None = None,
) -> Tensor:
    """One Tensor of several parts.

    Args:
        name: of the weight.
        dtype: the layout's word.
        shape: as the weights are meant.
        packed: the raw tensor that holds the numbers; says where the Tensor lies.
        plan: (first, n) -> where each part's share of those units lies.
        decode: (bytes of each part, first, n) -> float32 of n * prod(shape[1:]) values, any shape.
        merged: as in `Tensor`, where a layout may have more than two axes.
    """

    def extents(first: int, n: int) -> list[Extent]:
        return _joined(plan(first, n))

    def decode_joined(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        planned = plan(first, n)
        parts = [_cut(part, _joined(planned), data) for part in planned]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(decode(parts, first, n), np.float32).reshape(n, *shape[1:])

    info = TensorInfo(name, dtype, shape, packed.data_offsets, packed.filename)
    return Tensor(info, extents, decode_joined, quantised=True, merged=merged)


def _joined(parts: list[Extent]) -> list[Extent]:
    """Ranges that overlap or nearly touch made one; sorted, so that the same parts always give the same ranges."""
    joined: list[Extent] = []
    for filename, start, stop in sorted(parts):
        if joined and joined[-1][0] == filename and start - joined[-1][2] <= JOIN_GAP:
            joined[-1] = filename, joined[-1][1], max(joined[-1][2], stop)
        else:
            joined.append((filename, start, stop))
    return joined


def _cut(part: Extent, joined: list[Extent], data: Sequence[memoryview]) -> memoryview:
    filename, start, stop = part
    for (name, a, b), held in zip(joined, data, strict=True):
        if name == filename and a <= start and stop <= b:
            return memoryview(held)[start - a : stop - a]
    raise AssertionError("every part lies in a joined range")
