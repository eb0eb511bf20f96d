"""The zip archives that PyTorch writes, by ranges: which bytes hold which entry. Nothing is unpacked.

Two requests open one: the head tells what the file is, the tail holds the directory; a longer directory takes one more.

Where an entry's bytes begin stands in its local header, and a request for each would cost more than all the rest. It
follows from the directory: the data end where the next entry begins, less a descriptor of 16 bytes (24 beyond 4 GB),
and PyTorch aligns their beginning to 64 bytes, which confirms it. Whoever reads an entry from its beginning reads the
local header too, some hundred bytes, and is refused when the header says otherwise (`agreed`): an archive whose bytes
mean one thing here and another to PyTorch does not pass.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from hubdna.errors import FormatError
from hubdna.sources.interface import ByteReader, merge_spans, read_spans

HEAD, TAIL = 100_000, 65_536
"""Bytes of the first two ranges: the pickle of 600 tensors, the directory of 900 entries."""
MAX_KEPT = 1_000_000
"""Bytes that the head may grow to; a longer pickle is read by itself."""
MAX_DIRECTORY, MAX_ENTRIES = 25_000_000, 200_000
MAX_HEADER_REQUESTS = 8
"""For local headers whose place does not follow from the directory: only archives that PyTorch did not write."""

_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_END, _END64, _LOCATOR = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_CENTRAL, _LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")


class ZipReader:
    """Head and tail of one file, and whatever else is asked for."""

    def __init__(self, reader: ByteReader, filename: str) -> None:
        self.reader, self.name = reader, filename
        self.head = reader.read(filename, 0, HEAD)
        self.size = reader.size(filename)
        _refuse_others(self.head, filename)
        self.tail_at = max(self.size - TAIL, len(self.head))
        self.tail = self._fetch(self.tail_at, self.size)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), which must lie in the file; what was read already costs nothing."""
        if not 0 <= start <= stop <= self.size:
            raise FormatError(self.name, f"bytes {start} to {stop} are outside the file ({self.size} bytes)")
        if start <= len(self.head) < stop <= MAX_KEPT:  # a pickle longer than the head; what follows it is needed
            self.head += self._fetch(len(self.head), min(stop + 2_000, self.tail_at))
        middle = self._fetch(max(start, len(self.head)), min(stop, self.tail_at))
        return self.head[start:stop] + middle + self.tail[max(start - self.tail_at, 0) : max(stop - self.tail_at, 0)]

    def _fetch(self, start: int, stop: int) -> bytes:
        if stop <= start:
            return b""
        data = self.reader.read(self.name, start, stop)
        if len(data) != stop - start:
            raise FormatError(self.name, f"expected {stop - start} bytes at {start}, found {len(data)}: file cut short")
        return data


