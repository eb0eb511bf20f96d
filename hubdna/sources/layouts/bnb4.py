"""bitsandbytes 4-bit: numbers of a 16-value code (NF4 or FP4), a scale for every 64 of them, often quantised again.

    X.weight             U8 [ceil(N / 2), 1]      the weight flattened, two numbers a byte, the first in the high nibble
    X.weight.quant_map   F32 [16]                 the code
    X.weight.absmax      F32 [ceil(N / B)]        weight = code[number] * absmax[position // B]
    X.weight.quant_state.bitsandbytes__nf4  U8    JSON: shape, blocksize B, quant_type, nested_...

Double quantisation: absmax is U8, and absmax[j] = nested_quant_map[absmax[j]] * nested_absmax[j // 256] + offset.

    X.weight.nested_quant_map  F32 [256]
    X.weight.nested_absmax     F32 [ceil(ceil(N / B) / 256)]
    nested_offset, nested_blocksize (256) in the JSON

The header knows N only; the shape stands in the JSON, one of which is read for tensors that look alike. The numbers
may be stored under another type (`bnb_4bit_quant_storage`), which changes nothing about the bytes. Source:
bitsandbytes, functional.py (QuantState.as_dict) and backends/default/ops.py (dequantize_4bit).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.layouts.base import (
    MAX_AXES,
    MAX_PEEK,
    Group,
    Pool,
    array,
    blocks,
    bundle,
    floats,
    rows,
    whole,
)

KINDS = ("nf4", "fp4")
STORAGE = ("U8", "F16", "BF16", "F32")
NESTED = ("nested_absmax", "nested_quant_map")


@dataclass(frozen=True, slots=True)
class State:
    """What the JSON says: shape, numbers a scale, scales a scale of scales (0: none), and their offset."""

    shape: tuple[int, ...]
    block: int
    nested_block: int
    offset: float


@dataclass(frozen=True, slots=True)
class Parts:
    """The raw tensors of one weight; `nested` is empty or holds those of NESTED."""

    weight: TensorInfo
    code: TensorInfo
    absmax: TensorInfo
    state: TensorInfo
    nested: tuple[TensorInfo, ...]

    @property
    def all(self) -> tuple[TensorInfo, ...]:
        """Every part."""
        return self.weight, self.code, self.absmax, self.state, *self.nested


def find(pool: Pool) -> Iterator[Group]:
    """All groups of the layout."""
    for kind in KINDS:
        found = [_parts(pool, stem, s) for stem, s in pool.ending(f".quant_state.bitsandbytes__{kind}", "U8")]
        usable = [parts for parts in found if parts]
        said = pool.peek((p.state, (p.weight.shape, p.absmax.shape)) for p in usable)
        for parts in usable:
            state = parse(said.get(parts.state.name, b""))
            if state and _fits(parts, state):
                names = frozenset(i.name for i in parts.all)
                yield Group(_tensor("BNB-" + kind.upper(), parts, state), names)


def _parts(pool: Pool, name: str, state: TensorInfo) -> Parts | None:
    weight, code = pool.get(name, *STORAGE), pool.get(name + ".quant_map", "F32")
    absmax = pool.get(name + ".absmax", "F32", "U8")
    nested = [found for part in NESTED if (found := pool.get(f"{name}.{part}", "F32"))]
    if not weight or not code or not absmax or code.shape != (16,) or len(absmax.shape) != 1 or len(state.shape) != 1:
        return None
    if state.shape[0] > MAX_PEEK or len(nested) != (2 if absmax.dtype == "U8" else 0):
        return None
    return Parts(weight, code, absmax, state, tuple(nested))


def parse(raw: bytes) -> State | None:
    """The JSON, or None for anything that is not as the format says."""
    try:
        said = json.loads(raw)
        shape, block = said["shape"], said["blocksize"]
        nested, offset = said.get("nested_blocksize", 0), said.get("nested_offset", 0.0)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_AXES or not all(_is_count(n) for n in shape):
        return None
    if not _is_count(block) or not (nested == 0 or _is_count(nested)) or type(offset) not in (int, float):
        return None
    if not math.isfinite(offset if isinstance(offset, float) else 0.0) or abs(offset) > np.finfo(np.float32).max:
        return None
    return State(tuple(shape), block, nested, float(offset))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**48  # far beyond any file, and products stay cheap


def _fits(parts: Parts, state: State) -> bool:
    n, weight = math.prod(state.shape), parts.weight
    n_blocks = -(-n // state.block)
    if -(-n // 2) != weight.data_offsets[1] - weight.data_offsets[0] or parts.absmax.shape != (n_blocks,):
        return False
    if not parts.nested:
        return True
    scales, code = parts.nested
    return state.nested_block > 0 and scales.shape == (-(-n_blocks // state.nested_block),) and code.shape == (256,)


def _tensor(word: str, parts: Parts, state: State) -> Tensor:
    width = math.prod(state.shape[1:])

    def spans(first: int, n: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Bytes, scales and scales of scales that hold the units."""
        a, b = blocks(first * width, n * width, state.block)
        return blocks(first * width, n * width, 2), (a, b), blocks(a, b - a, state.nested_block or 1)

    def plan(first: int, n: int) -> list[Extent]:
        packed, scales, of_scales = spans(first, n)
        filename, begin = parts.weight.filename, parts.weight.data_offsets[0]
        wanted = [(filename, begin + packed[0], begin + packed[1]), whole(parts.code), whole(parts.state)]
        nested = [rows(parts.nested[0], *of_scales), whole(parts.nested[1])] if parts.nested else []
        return [*wanted, rows(parts.absmax, *scales), *nested]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        own = parse(bytes(data[2]))
        if own is None or (own.shape, own.block, own.nested_block) != (state.shape, state.block, state.nested_block):
            raise FormatError(parts.state.filename, f"{parts.state.name}: expected what its neighbours say")
        bytes_read = array(data[0], "U8", -1)
        numbers = np.stack([bytes_read >> 4, bytes_read & 15], axis=1).reshape(-1)
        numbers = numbers[first * width % 2 :][: n * width]
        _, (a, b), _ = spans(first, n)
        scales = _scales(data[3:], parts, own, a, b)
        edges = np.clip(np.arange(a, b + 1) * state.block, first * width, (first + n) * width)
        sizes = edges[1:] - edges[:-1]
        return floats(data[1], "F32", 16)[numbers] * np.repeat(scales, sizes)

    return bundle(parts.weight.name, word, state.shape, parts.weight, plan, decode)


def _scales(data: Sequence[memoryview], parts: Parts, state: State, a: int, b: int) -> NDArray[np.float32]:
    """Scales a..b as floats."""
    if not parts.nested:
        return floats(data[0], "F32", b - a)
    which = np.arange(a, b) // state.nested_block - a // state.nested_block
    code, outer = floats(data[2], "F32", 256), floats(data[1], "F32", -1)
    scales: NDArray[np.float32] = code[array(data[0], "U8", b - a)] * outer[which] + np.float32(state.offset)
    return scales
