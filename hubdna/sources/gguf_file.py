"""GGUF: key-value pairs, tensor infos, then blocks of numbers. Everything a header says is hostile until checked.

`gguf_header.py` walks to the infos; `gguf_blocks.py` makes numbers of the blocks.

Dimensions are stored row length first and given the other way round: [out, in], experts [expert, out, in]. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from hubdna.errors import FormatError, NotFoundError
from hubdna.records import TensorInfo
from hubdna.sources.gguf_blocks import BlockType, Value, block_tensor, block_types, rotary_heads
from hubdna.sources.gguf_header import UNTIL_TOKENIZER, Walk, read_counts, read_pairs
from hubdna.sources.interface import ByteReader, Tensor

MAX_NAME = 1024
"""Bytes of a tensor's name; ggml stops at 64, other writers do not."""
MAX_DIMS = 4
MAX_DIM = 2**40
_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class GgufFile:
    """One opened file: its tensors in file order, and what its metadata says of the model (`general.*` and heads)."""

    tensors: list[Tensor]
    metadata: dict[str, Value]


def read_tensors(reader: ByteReader, filename: str) -> list[Tensor]:
    """Open one file: its header is read and checked, its tensors can be asked for units. Raises FormatError."""
    return read_file(reader, filename).tensors


def read_file(reader: ByteReader, filename: str) -> GgufFile:
    """Read and check one file's header.

    Args:
        reader: gives the bytes.
        filename: the file; of a split model one part, with a header of its own. Later parts say nothing of the model:
            the first one is asked how many heads there are (one range more).

    Raises:
        FormatError: anything about the header that is not as the format says.
    """
    walk = Walk(reader, filename)
    n_tensors, n_pairs = read_counts(walk)
    metadata, alignment = read_pairs(walk, n_pairs)
    infos = [_read_info(walk, n_tensors - i) for i in range(n_tensors)]
    base = -(-walk.position // alignment) * alignment
    placed = _place(infos, filename, base, alignment, walk.size)
    heads = metadata
    if "general.architecture" not in metadata and infos:
        heads = _first_part(reader, filename)
    return GgufFile([block_tensor(info, kind, rotary_heads(info.name, heads)) for info, kind in placed], metadata)


@dataclass(frozen=True, slots=True)
class _Info:
    """A tensor's entry as the file states it; `offset` from the begin of the data."""

    name: str
    shape: tuple[int, ...]
    kind: BlockType
    offset: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) // self.kind.n_values * self.kind.n_bytes


def _read_info(walk: Walk, n_left: int) -> _Info:
    """One entry; `n_left` says how far it is worth reading on."""
    walk.need(8, 80 * n_left)  # an entry of a matrix with a name of 30 letters takes 78 bytes
    name = walk.text(MAX_NAME, "a tensor's name")
    where = f"tensor {name[:80]!r}"
    n_dims = walk.number("<I")
    if n_dims > MAX_DIMS:
        raise walk.error(f"{where} has {n_dims} dimensions, at most {MAX_DIMS} are allowed")
    shape = tuple(walk.number("<Q") for _ in range(n_dims))[::-1]
    if not all(0 < n < MAX_DIM for n in shape):
        raise walk.error(f"{where} has a dimension that is 0 or {MAX_DIM} and more: {shape}")
    number, offset = walk.number("<I"), walk.number("<Q")
    kind = block_types().get(number)
    if kind is None:
        raise walk.error(f"{where} has type {number}, which this version of the gguf package does not know")
    if (shape[-1] if shape else 1) % kind.n_values:
        raise walk.error(f"{where}: rows of {shape[-1:]} are no whole blocks of {kind.name} ({kind.n_values} values)")
    return _Info(name, shape, kind, offset)


def _place(
    infos: list[_Info], filename: str, base: int, alignment: int, size: int
) -> list[tuple[TensorInfo, BlockType]]:
    """Tensors in file order, checked: aligned, inside the file, no two with one name or overlapping."""
    if len({info.name for info in infos}) != len(infos):
        raise FormatError(filename, "two tensors have one name")
    placed: list[tuple[TensorInfo, BlockType]] = []
    end = base
    for info in sorted(infos, key=lambda i: i.offset):
        where, begin = f"tensor {info.name[:80]!r}", base + info.offset
        if info.offset % alignment:
            raise FormatError(filename, f"{where}: offset {info.offset} is not a multiple of {alignment}")
        if begin < end:
            raise FormatError(filename, f"{where} overlaps the tensor before it (byte {begin})")
        end = begin + info.n_bytes
        if end > size:
            raise FormatError(filename, f"{where} ends at byte {end}, the file at byte {size}: cut short")
        placed.append((TensorInfo(info.name, info.kind.name, info.shape, (begin, end), filename), info.kind))
    return placed


def _first_part(reader: ByteReader, filename: str) -> dict[str, Value]:
    """Metadata of the first part of a split model, as far as its tokenizer; empty if this is no later part."""
    split = _SPLIT.fullmatch(filename)
    if not split or int(split[2]) < 2:
        return {}
    try:
        walk = Walk(reader, f"{split[1]}-00001-of-{split[3]}.gguf", UNTIL_TOKENIZER)
    except NotFoundError:
        raise FormatError(filename, "part of a split model, and the first part is not beside it") from None
    return read_pairs(walk, read_counts(walk)[1], until="tokenizer.")[0]
