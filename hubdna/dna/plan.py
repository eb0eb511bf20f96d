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


@dataclass(frozen=True, slots=True)
class Budget:
    """What a read may cost; bytes are 10^6-based, requests those that carry bytes."""

    n_bytes: int
    n_requests: int
    n_anchors: int

    def less(self, n_bytes: int, n_requests: int) -> Budget:
        """What is left after spending."""
        return Budget(self.n_bytes - n_bytes, self.n_requests - n_requests, self.n_anchors)


BUDGETS: dict[ReadLevel, Budget] = {
    "small": Budget(4_000_000, 6, 256),
    "standard": Budget(16_000_000, 64, 1024),
    "full": Budget(2**62, 2**31, 1024),
}


def choose_anchors(table: Tensor | None, budget: Budget) -> Wanted | None:
    """Rows of the token table, from the same first row at every read level, so that reads nest."""
    if table is None:
        return None
    affordable = int(budget.n_bytes * ANCHOR_SHARE) // max(table.n_bytes(1), 1)
    n = min(budget.n_anchors, table.n_units - anchor_start(table.n_units), affordable)
    return (table, anchor_start(table.n_units), n) if n > 0 else None


def anchor_start(n_rows: int) -> int:
    """First anchor of a vocabulary of so many rows."""
    return min(ANCHOR_START, max(0, n_rows - BUDGETS["standard"].n_anchors) // 2)


def choose_units(
    tensors: Sequence[Tensor], axes: dict[str, tuple[int, ...]], budget: Budget, level: ReadLevel
) -> list[Wanted]:
    """Leading units of the first tensors by layer (all shardings keep those in the first shard), then of a spread."""
    able = [t for t in tensors if 0 in axes.get(t.info.name, ())]
    able.sort(key=lambda t: roles.natural(t.info.name))
    wanted = [(t, 0, genes.n_read(t.info.shape, 0)) for t in able]
    first, rest = wanted[:FIRST_LAYERS_GENES], wanted[FIRST_LAYERS_GENES:]
    price = max((t.n_bytes(n) for t, _, n in wanted), default=0) or 1
    room = max(min(budget.n_bytes // price, budget.n_requests) - len(first), 0) if level != "small" else 0
    if len(rest) > room:
        rest = [rest[i * len(rest) // room] for i in range(room)]
    return _affordable(first + rest, budget)


def _affordable(wanted: list[Wanted], budget: Budget) -> list[Wanted]:
    chosen: list[Wanted] = []
    n_bytes = n_requests = 0
    for tensor, first, n in wanted:
        n_bytes += tensor.n_bytes(n)
        n_requests += len(tensor.extents(first, n))
        if n_bytes <= budget.n_bytes and n_requests <= budget.n_requests:
            chosen.append((tensor, first, n))
    return chosen
