"""The header of a GGUF file, walked by ranges: counts, key-value pairs, and whatever follows.

The infos of the tensors stand behind the tokenizer, several MB of strings that only their own lengths delimit: they are
walked, in reads sized by what the current array is expected to take, and dropped; arrays of numbers are jumped over. A
search for the infos from the file's end would be cheaper, but a file could then show this reader other weights than the
ones that llama.cpp runs. So a header costs what its strings take (SmolLM2: 1.8 MB, a vocabulary of 150,000: 6 MB),
whatever the size of the file.
"""

from __future__ import annotations

import re
import struct

from hubdna.errors import FormatError
from hubdna.sources.gguf_blocks import MAX_TENSORS, Value
from hubdna.sources.interface import ByteReader

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
MAX_KEPT = 4096
"""Bytes of a string, or numbers of a list, that are kept as metadata."""

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_KEPT = re.compile(r"(?:general|split)\..+|[\w-]+\.attention\.head_count(?:_kv)?")


class Walk:
    """A position in the header, and the bytes around it that were read. Raises FormatError past any limit."""

    def __init__(self, reader: ByteReader, filename: str, first_read: int = FIRST_READ) -> None:
        self.reader, self.filename = reader, filename
        self.position = self._base = self._walked = 0
        self._data = reader.read(filename, 0, first_read)
        self.size = reader.size(filename)

    def error(self, reason: str) -> FormatError:
        """What to raise."""
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
        """The next n bytes."""
        at = self.need(n, expected)
        self.position += n
        return self._data[at : at + n]

    def number(self, form: str, expected: int = 0) -> int:
        """One number, by its `struct` format."""
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


def read_counts(walk: Walk) -> tuple[int, int]:
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


def read_pairs(walk: Walk, n: int, until: str = "\0") -> tuple[dict[str, Value], int]:
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


def _read_value(walk: Walk, kind: int, *, keep: bool) -> Value | None:
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


def _read_array(walk: Walk, keep: bool) -> list[int] | None:
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
