"""Weights by ranges -> Dna. Three nested reads of one scheme: what a smaller one reads, a larger one reads too.

    small      4 MB and 6 requests: first shard only; its header, anchors, the first layers' units
    standard   16 MB and 64 requests: every shard's header, more anchors, layers spread over the depth
    full       everything

A model that fits the budget is read whole; then both axes of every tensor are at hand and the layout does not
matter. Beyond the budget only units that lie contiguously (storage axis 0) are read, so a transposed copy of a large
model needs `full`. Which units these are depends on the headers alone, never on where the bytes come from.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import genes, roles, sketch
from hubdna.errors import NoGenesError
from hubdna.records import Dna, Gene, ModelRef, ReadLevel, Skipped, TensorInfo
from hubdna.sources import safetensors
from hubdna.sources.interface import ByteReader, read_spans

SCHEME = f"weight-1/m={genes.N_TESTED}/bits={sketch.N_BITS}/input={sketch.N_INPUT}/rows=int8"
"""Names every parameter that changes a result. Two schemes never mix."""

SMALL_LAYOUT_GENES = 4
"""Genes of a small read: 6 requests less header and anchors."""


_ANCHOR_START = 2000
"""First anchor row: in a real vocabulary rows 0 to 255 span 21 effective dimensions, rows 2,000 to 2,255 span 98."""
_ANCHOR_SHARE = 0.54
"""Of the bytes, at most: n anchors and M m rows under one budget test best when n is half of it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a read may cost; bytes are 10^6-based, requests those that carry bytes."""

    n_bytes: int
    n_requests: int
    n_anchors: int


BUDGETS: dict[ReadLevel, Budget] = {
    "small": Budget(4_000_000, 6, 256),
    "standard": Budget(16_000_000, 64, 1024),
    "full": Budget(2**62, 2**31, 1024),
}


def read_dna(ref: ModelRef, reader: ByteReader, files: Sequence[str], level: ReadLevel = "standard") -> Dna:
    """Compute the weight DNA of one model.

    Args:
        ref: for the record; nothing of it enters the result's numbers.
        reader: gives byte ranges; its counters say what it cost.
        files: the weights files in shard order.
        level: how much to read.

    Raises:
        FormatError: a file is not what it claims to be.
        NoGenesError: nothing in the weights can serve as evidence, not even all their bits (a model that was read
            whole can at least be known as a copy).
        HubError: the bytes could not be had.
    """
    budget = BUDGETS[level]
    spent = reader.n_bytes, reader.n_requests
    infos, whole = _read_headers(reader, files, budget)
    skipped: list[Skipped] = []
    floats = [t for t in infos if t.dtype in safetensors.FLOATS]
    axes = roles.testable_axes(floats)
    if whole:
        found, content, table = _read_whole(reader, infos, axes, skipped)
        anchors = None if table is None else _anchors(table[_anchor_start(len(table)) :][: budget.n_anchors])
    else:
        remaining = Budget(
            budget.n_bytes - (reader.n_bytes - spent[0]),
            budget.n_requests - (reader.n_requests - spent[1]),
            budget.n_anchors,
        )
        found, anchors, content = *_read_parts(reader, floats, axes, remaining, level, skipped), None
    if not found and (content is None or any("NaN" in s.reason for s in skipped)):
        raise NoGenesError(f"{ref}: no testable units: {_why_none(infos, floats, axes, skipped)}")
    sha256 = tuple(reader.sha256(f) or "" for f in files)
    return Dna(
        ref, SCHEME, tuple(found), anchors, content, len(infos), sha256 if any(sha256) else (),
        reader.n_bytes - spent[0], reader.n_requests - spent[1], tuple(skipped),
    )  # fmt: skip


def _read_headers(reader: ByteReader, files: Sequence[str], budget: Budget) -> tuple[list[TensorInfo], bool]:
    """Headers of as many shards as the budget is meant for, and whether the whole model fits it."""
    infos = safetensors.read_header(reader, files[0])
    first = reader.size(files[0])
    fits = first * len(files) <= budget.n_bytes and 2 * len(files) <= budget.n_requests
    if not fits and budget.n_requests < 16:  # a small read stays in the first shard
        return infos, False
    for file in files[1:]:
        infos += safetensors.read_header(reader, file)
    total = sum(reader.size(f) for f in files) + reader.n_bytes
    return infos, total <= budget.n_bytes and 2 * len(files) <= budget.n_requests


def _why_none(
    infos: list[TensorInfo],
    floats: list[TensorInfo],
    axes: dict[str, tuple[int, ...]],
    skipped: list[Skipped],
) -> str:
    if not floats:
        dtypes = ", ".join(sorted({t.dtype for t in infos})) or "empty file"
        return f"none of {len(infos)} tensors is stored as a float ({dtypes})"
    if not axes:
        return "no inner axis of 32 or more exchangeable units (needs units that one map writes and another reads)"
    reasons = sorted({s.reason for s in skipped})
    return "; ".join(reasons) if reasons else "the read budget reached none of them"


def _read_whole(
    reader: ByteReader, infos: list[TensorInfo], axes: dict[str, tuple[int, ...]], skipped: list[Skipped]
) -> tuple[list[Gene], str | None, NDArray[np.float32] | None]:
    """Every float tensor, one at a time: genes of all testable axes, the digest of all bits, the token table."""
    found: list[Gene] = []
    digests: list[bytes] = []
    token_table = roles.token_table([t for t in infos if t.dtype in safetensors.FLOATS])
    table = None
    for info, raw in _tensors(reader, infos):
        if info.dtype not in safetensors.FLOATS:
            continue
        tensor = _as_float32(raw, info, info.shape)
        digests.append(hashlib.blake2b(_layout_free(tensor).tobytes(), digest_size=16).digest())
        if token_table is not None and info.name == token_table.name:
            table = tensor
        for axis in axes.get(info.name, ()):
            cut = tensor[(slice(None),) * axis + (slice(genes.n_read(info.shape, axis)),)]
            _collect(found, skipped, info, axis, cut)
    content = hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).hexdigest() if digests else None
    return sorted(found, key=lambda g: (roles.natural(g.tensor), g.axis)), content, table


def _layout_free(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Axes by length: frameworks store one map in different axis orders (equal lengths stay as they are)."""
    return np.ascontiguousarray(tensor.transpose(sorted(range(tensor.ndim), key=lambda i: tensor.shape[i])))


