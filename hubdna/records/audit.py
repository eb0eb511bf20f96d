"""What a card says, what is wrong with it, and against which index that was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hubdna.records.evidence import Match
from hubdna.records.models import ModelRef, Skipped

Severity = Literal["error", "warning", "info"]


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
