"""A model and its files, before any weight is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from hubdna.errors import UsageError

ReadLevel = Literal["small", "standard", "full"]
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

    @classmethod
    def of(cls, model: ModelRef | str) -> ModelRef:
        """A model as callers name it: already a ModelRef, or text as on the command line. Raises UsageError."""
        if not isinstance(model, ModelRef | str):
            raise UsageError(f"expected a model's name or a ModelRef, found a {type(model).__name__}")
        return model if isinstance(model, ModelRef) else cls.parse(model)

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
