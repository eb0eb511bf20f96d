"""PyTorch's zip archives (`.bin`, `.pt`, `.pth`, `.ckpt`, TorchScript): which bytes hold which weights. Nothing is run.

An archive is a pickle that says what tensors there are (`*/data.pkl`; `torch_pickle.py`), and one entry a storage
(`*/data/<key>`), stored as it is (`zip_entries.py`). Opening one takes two
requests, and one more for a pickle longer than the head.

Hostile until checked: entries must not overlap or share a name, every view must lie within its storage and every
storage within its entry, and no file is worth reading more than `MAX_VIEWS` times over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError, NoWeightsError
from hubdna.records import TensorInfo
from hubdna.sources import pickles
from hubdna.sources.interface import ByteReader, Extent, Tensor
from hubdna.sources.safetensors import NUMPY_DTYPES
from hubdna.sources.torch_pickle import ITEMSIZE, View, elements_reached, find_tensors, model_of, views_of
from hubdna.sources.zip_entries import Entry, ZipReader, agreed, contents, directory, settle

MAX_PICKLE = 64_000_000
MAX_VIEWS = 16
"""Bytes that all tensors reach over, by bytes of all entries: tied weights reach 2, chunks of fused maps up to 16."""


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
    file = ZipReader(reader, filename)
    entries = directory(file)
    top = next(iter(entries), "").partition("/")[0]  # of the first entry, as PyTorch does it
    program = contents(file, entries, f"{top}/data.pkl", MAX_PICKLE)
    found, modules, notes = find_tensors(pickles.load(program, filename), filename)
    taken, found, aside = model_of(found, modules)
    views = views_of(found, len(taken), notes, filename)
    left_out = (*aside, *notes)
    if not views:
        raise NoWeightsError(f"{filename}: no tensors of a model ({'; '.join(left_out[:3]) or 'none at all'})")
    big = f"{top}/byteorder" in entries and contents(file, entries, f"{top}/byteorder", 16).startswith(b"big")
    storages = _storages(file, entries, f"{top}/data/", views)
    tensors = tuple(_tensor(view, storages[view.key], filename, big) for view in views)
    return Archive(tensors, ".".join(taken), left_out)


def _storages(file: ZipReader, entries: dict[str, Entry], folder: str, views: list[View]) -> dict[str, Entry]:
    """The entries that hold the views, by key; every view must lie within its entry."""
    wanted: dict[str, Entry] = {}
    reached = 0
    for view in views:
        entry = entries.get(folder + view.key)
        n_bytes = view.n_stored * ITEMSIZE[view.dtype]
        if entry is None or not entry.is_stored or n_bytes > entry.size:
            found = "absent" if entry is None else f"{entry.size} bytes" if entry.is_stored else "compressed"
            raise FormatError(
                file.name, f"tensor {view.name[:80]!a}: storage {view.key[:20]!a} of {n_bytes} bytes is {found}"
            )
        wanted[view.key] = entry
        reached += view.reach * ITEMSIZE[view.dtype]
    if reached > MAX_VIEWS * sum(entry.size for entry in wanted.values()):
        raise FormatError(file.name, f"views reach over {reached} bytes, more than {MAX_VIEWS} times their storages")
    return settle(file, wanted)


def _tensor(view: View, entry: Entry, filename: str, big: bool) -> Tensor:
    """A view whose units can be read: from the first to the last byte they touch, whatever the strides."""
    item = ITEMSIZE[view.dtype]
    begin = (entry.data or 0) + view.offset * item
    unit, rest = (view.strides[0], view.shape[1:]) if view.shape else (1, ())
    lead = begin - entry.header if view.offset == 0 else 0  # the local header comes along and is checked

    def extents(first: int, n: int) -> list[Extent]:
        reach = elements_reached((n, *rest), (unit, *view.strides[1:])) * item
        start = begin + first * unit * item
        return [(filename, start - (lead if first == 0 and reach else 0), start + reach)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        raw = data[0]
        if lead and first == 0 and len(raw):
            agreed(raw, entry, filename)
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
