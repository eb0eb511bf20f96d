"""GGUF: key-value pairs, tensor infos, then blocks of numbers. Everything a header says is hostile until checked.

The infos stand behind the tokenizer, several MB of strings that only their own lengths delimit: they are walked, in
reads sized by what the current array is expected to take, and dropped; arrays of numbers are jumped over. A search
for the infos from the file's end would be cheaper, but a file could then show this reader other weights than the
ones that llama.cpp runs. So a header costs what its strings take (SmolLM2: 1.8 MB, a vocabulary of 150,000: 6 MB),
whatever the size of the file.

Dimensions are stored row length first and given the other way round: [out, in], experts [expert, out, in]. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from hubdna.errors import FormatError, NotFoundError
from hubdna.records import TensorInfo
from hubdna.sources.gguf_blocks import (
    MAX_TENSORS,
    BlockType,
    Value,
    block_tensor,
    block_types,
    rotary_heads,
)
from hubdna.sources.interface import ByteReader, Tensor

FIRST_READ = 256_000
"""Bytes of the first range: holds the whole header of a file without a tokenizer (later parts, projectors)."""
STEP = 768_000
"""Bytes of every other range at least: a small read has six requests, of which SmolLM2's header takes three."""
UNTIL_TOKENIZER = 64_000
"""Bytes of the first range when only what stands before the tokenizer is wanted: 1 to 10 kB."""
MAX_STEP = 4_000_000
"""Bytes read ahead at most on the word of a count that the file states."""
MAX_HEADER = 64_000_000
"""Bytes walked; the largest tokenizers (260,000 tokens, 520,000 merges) take 16 MB."""
MAX_PAIRS = 100_000
"""Key-value pairs; real files have 20 to 60."""
MAX_STRING = 16_000_000
"""Bytes of a string that is jumped over."""
MAX_KEY = 65_535
"""Bytes, by the format."""
MAX_NAME = 1024
"""Bytes of a tensor's name; ggml stops at 64, other writers do not."""
MAX_KEPT = 4096
"""Bytes of a string, or numbers of a list, that are kept as metadata."""
MAX_DIMS = 4
MAX_DIM = 2**40

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_KEPT = re.compile(r"(?:general|split)\..+|[\w-]+\.attention\.head_count(?:_kv)?")
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
    walk = _Walk(reader, filename)
    n_tensors, n_pairs = _counts(walk)
    metadata, alignment = _read_pairs(walk, n_pairs)
    infos = [_read_info(walk, n_tensors - i) for i in range(n_tensors)]
    base = -(-walk.position // alignment) * alignment
    placed = _place(infos, filename, base, alignment, walk.size)
    heads = metadata
    if "general.architecture" not in metadata and infos:
        heads = _first_part(reader, filename)
    return GgufFile([block_tensor(info, kind, rotary_heads(info.name, heads)) for info, kind in placed], metadata)


class _Walk:
    """A position in the header, and the bytes around it that were read. Raises FormatError past any limit."""

    def __init__(self, reader: ByteReader, filename: str, first_read: int = FIRST_READ) -> None:
        self.reader, self.filename = reader, filename
        self.position = self._base = self._walked = 0
        self._data = reader.read(filename, 0, first_read)
        self.size = reader.size(filename)

    def error(self, reason: str) -> FormatError:
        return FormatError(self.filename, f"header, byte {self.position}: {reason}")

    def need(self, n: int, expected: int = 0) -> int:
        """Have the next n bytes at hand, and read on as far as `expected`; where they begin in the data at hand."""
        at, stop = self.position - self._base, self._base + len(self._data)
        if at + n <= len(self._data):
            return at
        if self.position + n > self.size:
            raise self.error(f"{n} bytes expected, the file ends at byte {self.size}")
        begin = max(self.position, stop)
        end = max(self.position + n, begin + min(max(STEP, expected), MAX_STEP))
        self._walked += end - begin
        if self._walked > MAX_HEADER:
            raise self.error(f"more than {MAX_HEADER} bytes of strings: refused")
        self._data = self._data[at:] + self.reader.read(self.filename, begin, end)
        self._base = self.position
        if len(self._data) < n:
            raise self.error(f"{n} bytes expected, {len(self._data)} came")
        return 0

    def take(self, n: int, expected: int = 0) -> bytes:
        at = self.need(n, expected)
        self.position += n
        return self._data[at : at + n]

    def number(self, form: str, expected: int = 0) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form), expected))[0]
        return value

    def text(self, limit: int, what: str) -> str:
        """A string that is kept: UTF-8 that can be printed."""
        length = self.number("<Q")
        if length > limit:
            raise self.error(f"{what} of {length} bytes, at most {limit} are allowed")
        try:
            text = self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None
        if not text.isprintable():  # control characters would reach terminals
            raise self.error(f"{what} holds characters that cannot be printed")
        return text

    def skip(self, n: int) -> None:
        """Jump over n bytes without reading them."""
        if self.position + n > self.size:
            raise self.error(f"{n} bytes expected, the file ends at byte {self.size}")
        self.position += n

    def skip_strings(self, count: int) -> None:
        """Walk an array of strings by their lengths."""
        if 8 * count > self.size - self.position:
            raise self.error(f"{count} strings do not fit in the file ({self.size} bytes)")
        done, start, length_at = 0, self.position, struct.Struct("<Q").unpack_from
        while done < count:
            typical = 9 * (self.position - start) // (8 * done) if done else 16  # words get longer with their rank
            at, data = self.need(8, (count - done) * typical), self._data
            while done < count and at + 8 <= len(data):
                (length,) = length_at(data, at)
                if length > MAX_STRING:
                    raise self.error(f"a string of {length} bytes, at most {MAX_STRING} are allowed")
                at += 8 + length
                done += 1
            self.position = self._base + at
        self.skip(0)


