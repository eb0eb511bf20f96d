"""What a PyTorch pickle says: tensors by path, which of them are the model, and where their values lie.

The pickle was run on the machine of `pickles`; what it left are records of calls. A record of `_rebuild_tensor*` is a
tensor: a strided view of a storage, which is an entry of the archive. Every view must lie within its storage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubdna.errors import FormatError
from hubdna.sources.pickle_machine import Opaque, Persistent, Record
from hubdna.sources.safetensors import ITEMSIZE as SAFETENSORS_ITEMSIZE

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
ITEMSIZE = {**SAFETENSORS_ITEMSIZE, "C64": 8, "C128": 16}
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
class View:
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
        return elements_reached(self.shape, self.strides)


def elements_reached(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements from the first to the last that a view touches."""
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if math.prod(shape) else 0


def find_tensors(root: Any, filename: str) -> tuple[list[tuple[Path, Record]], set[Path], list[str]]:
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


def model_of(found: list[tuple[Path, Record]], modules: set[Path]) -> tuple[Path, list[tuple[Path, Record]], list[str]]:
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


def views_of(found: list[tuple[Path, Record]], at: int, notes: list[str], filename: str) -> list[View]:
    """Checked views; a second name of the same values and what is no plain view are left out, with a note."""
    views: dict[tuple[Any, ...], View] = {}
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


def _view(name: str, record: Record, filename: str) -> View:
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
        n_bytes, dtype = n_stored * ITEMSIZE[dtype], _TYPES.get(args[6].name)
        if dtype is None:
            raise FormatError(filename, f"{where}: unknown type {args[6].name[:40]!a}")
        n_stored = n_bytes // ITEMSIZE[dtype]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides) or len(shape) > 32:
        raise FormatError(filename, f"{where}: shape and strides are not two tuples of at most 32 lengths")
    if not _counts(shape) or not _counts(strides):
        raise FormatError(filename, f"{where}: a length or stride is negative or no number below 2^62")
    view = View(name, dtype, key, n_stored, offset, shape, strides)
    if offset + view.reach > n_stored:
        raise FormatError(filename, f"{where}: reaches element {offset + view.reach} of {n_stored} in its storage")
    return view


def _counts(values: Sequence[Any]) -> bool:
    return all(type(n) is int and 0 <= n < 2**62 for n in values)