def _tensors(reader: ByteReader, infos: list[TensorInfo]) -> Iterator[tuple[TensorInfo, memoryview]]:
    """Raw bytes of every tensor, in few wide reads of at most 64 MB each."""
    batch: list[TensorInfo] = []
    for i, info in enumerate(infos):
        batch.append(info)
        following = infos[i + 1] if i + 1 < len(infos) else None
        begin = batch[0].data_offsets[0]
        if following and following.filename == info.filename and following.data_offsets[1] - begin <= 64_000_000:
            continue
        spans = [t.data_offsets for t in batch]
        data = read_spans(reader, info.filename, spans)
        yield from ((t, raw) for t, (_, raw) in zip(batch, data, strict=True))
        batch = []


def _read_parts(
    reader: ByteReader,
    floats: list[TensorInfo],
    axes: dict[str, tuple[int, ...]],
    budget: Budget,
    level: ReadLevel,
    skipped: list[Skipped],
) -> tuple[list[Gene], NDArray[np.int8] | None]:
    """Anchors, and the leading units of as many tensors as the budget allows, in a fixed order."""
    table = roles.token_table(floats)
    n_anchors = 0
    if table is not None:
        row = _row_bytes(table)
        n_anchors = min(budget.n_anchors, table.shape[0], int(budget.n_bytes * _ANCHOR_SHARE) // row)
    left = budget.n_bytes - (n_anchors * _row_bytes(table) if table else 0)
    chosen = _choose(floats, axes, left, budget.n_requests - (n_anchors > 0), level)
    anchors = None
    if table is not None and n_anchors:
        anchors = _anchors(_read_units(reader, table, n_anchors, _anchor_start(table.shape[0])))
    found: list[Gene] = []
    for info in chosen:
        _collect(found, skipped, info, 0, _read_units(reader, info, genes.n_read(info.shape, 0)))
    return sorted(found, key=lambda g: (roles.natural(g.tensor), g.axis)), anchors


def _choose(
    floats: list[TensorInfo],
    axes: dict[str, tuple[int, ...]],
    n_bytes: int,
    n_requests: int,
    level: ReadLevel,
) -> list[TensorInfo]:
    """Tensors to read: the first few by layer (every shard layout keeps those in the first shard), then a spread."""
    able = sorted((t for t in floats if 0 in axes.get(t.name, ())), key=lambda t: roles.natural(t.name))
    first = able[:SMALL_LAYOUT_GENES]
    rest = able[SMALL_LAYOUT_GENES:]
    if level == "small":
        rest = []
    price = max((genes.n_read(t.shape, 0) * _row_bytes(t) for t in able), default=1)
    room = max(min(n_bytes // price, n_requests) - len(first), 0)
    if len(rest) > room:
        rest = [rest[i * len(rest) // room] for i in range(room)] if room else []
    chosen: list[TensorInfo] = []
    cost = 0
    for info in first + rest:
        cost += genes.n_read(info.shape, 0) * _row_bytes(info)
        if cost <= n_bytes and len(chosen) < n_requests:
            chosen.append(info)
    return chosen


def _row_bytes(info: TensorInfo) -> int:
    return math.prod(info.shape[1:]) * safetensors.ITEMSIZE[info.dtype]


def _anchor_start(n_rows: int) -> int:
    """The same for every read level, so that small reads nest in larger ones."""
    return min(_ANCHOR_START, max(0, n_rows - BUDGETS["standard"].n_anchors) // 2)


def _anchors(rows: NDArray[np.float32]) -> NDArray[np.int8] | None:
    return genes.quantise(rows)[0] if np.isfinite(rows).all() else None


def _read_units(reader: ByteReader, info: TensorInfo, n: int, first: int = 0) -> NDArray[np.float32]:
    start = info.data_offsets[0] + first * _row_bytes(info)
    span = (start, start + n * _row_bytes(info))
    ((_, raw),) = read_spans(reader, info.filename, [span])
    return _as_float32(raw, info, (n, *info.shape[1:]))


def _as_float32(raw: memoryview, info: TensorInfo, shape: tuple[int, ...]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.frombuffer(raw, genes.NUMPY_DTYPES[info.dtype]).reshape(shape).astype(np.float32)


def _collect(
    found: list[Gene], skipped: list[Skipped], info: TensorInfo, axis: int, block: NDArray[np.float32]
) -> None:
    gene = genes.make_gene(info, axis, block)
    if isinstance(gene, str):
        skipped.append(Skipped(f"{info.name}[{axis}]", gene))
    else:
        found.append(gene)
