"""Rows of GGUF tensors: which bytes hold them, and how blocks of a quantised type become float32.

Every type stores a row in blocks of a fixed number of values and bytes, so rows can be asked for by range like those
of a plain matrix. Blocks do not depend on each other: a range of rows gives the same bits as the whole tensor. The
arithmetic of the blocks is the `gguf` package's own; it is imported when a file is opened, not before.

Rotary order: the converter of llama.cpp stores rows of `attn_q` and `attn_k` of some architectures in another order,
row s * d/2 + j of a head of d rows (s = 0 or 1: the two halves that rotate together) at 2j + s. Rows change places
within their head only. Here they are put back, so that a GGUF copy has its source's bits. For a part of a head the
bytes from its first to its last stored row are asked for: at most a head more at either end, and one range.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor, merge_axes
from hubdna.sources.safetensors import NUMPY_DTYPES

CHUNK = 250_000
"""Values dequantised at a time: the library's intermediate arrays take up to ten times their bytes."""
_REPACKED = {
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
}  # fmt: skip
"""Types of 2024 that interleave rows for one processor; later libraries dropped them, files with them are left."""
MAX_TENSORS = 200_000
"""Of one file, as for safetensors."""
ROTARY_ORDER = frozenset("llama arcee arctic deepseek granite granitemoe internlm2 minicpm olmo smollm3".split())
"""Architectures whose q and k rows llama.cpp's converter reorders (LlamaModel.permute and its heirs)."""
_ROTARY = re.compile(r"blk\.(\d{1,9})\.attn_([qk])\.(?:weight|bias)")

Value = str | int | float | bool | list[int]
"""What a key of the header may say."""


@dataclass(frozen=True, slots=True)
class BlockType:
    """One GGML type: `n_values` values in `n_bytes` bytes. `readable`: whether they can become float32."""

    number: int
    name: str
    n_values: int
    n_bytes: int
    readable: bool


@functools.cache
def block_types() -> dict[int, BlockType]:
    """Every type whose size is known, by its number in a file."""
    from gguf.constants import GGML_QUANT_SIZES

    known = [BlockType(int(t), t.name, *sizes, _readable(int(t))) for t, sizes in GGML_QUANT_SIZES.items()]
    known += [BlockType(number, name, 32, 18, False) for number, name in _REPACKED.items()]
    return {t.number: t for t in known}


def _readable(number: int) -> bool:
    """Whether a type is a float or the library knows its blocks: tried on one block of zeros."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType(number)
    if kind.name in NUMPY_DTYPES:
        return True
    try:
        dequantize(np.zeros(GGML_QUANT_SIZES[kind][1], np.uint8), kind)
    except NotImplementedError:  # integers, and the types that only serve products inside ggml
        return False
    return True


def dequantise(data: memoryview, kind: BlockType) -> NDArray[np.float32]:
    """Whole blocks -> their values, float32 [n]."""
    with np.errstate(all="ignore"):  # scales may be anything: infinite or NaN weights are the caller's to refuse
        if kind.name in NUMPY_DTYPES:
            return np.frombuffer(data, NUMPY_DTYPES[kind.name]).astype(np.float32)
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        blocks = np.frombuffer(data, np.uint8).reshape(-1, kind.n_bytes)
        values = np.empty((len(blocks), kind.n_values), np.float32)
        step = max(CHUNK // kind.n_values, 1)
        for i in range(0, len(blocks), step):
            row = blocks[i : i + step].reshape(1, -1)  # one long row: the library loops over rows
            values[i : i + step] = dequantize(row, GGMLQuantizationType(kind.number)).reshape(-1, kind.n_values)
        return values.reshape(-1)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Units of one tensor in the file. `n_heads`: of the rotary order; 0 means that rows lie as they are meant."""

    info: TensorInfo
    kind: BlockType
    n_heads: int

    def _stored(self, first: int, n: int) -> NDArray[np.int64]:
        """Stored places [n] of units first..first+n."""
        units = np.arange(first, first + n, dtype=np.int64)
        if not self.n_heads:
            return units
        size = self.info.shape[0] // self.n_heads
        unit = units % size
        places: NDArray[np.int64] = units - unit + 2 * (unit % (size // 2)) + unit // (size // 2)
        return places

    def _span(self, first: int, n: int) -> tuple[int, int]:
        """First stored unit and the one after the last."""
        if not self.n_heads or not n:
            return first, first + n
        places = self._stored(first, n)
        return int(places.min()), int(places.max()) + 1

    def extents(self, first: int, n: int) -> list[Extent]:
        """The whole blocks that hold these units: one range."""
        begin, end = (i * math.prod(self.info.shape[1:]) for i in self._span(first, n))
        begin, end = begin // self.kind.n_values, -(-end // self.kind.n_values)
        base = self.info.data_offsets[0]
        return [(self.info.filename, base + begin * self.kind.n_bytes, base + end * self.kind.n_bytes)]

    def decode(self, data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        """Bytes of those blocks -> float32 [n, *shape[1:]]."""
        low, high = self._span(first, n)
        width = math.prod(self.info.shape[1:])
        skip = low * width % self.kind.n_values  # only vectors have units that are not whole blocks
        values = dequantise(data[0], self.kind)[skip : skip + (high - low) * width]
        values = values.reshape(high - low, *self.info.shape[1:])
        return values[self._stored(first, n) - low] if self.n_heads else values


def block_tensor(info: TensorInfo, kind: BlockType, n_heads: int = 0) -> Tensor:
    """A tensor whose blocks lie at `data_offsets`.

    Args:
        info: shape as the weights are meant, row length last; `dtype` is the type's name.
        kind: how values are stored; without `readable` the tensor only says that it is there.
        n_heads: heads of a tensor whose rows are stored in rotary order; 0 for all others, and where they do not
            divide its rows into even heads.
    """
    even = n_heads > 0 and len(info.shape) > 0 and info.shape[0] % (2 * n_heads) == 0
    rows = _Rows(info, kind, n_heads if even else 0)
    quantised = kind.readable and kind.name not in NUMPY_DTYPES
    merged = None if rows.n_heads else lambda: block_tensor(merge_axes(info), kind)
    return Tensor(info, rows.extents, rows.decode, quantised, merged)


def rotary_heads(name: str, metadata: Mapping[str, Value]) -> int:
    """Heads of a tensor whose rows are stored in rotary order; 0 if they are not, or nobody says how many."""
    architecture, found = metadata.get("general.architecture"), _ROTARY.fullmatch(name)
    if not found or not isinstance(architecture, str) or architecture not in ROTARY_ORDER:
        return 0
    count = metadata.get(f"{architecture}.attention.head_count", 0)
    if found[2] == "k":
        count = metadata.get(f"{architecture}.attention.head_count_kv", count)
    if isinstance(count, list):  # one for each layer
        layer = int(found[1])
        count = count[layer] if layer < len(count) else 0
    return count if isinstance(count, int) else 0
