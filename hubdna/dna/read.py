"""Weights by ranges -> Dna.

A model that fits the budget is read whole; then both axes of every tensor are at hand and the layout does not
matter. Beyond the budget only units that lie contiguously (storage axis 0) are read, so a transposed copy of a large
model needs `full`. Which units these are depends on the headers alone, never on where the bytes come from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from hubdna.dna import anchors, genes, plan, roles, sketch, views
from hubdna.dna.collect import Collector
from hubdna.dna.plan import BUDGETS, Budget
from hubdna.errors import NoGenesError
from hubdna.records import Dna, ModelRef, ReadLevel, Skipped
from hubdna.sources import formats, safetensors
from hubdna.sources.formats import Opened
from hubdna.sources.interface import ByteReader, Tensor, merge_spans

SCHEME = (
    f"weight-2/m={genes.N_TESTED}/bits={sketch.N_BITS}/input={sketch.N_INPUT}/rows=int8x{plan.WIDE}"
    f"/anchors={views.N_ANCHORS}"
)
"""Names every parameter that changes a result. Two schemes never mix."""
MIN_DIGESTED = 0.9
"""Equal digests mean equal models only if most bytes were digested (integer buffers may be left out)."""


def read_dna(
    ref: ModelRef,
    reader: ByteReader,
    files: Sequence[str],
    level: ReadLevel = "standard",
    config: dict[str, Any] | None = None,
    unseen: tuple[int, ...] = (),
) -> Dna:
    """Compute the weight DNA of one model.

    Args:
        ref: for the record; nothing of it enters the result's numbers.
        reader: gives byte ranges; its counters say what it cost.
        files: the weights files in shard order.
        level: how much to read.
        config: config.json, a hint for quantised layouts; its kind of model may withhold a test, never make one.
        unseen: ids of tokens that no training saw (`sources.tokenizer`).

    Raises:
        FormatError: a file is not what it claims to be.
        NoGenesError: nothing in the weights can serve as evidence, not even all their bits (a model that was read
            whole can at least be known as a copy).
        HubError: the bytes could not be had.
    """
    before = reader.n_bytes, reader.n_requests
    opened, whole = _open(reader, files, BUDGETS[level])
    tensors, quantization = formats.compose(opened, reader, config, BUDGETS[level].n_requests // 4)
    usable = [t for t in tensors if t.quantised or t.info.dtype in safetensors.FLOATS]
    infos = [t.info for t in usable]
    skipped = [note for one in opened for note in one.skipped]
    gathered = Collector(usable, roles.testable_axes(infos), unseen, anchors.numbers_the_stream(infos, config), skipped)
    budget = BUDGETS[level].less(reader.n_bytes - before[0], reader.n_requests - before[1])
    if whole:
        gathered.read_whole(reader, budget)
    else:
        gathered.read_parts(reader, budget, level)
    content = gathered.content if _stands_for_all(usable, opened) else None
    if not gathered.genes and (content is None or any("NaN" in s.reason for s in skipped)):
        raise NoGenesError(f"{ref}: no testable units: {_why_none(tensors, usable, gathered.axes, skipped)}")
    found = sorted(gathered.genes, key=lambda g: (roles.natural(g.tensor), g.axis, g.view != "rows", g.view))
    corners, samples = (
        tuple(sorted(some, key=lambda b: roles.natural(b.tensor))) for some in (gathered.blocks, gathered.samples)
    )
    table = roles.token_table(infos)
    return Dna(
        ref, SCHEME, tuple(found), corners, samples, content, len(tensors), table.shape[0] if table else 0,
        quantization, _file_hashes(reader, files, opened), reader.n_bytes - before[0],
        reader.n_requests - before[1], tuple(skipped), n_bytes_unread=0 if whole else _unread(files, opened),
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


def _unread(files: Sequence[str], opened: list[Opened]) -> int | None:
    """Bytes that a full read takes; None when some file was not opened."""
    known = len(opened) == len(files) and all(one.complete for one in opened)
    return _size(opened) if known else None


def _stands_for_all(usable: list[Tensor], opened: list[Opened]) -> bool:
    """Whether the digest of the usable tensors may speak for the model: nine tenths of its bytes are in it."""
    read = _distinct_bytes(usable)
    lost = any(note.reason != formats.NOT_THE_MODEL for one in opened for note in one.skipped)
    return read >= MIN_DIGESTED * max(_size(opened), 1) and not lost


def _distinct_bytes(tensors: list[Tensor]) -> int:
    """Bytes behind some tensors; parts of a fused one may share theirs."""
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for tensor in tensors:
        for filename, start, stop in tensor.extents(0, tensor.n_units):
            spans[filename].append((start, stop))
    return sum(stop - start for of_one in spans.values() for start, stop in merge_spans(of_one, gap=0))


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
