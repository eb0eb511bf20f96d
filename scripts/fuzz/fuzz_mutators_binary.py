"""Changes to GGUF files and protocol buffers by their structure (see `fuzz_mutators`)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fuzz_readers import pack, unpack

Plain = Callable[[bytes], bytes]
NUMBERS = [0, 1, 2, 3, 8, 31, 32, 64, 127, 255, 2**15, 2**31 - 1, 2**32 - 1, 2**40 - 1, 2**40, 2**62, 2**63, 2**64 - 1]
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of GGUF's scalars."""
KEYS = ("general.architecture", "general.alignment", "llama.attention.head_count", "split.count", "x", "")
NAMES = ("blk.0.attn_k.weight", "blk.1.attn_q.bias", "blk.0.ffn_up_exps.weight", "w", "blk.999999999.attn_q.weight")


@dataclass
class Gguf:
    """A file in pieces: key, type, value; name, dimensions, type, offset; data."""

    pairs: list[list[Any]] = field(default_factory=list)
    infos: list[list[Any]] = field(default_factory=list)
    data: bytes = b""
    counts: list[int] = field(default_factory=lambda: [0, 0])
    """Added to the counts that the header states."""

    def written(self) -> bytes:
        """The file, whatever it says."""
        counts = [(len(of) + n) % 2**64 for of, n in zip((self.infos, self.pairs), self.counts, strict=True)]
        out = struct.pack("<4sIQQ", b"GGUF", 3, *counts)
        for key, kind, value in self.pairs:
            out += _text(key) + struct.pack("<I", kind % 2**32) + value
        for name, dims, kind, offset in self.infos:
            out += _text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", n % 2**64) for n in dims)
            out += struct.pack("<IQ", kind % 2**32, offset % 2**64)
        return out + bytes(-len(out) % 32) + self.data


def _text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


class _Cursor:
    """Reads forward; raises struct.error past the end."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, n: int) -> bytes:
        if n > len(self.raw) - self.at:
            raise struct.error
        self.at += n
        return self.raw[self.at - n : self.at]

    def number(self, n: int) -> int:
        return int.from_bytes(self.take(n), "little")

    def value(self, kind: int) -> bytes:
        begin = self.at
        if kind == 8:
            self.take(self.number(8))
        elif kind == 9:
            of, count = self.number(4), self.number(8)
            if of != 8:
                self.take(SIZES.get(of, 1) * count)
            for _ in range(count if of == 8 else 0):
                self.take(self.number(8))
        else:
            self.take(SIZES.get(kind, 0))
        return self.raw[begin : self.at]


def _parse(raw: bytes) -> Gguf | None:
    file, cursor = Gguf(), _Cursor(raw)
    try:
        cursor.take(8)
        n_infos, n_pairs = cursor.number(8), cursor.number(8)
        for _ in range(min(n_pairs, 100)):
            key, kind = cursor.take(cursor.number(8)), cursor.number(4)
            file.pairs.append([key, kind, cursor.value(kind)])
        for _ in range(min(n_infos, 100)):
            name, n = cursor.take(cursor.number(8)), cursor.number(4)
            dims = [cursor.number(8) for _ in range(min(n, 40))]
            file.infos.append([name, dims, cursor.number(4), cursor.number(8)])
    except struct.error:
        return file if file.pairs else None
    file.data = raw[cursor.at + -cursor.at % 32 :]
    return file


def gguf(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Pairs and entries changed, counts and lengths written anew."""
    raw, zeros = unpack(data, 2)
    file = _parse(raw)
    if file is None or not rng.randrange(8):
        return pack(plain(raw), zeros)
    if not rng.randrange(10):
        return pack(raw, rng.choice((b"", *(n.to_bytes(8, "little") for n in NUMBERS))))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.randrange(2):
            _change_pairs(file.pairs, rng, plain)
        else:
            _change_infos(file.infos, rng, plain)
    if not rng.randrange(8):
        file.counts[rng.randrange(2)] = rng.choice((1, -1, *NUMBERS))
    if not rng.randrange(8):
        file.data = plain(file.data)
    return pack(file.written(), zeros)


def _change_pairs(pairs: list[list[Any]], rng: random.Random, plain: Plain) -> None:
    if not pairs or not rng.randrange(6):
        kind = rng.choice((*SIZES, 8, 9, 13))
        value = rng.choice(NUMBERS).to_bytes(8, "little")
        inner = rng.choice((*SIZES, 8, 9)), rng.choice((0, 1, 2, rng.choice(NUMBERS)))
        listed = struct.pack("<IQ", *inner) + value * 2
        pair = [rng.choice(KEYS).encode(), kind, {8: _text(b"llama"), 9: listed}.get(kind, value[: SIZES.get(kind, 8)])]
        pairs.insert(rng.randrange(len(pairs) + 1), pair)
        return
    at, what = rng.randrange(len(pairs)), rng.randrange(5)
    if what == 0:
        del pairs[at]
    elif what == 1:
        pairs.append(list(pairs[at]))
    elif what == 2:
        pairs[at][1] = rng.choice((*SIZES, 8, 9, 13))
    elif what == 3:
        pairs[at][2] = plain(pairs[at][2])
    else:
        pairs[at][0] = plain(pairs[at][0]) if rng.randrange(2) else rng.choice(KEYS).encode()


