"""What one pair showed, and what that supports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubdna.records.dna import View
from hubdna.records.models import ModelRef

Origin = Literal["identical", "common", "no-evidence", "undecided"]
Direction = Literal["a-from-b", "b-from-a", "undirected"]
Certainty = Literal["certain", "attested", "likely", "none"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One exact test: all paired genes of one view whose unit axes have the same length, in one assignment.

    `fixed_points` of `n_units` units were matched to themselves; under independence P(K >= k) <= 1/k!. `signed` is
    whether a unit and its negative count as opposites (True) or as alike (False). `log10_p` is paid for everything
    that was tried on the pair.
    """

    view: View
    signed: bool
    n_axis: int
    n_units: int
    n_genes: int
    n_columns: int
    fixed_points: int
    n_bit_equal: int
    similarity: float
    log10_p: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign that one of two models was made from the other: in the bits, or a receipt that was checked.

    Attributes:
        name: which sign.
        child: 0 when the first was made from the second, 1 when the second was made from the first.
        because: the sign in words.
    """

    name: str
    child: int
    because: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How two models differ where their matrices were compared weight by weight. Says nothing about the origin.

    Attributes:
        n_blocks: corners of matrices that were paired, and `n_changed` of them hold unequal weights.
        n_weights: weights compared, `n_equal` of them bit for bit.
        zeroed: share of A's non-zero weights that are zero in B, and the reverse; over changed blocks.
        survivors_equal: of these blocks' weights that are not zero in B, the share equal to A's; and the reverse.
        grid: bits of the grid on which most changed blocks of A lie, and of B; 0 for none.
        rank: largest rank of a change that is of low rank everywhere; None otherwise.
        similarity: lowest correlation of a pair of blocks, in [-1, 1].
    """

    n_blocks: int
    n_changed: int
    n_weights: int
    n_equal: int
    zeroed: tuple[float, float]
    survivors_equal: tuple[float, float]
    grid: tuple[int, int]
    rank: int | None
    similarity: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one pair of DNAs showed. Numbers only; the verdict is drawn elsewhere. Pairs are (of A, of B).

    Attributes:
        buckets: every test that was run.
        log10_p: of the best test, paid for everything that was tried.
        components: for each part of a composite model that was paired, log10 p of its own units alone, and its share
            of the weights of A and of B; empty when neither model has parts.
        similarity: centred correlation of the paired rows, weighted by size, in [-1, 1].
        n_genes: rows genes that were paired.
        n_rows: rows in them, `n_rows_equal` of them equal bit for bit.
        n_rows_cast: rows of B that are A's, rounded to a 16-bit float; and the reverse.
        exact: "file", "content" or None.
        same_layout: whether paired genes have equal names, shapes and axes.
        detectable: the correlation that nine draws of ten would have shown.
        untestable: why no test was run, or None.
        changed_log10_p: of the genes that are not bit-equal alone; None when no gene, or every one, is bit-equal.
        changed_detectable: the correlation that these would have shown.
        could_meet: whether the same side of the same matrices was read in both: two partial reads under different
            names may have met different ones.
        complete: whether both were read whole.
        n_bytes_unread: what a full read of both would take, or None when that is not known.
        quantised: whether most paired genes were stored on a grid.
        scale_spread: largest spread, over matrices, of log(A's row / B's row) where they have one direction.
        flipped: largest share, over matrices, of matching rows whose sign is the other one.
        folded: share of the difference of matching rows that one factor a column explains.
        agreement: for each layer looked at, the share of hidden units on which two matchings agree (full reads only).
        named_alike: whether the names of paired genes differ in numbers only.
        n_alone: rows genes without a partner.
        n_foreign: those of a shape that the other model does not have.
        n_experts: rows genes that are experts of a mixture.
        n_moved: pairs of genes whose names say another expert of the same layer.
        n_tokens: length of the token table, 0 without one.
        layer_map: layers of A and B that resemble each other.
        difference: how exact corners differ, or None.
        receipts: training receipts that this user checked in full, from the exact bytes of one to those of the other.
        marks: certain marks of direction; looked for only where there are receipts, which they may contradict.
    """

    buckets: tuple[Bucket, ...]
    log10_p: float | None
    similarity: float | None
    n_genes: int
    n_rows: int
    n_rows_equal: int
    n_rows_cast: tuple[int, int]
    exact: str | None
    same_layout: bool
    detectable: float | None
    untestable: str | None = None
    components: tuple[tuple[float, float, float], ...] = ()
    changed_log10_p: float | None = None
    changed_detectable: float | None = None
    could_meet: bool = True
    complete: bool = False
    n_bytes_unread: int | None = None
    quantised: tuple[bool, bool] = (False, False)
    scale_spread: float | None = None
    flipped: float = 0.0
    folded: float = 0.0
    agreement: tuple[float, ...] = ()
    named_alike: bool = False
    n_alone: tuple[int, int] = (0, 0)
    n_foreign: tuple[int, int] = (0, 0)
    n_experts: tuple[int, int] = (0, 0)
    n_moved: int = 0
    n_tokens: tuple[int, int] = (0, 0)
    layer_map: tuple[tuple[int, int], ...] = ()
    difference: Difference | None = None
    receipts: tuple[Mark, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence supports, and nothing more.

    `origin` has no direction. `log10_p` <= 0, or None when no test was needed (identical) or possible.
    """

    origin: Origin
    relation: str | None
    direction: Direction
    certainty: Certainty
    log10_p: float | None
    similarity: float | None
    disguise: tuple[str, ...]
    evidence: Evidence
    undecided_because: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair, its verdict, and what it cost."""

    a: ModelRef
    b: ModelRef
    verdict: Verdict
    n_bytes_read: int
    n_requests: int


@dataclass(frozen=True, slots=True)
class Match:
    """A relative found in an index, re-tested exactly. `copies` are other models of the index with the same weights."""

    ref: ModelRef
    rank: int
    verdict: Verdict
    created_at: str | None = None
    copies: tuple[ModelRef, ...] = ()
