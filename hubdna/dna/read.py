"""Weights by ranges -> Dna.

A model that fits the budget is read whole; then both axes of every tensor are at hand and the layout does not
matter. Beyond the budget only units that lie contiguously (storage axis 0) are read, so a transposed copy of a large
model needs `full`. Which units these are depends on the headers alone, never on where the bytes come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import genes, plan, roles, sketch
from hubdna.dna.plan import BUDGETS, Budget
from hubdna.errors import NoGenesError
from hubdna.records import Dna, Gene, ModelRef, ReadLevel, Skipped
from hubdna.sources import formats, safetensors
from hubdna.sources.formats import Opened
from hubdna.sources.interface import MERGE_GAP, ByteReader, Tensor, read_units

SCHEME = f"weight-1/m={genes.N_TESTED}/bits={sketch.N_BITS}/input={sketch.N_INPUT}/rows=int8"
"""Names every parameter that changes a result. Two schemes never mix."""
MIN_DIGESTED, MIN_DISTINCT = 0.9, 64
"""Equal digests mean equal models only if most bytes were digested (integer buffers may be left out) and some tensor
holds 64 different values: empty or constant tensors are equal in models that share nothing."""


def read_dna(
    ref: ModelRef,
    reader: ByteReader,
    files: Sequence[str],
    level: ReadLevel = "standard",
    config: dict[str, Any] | None = None,
) -> Dna:
    """Compute the weight DNA of one model.

    Args:
        ref: for the record; nothing of it enters the result's numbers.
        reader: gives byte ranges; its counters say what it cost.
        files: the weights files in shard order.
        level: how much to read.
        config: config.json, a hint for quantised layouts only.

    Raises:
        FormatError: a file is not what it claims to be.
        NoGenesError: nothing in the weights can serve as evidence, not even all their bits (a model that was read
            whole can at least be known as a copy).
        HubError: the bytes could not be had.
    """
    before = reader.n_bytes, reader.n_requests
    opened, whole = _open(reader, files, BUDGETS[level])
    tensors, _ = formats.compose(opened, reader, config, BUDGETS[level].n_requests // 4)
    skipped = [note for one in opened for note in one.skipped]
    usable = [t for t in tensors if t.quantised or t.info.dtype in safetensors.FLOATS]
    axes = roles.testable_axes([t.info for t in usable])
    budget = BUDGETS[level].less(reader.n_bytes - before[0], reader.n_requests - before[1])
    if whole:
        found, anchors, content = _read_whole(reader, usable, axes, budget, skipped)
        content = content if _stands_for_all(usable, opened) else None
    else:
        found, anchors, content = *_read_parts(reader, usable, axes, budget, level, skipped), None
    if not found and (content is None or any("NaN" in s.reason for s in skipped)):
        raise NoGenesError(f"{ref}: no testable units: {_why_none(tensors, usable, axes, skipped)}")
    found.sort(key=lambda g: (roles.natural(g.tensor), g.axis))
    return Dna(
        ref, SCHEME, tuple(found), anchors, content, len(tensors), _file_hashes(reader, files, opened),
        reader.n_bytes - before[0], reader.n_requests - before[1], tuple(skipped),
    )  # fmt: skip


def _open(reader: ByteReader, files: Sequence[str], budget: Budget) -> tuple[list[Opened], bool]:
    """Directories of as many files as the budget is meant for, and whether the whole model fits it."""
    limits = budget.n_requests // 2, budget.n_bytes // 2  # of a walk; the other half is for weights
    opened = [formats.open_file(reader, files[0], *limits)]
    first = _size(opened)  # not the file's size: ONNX keeps large weights beside it
    fits = first * len(files) <= budget.n_bytes and 2 * len(files) <= budget.n_requests
    if fits or budget.n_requests >= 16:  # else a small read, which stays in the first shard
        opened += [formats.open_file(reader, file, *limits) for file in files[1:]]
    if len({PurePosixPath(file).parent for file in files}) > 1:  # a pipeline: its components share tensor names
        opened = [_named_by_folder(one) for one in opened]
    complete = len(opened) == len(files) and all(one.complete for one in opened)
    affordable = reader.n_requests + len(files) <= budget.n_requests
    return opened, complete and affordable and _size(opened) + reader.n_bytes <= budget.n_bytes


def _named_by_folder(opened: Opened) -> Opened:
    def renamed(tensor: Tensor) -> Tensor:
        folder = PurePosixPath(tensor.info.filename).parent
        return replace(tensor, info=replace(tensor.info, name=f"{folder}/{tensor.info.name}"))

    return replace(opened, tensors=[renamed(tensor) for tensor in opened.tensors])


def _size(opened: list[Opened]) -> int:
    return sum(t.n_bytes(t.n_units) for one in opened for t in one.tensors)


def _stands_for_all(usable: list[Tensor], opened: list[Opened]) -> bool:
    """Whether the digest of the usable tensors may speak for the model: nine tenths of its bytes are in it."""
    read = sum(t.n_bytes(t.n_units) for t in usable)
    lost = any(note.reason != formats.NOT_THE_MODEL for one in opened for note in one.skipped)
    return read >= MIN_DIGESTED * max(_size(opened), 1) and not lost


def _file_hashes(reader: ByteReader, files: Sequence[str], opened: list[Opened]) -> tuple[str, ...]:
    """Hashes of the weights files, if weights lie nowhere else (ONNX keeps large ones in files beside the graph)."""
    beside = {name for one in opened for t in one.tensors for name, _, _ in t.extents(0, t.n_units)} - set(files)
    if beside or not all(one.complete for one in opened):
        return ()
    sha256 = tuple(reader.sha256(f) or "" for f in files)
    return sha256 if any(sha256) else ()


def _why_none(
    tensors: list[Tensor], usable: list[Tensor], axes: dict[str, tuple[int, ...]], skipped: list[Skipped]
) -> str:
    if not usable:
        dtypes = ", ".join(sorted({t.info.dtype for t in tensors})) or "empty file"
        return f"none of {len(tensors)} tensors is stored as a float ({dtypes})"
    if not axes:
        return "no inner axis of 32 or more exchangeable units (needs units that one map writes and another reads)"
    return "; ".join(sorted({s.reason for s in skipped})) or "the read budget reached none of them"


def _read_whole(
    reader: ByteReader,
    tensors: list[Tensor],
    axes: dict[str, tuple[int, ...]],
    budget: Budget,
    skipped: list[Skipped],
) -> tuple[list[Gene], NDArray[np.int8] | None, str | None]:
    """Every tensor, one at a time: genes of all testable axes, the anchors, the digest of all bits."""
    found: list[Gene] = []
    digests: list[bytes] = []
    informative = False
    anchors = None
    table = roles.token_table([t.info for t in tensors])
    everything = ((t, 0, t.n_units) for t in tensors)
    for tensor, weights in zip(tensors, read_units(reader, everything, MERGE_GAP), strict=True):
        informative |= len(np.unique(weights.reshape(-1)[:4096])) >= MIN_DISTINCT
        digests.append(hashlib.blake2b(_layout_free(weights).tobytes(), digest_size=16).digest())
        if tensor.info is table:
            anchors = _anchors(weights[plan.anchor_start(len(weights)) :][: budget.n_anchors])
        for axis in axes.get(tensor.info.name, ()):
            cut = (slice(None),) * axis + (slice(genes.n_read(tensor.info.shape, axis)),)
            _collect(found, skipped, tensor, axis, weights[cut])
    content = hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).hexdigest() if informative else None
    return found, anchors, content


def _layout_free(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Axes by length: frameworks store one map in different axis orders (equal lengths stay as they are)."""
    return np.ascontiguousarray(weights.transpose(sorted(range(weights.ndim), key=lambda i: weights.shape[i])))