def _refuse_others(head: bytes, filename: str) -> None:
    """Say what a file is that is no zip archive."""
    if head.startswith(b"PK\x03\x04"):
        return
    if head[2:14] == _MAGIC or head[257:262] == b"ustar":
        raise FormatError(filename, "legacy PyTorch file, not a zip archive: not read")
    if head.startswith(b"\x80"):
        raise FormatError(filename, "a bare pickle, not a PyTorch zip archive: not read")
    if head.startswith(b"version https://git-lfs"):
        raise FormatError(filename, "a Git LFS pointer, not the file it points to")
    raise FormatError(filename, f"not a PyTorch zip archive: expected PK\\x03\\x04, found {bytes(head[:4])!r}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the archive, as the directory has it.

    Attributes:
        header: where its local header begins.
        least: that header's length without extra fields.
        size: of the data as they lie in the file.
        is_stored: neither compressed nor encrypted.
        is_described: a descriptor follows the data.
        data: where they begin; None when it does not follow from the directory.
    """

    header: int
    least: int
    size: int
    is_stored: bool
    is_described: bool
    data: int | None = None


def directory(file: ZipReader) -> dict[str, Entry]:
    """All entries by name, in the directory's order."""
    n, start, stop = _end(file)
    if n > MAX_ENTRIES or stop - start > MAX_DIRECTORY:
        raise FormatError(file.name, f"directory of {n} entries and {stop - start} bytes: refused before reading it")
    raw = file.read(start, stop)
    entries: dict[str, Entry] = {}
    at = 0
    for _ in range(n):
        name, entry, at = _row(raw, at, file.name)
        entries[name] = entry
    if at != len(raw):
        raise FormatError(file.name, f"directory of {n} entries ends at byte {at} of {len(raw)}")
    if len({name.lower() for name in entries}) != n:  # PyTorch looks names up without regard to case
        raise FormatError(file.name, "two entries share a name")
    _place(entries, start, file.name)
    return entries


def _end(file: ZipReader) -> tuple[int, int, int]:
    """The end record, which must end the file: number of entries, where the directory begins and ends."""
    at = file.size - _END.size
    if at < 0 or not (raw := file.read(at, file.size)).startswith(b"PK\x05\x06"):
        raise FormatError(file.name, "no end-of-directory record ends the file: cut short, or something is appended")
    _, *short, comment = _END.unpack(raw)
    fields = short
    locator = file.read(max(at - _LOCATOR.size, 0), at)
    if locator.startswith(b"PK\x06\x07"):
        at -= _LOCATOR.size + _END64.size
        magic, length, _, _, *fields = _END64.unpack(file.read(at, at + _END64.size))
        if (magic, length) != (b"PK\x06\x06", 44) or _LOCATOR.unpack(locator)[1:] != (0, at, 1):
            raise FormatError(file.name, "the zip64 end-of-directory record is not where it belongs")
        if any(a not in (b, full) for a, b, full in zip(short, fields, [2**16 - 1] * 4 + [2**32 - 1] * 2, strict=True)):
            raise FormatError(file.name, "the two end-of-directory records differ")
    disk, disk_of, n_here, n, size, offset = fields
    if comment or disk or disk_of or n_here != n or offset + size != at:
        raise FormatError(file.name, "the directory does not end where its record begins")
    return n, offset, at


def _row(raw: bytes, at: int, filename: str) -> tuple[str, Entry, int]:
    """One row of the directory: name, entry, where the next row begins."""
    if at + _CENTRAL.size > len(raw) or raw[at : at + 4] != b"PK\x01\x02":
        raise FormatError(filename, f"directory cut short at byte {at} of {len(raw)}")
    fields = _CENTRAL.unpack_from(raw, at)
    flags, method, packed, size, n_name, n_extra, n_note, header = *fields[3:5], *fields[8:13], fields[16]
    at += _CENTRAL.size
    stop = at + n_name + n_extra + n_note
    name, extra = raw[at : at + n_name], raw[at + n_name : at + n_name + n_extra]
    if stop > len(raw) or name.startswith(b"/") or b".." in name.split(b"/"):
        raise FormatError(filename, f"entry {name[:80]!r}: cut short, or its name leaves the archive")
    size, packed, header = _wide(extra, [size, packed, header], filename)
    if method == 0 and size != packed:
        raise FormatError(filename, f"entry {name[:80]!r}: stored as it is, but {size} bytes became {packed}")
    entry = Entry(header, _LOCAL.size + n_name, packed, method == 0 and not flags & 1, bool(flags & 8))
    return name.decode("utf-8", "surrogateescape"), entry, stop


def _wide(extra: bytes, short: list[int], filename: str) -> list[int]:
    """Replace the numbers that did not fit 32 bits by those of the zip64 field."""
    if 2**32 - 1 not in short:
        return short
    at = 0
    while at + 4 <= len(extra):
        tag, n = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            field = iter(struct.unpack_from(f"<{min(n, len(extra) - at - 4) // 8}Q", extra, at + 4))
            wide = [next(field, -1) if value == 2**32 - 1 else value for value in short]
            if -1 not in wide:
                return wide
        at += 4 + n
    raise FormatError(filename, "an entry's zip64 numbers are missing")


def _place(entries: dict[str, Entry], end: int, filename: str) -> None:
    """No entry may overlap the next. Where its data begin is derived, if it can be."""
    for name, entry in sorted(entries.items(), key=lambda item: item[1].header, reverse=True):
        room = end - entry.size - entry.header - entry.least
        if room < 0:
            raise FormatError(filename, f"entry {name[:80]!a} overlaps what follows it (byte {end})")
        wide = max(entry.size, entry.header) >= 2**32 - 1
        lengths = ((24, 16) if wide else (16,)) if entry.is_described else (0,)
        starts = [end - entry.size - n for n in lengths]
        fits = [s for s in starts if 0 <= s - entry.header - entry.least < 2**16]
        if entry.is_described:
            fits = [s for s in fits if s % 64 == 0]
        if fits:
            entries[name] = replace(entry, data=fits[0])
        end = entry.header


def settle(file: ZipReader, wanted: dict[str, Entry]) -> dict[str, Entry]:
    """Ask the local headers of those entries whose data begin nobody knows where."""
    names = {entry.header: name for name, entry in wanted.items() if entry.data is None}
    spans = [(header, header + _LOCAL.size) for header in names]
    if len(merge_spans(spans)) > MAX_HEADER_REQUESTS:
        raise FormatError(file.name, f"{len(spans)} local headers would have to be asked one by one: refused")
    settled = dict(wanted)
    for (header, _), raw in read_spans(file.reader, file.name, spans):
        settled[names[header]] = replace(wanted[names[header]], data=_data_start(raw, header, file.name))
    return settled


def _data_start(raw: bytes | memoryview, header: int, filename: str) -> int:
    """Where a local header says that its data begin."""
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise FormatError(filename, f"no local header at byte {header}, where the directory has one")
    *_, n_name, n_extra = _LOCAL.unpack_from(raw)
    return int(header + _LOCAL.size + n_name + n_extra)


def agreed(raw: bytes | memoryview, entry: Entry, filename: str) -> None:
    """Refuse an archive whose local header (the beginning of `raw`) has the data elsewhere."""
    if (says := _data_start(raw, entry.header, filename)) != entry.data:
        raise FormatError(filename, f"data expected at byte {entry.data}, their local header says {says}")


def contents(file: ZipReader, entries: dict[str, Entry], name: str, limit: int) -> bytes:
    """A small entry as a whole."""
    if name not in entries:
        raise FormatError(file.name, f"a zip archive, but no PyTorch one: it holds no {name[:80]!a}")
    entry = settle(file, {name: entries[name]})[name]
    if entry.size > limit or not entry.is_stored or entry.data is None:
        raise FormatError(file.name, f"{name[:80]!a}: {entry.size} bytes, expected at most {limit}, not compressed")
    raw = file.read(entry.header, entry.data + entry.size)
    agreed(raw, entry, file.name)
    return raw[entry.data - entry.header :]
