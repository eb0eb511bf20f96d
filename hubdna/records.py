"""The nouns: frozen dataclasses that the steps hand to each other. Standard library only (numpy for annotations).

    ModelRef -> Snapshot -> Choice -> Dna (of Genes and Blocks) -> Evidence -> Verdict -> Match -> Finding -> Audit

*Parent* means one edge, *ancestor* the closure of edges, *origin* common descent without a direction.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hubdna.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Origin = Literal["identical", "common", "no-evidence", "undecided"]
Direction = Literal["a-from-b", "b-from-a", "undirected"]
Certainty = Literal["certain", "attested", "likely", "none"]
Severity = Literal["error", "warning", "info"]
ReadLevel = Literal["small", "standard", "full"]
View = Literal["rows", "response", "gram", "residual", "unseen"]
Kind = Literal["safetensors", "torch", "onnx", "gguf", "adapter", "none"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model on the Hub (`org/name`) or in a local folder (a path that starts with `.` or `/`).

    `sha` is the commit that `revision` pointed to when it was resolved; everything stored is keyed by it.
    """

    repo_id: str
    revision: str = "main"
    sha: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read `org/name`, `org/name@revision` or a path. Raises UsageError."""
        if text.startswith((".", "/")):
            return cls(text)
        if text.startswith("https://huggingface.co/"):  # as copied from the browser
            text = text.removeprefix("https://huggingface.co/").rstrip("/")
        repo_id, _, revision = text.partition("@")
        if not _REPO_ID.fullmatch(repo_id) or ".." in repo_id:
            raise UsageError(
                f"{text!r} is not a model: expected org/name, org/name@revision, or a path that starts with . or /"
            )
        return cls(repo_id, revision or "main")

    @property
    def is_local(self) -> bool:
        """Whether this is a folder (or a .dna file) on this machine."""
        return self.repo_id.startswith((".", "/"))

    def __str__(self) -> str:
        return self.repo_id if self.is_local or self.revision == "main" else f"{self.repo_id}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Work that was not done, and why: a value, not an exception."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a weights file, as its header states it.

    `dtype` in safetensors' words ("BF16"); `data_offsets` are absolute byte positions [begin, end) in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]
    filename: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a repository holds, as far as the listing tells: no weights yet."""

    ref: ModelRef
    files: tuple[str, ...]
    config: dict[str, Any] | None = None
    card_data: dict[str, Any] | None = None
    created_at: str | None = None
    author: str | None = None
    gated: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen of a repository's files.

    Attributes:
        files: the model's weights files, in shard order; of a pipeline the components one after the other.
        kind: their format; "adapter" when there is only a difference to another model, "none" without files.
        rejected: every other file that holds weights or looks like it, and why it was not taken.
        note: what people should know about the choice, or None.
    """

    files: tuple[str, ...]
    kind: Kind
    rejected: tuple[Skipped, ...]
    note: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Gene:
    """Some units of a model, seen in one way, and what is needed to compare them with another model's.

    Attributes:
        view: what the columns are. "rows": the units' weights; "response": their response to labelled inputs (no
            residual coordinates left); "gram": residual coordinates by their products with others, over all units of
            a matrix; "residual": residual coordinates over labelled inputs; "unseen": tokens that no training saw,
            by their products with others.
        tensor: name in the file; for people only, never for the verdict.
        shape: as stored.
        axis: the storage axis whose units these are.
        role: "ffn", "conv", "dense"; from the name, for people only.
        layer: first number in the name, or -1.
        component: "vision_tower", "text_model", ... or "".
        dtype: as stored, safetensors' words.
        rows: int8 [m, c]; None in a published index (sketches and hashes only).
        scales: float32 [m]; rows * scales are the weights to 1/254 of each row's largest.
        live: bool [m]; False for dead and repeated units.
        hashes: uint64 [m, 3]; of each row's exact bits as float32, and rounded to bfloat16 and to float16; [0, 3] for
            all views but "rows".
        sketch: uint8 [256]; 2,048 signs of projections of other units than the tested ones.
        n_sketched: how many weights went into the sketch.
        ids: int32 [m], the tokens of an "unseen" gene; [0] for all others.
    """

    view: View
    tensor: str
    shape: tuple[int, ...]
    axis: int
    role: str
    layer: int
    component: str
    dtype: str
    rows: NDArray[np.int8] | None
    scales: NDArray[np.float32] | None
    live: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    sketch: NDArray[np.uint8]
    n_sketched: int
    ids: NDArray[np.int32]

    @property
    def n_units(self) -> int:
        """Length of the unit axis."""
        return self.shape[self.axis]

    @property
    def key(self) -> tuple[str, int, tuple[int, ...]]:
        """What two genes must share to be compared: view, unit axis length, and the other lengths, layout-blind.

        Tables of tokens may have been cut or extended, hidden layers pruned: where units are summed over, or are
        tokens, the other length is left out.
        """
        if self.view == "unseen":
            return self.view, 0, ()
        others = sorted(n for i, n in enumerate(self.shape) if i != self.axis and n > 1)
        return self.view, self.n_units, () if self.view in ("residual", "gram") else tuple(others)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A corner of one matrix, exact: what the relation of two models of one origin is read from. Never the origin.

    Attributes:
        tensor: name in the file.
        shape: as stored.
        role: as a gene's.
        dtype: as stored.
        values: float32 [r, c]: the leading rows of the stored matrix (axes after the first flattened), exact.
        grid: bits of the grid on which whole rows lie (2 to 8), or 0.
    """

    tensor: str
    shape: tuple[int, ...]
    role: str
    dtype: str
    values: NDArray[np.float32]
    grid: int