def _counts(walk: _Walk) -> tuple[int, int]:
    """How many tensors and pairs there are, from a file of a version that is read."""
    if walk.size < 24 or walk.take(4) != b"GGUF":
        raise FormatError(walk.filename, "not GGUF: expected it to begin with GGUF, two counts and a version")
    version = walk.number("<I")
    if version & 0xFFFF == 0:
        raise FormatError(walk.filename, "big-endian GGUF is not read; convert it to little-endian first")
    if version not in (2, 3):
        raise FormatError(walk.filename, f"GGUF version {version}: versions 2 and 3 are read")
    n_tensors, n_pairs = walk.number("<Q"), walk.number("<Q")
    if n_tensors > MAX_TENSORS or n_pairs > MAX_PAIRS:
        raise FormatError(
            walk.filename, f"{n_tensors} tensors and {n_pairs} pairs, at most {MAX_TENSORS} and {MAX_PAIRS} are read"
        )
    return n_tensors, n_pairs


def _read_pairs(walk: _Walk, n: int, until: str = "\0") -> tuple[dict[str, Value], int]:
    """The pairs that are kept, and the alignment; stops at a key that begins with `until`."""
    kept: dict[str, Value] = {}
    seen: set[str] = set()
    alignment = 32
    for _ in range(n):
        key = walk.text(MAX_KEY, "a key")
        if key in seen:
            raise walk.error(f"key {key[:80]!r} appears twice")
        if key.startswith(until):
            break
        seen.add(key)
        kind = walk.number("<I")
        value = _read_value(walk, kind, keep=_KEPT.fullmatch(key) is not None)
        if value is not None:
            kept[key] = value
        if key == "general.alignment":
            if kind != 4 or not isinstance(value, int) or value.bit_count() != 1:
                raise walk.error("general.alignment is not a power of two")
            alignment = value
    return kept, alignment


def _read_value(walk: _Walk, kind: int, *, keep: bool) -> Value | None:
    """One value; None when it is not kept or too long to be."""
    if kind == _STRING:
        length = walk.number("<Q")
        if length > MAX_STRING:
            raise walk.error(f"a string of {length} bytes, at most {MAX_STRING} are allowed")
        if not keep or length > MAX_KEPT:
            walk.skip(length)
            return None
        return "".join(c if c.isprintable() else " " for c in walk.take(length).decode("utf-8", "replace"))
    if kind == _ARRAY:
        return _read_array(walk, keep)
    if kind not in _SCALARS:
        raise walk.error(f"type {kind} of a value is unknown")
    value = walk.number(_SCALARS[kind])
    return value if keep else None


def _read_array(walk: _Walk, keep: bool) -> list[int] | None:
    """A short list of integers; every other array is walked or jumped over."""
    kind, count = walk.number("<I"), walk.number("<Q")
    if kind == _STRING:
        walk.skip_strings(count)
        return None
    if kind not in _SCALARS:
        raise walk.error("arrays of arrays are not read" if kind == _ARRAY else f"type {kind} of an array is unknown")
    form = _SCALARS[kind][1:]
    if not keep or count > MAX_KEPT or form in "fd?":
        walk.skip(count * struct.calcsize(form))
        return None
    return list(struct.unpack(f"<{count}{form}", walk.take(count * struct.calcsize("<" + form))))


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


def _read_info(walk: _Walk, n_left: int) -> _Info:
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
        walk = _Walk(reader, f"{split[1]}-00001-of-{split[3]}.gguf", UNTIL_TOKENIZER)
    except NotFoundError:
        raise FormatError(filename, "part of a split model, and the first part is not beside it") from None
    return _read_pairs(walk, _counts(walk)[1], until="tokenizer.")[0]
