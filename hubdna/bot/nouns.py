"""What the bot keeps: jobs, proposals, threads, corrections. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubdna.records import CardPatch, Severity

Kind = Literal["say", "close", "withdraw"]
"""Open or edit the one comment of a model; close it because the card was fixed; take it back."""
ProposalState = Literal["queued", "approved", "posting", "posted", "rejected", "superseded", "dropped", "failed"]
WAITING: tuple[ProposalState, ...] = ("queued", "approved", "posting")
"""States that something still comes of."""
ThreadState = Literal["open", "closed", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Job:
    """A model to look at. There is one for each repository, whatever number of events asked for it.

    Attributes:
        seq: grows with every event; a job that grew while it was worked on stays.
        tries: how often it was begun. Each one puts it off, so a model that kills the process does not hold up others.
        reason: why the last try did not end it.
    """

    repo_id: str
    seq: int
    tries: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One finding as it is told: rule, severity, message."""

    rule_id: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What a proposal rests on.

    Attributes:
        sha: the commit that was audited.
        claim: what the card said of base models and licence, as one line of JSON.
        index_digest, n_models: the index it was compared with.
    """

    sha: str
    claim: str
    index_digest: str
    n_models: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something the bot would do on the Hub, and what became of it.

    Attributes:
        id: 12 hex digits; the comment's hidden marker names it.
        digest: of the finding set; two proposals with one digest say the same.
        body: Markdown, without the marker.
        patches: of the card, for a pull request.
        by: who decided, a person or `policy: ...`; empty while nobody has.
        reason: why it was rejected, dropped, withdrawn, or why it waits.
        tries, not_before: attempts to post, and the time (Unix seconds) of the next one.
    """

    id: str
    repo_id: str
    kind: Kind
    digest: str
    said: tuple[Said, ...]
    body: str
    basis: Basis
    state: ProposalState
    by: str = ""
    reason: str = ""
    created_at: str = ""
    decided_at: str = ""
    tries: int = 0
    not_before: float = 0.0
    patches: tuple[CardPatch, ...] = ()

    @property
    def owner(self) -> str:
        """User or organisation of the repository."""
        return owner_of(self.repo_id)


@dataclass(frozen=True, slots=True)
class Thread:
    """The bot's discussion on a model.

    Attributes:
        num: its number on the Hub.
        proposal_id: what it says now.
    """

    repo_id: str
    num: int
    proposal_id: str
    digest: str
    said: tuple[Said, ...]
    basis: Basis
    state: ThreadState


@dataclass(frozen=True, slots=True)
class Correction:
    """A statement that was taken back. `told` is whether the discussion says so; else `note` tells why not."""

    repo_id: str
    num: int
    at: str
    by: str
    reason: str
    was: tuple[Said, ...]
    told: bool
    note: str = ""


def owner_of(repo_id: str) -> str:
    """User or organisation of a repository; of a name without one, the name."""
    return repo_id.partition("/")[0]
