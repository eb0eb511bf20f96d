"""Where bytes come from, and how to ask for few of them in few requests.

A `ByteReader` gives byte ranges of the files of one model and counts what that cost. There are two: `LocalReader`
here, and the Hub's in `hubdna.hub`. Format readers (`safetensors.py`, ...) only ever see this interface, so that a
model has the same DNA wherever it lies.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from hubdna.errors import FormatError, NotFoundError

MERGE_GAP = 64_000
"""Bytes worth wasting to save a request: a round trip costs about as much as 64 kB at 10 Mbit/s and 50 ms."""


class ByteReader(Protocol):
    """Random access to the files of one model. `n_bytes` and `n_requests` grow with use."""

    n_bytes: int
    n_requests: int

    def size(self, filename: str) -> int:
        """Length of a file in bytes. Costs nothing once something of it was read."""

    def read(self, filename: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), cut at the end of the file. Raises HubError."""

    def sha256(self, filename: str) -> str | None:
        """The file's hash if it came along with something that was read, else None."""


class LocalReader:
    """Byte ranges of the files of a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_bytes = 0
        self.n_requests = 0

    def _path(self, filename: str) -> Path:
        inside = not Path(filename).is_absolute() and ".." not in Path(filename).parts
        path = self.folder / filename  # links are followed: a download cache consists of them
        if not inside or not path.is_file():
            raise NotFoundError(f"{self.folder}: no file named {filename}")
        return path

    def size(self, filename: str) -> int:
        """Length of a file in bytes."""
        return self._path(filename).stat().st_size

    def read(self, filename: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), cut at the end of the file."""
        with self._path(filename).open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        self.n_bytes += len(data)
        self.n_requests += 1
        return data

    def sha256(self, filename: str) -> str | None:
        """None: hashing a whole file is not free here."""
        return None


def merge_spans(spans: Iterable[tuple[int, int]], gap: int = MERGE_GAP) -> list[tuple[int, int]]:
    """Join spans [start, stop) that overlap or lie closer than `gap` bytes; sorted."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def read_spans(
    reader: ByteReader, filename: str, spans: list[tuple[int, int]], gap: int = MERGE_GAP
) -> Iterator[tuple[tuple[int, int], memoryview]]:
    """Yield (span, bytes) for every asked span, reading merged ranges. Raises FormatError on a short file."""
    wanted = deque(sorted(spans))
    for start, stop in merge_spans(wanted, gap):
        data = memoryview(reader.read(filename, start, stop) if stop > start else b"")
        if len(data) != stop - start:
            raise FormatError(filename, f"expected {stop - start} bytes at {start}, found {len(data)}: file cut short")
        while wanted and wanted[0][1] <= stop:
            a, b = wanted.popleft()
            yield (a, b), data[a - start : b - start]


def sha256_of(path: Path) -> str:
    """SHA-256 of a local file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
