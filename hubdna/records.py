"""The nouns: frozen dataclasses that the steps hand to each other. Standard library only (numpy for annotations).

    ModelRef -> Snapshot -> Dna (of Genes) -> Evidence -> Verdict -> Match -> Finding -> Audit

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


@dataclass(frozen=True, slots=True, eq=False)
class Gene:
    """The first m units of one axis of one tensor, and what is needed to compare them with another model's.

    Attributes:
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
        hashes: uint64 [m, 3]; of each row's exact bits as float32, and rounded to bfloat16 and to float16.
        sketch: uint8 [256]; 2,048 signs of projections of units m.. (never of the tested ones).
        n_sketched: how many weights went into the sketch.
    """

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

    @property
    def n_units(self) -> int:
        """Length of the unit axis."""
        return self.shape[self.axis]

    @property
    def key(self) -> tuple[int, tuple[int, ...]]:
        """What two genes must share to be compared: unit axis length and the other lengths, layout-blind."""
        others = sorted(n for i, n in enumerate(self.shape) if i != self.axis and n > 1)
        return self.n_units, tuple(others)


@dataclass(frozen=True, slots=True, eq=False)
class Dna:
    """A model's weight DNA.

    `scheme` names every parameter that changes the result: two schemes never mix. `content` is a digest of all
    float tensors' bits, known only when the whole model was read. `anchors` are embedding rows kept for the tests
    of disguised models. What it cost (`n_bytes_read`, `n_requests`) is provenance, not part of the .dna file, and so
    is `weights_sha256`: one hash a weights file, empty for files that were not touched.
    """

    ref: ModelRef
    scheme: str
    genes: tuple[Gene, ...]
    anchors: NDArray[np.int8] | None = None
    content: str | None = None
    n_tensors: int = 0
    weights_sha256: tuple[str, ...] = ()
    n_bytes_read: int = 0
    n_requests: int = 0
    skipped: tuple[Skipped, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        """How many tensors were set aside, by reason."""
        return Counter(s.reason for s in self.skipped)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One exact test: all paired genes whose unit axes have the same length, in one assignment.

    `fixed_points` of `n_units` units were matched to themselves; under independence P(K >= k) <= 1/k!.
    """

    n_axis: int
    n_units: int
    n_genes: int
    n_columns: int
    fixed_points: int
    n_bit_equal: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one pair of DNAs showed. Numbers only; the verdict is drawn elsewhere.

    `log10_p` is already paid for every bucket that was tried (Bonferroni). `similarity` is the centred correlation
    of the paired rows, weighted by size, in [-1, 1]. `exact` is "file", "content" or None. `changed_log10_p` is the
    p-value of the genes that are not bit-equal alone, and `changed_detectable` the correlation they would have shown;
    None when no gene, or every one, is bit-equal. `could_meet` is whether the same side of the same matrices was read
    in both: two partial reads under different names may have met different ones. `quantised` is whether most paired
    genes of A, and of B, were stored on a grid.
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
    changed_log10_p: float | None = None
    changed_detectable: float | None = None
    could_meet: bool = True
    quantised: tuple[bool, bool] = (False, False)


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
