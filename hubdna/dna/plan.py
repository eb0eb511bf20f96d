"""What to read of a model: three nested budgets, and which tensors they go to. From headers alone.

small      4 MB and 6 requests: first shard only; its header, anchors, the first layers' units
standard   16 MB and 64 requests: every shard's header, more anchors, layers spread over the depth
full       everything
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubdna.dna import genes, roles
from hubdna.records import ReadLevel
from hubdna.sources.interface import Tensor, Wanted

FIRST_LAYERS_GENES = 4
"""Genes of a small read: 6 requests less header and anchors."""
ANCHOR_START = 2000
"""First anchor row: in a real vocabulary rows 0 to 255 span 21 effective dimensions, rows 2,000 to 2,255 span 98."""
ANCHOR_SHARE = 0.54
"""Of the bytes, at most: n anchors and M m rows under one budget test best when n is half of it."""
WIDE, NARROW, MIN_KEPT, SHARED_COLUMNS, MAX_PARTIAL_GENES = 2048, 640, 64, 16384, 25
"""Columns kept of the first genes' rows, of others' at most and at least, and of all others' together. A partial read
of a 7B model has 25 genes; the counts of deeper and larger reads are cut to that, so that levels stay alike."""
GENE_SHARE = 0.75
"""Of what the table leaves over, for genes; the rest is for corners and for whole tensors."""
CORNER_SHARE = 0.5
"""Of what genes leave over, at most, for exact corners of other matrices."""
MAP_SHARE = 0.25
"""Of the bytes, at most, for the input map of a model without tokens, which is read whole or not at all."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a read may cost; bytes are 10^6-based, requests those that carry bytes."""

    n_bytes: int
    n_requests: int
    n_anchors: int

    def less(self, n_bytes: int, n_requests: int) -> Budget:
        """What is left after spending."""
        return Budget(self.n_bytes - n_bytes, self.n_requests - n_requests, self.n_anchors)

    def share(self, share: float) -> Budget:
        """A part of the bytes, and of the requests."""
        return Budget(int(self.n_bytes * share), int(self.n_requests * share), self.n_anchors)


BUDGETS: dict[ReadLevel, Budget] = {
    "small": Budget(4_000_000, 6, 256),
    "standard": Budget(16_000_000, 64, 1024),
    "full": Budget(2**62, 2**31, 1024),
}


def choose_anchors(table: Tensor, budget: Budget) -> Wanted | None:
    """Rows of the token table, from the same first row at every read level, so that reads nest."""
    affordable = int(budget.n_bytes * ANCHOR_SHARE) // max(table.n_bytes(1), 1)
    n = min(budget.n_anchors, table.n_units - anchor_start(table.n_units), affordable)
    return (table, anchor_start(table.n_units), n) if n > 0 else None


def anchor_start(n_rows: int) -> int:
    """First anchor of a vocabulary of so many rows; the same one when a vocabulary is cut or extended."""
    return ANCHOR_START if n_rows >= ANCHOR_START + BUDGETS["standard"].n_anchors else 0


def choose_units(
    tensors: Sequence[Tensor], axes: dict[str, tuple[int, ...]], budget: Budget, level: ReadLevel
) -> list[Wanted]:
    """Leading units of the first tensors by layer (all shardings keep those in the first shard), then of a spread."""
    able = [t for t in by_name(tensors) if 0 in axes.get(t.info.name, ())]
    wanted = [(t, 0, genes.n_read(t.info.shape, 0)) for t in able]
    first, rest = wanted[:FIRST_LAYERS_GENES], wanted[FIRST_LAYERS_GENES:]
    price = max((t.n_bytes(n) for t, _, n in wanted), default=0) or 1
    room = max(min(int(budget.n_bytes * GENE_SHARE) // price, budget.n_requests * 3 // 4) - len(first), 0)
    room = 0 if level == "small" else room
    if len(rest) > room:
        rest = [rest[i * len(rest) // room] for i in range(room)]
    return affordable(first + rest, budget)


def keep_columns(tensors: Sequence[Tensor], axes: dict[str, tuple[int, ...]]) -> dict[tuple[str, int], int]:
    """How many columns of its rows the gene of each (tensor name, axis) keeps, so that a .dna file stays small.

    The first layers' genes, which are all that a small read has, keep 2,048; the others share a quarter of a MiB. A
    gene that keeps fewer than its counterpart holds the beginning of what that one holds.
    """
    named = [(t.info.name, axis) for t in by_name(tensors) for axis in axes.get(t.info.name, ())]
    first = [key for key in named if key[1] == 0][:FIRST_LAYERS_GENES]
    others = SHARED_COLUMNS // max(min(len(named), MAX_PARTIAL_GENES), 1)
    return {key: WIDE if key in first else max(min(others, NARROW), MIN_KEPT) for key in named}


def by_name(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors in the order of their names, layer 2 before layer 10."""
    return sorted(tensors, key=lambda t: roles.natural(t.info.name))


def affordable(wanted: list[Wanted], budget: Budget) -> list[Wanted]:
    """Those that fit the budget, in order; one that does not is left out and the next one tried."""
    chosen: list[Wanted] = []
    n_bytes = n_requests = 0
    for tensor, first, n in wanted:
        price = tensor.n_bytes(n), len(tensor.extents(first, n))
        if n_bytes + price[0] <= budget.n_bytes and n_requests + price[1] <= budget.n_requests:
            n_bytes, n_requests = n_bytes + price[0], n_requests + price[1]
            chosen.append((tensor, first, n))
    return chosen
