"""Weight DNA: genes, exact corners, and the model's whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubdna.records.models import Choice, ModelRef, Skipped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

View = Literal["rows", "response", "gram", "residual", "unseen"]
UNIT_VIEWS: tuple[View, ...] = ("rows", "response")
"""Views of hidden units, which training alone tells apart; the others are of coordinates and tokens."""


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
    """A corner of one matrix, exact: what the relation of models of one origin is read from. Never the origin.

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

    `blocks` are corners of a few matrices, `samples` much smaller ones of many more. `scheme` names every parameter
    that changes the result: two schemes never mix. `content` is a digest of all
    float tensors' bits, known only when the whole model was read. `n_tokens` is the length of its token table, 0
    without one; `quantization` the name of the layout that its weights are packed in, or None. What it cost
    (`n_bytes_read`, `n_requests`), what a full read would cost (`n_bytes_unread`: 0 when the model was read whole, None
    when not every file was opened), which files it was read from (`choice`) and `weights_sha256` (one hash a weights
    file, empty for files that were not touched) are provenance, not part of the .dna file.
    """

    ref: ModelRef
    scheme: str
    genes: tuple[Gene, ...]
    blocks: tuple[Block, ...] = ()
    samples: tuple[Block, ...] = ()
    content: str | None = None
    n_tensors: int = 0
    n_tokens: int = 0
    quantization: str | None = None
    weights_sha256: tuple[str, ...] = ()
    n_bytes_read: int = 0
    n_requests: int = 0
    skipped: tuple[Skipped, ...] = ()
    choice: Choice | None = None
    n_bytes_unread: int | None = None

    @property
    def reasons(self) -> Counter[str]:
        """How many tensors were set aside, by reason."""
        return Counter(s.reason for s in self.skipped)
