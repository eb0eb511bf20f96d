"""Which gene sketches stand for a model in an index, and what two of them must share to be compared.

A model gets eight slots of 1,024 bits: the beginning of its genes' sketches. Four go to hidden units, the others to
views that disguises leave alone, so that a rotated or shuffled copy is proposed too; what a model lacks goes to what
it has. `scripts/boards/sketch.py` measured the alternatives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from hubdna.dna.genes import spread_order
from hubdna.dna.sketch import N_INPUT
from hubdna.records import Dna, Gene, View


@dataclass(frozen=True, slots=True)
class Layout:
    """How the bytes of one model are spent.

    Attributes:
        bits: of each sketch, a multiple of 64; its first ones.
        shares: (views, slots); of several views the first one that a model has. Slots that stay empty go round again.
    """

    bits: int
    shares: tuple[tuple[tuple[View, ...], int], ...]

    @property
    def slots(self) -> int:
        """Sketches a model at most."""
        return sum(n for _, n in self.shares)


LAYOUT = Layout(1024, ((("rows",), 4), (("response",), 2), (("gram", "residual"), 1), (("unseen", "residual"), 1)))


def index_genes(dna: Dna, layout: Layout = LAYOUT) -> list[Gene]:
    """Choose the genes whose sketches stand for a model."""
    queues = {view: _in_order([g for g in dna.genes if g.view == view]) for views, _ in layout.shares for view in views}
    chosen: list[Gene] = []
    for views, n in layout.shares:
        queue = next((queues[v] for v in views if queues[v]), [])
        chosen += queue[:n]
        del queue[:n]
    for views, _ in layout.shares:  # what is left over: hidden units first
        for view in views:
            n = layout.slots - len(chosen)
            chosen += queues[view][:n]
            del queues[view][:n]
    return chosen


def _in_order(genes: Sequence[Gene]) -> list[Gene]:
    """Rich genes before poor ones; those of the first tensors, which every read level has, and a spread in turn."""
    most = max((_weights(g) for g in genes), default=0)
    rich, poor = [g for g in genes if 2 * _weights(g) >= most > 0], [g for g in genes if 0 < 2 * _weights(g) < most]
    first = [g for g in rich if g.axis == 0][:2]
    rest = [g for g in reversed(rich) if not any(g is f for f in first)]
    spread = [rest[i] for i in spread_order(len(rest), len(rest))]
    return [g for pair in zip_longest(first, spread) for g in pair if g is not None] + poor


def _weights(gene: Gene) -> int:
    return min(gene.n_sketched, N_INPUT)


def key_of(gene: Gene) -> int:
    """31 bits of what two genes must share to be compared exactly; others do not meet in a search."""
    view, n, others = gene.key
    text = f"{view} {n} {' '.join(str(int(o)) for o in others)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1