def _change_infos(infos: list[list[Any]], rng: random.Random, plain: Plain) -> None:
    if not infos:
        infos.append([b"w", [32, 2], 0, 0])
    at, what = rng.randrange(len(infos)), rng.randrange(8)
    info = infos[at]
    if what == 0:
        del infos[at]
    elif what == 1:
        infos.append([info[0] + b"x", info[1], info[2], info[3] + rng.choice((0, 32, 256, 4096))])
    elif what == 2:
        info[2] = rng.choice((*range(42), *NUMBERS))
    elif what == 3:
        info[3] = rng.choice((info[3] + 32, info[3] + 1, *NUMBERS))
    elif what == 4 and info[1]:
        axis = rng.randrange(len(info[1]))
        info[1] = [*info[1][:axis], rng.choice((info[1][axis] * 2, 1, *NUMBERS)), *info[1][axis + 1 :]]
    elif what == 5:
        info[1] = rng.choice((info[1][::-1], [*info[1], 1], info[1][1:], [*info[1], rng.choice((2, 8, 2**17, 2**20))]))
    elif what == 6:
        info[0] = rng.choice(NAMES).encode()
    else:
        info[0] = plain(info[0])


# Protocol buffers: a tree of [number, wire type, value], where a value is a number, bytes or such a tree again.

_GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _ENTRY, _MODEL = "graph", "node", "attribute", "tensor", "entry", "model"
CHILDREN: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH}, _GRAPH: {1: _NODE, 5: _TENSOR}, _NODE: {5: _ATTRIBUTE}, _TENSOR: {13: _ENTRY}, _ENTRY: {},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 11: _GRAPH},
}  # fmt: skip
"""Which fields of ONNX's messages are messages that are read."""
OPERATORS = """DequantizeLinear QLinearMatMul QLinearConv QGemm MatMulInteger MatMulNBits Cast Mul Add MatMul Constant
Transpose Identity DynamicQuantizeMatMul QAttention ConvInteger""".split()
TEXTS = (b"external.onnx_data", b"../../etc/passwd", b"/etc/passwd", b"", b"location", b"offset", b"length", b"axis",
         b"1", b"block_size", b"N", b"K", b"bits", b"99999999999999999", b"onnx::MatMul_1")  # fmt: skip
Tree = list[list[Any]]


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 70:
            raise IndexError


def _tree(raw: bytes, kind: str, depth: int = 0) -> Tree:
    """The fields of a message; raises IndexError where it is none."""
    found: Tree = []
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            found.append([number, wire, value])
            continue
        n = {1: 8, 5: 4}.get(wire, -1)
        if wire == 2:
            n, at = _varint(raw, at)
        if n < 0 or at + n > len(raw):
            raise IndexError
        inner: Any = raw[at : at + n]
        child = CHILDREN[kind].get(number) if wire == 2 and depth < 20 else None
        found.append([number, wire, _tree(inner, child, depth + 1) if child else inner])
        at += n
    return found


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _bytes(tree: Tree) -> bytes:
    out = b""
    for number, wire, value in tree:
        out += _number(number << 3 | wire)
        if wire == 0:
            out += _number(value)
        else:
            raw = _bytes(value) if isinstance(value, list) else value
            out += (_number(len(raw)) if wire == 2 else b"") + raw
    return out


def onnx(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Fields of any message changed, lengths written anew; sometimes what lies beside the file."""
    raw, beside, zeros = unpack(data, 3)
    try:
        tree = _tree(raw, _MODEL)
    except IndexError:
        return pack(plain(raw), beside, zeros)
    if not rng.randrange(10):
        zeros = rng.choice((b"", *(n.to_bytes(8, "little") for n in NUMBERS)))
        return pack(raw, plain(beside), zeros)
    if not rng.randrange(10):
        return pack(plain(raw), beside, zeros)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change_tree(tree, rng, plain)
    return pack(_bytes(tree), beside, zeros)


def _change_tree(tree: Tree, rng: random.Random, plain: Plain) -> None:
    places: list[tuple[Tree, int]] = []
    todo = [tree]
    while todo:
        at = todo.pop()
        places += [(at, i) for i in range(len(at))]
        todo += [value for _, _, value in at if isinstance(value, list)]
    if not places:
        tree.append([7, 2, [[5, 2, [[1, 0, 2], [2, 0, 1], [8, 2, b"w"], [9, 2, bytes(8)]]]]])
        return
    holder, i = rng.choice(places)
    number, wire, value = holder[i]
    other_holder, other_i = rng.choice(places)
    other, what = other_holder[other_i], rng.randrange(10)
    if what == 0:
        del holder[i]
    elif what == 1:
        holder.insert(rng.randrange(len(holder) + 1), list(holder[i]))
    elif what == 2:
        holder[i] = [number, wire, _copied(other[2])] if other[1] == wire else _copied(other)
    elif what == 3:
        holder[i] = [rng.choice((number, *range(1, 16))), rng.choice((0, 1, 2, 5)), 0]
        holder[i][2] = {0: rng.choice(NUMBERS), 1: bytes(8), 5: bytes(4)}.get(holder[i][1], b"\1\2")
    elif what == 4 and isinstance(value, list):
        holder[i] = [5, 2, [[1, 2, b"body"], [6, 2, _copied(value)]]]
    elif isinstance(value, int):
        holder[i][2] = rng.choice((value + 1, *NUMBERS, *range(1, 27)))
    elif isinstance(value, bytes) and what < 7:
        holder[i][2] = rng.choice((*TEXTS, *(op.encode() for op in OPERATORS)))
    elif isinstance(value, bytes):
        holder[i][2] = plain(value)


def _copied(value: Any) -> Any:
    """A copy: a message must not contain itself."""
    return [_copied(v) for v in value] if isinstance(value, list) else value