def _read_parts(
    reader: ByteReader,
    tensors: list[Tensor],
    axes: dict[str, tuple[int, ...]],
    budget: Budget,
    level: ReadLevel,
    skipped: list[Skipped],
) -> tuple[list[Gene], NDArray[np.int8] | None]:
    """Anchors, and the leading units of as many tensors as the budget allows, in a fixed order."""
    info = roles.token_table([t.info for t in tensors])
    anchor_rows = plan.choose_anchors(next((t for t in tensors if t.info is info), None), budget)
    anchors = None
    if anchor_rows is not None:
        anchors = _anchors(next(read_units(reader, [anchor_rows])))
        budget = budget.less(anchor_rows[0].n_bytes(anchor_rows[2]), 1)
    wanted = plan.choose_units(tensors, axes, budget, level)
    found: list[Gene] = []
    for (tensor, _, _), block in zip(wanted, read_units(reader, wanted), strict=True):
        _collect(found, skipped, tensor, 0, block)
    return found, anchors


def _anchors(rows: NDArray[np.float32]) -> NDArray[np.int8] | None:
    return genes.quantise(rows)[0] if np.isfinite(rows).all() else None


def _collect(found: list[Gene], skipped: list[Skipped], tensor: Tensor, axis: int, block: NDArray[np.float32]) -> None:
    gene = genes.make_gene(tensor.info, axis, block, quantised=tensor.quantised)
    if isinstance(gene, str):
        skipped.append(Skipped(f"{tensor.info.name}[{axis}]", gene))
    else:
        found.append(gene)
