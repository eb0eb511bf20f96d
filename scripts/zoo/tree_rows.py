"""The words of the tree table (`tree_catalog`): what a row says, and short forms for rows that recur.

A tree is one root and everything that was made from it, a row per model. A row gives one edge: its model, the parent,
what was done. The seeds of a model follow from the names of tree and row, and so does the name of its folder.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from typing import Any

EFFORT = {
    "faint": (1 / 8, 1 / 3000),
    "light": (1 / 8, 1 / 30),
    "mid": (1 / 4, 1 / 10),
    "heavy": (3 / 4, 1 / 2),
    "adapter": (1 / 2, 1),
}
"""Steps and learning rate of a fine-tune, as shares of the root's."""
ROOT = "root"


@dataclass(frozen=True)
class Row:
    """One model of a tree.

    Attributes:
        key: its name in the table; never in its folder.
        parent: the key of the model it was made from; empty for the root.
        kind: of the edge, in the words of the README.
        how: a key of `tree_changes.CHANGES`: what is done before training.
        options: of the change.
        data: what it is trained on afterwards: a text mix, or a view of the digits; `/parity` asks for odd or even.
            Empty when it is not trained.
        effort: of the training, a key of `EFFORT`.
        decay: weight decay.
        frozen: whether the input side and the lower half of the blocks stand still.
        rank: of an adapter that is trained and merged, 0 for none.
        sparse: whether zeros stay zero in training.
        dtype: of the float tensors in the file; empty for the parent's.
        layout: of the folder, see `pair_files`.
        detail: facts of the edge: bits, share.
    """

    key: str
    parent: str
    kind: str
    how: str = "same"
    options: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    effort: str = "mid"
    decay: float = 0.05
    frozen: bool = False
    rank: int = 0
    sparse: bool = False
    dtype: str = ""
    layout: str = "plain"
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """One family.

    Attributes:
        name: of its folder.
        kind: architecture of the root, a key of `pair_kinds.KINDS`.
        split: ``tune`` or ``test``: whether thresholds may be fixed on it.
        base: config of the root.
        steps: of the root's training.
        lr: of the root's training.
        data: of the root.
        dtype: of the root's file.
        layout: of the root's folder.
        rows: of all other models, parents before children.
    """

    name: str
    kind: str
    split: str
    base: dict[str, Any]
    steps: int
    lr: float
    data: str
    rows: tuple[Row, ...]
    dtype: str = "F32"
    layout: str = "plain"

    @property
    def root(self) -> Row:
        """The root as a row."""
        return Row(ROOT, "", "root", "fresh", data=self.data, dtype=self.dtype, layout=self.layout)

    def seed_of(self, key: str, purpose: str) -> int:
        """Returns a model's seed for one purpose (``init``, ``order`` or ``change``)."""
        return zlib.crc32(f"tree/{self.name}/{key}/{purpose}".encode())

    def id_of(self, key: str) -> str:
        """Returns the name of a model's folder, which tells nothing."""
        return hashlib.sha256(f"tree/{self.name}/{key}".encode()).hexdigest()[:10]

    def row(self, key: str) -> Row:
        """Returns a row by its key."""
        return next(row for row in (self.root, *self.rows) if row.key == key)

    def generation(self, key: str) -> int:
        """Returns how many edges lie between the root and a model."""
        return 0 if key == ROOT else 1 + self.generation(self.row(key).parent)

    def kind_of(self, key: str) -> str:
        """Returns the architecture of a model."""
        row = self.row(key)
        if not row.parent:
            return self.kind
        return "moe" if row.how == "upcycled" else self.kind_of(row.parent)

    def dtype_of(self, key: str) -> str:
        """Returns the type of a model's float tensors."""
        row = self.row(key)
        return row.dtype or (self.dtype_of(row.parent) if row.parent else "F32")


def tune(key: str, parent: str, data: str, effort: str = "mid", **more: Any) -> Row:
    """A fine-tune of all weights, or, with `frozen`, of the upper ones."""
    return Row(key, parent, "frozen" if more.get("frozen") else "finetune", data=data, effort=effort, **more)


def lora(key: str, parent: str, data: str, rank: int, **more: Any) -> Row:
    """An adapter, trained and merged."""
    return Row(key, parent, "lora-merged", data=data, effort="adapter", rank=rank, detail={"rank": rank}, **more)


def rounded(key: str, parent: str, bits: int, dtype: str = "F16") -> Row:
    """A quantised copy as floats: 8 bits with a scale a row, 4 with one a group of 32."""
    options = {"bits": bits, "group": 32 if bits < 8 else 1 << 40}
    return Row(key, parent, "quantized", "rounded", options, dtype=dtype, detail={"bits": bits, "stored": False})


def stored(key: str, parent: str, layout: str) -> Row:
    """A quantised copy in a layout of its own."""
    detail = {"bits": {"int8": 8, "gguf": 8, "int4": 4, "fp8": 8}[layout], "stored": layout}
    return Row(key, parent, "quantized", layout=layout, dtype="F32", detail=detail)


def cast(key: str, parent: str, dtype: str) -> Row:
    """The same weights in a 16-bit type."""
    return Row(key, parent, "cast", dtype=dtype)


def upcast(key: str, parent: str) -> Row:
    """The same values in float32."""
    return Row(key, parent, "upcast", dtype="F32")


def pruned(key: str, parent: str, data: str = "", share: float = 0.5, effort: str = "light") -> Row:
    """The smaller weights set to zero; with data, tuned afterwards."""
    kind = "pruned-tuned" if data else "pruned"
    detail = {"share": share}
    return Row(key, parent, kind, "pruned", {"share": share}, data, effort, sparse=bool(data), detail=detail)


def two_four(key: str, parent: str) -> Row:
    """Two of every four weights set to zero."""
    return Row(key, parent, "pruned-2:4", "two_four")


def layers(key: str, parent: str, order: tuple[int, ...], depth: int) -> Row:
    """Layers repeated or dropped, nothing trained."""
    kind = "depth-up" if len(order) > depth else "depth-pruned"
    return Row(key, parent, kind, "relayered", {"order": order}, detail={"order": list(order)})


def words(key: str, parent: str, count: int, before: int) -> Row:
    """Tokens cut off at the end, or new ones with random rows; nothing trained."""
    kind = "vocabulary-cut" if count < before else "vocabulary-extended"
    return Row(key, parent, kind, "revocabulary", {"words": count}, detail={"words": count, "parent_words": before})


def upcycled(key: str, parent: str) -> Row:
    """A mixture of four copies of each hidden layer; nothing trained."""
    return Row(key, parent, "upcycled", "upcycled", detail={"experts": 4})


def head(key: str, parent: str, data: str, classes: int = 0) -> Row:
    """A fresh head on the trained body, then all of it tuned."""
    return Row(key, parent, "head", "new_head", {"classes": classes}, data)
