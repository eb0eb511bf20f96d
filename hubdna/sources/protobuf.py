"""Protocol-buffer messages by byte ranges: tags and lengths are walked, payloads are skipped without being read.

A message is a row of fields: a tag (number and wire type), then a number or a length and so many bytes. To skip a
payload costs nothing, so the directory of a file whose weights fill gigabytes is read in small windows. What a window
costs adapts to the file: after a jump it is 16 kB; while the walk goes on where the last window ended (many small
fields, a long list of nodes) each is twice the one before, up to 1 MB; a file of at most 2 MB is read in two requests.

Nothing that the bytes say is trusted: a length must end inside its message, a varint has at most ten bytes, and the
number of fields and of bytes read is limited. Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.sources.interface import MERGE_GAP, ByteReader

FIRST_WINDOW = 100_000
"""Bytes of the first request; as for safetensors headers."""
AFTER_JUMP = 16_000
"""Bytes of the first request after a jump: one tensor's fields take 100, the biases that follow a matrix 3,000 each."""
MAX_WINDOW = 1_000_000
"""Bytes of the widest request: a graph of 8 MB takes about a dozen."""
WHOLE = 2_000_000
"""Bytes up to which a file is simply read: its weights read once more, that is still within the smallest budget."""
MAX_FIELDS = 3_000_000
"""Fields walked: the graphs of the largest models have 100,000 nodes of about 10. Some four seconds."""
MAX_READ = 64_000_000
"""Bytes read while walking; stack traces on every node of 100,000 would take that much."""

VARINT, I64, LEN, I32 = 0, 1, 2, 5
"""Wire types; 3 and 4 (groups) were given up by the format long before ONNX."""
Field = tuple[int, int, int, int]
"""Number, wire type, and either (value, 0) of a varint or (first byte, byte after the last) of anything else."""


class OutOfBudgetError(Exception):
    """The walk has spent what its caller allows; not an error of the file."""


class Window:
    """A forward walk over one file, in as few requests as it can.

    Args:
        reader: gives the bytes.
        filename: the file.
        max_requests: requests after which OutOfBudgetError is raised; None for no limit.
        max_bytes: bytes read after which OutOfBudgetError is raised; None for no limit.
    """

    def __init__(
        self, reader: ByteReader, filename: str, max_requests: int | None = None, max_bytes: int | None = None
    ) -> None:
        self.reader, self.filename = reader, filename
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.n_fields = 0
        self._sizes: dict[str, int] = {}
        self.base = 0
        self.buffer = reader.read(filename, 0, FIRST_WINDOW)
        self.size = reader.size(filename)
        self.n_requests, self.n_read, self._width = 1, len(self.buffer), FIRST_WINDOW

    def fail(self, reason: str) -> FormatError:
        """The error to raise about this file."""
        return FormatError(self.filename, reason)

    def size_beside(self, filename: str) -> int:
        """Length of another file of the model, for one request."""
        if filename not in self._sizes:
            self._check_budget(1)
            self.reader.read(filename, 0, 1)
            self.n_requests += 1
            self._sizes[filename] = self.reader.size(filename)
        return self._sizes[filename]

    def load(self, start: int, n: int) -> int:
        """Make bytes [start, start + n) of the file available; returns where they lie in `buffer`."""
        at = start - self.base
        if 0 <= at and at + n <= len(self.buffer):
            return at
        if start + n > self.size:
            raise self.fail(f"cut short: expected {n} bytes at {start}, the file has {self.size}")
        near = start - (self.base + len(self.buffer)) <= MERGE_GAP
        self._width = min(2 * self._width, MAX_WINDOW) if near else AFTER_JUMP
        width = self.size if self.size <= WHOLE else max(self._width, n)
        self._check_budget(min(width, self.size - start))
        self.buffer = self.reader.read(self.filename, start, min(start + width, self.size))
        self.base = start
        self.n_requests += 1
        self.n_read += len(self.buffer)
        if len(self.buffer) < n:
            raise self.fail(f"cut short: expected {n} bytes at {start}, found {len(self.buffer)}")
        return 0

    def _check_budget(self, n: int) -> None:
        if self.n_read + n > MAX_READ:
            raise self.fail(f"its directory takes more than {MAX_READ} bytes: refused")
        if self.max_requests is not None and self.n_requests >= self.max_requests:
            raise OutOfBudgetError
        if self.max_bytes is not None and self.n_read + n > self.max_bytes:
            raise OutOfBudgetError

    def bytes(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop) themselves; for short fields."""
        at = self.load(start, stop - start)
        return self.buffer[at : at + stop - start]

    def varint(self, position: int, stop: int) -> tuple[int, int]:
        """One number of at most 64 bits and the position after it. Raises FormatError."""
        if position >= stop:
            raise self.fail(f"a number ends past its message (byte {position})")
        at = position - self.base
        if not 0 <= at < len(self.buffer) - 10:
            at = self.load(position, min(10, stop - position, self.size - position))
        buffer = self.buffer
        value = buffer[at]
        if value < 128:
            return value, position + 1
        value &= 127
        for i in range(1, min(10, stop - position)):
            byte = buffer[at + i]
            value |= (byte & 127) << (7 * i)
            if byte < 128:
                if value >= 1 << 64:
                    break
                return value, position + i + 1
        raise self.fail(f"a number at byte {position} does not end, or has more than 64 bits")

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """The fields of the message in [start, stop), payloads unread. Raises FormatError."""
        position = start
        while position < stop:
            self.n_fields += 1
            if self.n_fields > MAX_FIELDS:
                raise self.fail(f"more than {MAX_FIELDS} fields: refused")
            tag, position = self.varint(position, stop)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, position = self.varint(position, stop)
                yield number, wire, value, 0
                continue
            if wire == LEN:
                n, position = self.varint(position, stop)
            else:
                n = {I64: 8, I32: 4}.get(wire, -1)
            if n < 0 or not number:
                raise self.fail(f"not a protocol buffer: field {number} of wire type {wire} before byte {position}")
            if n > stop - position:
                raise self.fail(f"field {number} of {n} bytes at {position} ends past its message (byte {stop})")
            yield number, wire, position, position + n
            position += n


def unpack_varints(data: memoryview) -> NDArray[np.uint64] | None:
    """Numbers packed without tags, modulo 2^64; None when they are malformed."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if not len(raw):
        return np.zeros(0, np.uint64)
    if not len(ends) or ends[-1] != len(raw) - 1:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        return None
    values = np.zeros(len(ends), np.uint64)
    for i in range(int(lengths.max())):
        longer = lengths > i
        values[longer] |= (raw[starts[longer] + i] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * i)
    return values