@dataclass(frozen=True, slots=True, eq=False)
class Dna:
    """A model's weight DNA.

    `scheme` names every parameter that changes the result: two schemes never mix. `content` is a digest of all
    float tensors' bits, known only when the whole model was read. `n_tokens` is the length of its token table, 0
    without one; `quantization` the name of the layout that its weights are packed in, or None. What it cost
    (`n_bytes_read`, `n_requests`), which files it was read from (`choice`) and `weights_sha256` (one hash a weights
    file, empty for files that were not touched) are provenance, not part of the .dna file.
    """

    ref: ModelRef
    scheme: str
    genes: tuple[Gene, ...]
    blocks: tuple[Block, ...] = ()
    content: str | None = None
    n_tensors: int = 0
    n_tokens: int = 0
    quantization: str | None = None
    weights_sha256: tuple[str, ...] = ()
    n_bytes_read: int = 0
    n_requests: int = 0
    skipped: tuple[Skipped, ...] = ()
    choice: Choice | None = None

    @property
    def reasons(self) -> Counter[str]:
        """How many tensors were set aside, by reason."""
        return Counter(s.reason for s in self.skipped)


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
        components: for each part of a composite model that was paired, log10 p of its own units alone, and its share of
            the weights of A and of B; empty when neither model has parts.
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
        quantised: whether most paired genes were stored on a grid.
        scale_spread: largest spread, over matrices, of log(A's row / B's row) where they have one direction.
        flipped: largest share, over matrices, of matching rows whose sign is the other one.
        folded: share of the difference of matching rows that one factor a column explains.
        agreement: for each layer looked at, the share of hidden units on which two matchings agree (full reads only).
        n_alone: rows genes without a partner.
        n_foreign: those of a shape that the other model does not have.
        n_experts: rows genes that are experts of a mixture.
        n_moved: pairs of genes whose names say another expert of the same layer.
        n_tokens: length of the token table, 0 without one.
        layer_map: layers of A and B that resemble each other.
        difference: how exact corners differ, or None.
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
    quantised: tuple[bool, bool] = (False, False)
    scale_spread: float | None = None
    flipped: float = 0.0
    folded: float = 0.0
    agreement: tuple[float, ...] = ()
    n_alone: tuple[int, int] = (0, 0)
    n_foreign: tuple[int, int] = (0, 0)
    n_experts: tuple[int, int] = (0, 0)
    n_moved: int = 0
    n_tokens: tuple[int, int] = (0, 0)
    layer_map: tuple[tuple[int, int], ...] = ()
    difference: Difference | None = None


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
    """A relative found in an index, re-tested exactly."""

    ref: ModelRef
    rank: int
    verdict: Verdict
    created_at: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a model card says about where the model comes from, with line numbers (1-based) in README.md.

    `line` is where `base_model` stands, or where it would have to stand; None when the README was not read.
    """

    base_models: tuple[str, ...] = ()
    relation: str | None = None
    license: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CardPatch:
    """A suggested change to a card, as a unified diff of README.md."""

    reason: str
    diff: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to put right, bound to a line of the card."""

    rule_id: str
    severity: Severity
    ref: ModelRef
    line: int | None
    message: str
    evidence: tuple[str, ...] = ()
    patch: CardPatch | None = None


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index at a glance."""

    location: str
    digest: str
    scheme: str
    n_models: int
    n_skipped: int
    n_bytes: int
    published: bool
    last_crawl: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What anyone needs to repeat an audit."""

    index_digest: str
    index_location: str
    n_models: int
    scheme: str
    version: str
    date: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything an audit of one model said."""

    ref: ModelRef
    claim: Claim
    matches: tuple[Match, ...]
    findings: tuple[Finding, ...]
    provenance: Provenance | None
    skipped: tuple[Skipped, ...] = field(default=())
