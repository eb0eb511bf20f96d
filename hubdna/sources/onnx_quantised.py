"""The weights of an ONNX file where its nodes say that integers are a grid.

A quantised weight is an integer tensor, a scale and often a zero point; what ties them together are nodes:

    DequantizeLinear, QLinearMatMul, QLinearConv, QGemm, QAttention, DynamicQuantizeMatMul   scale among their inputs
    Gather, then DequantizeLinear     of a table, one scale for all: rows are picked as integers
    Cast, then Mul with a scale                                                              as numpy broadcasts it
    MatMulInteger, ConvInteger        zero point among the inputs, scale beside the weight: x_quantized, x_scale
    MatMulNBits                       blocks of 2, 4 or 8 bits along the inputs, weights [N, K]

Each becomes one logical tensor of float32 values, scale * (integer - zero point), that is read by units like any other
(a row's scales are part of its extents unless the walk kept them). Only what fits exactly is taken: scale and zero
point are stored tensors, one number, one for each index of the axis, or one for each block of it, and no two nodes
disagree. Otherwise the integers stay what they are, and no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hubdna.sources.interface import Extent, Tensor
from hubdna.sources.onnx_graph import Graph, Node, Stored

OPERANDS: dict[bytes, tuple[int, int, int]] = {
    b"DequantizeLinear": (0, 1, 2),
    b"QLinearMatMul": (3, 4, 5),
    b"QLinearConv": (3, 4, 5),
    b"QGemm": (3, 4, 5),
    b"QAttention": (1, 4, 7),
    b"DynamicQuantizeMatMul": (1, 2, 3),
}
"""Which inputs are integers, scale, zero point."""
INTEGER_OPS = {b"MatMulInteger": (1, 3), b"ConvInteger": (1, 3)}
"""Which inputs are integers and zero point; the scale is multiplied later, together with the activations'."""
SUFFIXES = ("_quantized", "_quant", "_int8", "_uint8", "_q", "_Q4", "_Q8", "_Q4G32")
"""What exporters append to the name of the integers."""
OTHERS = frozenset((
    b"MatMulNBits", b"Cast", b"Mul", b"Add", b"MatMul", b"Gemm", b"Conv", b"ConvTranspose", b"Gather", b"LSTM", b"GRU",
    b"RNN", b"Transpose", b"Identity", b"Einsum", b"Attention", b"FusedMatMul", b"FusedGemm", b"FusedConv",
))  # fmt: skip
OPERATORS = OTHERS | OPERANDS.keys() | INTEGER_OPS.keys()
"""Operators that say something about a weight; no others are kept."""
CODES = frozenset(("I8", "U8", "I4", "U4", "I16", "U16", "F8_E4M3", "F8_E5M2"))
SCALES = frozenset(("F32", "F16", "BF16"))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A quantised weight. `scale` and `zero` are seen in shapes of the weight's rank.

    Attributes:
        codes: the integers.
        shape: of the weight.
        scale: with its shape, every axis of which is 1, the weight's, or the number of blocks.
        zero: the same; None for zero.
        block: values of one axis that share a scale.
        base: subtracted from every integer.
    """

    codes: Stored
    shape: tuple[int, ...]
    scale: tuple[Stored, tuple[int, ...]]
    zero: tuple[Stored, tuple[int, ...]] | None
    block: int = 1
    base: int = 0

    def same_as(self, other: Grid) -> bool:
        """Whether two nodes mean the same weight."""
        zeros = (self.zero and (self.zero[0].begin, self.zero[1]), other.zero and (other.zero[0].begin, other.zero[1]))
        scales = self.scale[0] is other.scale[0] and self.scale[1] == other.scale[1]
        return scales and zeros[0] == zeros[1] and (self.shape, self.block) == (other.shape, other.block)

    def parts(self) -> Iterator[Stored]:
        """The stored tensors that are not weights themselves."""
        yield self.codes
        yield self.scale[0]
        if self.zero:
            yield self.zero[0]

    def tensor(self, name: str) -> Tensor:
        """The weight, readable by units."""
        row = self._row

        def extents(first: int, n: int) -> list[Extent]:
            found = self.codes.extents(first, n, row)
            for stored, shape in self._companions():
                if stored.held is None:
                    a, b = self._rows(shape, first, n)
                    found += stored.extents(a, b - a, math.prod(shape[1:]))
            return found

        return Tensor(self.codes.info(name, self.shape), extents, self._decode, quantised=True)

    @property
    def _row(self) -> int:
        """Codes of one unit."""
        return self.codes.size // self.shape[0] if self.shape and self.shape[0] else 1

    def _companions(self) -> list[tuple[Stored, tuple[int, ...]]]:
        return [self.scale, self.zero] if self.zero else [self.scale]

    def _rows(self, shape: tuple[int, ...], first: int, n: int) -> tuple[int, int]:
        """Which rows of a scale belong to units first..first+n."""
        if not shape or shape[0] == 1:
            return 0, 1
        per = 1 if shape[0] == self.shape[0] else self.block
        return first // per, -(-(first + n) // per)

    def _decode(self, data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        rest = iter(data)
        codes = self.codes.values(next(rest), first, n, self._row).astype(np.float32)
        if self.codes.shape != self.shape:  # blocks may end in codes that are not used
            codes = codes.reshape(n, -1)[:, : self.shape[1]]
        codes = codes.reshape((n, *self.shape[1:]) if self.shape else ())
        scale, *zero = [self._spread(stored, of, rest, first, n) for stored, of in self._companions()]
        with np.errstate(over="ignore", invalid="ignore"):
            weights = codes - (zero[0] if zero else np.float32(self.base))
            return np.asarray(weights * scale, np.float32).reshape(n, *self.shape[1:])

    def _spread(
        self, stored: Stored, shape: tuple[int, ...], rest: Iterator[memoryview], first: int, n: int
    ) -> NDArray[np.float32]:
        """A scale or zero point for units first..first+n, in a shape that broadcasts against theirs."""
        a, b = self._rows(shape, first, n)
        row = math.prod(shape[1:])
        if stored.held is not None:
            flat = stored.held_values()[a * row : b * row]
        else:
            flat = stored.values(next(rest), a, b - a, row)
        values = flat.astype(np.float32).reshape((b - a, *shape[1:]) if shape else ())
        for axis, (size, length) in enumerate(zip(shape, self.shape, strict=True)):
            if size not in (1, length):
                values = values.repeat(self.block, axis)
                skip = first - a * self.block if axis == 0 else 0
                take = n if axis == 0 else length
                values = values[(slice(None),) * axis + (slice(skip, skip + take),)]
        return values


def find_grids(graph: Graph) -> dict[str, Grid]:
    """The quantised weights of one graph by the name of their integers."""
    found: dict[str, Grid | None] = {}
    sources = {op: {n.outputs[0]: n.inputs[0] for n in graph.nodes if n.op == op and n.outputs and n.inputs}
               for op in (b"Cast", b"Gather")}  # fmt: skip
    for node in graph.nodes:
        for grid in _of_node(graph, node, sources):
            name = grid.codes.name
            known = found.setdefault(name, grid)
            if known is None or not known.same_as(grid):
                found[name] = None  # two nodes disagree
    return {name: grid for name, grid in found.items() if grid}


def stem(name: str) -> str:
    """The name of a weight from the name of its integers."""
    return next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s) and name != s), name)


def _of_node(graph: Graph, node: Node, sources: dict[bytes, dict[bytes, bytes]]) -> Iterator[Grid]:
    """The quantised weight that one node reads, if it fits. `sources`: operator -> output -> first input."""
    if node.op in OPERANDS:
        codes, scale, zero = (graph.input(node, i) for i in OPERANDS[node.op])
        if codes is None and node.op == b"DequantizeLinear" and scale is not None and scale.size == 1:
            codes = graph.named(sources[b"Gather"].get(node.inputs[0], b""))
        has_zero = graph.has_input(node, OPERANDS[node.op][2])
    elif node.op in INTEGER_OPS:
        codes, zero = (graph.input(node, i) for i in INTEGER_OPS[node.op])
        scale = graph.tensors.get(f"{stem(codes.name)}_scale") if codes else None
        has_zero = graph.has_input(node, INTEGER_OPS[node.op][1])
    elif node.op == b"MatMulNBits":
        yield from _of_blocks(graph, node)
        return
    elif node.op == b"Mul":
        yield from _of_cast(graph, node, sources[b"Cast"])
        return
    else:
        return
    if codes is None or scale is None or (has_zero and zero is None):
        return
    axis, block = _axis(node, len(codes.shape))
    seen = [_seen(t, codes.shape, axis, block) for t in (scale, zero) if t]
    if codes.dtype in CODES and scale.dtype in SCALES and all(s is not None for s in seen):
        yield Grid(codes, codes.shape, (scale, seen[0] or ()), (zero, seen[1] or ()) if zero else None, max(block, 1))


def _axis(node: Node, rank: int) -> tuple[int, int]:
    """The axis whose indices have their own scale, and how many of them share one (0: none)."""
    if node.op == b"DequantizeLinear":
        axis = node.ints.get(b"axis", 1)
        return axis + rank if axis < 0 else axis, max(node.ints.get(b"block_size", 0), 0)
    if node.op in (b"QLinearConv", b"ConvInteger") or (node.op == b"QGemm" and node.ints.get(b"transB")):
        return 0, 0
    return rank - 1, 0


def _seen(stored: Stored, weight: tuple[int, ...], axis: int, block: int) -> tuple[int, ...] | None:
    """The shape under which a scale or zero point broadcasts against the weight, or None."""
    if stored.size == 1:
        return (1,) * len(weight)
    if not 0 <= axis < len(weight):
        return None
    if block:
        return stored.shape if stored.shape == _replaced(weight, axis, -(-weight[axis] // block)) else None
    alone = _replaced((1,) * len(weight), axis, weight[axis])
    return alone if stored.shape in ((weight[axis],), alone) else None


def _replaced(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _of_cast(graph: Graph, node: Node, casts: dict[bytes, bytes]) -> Iterator[Grid]:
    """Mul(Cast(integers), scale), as numpy broadcasts it."""
    if len(node.inputs) != 2:
        return
    for i in (0, 1):
        codes, scale = graph.named(casts.get(node.inputs[i], b"")), graph.input(node, 1 - i)
        if not codes or not scale or codes.dtype not in CODES or scale.dtype not in SCALES:
            continue
        shape = (1,) * (len(codes.shape) - len(scale.shape)) + scale.shape
        if len(shape) == len(codes.shape) and all(n in (1, m) for n, m in zip(shape, codes.shape, strict=True)):
            yield Grid(codes, codes.shape, (scale, shape), None)


def _of_blocks(graph: Graph, node: Node) -> Iterator[Grid]:
    """MatMulNBits: integers [N, blocks, bytes of a block], scales [N, blocks], zero points packed row by row."""
    n, k, bits, block = (node.ints.get(key, 0) for key in (b"N", b"K", b"bits", b"block_size"))
    codes, scale, zero = (graph.input(node, i) for i in (1, 2, 3))
    if not codes or not scale or bits not in (2, 4, 8) or min(n, k, block) < 1 or graph.has_input(node, 4):
        return
    blocks = -(-k // block)
    packed = -(-blocks * bits // 8) * 8 // bits  # zero points of a row fill whole bytes
    fits = codes.dtype == "U8" and codes.size * 8 == n * blocks * block * bits and scale.size == n * blocks
    if not fits or scale.dtype not in SCALES or (graph.has_input(node, 3) and not zero):
        return
    narrow = f"U{bits}"
    zeros = None
    if zero and zero.dtype == "U8" and zero.size * 8 == n * packed * bits:
        zeros = replace(zero, dtype=narrow, shape=(n, packed)), (n, packed)
    elif zero and zero.dtype in SCALES and zero.size == n * blocks:
        zeros = zero, (n, blocks)
    elif zero:
        return
    wide = replace(codes, dtype=narrow, shape=(n, blocks * block))
    yield Grid(wide, (n, k), (scale, (n, blocks)), zeros, block, 1 << (bits - 1))
