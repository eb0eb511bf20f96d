"""What the walk of an ONNX graph keeps: tensors as the file stores them, and what it must know of the operators."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.protobuf import unpack_varints

BITS = {"U4": 4, "I4": 4, "U2": 2, "I2": 2}
"""Of types narrower than a byte: packed, the lowest bits first."""
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I8": np.dtype("i1"), "I16": np.dtype("<i2"), "I32": np.dtype("<i4"), "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"), "U16": np.dtype("<u2"), "U32": np.dtype("<u4"), "U64": np.dtype("<u8"),
    "BOOL": np.dtype("u1"), "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn), "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "U4": np.dtype("u1"), "I4": np.dtype("u1"), "U2": np.dtype("u1"), "I2": np.dtype("u1"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One tensor as the file holds it: where its bytes lie and how they become numbers.

    Attributes:
        name: as the graph names it, or what it is called here.
        dtype: safetensors' words.
        shape: dimensions.
        filename: the file itself, or one beside it.
        begin: first byte.
        end: byte after the last.
        packed: whether the values are varints, so that only all of them can be read.
        held: the bytes, if the tensor is so small that the walk kept them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    filename: str
    begin: int
    end: int
    packed: bool = False
    held: bytes | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def extents(self, first: int, n: int, row: int) -> list[Extent]:
        """Where values [first * row, (first + n) * row) lie."""
        if self.packed:
            return [(self.filename, self.begin, self.end)]
        start, stop = (i * row * self._bits for i in (first, first + n))
        return [(self.filename, self.begin + start // 8, self.begin + -(-stop // 8))]

    def values(self, data: memoryview, first: int, n: int, row: int) -> NDArray[Any]:
        """The numbers of `extents(first, n, row)`, flat. Raises FormatError."""
        if self.packed:
            return self._unpack(data)[first * row : (first + n) * row]
        if self.dtype not in BITS:
            return np.frombuffer(data, NUMPY_DTYPES[self.dtype])
        skip = first * row * self._bits % 8 // self._bits
        return self._narrow(np.frombuffer(data, np.uint8))[skip : skip + n * row]

    def held_values(self) -> NDArray[Any]:
        """All numbers of a small tensor."""
        assert self.held is not None, "asked for the values of a tensor that was not kept"
        return self.values(memoryview(self.held), 0, 1, self.size)

    @property
    def _bits(self) -> int:
        return BITS.get(self.dtype) or 8 * NUMPY_DTYPES[self.dtype].itemsize

    def _narrow(self, raw: NDArray[np.uint8]) -> NDArray[Any]:
        bits = self._bits
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        codes = ((raw[:, None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(-1)
        sign = 1 << (bits - 1)
        return codes if self.dtype[0] == "U" else (codes ^ np.uint8(sign)).astype(np.int8) - np.int8(sign)

    def _unpack(self, data: memoryview) -> NDArray[Any]:
        values = unpack_varints(data)
        n = -(-self.size * self._bits // 8) if self.dtype in BITS else self.size
        if values is None or len(values) != n:
            raise FormatError(self.filename, f"tensor {self.name[:80]!r}: its varints are not {n} numbers")
        if self.dtype in BITS:
            return self._narrow(values.astype(np.uint8))[: self.size]
        dtype = NUMPY_DTYPES[self.dtype]
        return values.astype(f"<u{dtype.itemsize}").view(dtype)

    def tensor(self) -> Tensor:
        """As it is stored, readable by units."""
        row = math.prod(self.shape[1:])

        def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
            with np.errstate(over="ignore", invalid="ignore"):
                flat = self.values(data[0], first, n, row)
                return flat.astype(np.float32).reshape(n, *self.shape[1:])

        def merged() -> Tensor:
            return replace(self, shape=(self.shape[0] * self.shape[1], *self.shape[2:])).tensor()

        plan = functools.partial(self.extents, row=row)
        return Tensor(self.info(self.name), plan, decode, merged=None if self.packed else merged)

    def info(self, name: str, shape: tuple[int, ...] | None = None) -> TensorInfo:
        """What it is, under this name and in this shape."""
        return TensorInfo(name, self.dtype, shape or self.shape, (self.begin, self.end), self.filename)


@dataclass(slots=True, eq=False)
class Node:
    """What is kept of one operator; names as bytes, which take half the memory."""

    op: bytes = b""
    name: bytes = b""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    ints: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Graph:
    """One graph, or one body of an If or Loop."""

    path: str
    tensors: dict[str, Stored] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def named(self, name: bytes) -> Stored | None:
        """The tensor of this name, if it is stored in this graph."""
        return self.tensors.get(name.decode("utf-8", "replace")) if name else None

    def input(self, node: Node, i: int) -> Stored | None:
        """The stored tensor that is a node's input i."""
        return self.named(node.inputs[i]) if i < len(node.inputs) else None

    def has_input(self, node: Node, i: int) -> bool:
        """Whether a node has an input i at all: an empty name is none."""
        return i < len(node.inputs) and bool(node.inputs[i])
