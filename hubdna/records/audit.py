"""What a card says, what is wrong with it, and against which index that was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hubdna.records.evidence import Match
from hubdna.records.models import ModelRef, Skipped
from hubdna.records.receipts import ReceiptGlance

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a model card says about where the model comes from, with line numbers (1-based) in README.md.

    `license` is `license_name` where the card says `license: other`; several are joined by commas. `line` is where
    `base_model` stands, or where it would have to stand, and `base_lines` those of the single names; without them when
    the README was not read. `remarks` tell what of `base_model` is no name of a model, or has invisible characters in
    it.
    """

    base_models: tuple[str, ...] = ()
    relation: str | None = None
    license: str | None = None
    line: int | None = None
    license_name: str | None = None
    license_link: str | None = None
    base_lines: tuple[int, ...] = ()
    relation_line: int | None = None
    license_line: int | None = None
    remarks: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class CardEdit:
    """One change of a card's front matter.

    Attributes:
        action: `set` makes the values all that the key says; `add` appends those that are not there (`base_model`
            only); `remove` takes them away, and the key with its last one. Without values it removes the key.
        values: names as they shall be read back.
    """

    key: Literal["base_model", "base_model_relation", "license"]
    action: Literal["set", "add", "remove"]
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardPatch:
    """A suggested change to a card: why, a unified diff of README.md, and the edits for `hubdna.card.apply`."""

    reason: str
    diff: str
    edits: tuple[CardEdit, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """What came of patching one card.

    Attributes:
        diff: the change of README.md; empty where there was nothing to change.
        reasons: why, one for each patch.
        url: of the pull request, where one was opened.
    """

    ref: ModelRef
    diff: str
    reasons: tuple[str, ...] = ()
    url: str | None = None


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
class Ignored:
    """A finding that the user's configuration sets aside: why, and the last day of that (`2027-01-31`), if any."""

    finding: Finding
    reason: str
    until: str | None = None


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
    """What anyone needs to repeat an audit.

    `configuration` tells what the user's configuration changed about the rules: `HD003=off`, `HD001=info`.
    """

    index_digest: str
    index_location: str
    n_models: int
    scheme: str
    version: str
    date: str
    configuration: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything an audit of one model said.

    `receipt` is what its training receipt says at a glance; None where it has none or nobody looked.
    """

    ref: ModelRef
    claim: Claim
    matches: tuple[Match, ...]
    findings: tuple[Finding, ...]
    provenance: Provenance | None
    skipped: tuple[Skipped, ...] = field(default=())
    ignored: tuple[Ignored, ...] = ()
    receipt: ReceiptGlance | None = None
