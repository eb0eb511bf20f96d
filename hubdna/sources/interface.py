"""Where bytes come from, and how to ask for few of them in few requests.

A `ByteReader` gives byte ranges of the files of one model and counts what that cost. There are two: `LocalReader`
here, and the Hub's in `hubdna.hub`. Format readers (`safetensors.py`, ...) only ever see this interface, so that a
model has the same DNA wherever it lies.

What a format reader gives is a list of `Tensor`s: name, dtype and shape, which bytes hold the units first..first+n of
its first axis, and how those bytes become float32. Nothing is read before somebody asks for units.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError, NotFoundError
from hubdna.records import TensorInfo

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


Extent = tuple[str, int, int]
"""File name, first byte, byte after the last."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of a model, readable by units of its first axis.

    Attributes:
        info: name, dtype as stored ("BF16", "Q4_K", ...), shape as the weights are meant.
        extents: (first, n) -> where the bytes of those units lie; cheap, reads nothing.
        decode: (bytes of those extents, first, n) -> float32 [n, *shape[1:]].
        quantised: whether the stored values are a grid, so that few distinct values are no sign of structure.
        merged: gives the same tensor with its first two axes made one, so that rows of a unit (of one expert of a
            stack) can be read alone; None where a whole unit is the least that can be read.
    """

    info: TensorInfo
    extents: Callable[[int, int], list[Extent]]
    decode: Callable[[Sequence[memoryview], int, int], NDArray[np.float32]]
    quantised: bool = False
    merged: Callable[[], Tensor] | None = None

    @property
    def n_units(self) -> int:
        """Length of the first axis; 1 for a scalar."""
        return self.info.shape[0] if self.info.shape else 1

    def n_bytes(self, n: int) -> int:
        """What reading n units costs."""
        return sum(stop - start for _, start, stop in self.extents(0, n))


def merge_axes(info: TensorInfo) -> TensorInfo:
    """The same bytes with the first two axes made one."""
    return replace(info, shape=(info.shape[0] * info.shape[1], *info.shape[2:]))


Wanted = tuple[Tensor, int, int]
"""A tensor, its first unit, how many units."""
MAX_BATCH = 64_000_000
"""Bytes held at once while a whole model is read; a larger tensor is a batch of its own."""


def read_units(reader: ByteReader, wanted: Iterable[Wanted], gap: int = 0) -> Iterator[NDArray[np.float32]]:
    """Read units of many tensors in few requests; one float32 array for each, in order.

    Args:
        reader: gives the bytes.
        wanted: what to read.
        gap: bytes worth wasting to save a request; 0 keeps to a byte budget.
    """
    batch: list[Wanted] = []
    size = 0
    for item in wanted:
        n_bytes = sum(stop - start for _, start, stop in item[0].extents(item[1], item[2]))
        if batch and size + n_bytes > MAX_BATCH:
            yield from _read_batch(reader, batch, gap)
            batch, size = [], 0
        batch.append(item)
        size += n_bytes
    yield from _read_batch(reader, batch, gap)


def _read_batch(reader: ByteReader, batch: list[Wanted], gap: int) -> Iterator[NDArray[np.float32]]:
    extents = [tensor.extents(first, n) for tensor, first, n in batch]
    found: dict[Extent, memoryview] = {}
    for filename in dict.fromkeys(name for of_one in extents for name, _, _ in of_one):
        spans = {(start, stop) for of_one in extents for name, start, stop in of_one if name == filename}
        for (start, stop), data in read_spans(reader, filename, list(spans), gap):
            found[filename, start, stop] = data
    for (tensor, first, n), of_one in zip(batch, extents, strict=True):
        yield tensor.decode([found[extent] for extent in of_one], first, n)


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
