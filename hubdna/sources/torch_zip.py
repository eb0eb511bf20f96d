"""PyTorch's zip archives (`.bin`, `.pt`, `.pth`, `.ckpt`, TorchScript): which bytes hold which weights. Nothing is run.

An archive is a pickle that says what tensors there are (`*/data.pkl`, run on the machine of `pickles`), and one entry
a storage (`*/data/<key>`), stored as it is. Two requests open one: the head tells what the file is and mostly holds
the pickle, the tail holds the directory; a longer pickle or directory takes one more.

Where a storage's bytes begin stands in its local header, and a request for each would cost more than all the rest. It
follows from the directory: the data end where the next entry begins, less a descriptor of 16 bytes (24 beyond 4 GB),
and PyTorch aligns their beginning to 64 bytes, which confirms it. Whoever reads a storage from
its beginning reads the local header too, some hundred bytes, and is refused when the header says otherwise: an archive
whose bytes mean one thing here and another to PyTorch does not pass.

Hostile until checked: entries must not overlap or share a name, every view must lie within its storage and every
storage within its entry, and no file is worth reading more than `MAX_VIEWS` times over.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError, NoWeightsError
from hubdna.records import TensorInfo
from hubdna.sources import pickles
from hubdna.sources.interface import ByteReader, Extent, Tensor, merge_spans, read_spans
from hubdna.sources.pickles import Opaque, Persistent, Record
from hubdna.sources.safetensors import ITEMSIZE, NUMPY_DTYPES

HEAD, TAIL = 100_000, 65_536
"""Bytes of the first two ranges: the pickle of 600 tensors, the directory of 900 entries."""
MAX_KEPT = 1_000_000
"""Bytes that the head may grow to; a longer pickle is read by itself."""
MAX_DIRECTORY, MAX_ENTRIES = 25_000_000, 200_000
MAX_PICKLE = 64_000_000
MAX_VIEWS = 16
"""Bytes that all tensors reach over, by bytes of all entries: tied weights reach 2, chunks of fused maps up to 16."""
MAX_HEADER_REQUESTS = 8
"""For local headers whose place does not follow from the directory: only archives that PyTorch did not write."""

_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_END, _END64, _LOCATOR = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_CENTRAL, _LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")


@dataclass(frozen=True, slots=True)
class Archive:
    """What one file holds.

    Attributes:
        tensors: of the model.
        taken: the part of a nested checkpoint that they are, "" for the whole.
        left_out: what else there was, and why it is not the model.
    """

    tensors: tuple[Tensor, ...]
    taken: str
    left_out: tuple[str, ...]


def read_tensors(reader: ByteReader, filename: str) -> list[Tensor]:
    """Open one file; see `read_archive`."""
    return list(read_archive(reader, filename).tensors)


def read_archive(reader: ByteReader, filename: str) -> Archive:
    """Open one file: its directory and pickle are read and checked, its tensors can be asked for units.

    Raises:
        FormatError: the file is not a sound archive.
        NoWeightsError: it is one, but no model lies in it (an optimizer's state, training arguments).
    """
    file = _File(reader, filename)
    entries = _directory(file)
    top = next(iter(entries), "").partition("/")[0]  # of the first entry, as PyTorch does it
    program = _contents(file, entries, f"{top}/data.pkl", MAX_PICKLE)
    found, modules, notes = _walk(pickles.load(program, filename), filename)
    taken, found, aside = _model_of(found, modules)
    views = _views(found, len(taken), notes, filename)
    left_out = (*aside, *notes)
    if not views:
        raise NoWeightsError(f"{filename}: no tensors of a model ({'; '.join(left_out[:3]) or 'none at all'})")
    big = f"{top}/byteorder" in entries and _contents(file, entries, f"{top}/byteorder", 16).startswith(b"big")
    storages = _storages(file, entries, f"{top}/data/", views)
    tensors = tuple(_tensor(view, storages[view.key], filename, big) for view in views)
    return Archive(tensors, ".".join(taken), left_out)


class _File:
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
class _Entry:
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


def _directory(file: _File) -> dict[str, _Entry]:
    """All entries by name, in the directory's order."""
    n, start, stop = _end(file)
    if n > MAX_ENTRIES or stop - start > MAX_DIRECTORY:
        raise FormatError(file.name, f"directory of {n} entries and {stop - start} bytes: refused before reading it")
    raw = file.read(start, stop)
    entries: dict[str, _Entry] = {}
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


def _end(file: _File) -> tuple[int, int, int]:
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


def _row(raw: bytes, at: int, filename: str) -> tuple[str, _Entry, int]:
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
    entry = _Entry(header, _LOCAL.size + n_name, packed, method == 0 and not flags & 1, bool(flags & 8))
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


def _place(entries: dict[str, _Entry], end: int, filename: str) -> None:
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


def _settle(file: _File, wanted: dict[str, _Entry]) -> dict[str, _Entry]:
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


def _agreed(raw: bytes | memoryview, entry: _Entry, filename: str) -> None:
    """Refuse an archive whose local header (the beginning of `raw`) has the data elsewhere."""
    if (says := _data_start(raw, entry.header, filename)) != entry.data:
        raise FormatError(filename, f"data expected at byte {entry.data}, their local header says {says}")


def _contents(file: _File, entries: dict[str, _Entry], name: str, limit: int) -> bytes:
    """A small entry as a whole."""
    if name not in entries:
        raise FormatError(file.name, f"a zip archive, but no PyTorch one: it holds no {name[:80]!a}")
    entry = _settle(file, {name: entries[name]})[name]
    if entry.size > limit or not entry.is_stored or entry.data is None:
        raise FormatError(file.name, f"{name[:80]!a}: {entry.size} bytes, expected at most {limit}, not compressed")
    raw = file.read(entry.header, entry.data + entry.size)
    _agreed(raw, entry, file.name)
    return raw[entry.data - entry.header :]


# What the pickle says: tensors by path, which of them are the model, and where their values lie.

_STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "UntypedStorage": "U8",
    "QInt8Storage": "I8", "QUInt8Storage": "U8", "QInt32Storage": "I32",
}  # fmt: skip
_TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "complex64": "C64",
    "complex128": "C128",
}  # fmt: skip
_ITEMSIZE = {**ITEMSIZE, "C64": 8, "C128": 16}
_UNWRAPPED = {"_rebuild_parameter": 0, "_rebuild_parameter_with_state": 0, "Parameter": 0, "Buffer": 0}
"""Argument that is the tensor itself."""
_REBUILT = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}
_MAPPINGS = {"OrderedDict", "defaultdict", "Counter", "dict", "mappingproxy"}
_SILENT = {"_parameters", "_buffers", "_modules"}
"""How a pickled module files its tensors; no part of their names."""
MAX_DEPTH, MAX_NAME = 100, 1_000
"""Containers in each other (a module is three), characters."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _View:
    """One tensor: a strided view of a storage. Numbers count elements."""

    name: str
    dtype: str
    key: str
    n_stored: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def reach(self) -> int:
        """Elements from the first to the last that it touches."""
        return _reach(self.shape, self.strides)


def _reach(shape: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if math.prod(shape) else 0


def _walk(root: Any, filename: str) -> tuple[list[tuple[Path, Record]], set[Path], list[str]]:
    """Every tensor with its path, in the pickle's order; the paths that are modules; what could not be followed."""
    found: list[tuple[Path, Record]] = []
    modules: set[Path] = set()
    notes: list[str] = []
    seen: set[int] = set()
    todo: list[Iterator[tuple[Path, Any]]] = [iter([((), root)])]
    while todo:
        path, value = next(todo[-1], ((), todo))
        if value is todo:
            todo.pop()
        elif (tensor := _as_tensor(value)) is not None:
            found.append((path, tensor))
        elif isinstance(value, dict | list | tuple | Record) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Record) and not _is_mapping(value):
                modules.add(path)
            if len(todo) < MAX_DEPTH:
                todo.append(_children(path, value))
            elif not notes:
                notes.append(f"{_shown(path)}: nested deeper than {MAX_DEPTH}")
    if any(sum(map(len, path)) > MAX_NAME or not "".join(path).isprintable() for path, _ in found):
        raise FormatError(filename, f"a tensor's name is longer than {MAX_NAME} characters or cannot be printed")
    return found, modules, notes


