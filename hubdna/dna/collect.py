"""One pass over a model's weights: genes of all views, exact corners, the digest of all bits.

The table of labelled inputs comes first, since responses are products with it. Views of the residual stream are kept
apart until the end: a position table that numbers its coordinates (sinusoids) takes them all back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import anchors, blocks, genes, plan, roles, structure, views
from hubdna.dna.anchors import Anchors
from hubdna.dna.plan import Budget
from hubdna.records import Block, Gene, ReadLevel, Skipped
from hubdna.sources.interface import MERGE_GAP, ByteReader, Tensor, Wanted, read_units
from hubdna.sources.tokenizer import longest_run

MIN_DISTINCT = 64
"""Values of some tensor that must differ before equal digests mean anything: constants are equal in all models."""
POSITION_ROWS = 40


@dataclass
class Collector:
    """What has been gathered so far.

    Attributes:
        tensors: usable ones, from headers alone.
        axes: storage axes by tensor name that may be tested.
        unseen: ids of tokens that no training saw.
        numbered: whether the coordinates of the residual stream are numbered by construction.
    """

    tensors: Sequence[Tensor]
    axes: dict[str, tuple[int, ...]]
    unseen: tuple[int, ...]
    numbered: bool
    skipped: list[Skipped]
    genes: list[Gene] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    samples: list[Block] = field(default_factory=list)
    content: str | None = None
    anchors: Anchors | None = None
    _taken: set[tuple[str, int]] = field(default_factory=set)
    _stream: list[Gene] = field(default_factory=list)
    _digests: list[bytes] = field(default_factory=list)
    _informative: bool = False

    def __post_init__(self) -> None:
        infos = [t.info for t in self.tensors]
        by_info = {id(t.info): t for t in self.tensors}
        self._places = anchors.find_tables(infos)
        self._tables = [by_info[id(info)] for info, _ in self._places]
        self._is_tokens = roles.token_table(infos) is not None
        tokens = {self._places[0][0].shape[1]} if self._is_tokens else set()
        self._widths = roles.stream_widths(infos) | tokens
        self._columns = plan.keep_columns(self.tensors, self.axes)
        corners = blocks.choose(self.tensors)
        self._kept = {id(t) for t in corners}
        self._sampled = {id(t) for t in blocks.choose_samples(self.tensors, corners)}

    def read_whole(self, reader: ByteReader, budget: Budget) -> None:
        """Every tensor, one at a time."""
        order = self._tables + [t for t in self.tensors if not any(t is table for table in self._tables)]
        everything = ((t, 0, t.n_units) for t in order)
        tables: list[NDArray[np.float32]] = []
        for i, (tensor, weights) in enumerate(zip(order, read_units(reader, everything, MERGE_GAP), strict=True)):
            self._informative = self._informative or _varies(weights)
            self._digests.append(hashlib.blake2b(_layout_free(weights).tobytes(), digest_size=16).digest())
            if i < len(self._tables):
                tables.append(weights)
                if i == len(self._tables) - 1:
                    self._take_tables(tables, budget.n_anchors)
            self._take_whole(tensor, weights)
        if self._informative:
            self.content = hashlib.blake2b(b"".join(sorted(self._digests)), digest_size=16).hexdigest()
        self._finish()

    def read_parts(self, reader: ByteReader, budget: Budget, level: ReadLevel) -> None:
        """The table's rows, the leading units of as many tensors as the budget allows, a few whole tensors."""
        budget = self._read_table(reader, budget, level)
        wanted = plan.choose_units(self.tensors, self.axes, budget, level)
        cost = sum(t.n_bytes(n) for t, _, n in wanted)
        extra = [] if level == "small" else self._extra(wanted, budget.less(cost, len(wanted)))
        for (tensor, _, n), block in zip(wanted + extra, read_units(reader, wanted + extra), strict=True):
            if n == tensor.n_units:
                self._take_whole(tensor, block)
                continue
            if (tensor, 0, n) in wanted:
                self._take_axis(tensor, 0, block)
            self._take_corner(tensor, block)
        self._finish()

    def _extra(self, wanted: list[Wanted], budget: Budget) -> list[Wanted]:
        """Corners of matrices that are not read anyway, then whole tensors for the axes that are not contiguous."""
        seen = {id(t) for t, _, _ in wanted}
        corners = [(t, 0, blocks.n_rows(t.info)) for t in self.tensors if id(t) in self._kept - seen]
        corners = plan.affordable(corners, budget.share(plan.CORNER_SHARE))
        budget = budget.less(sum(t.n_bytes(n) for t, _, n in corners), len(corners))
        whole = [(t, 0, t.n_units) for t in plan.by_name(self.tensors) if set(self.axes.get(t.info.name, ())) - {0}]
        return corners + plan.affordable(whole, budget)

    def _read_table(self, reader: ByteReader, budget: Budget, level: ReadLevel) -> Budget:
        before = reader.n_bytes, reader.n_requests
        if self._is_tokens and (wanted := plan.choose_anchors(self._tables[0], budget)):
            self.anchors = anchors.from_rows(self._tables[0].info, next(read_units(reader, [wanted])), wanted[1])
            self._look_at_positions(reader, level)
            self._read_unseen(reader, level)
        elif self._tables and not self._is_tokens:
            whole = [(t, 0, t.n_units) for t in self._tables]
            if plan.affordable(whole, budget.share(plan.MAP_SHARE)) == whole:
                self._take_tables(list(read_units(reader, whole)), budget.n_anchors)
        return budget.less(reader.n_bytes - before[0], reader.n_requests - before[1])

    def _read_unseen(self, reader: ByteReader, level: ReadLevel) -> None:
        first, n = self._run_of_unseen()
        if level != "small" and n:
            self._take_unseen(range(first, first + n), next(read_units(reader, [(self._tables[0], first, n)])))

    def _run_of_unseen(self) -> tuple[int, int]:
        """First token and number of the unseen ones that are looked at; (0, 0) when they are too few for a test."""
        first, n = longest_run(self.unseen, self._tables[0].n_units, views.MAX_UNSEEN)
        return (first, n) if self.anchors and n >= views.MIN_UNSEEN else (0, 0)

    def _look_at_positions(self, reader: ByteReader, level: ReadLevel) -> None:
        """Read the beginning of a position table; a small read cannot, and takes it for a numbered one."""
        if self.anchors is None:
            return
        for tensor in self.tensors:
            if anchors.is_position_table(tensor.info, self.anchors.width):
                if level == "small" or tensor.info.shape[0] == 1:
                    self.numbered = True
                else:
                    n = min(POSITION_ROWS, tensor.n_units)
                    self._take_positions(tensor, next(read_units(reader, [(tensor, 0, n)])))

    def _take_tables(self, weights: list[NDArray[np.float32]], n_anchors: int) -> None:
        if not self._is_tokens:
            self.anchors = anchors.from_tables(self._places, weights)
            return
        table, info = weights[0], self._places[0][0]
        start = plan.anchor_start(len(table))
        self.anchors = anchors.from_rows(info, table[start : start + n_anchors], start)
        first, n = self._run_of_unseen()
        if n:
            self._take_unseen(range(first, first + n), table[first : first + n])

    def _take_unseen(self, ids: Sequence[int], rows: NDArray[np.float32]) -> None:
        assert self.anchors is not None
        if gene := views.unseen(self.anchors, ids, rows, self.unseen):
            self.genes.append(gene)

    def _take_positions(self, tensor: Tensor, rows: NDArray[np.float32]) -> None:
        flat = rows.reshape(-1, rows.shape[-1])
        self.numbered |= structure.structured(flat, tensor.info.dtype) is not None

    def _take_whole(self, tensor: Tensor, weights: NDArray[np.float32]) -> None:
        for axis in self.axes.get(tensor.info.name, ()):
            cut = (slice(None),) * axis + (slice(genes.n_read(tensor.info.shape, axis)),)
            self._take_axis(tensor, axis, weights[cut])
        self._take_corner(tensor, weights)
        if not np.isfinite(weights).all():
            return
        if self.anchors and anchors.is_position_table(tensor.info, self.anchors.width):
            self._take_positions(tensor, weights[0] if weights.shape[0] == 1 else weights[:POSITION_ROWS])
        if gene := views.gram(tensor.info, weights, self._widths):
            self._stream.append(gene)

    def _take_axis(self, tensor: Tensor, axis: int, block: NDArray[np.float32]) -> None:
        """Once: of what was read in part, the whole may follow for its other axis."""
        if (tensor.info.name, axis) in self._taken:
            return
        self._taken.add((tensor.info.name, axis))
        n_columns = self._columns[tensor.info.name, axis]
        gene = genes.make_gene(tensor.info, axis, block, n_columns, quantised=tensor.quantised)
        if isinstance(gene, str):
            self.skipped.append(Skipped(f"{tensor.info.name}[{axis}]", gene))
            return
        self.genes.append(gene)
        answer = views.response(tensor.info, axis, block, self.anchors) if self.anchors else None
        if answer is not None and self.anchors and tensor.info.name not in self.anchors.sources:
            self.genes.append(answer)

    def _take_corner(self, tensor: Tensor, rows: NDArray[np.float32]) -> None:
        if id(tensor) in self._kept and (block := blocks.make_block(tensor.info, rows[: blocks.N_ROWS])):
            self._kept.remove(id(tensor))
            self.blocks.append(block)
        if id(tensor) in self._sampled and (sample := blocks.make_sample(tensor.info, rows)):
            self._sampled.remove(id(tensor))
            self.samples.append(sample)

    def _finish(self) -> None:
        """Views of the residual stream count only if nothing numbers its coordinates."""
        if self.numbered:
            return
        own = views.residual(self.anchors) if self.anchors else None
        self.genes += self._stream + ([own] if own else [])


def _varies(weights: NDArray[np.float32]) -> bool:
    some = weights.reshape(-1)[:4096]
    return len(set(some[np.isfinite(some)].tolist())) >= MIN_DISTINCT


def _layout_free(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Axes by length: frameworks store one map in different axis orders (equal lengths stay as they are)."""
    return np.ascontiguousarray(weights.transpose(sorted(range(weights.ndim), key=lambda i: weights.shape[i])))