def _shown(path: Path) -> str:
    return ascii(".".join(path)[:80])[1:-1]


def _is_mapping(record: Record) -> bool:
    return isinstance(record.made_by, Opaque) and record.made_by.name in _MAPPINGS


def _children(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """What a container holds. The parts of a record are its own, so that shared ones are walked once."""
    if isinstance(value, dict):
        for i, (key, child) in enumerate(value.items()):
            name = str(key) if isinstance(key, str | int) else f"key{i}"
            yield path if name in _SILENT else (*path, name), child
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            yield (*path, str(i)), child
    elif isinstance(value, Record):
        yield path, value.items
        yield path, value.values
        yield path, value.args
        if not _is_mapping(value):  # a state_dict's attributes repeat its names
            yield path, value.state


def _as_tensor(value: Any) -> Record | None:
    """The record that rebuilds a tensor, out of the parameter and subclass around it; None for anything else."""
    for _ in range(4):
        if not isinstance(value, Record) or not isinstance(value.made_by, Opaque) or not isinstance(value.args, tuple):
            return None
        name, args = value.made_by.name, value.args
        if not value.made_by.module.startswith("torch"):
            return None
        if name in _UNWRAPPED and args:
            value = args[0]
        elif name == "_rebuild_from_type_v2" and len(args) > 2:
            value = Record(args[0], args[2])
        else:
            return value if name.startswith("_rebuild_") else None
    return None


_ASIDE: tuple[tuple[str, str], ...] = (
    (r"(.*_)?opt(im(izer)?s?)?(_.*)?", "state of an optimizer"),
    (r"(.*_)?sched(uler)?s?(_.*)?", "state of a schedule"),
    (r"(.*_)?(rng|random)(_.*)?", "state of random numbers"),
    (r"(.*_)?scaler(_.*)?|amp(_.*)?", "state of loss scaling"),
    (r"callbacks|loops|hyper_parameters|hparams|args|training_args|config|cfg|history|metrics|logs?", "bookkeeping"),
)
"""Parts of a training checkpoint that are not the model."""
_AVERAGE = re.compile(r"(.*_)?(ema|swa|shadow|averaged)(_.*)?", re.IGNORECASE)
_FLAT_AVERAGE = re.compile(r"(model_)?ema(_model)?\..*", re.IGNORECASE)
_WRAPPERS = frozenset(
    "state_dict model_state_dict model_state model module net network params weights params_ema ema state_dict_ema"
    " model_ema ema_model ema_state_dict generator g_ema student teacher model_weights net_g weight".split()
)
"""Keys that say no more than "here is the model"."""


def _model_of(
    found: list[tuple[Path, Record]], modules: set[Path]
) -> tuple[Path, list[tuple[Path, Record]], list[str]]:
    """Which part of a nested checkpoint is the model: its path, its tensors, what else there was.

    Parts that are known not to be the model go; a copy by moving average goes when there is anything else. What is
    left is the model, and if that is one part with a name that says nothing, the name goes too.
    """
    prefix: Path = ()
    left_out: list[str] = []
    while found and prefix not in modules and found[0][0] != prefix and len(prefix) < 8:
        at = len(prefix)
        parts = dict.fromkeys(path[at] for path, _ in found if len(path) > at + 1)
        aside = {part: reason for part in parts if (reason := _aside(part))}
        averages = [p for p in parts if p not in aside and _AVERAGE.fullmatch(p)]
        if len(parts) > len(aside) + len(averages) or any(len(path) == at + 1 for path, _ in found):
            aside |= dict.fromkeys(averages, "moving average of the weights")
        left_out += [f"{_shown((*prefix, part))}: {reason}" for part, reason in aside.items()]
        kept = [part for part in parts if part not in aside]
        beside = [path for path, _ in found if len(path) == at + 1]
        found = [(path, t) for path, t in found if len(path) == at + 1 or path[at] not in aside]
        if len(kept) != 1 or kept[0].lower() not in _WRAPPERS:
            break
        left_out += [f"{_shown(path)}: beside the model" for path in beside]
        found = [(path, t) for path, t in found if len(path) > at + 1]
        prefix = (*prefix, kept[0])
    averaged = [(path, t) for path, t in found if _FLAT_AVERAGE.fullmatch(".".join(path[len(prefix) :]))]
    if averaged and len(averaged) < len(found):
        names = {path for path, _ in averaged}
        found = [(path, t) for path, t in found if path not in names]
        left_out.append(f"{_shown(averaged[0][0])} and {len(averaged) - 1} more: moving average of the weights")
    return prefix, found, left_out


def _aside(part: str) -> str | None:
    return next((reason for pattern, reason in _ASIDE if re.fullmatch(pattern, part, re.IGNORECASE)), None)


def _views(found: list[tuple[Path, Record]], at: int, notes: list[str], filename: str) -> list[_View]:
    """Checked views; a second name of the same values and what is no plain view are left out, with a note."""
    views: dict[tuple[Any, ...], _View] = {}
    names: set[str] = set()
    for path, record in found:
        name = ".".join(path[at:]) or "weight"
        if record.made_by.name not in _REBUILT:
            notes.append(f"{_shown(path)}: {record.made_by.name[:40]!a} is not read")
            continue
        view = _view(name, record, filename)
        if name in names:
            raise FormatError(filename, f"tensor {name[:80]!a} appears twice")
        names.add(name)
        if math.prod(view.shape) > view.reach:
            notes.append(f"{_shown(path)}: a view that repeats its storage")
            continue
        first = views.setdefault((view.key, view.dtype, view.offset, view.shape, view.strides), view)
        if first is not view:
            notes.append(f"{_shown(path)}: the same values as {first.name[:80]!a}")
    return list(views.values())


def _view(name: str, record: Record, filename: str) -> _View:
    """One `_rebuild_tensor*` call: storage, offset, shape, strides, ..., dtype."""
    args: tuple[Any, ...] = record.args
    where = f"tensor {name[:80]!a}"
    storage, offset, shape, strides = args[:4] if len(args) >= 4 else (None,) * 4
    about = storage.id if isinstance(storage, Persistent) else None
    if not isinstance(about, tuple) or len(about) < 5 or about[0] != "storage" or not isinstance(about[1], Opaque):
        raise FormatError(filename, f"{where}: no storage that lies in the archive")
    dtype = _STORAGES.get(about[1].name) if about[1].module.startswith("torch") else None
    key, n_stored = about[2], about[4]
    if dtype is None or type(key) is not str or not _counts((n_stored, offset)):
        raise FormatError(filename, f"{where}: unknown storage {about[1].name[:40]!a}, or its numbers are none")
    if (
        record.made_by.name == "_rebuild_tensor_v3" and len(args) > 6 and isinstance(args[6], Opaque)
    ):  # bytes without a type; the tensor has one
        n_bytes, dtype = n_stored * _ITEMSIZE[dtype], _TYPES.get(args[6].name)
        if dtype is None:
            raise FormatError(filename, f"{where}: unknown type {args[6].name[:40]!a}")
        n_stored = n_bytes // _ITEMSIZE[dtype]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides) or len(shape) > 32:
        raise FormatError(filename, f"{where}: shape and strides are not two tuples of at most 32 lengths")
    if not _counts(shape) or not _counts(strides):
        raise FormatError(filename, f"{where}: a length or stride is negative or no number below 2^62")
    view = _View(name, dtype, key, n_stored, offset, shape, strides)
    if offset + view.reach > n_stored:
        raise FormatError(filename, f"{where}: reaches element {offset + view.reach} of {n_stored} in its storage")
    return view


def _counts(values: Sequence[Any]) -> bool:
    return all(type(n) is int and 0 <= n < 2**62 for n in values)


def _storages(file: _File, entries: dict[str, _Entry], folder: str, views: list[_View]) -> dict[str, _Entry]:
    """The entries that hold the views, by key; every view must lie within its entry."""
    wanted: dict[str, _Entry] = {}
    reached = 0
    for view in views:
        entry = entries.get(folder + view.key)
        n_bytes = view.n_stored * _ITEMSIZE[view.dtype]
        if entry is None or not entry.is_stored or n_bytes > entry.size:
            found = "absent" if entry is None else f"{entry.size} bytes" if entry.is_stored else "compressed"
            raise FormatError(
                file.name, f"tensor {view.name[:80]!a}: storage {view.key[:20]!a} of {n_bytes} bytes is {found}"
            )
        wanted[view.key] = entry
        reached += view.reach * _ITEMSIZE[view.dtype]
    if reached > MAX_VIEWS * sum(entry.size for entry in wanted.values()):
        raise FormatError(file.name, f"views reach over {reached} bytes, more than {MAX_VIEWS} times their storages")
    return _settle(file, wanted)


def _tensor(view: _View, entry: _Entry, filename: str, big: bool) -> Tensor:
    """A view whose units can be read: from the first to the last byte they touch, whatever the strides."""
    item = _ITEMSIZE[view.dtype]
    begin = (entry.data or 0) + view.offset * item
    unit, rest = (view.strides[0], view.shape[1:]) if view.shape else (1, ())
    lead = begin - entry.header if view.offset == 0 else 0  # the local header comes along and is checked

    def extents(first: int, n: int) -> list[Extent]:
        reach = _reach((n, *rest), (unit, *view.strides[1:])) * item
        start = begin + first * unit * item
        return [(filename, start - (lead if first == 0 and reach else 0), start + reach)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        raw = data[0]
        if lead and first == 0 and len(raw):
            _agreed(raw, entry, filename)
            raw = raw[lead:]
        dtype = NUMPY_DTYPES[view.dtype]
        flat = np.frombuffer(raw, f">u{item}").astype(f"<u{item}").view(dtype) if big else np.frombuffer(raw, dtype)
        if not len(flat):
            return np.zeros((n, *rest), np.float32)
        strides = [s * item for s in (unit, *view.strides[1:])]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.lib.stride_tricks.as_strided(flat, (n, *rest), strides).astype(np.float32, order="C")

    def merged() -> Tensor:
        shape, strides = (view.shape[0] * view.shape[1], *view.shape[2:]), view.strides[1:]
        return _tensor(replace(view, shape=shape, strides=strides), entry, filename, big)

    span = (begin, begin + view.reach * item)
    info = TensorInfo(view.name, view.dtype, view.shape, span, filename)
    in_line = len(view.shape) > 1 and view.strides[0] == view.shape[1] * view.strides[1]
    return Tensor(info, extents, decode, merged=merged if in_line else None)
