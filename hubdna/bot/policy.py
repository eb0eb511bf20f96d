"""What may be said, to whom, and who has to agree first. Pure functions; clock and state are handed in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hubdna.bot.nouns import WAITING, Basis, Proposal, Said, Thread
from hubdna.records import Audit, CardPatch, Claim

NEVER_ALONE = frozenset({"HD008", "HD009", "HD010", "HD012", "HD013", "HD014", "HD015"})
"""Never posted without a person's approval, whatever an owner switched on: re-uploads, disguises, 'from scratch',
licences, old weights under a new name. They accuse, and an accusation is a person's business."""

OPT_OUT_KEY = "hubdna-bot"
_OPT_OUT = re.compile(
    rf"^[ \t]*['\"]?{OPT_OUT_KEY}['\"]?[ \t]*:[ \t]*['\"]?(?:false|off|no|never)\b", re.IGNORECASE | re.MULTILINE
)
_SCANNED = 1_000_000
"""Characters of a card in which the key is looked for; as text, so that a card with broken YAML can opt out too."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Most discussions opened in a day (UTC). Edits and closings cost nothing: they make nobody look."""

    per_owner: int = 3
    per_day: int = 50


Action = Literal["nothing", "say", "refresh", "close", "withdraw"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an audit: what to do, why, and whether a person has to agree."""

    action: Action
    reason: str
    alone: bool = False
    """Whether it may be done without approval; `reason` then says by which policy."""


def said_of(audit: Audit) -> tuple[Said, ...]:
    """The findings that may be told: `info` says that nobody knows, so it is never posted."""
    return tuple(Said(f.rule_id, f.severity, f.message) for f in audit.findings if f.severity != "info")


def patches_of(audit: Audit) -> tuple[CardPatch, ...]:
    """The patches of those findings."""
    return tuple(f.patch for f in audit.findings if f.severity != "info" and f.patch is not None)


def digest_of(said: tuple[Said, ...]) -> str:
    """Of a finding set: rules and messages, in no order."""
    pairs = sorted((one.rule_id, one.message) for one in said)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def claim_line(claim: Claim) -> str:
    """What a card says of base models and licence, to tell whether it was changed."""
    return json.dumps([sorted(claim.base_models), claim.relation, claim.license])


def is_opted_out(card: str | None) -> bool:
    """Whether a card says `hubdna-bot: false`, anywhere at the beginning of a line."""
    return card is not None and _OPT_OUT.search(card, 0, _SCANNED) is not None


def decide(
    said: tuple[Said, ...],
    basis: Basis,
    thread: Thread | None,
    proposals: list[Proposal],
    opted_in: frozenset[str] = frozenset(),
) -> Decision:
    """What to do about a model, after a complete audit of its present commit.

    Args:
        said: the findings that may be told.
        basis: of this audit.
        thread: what stands on the Hub.
        proposals: all about this model, oldest first.
        opted_in: rules that the owner switched on.
    """
    waiting = [p for p in proposals if p.state in WAITING]
    if not said:
        return _nothing_found(basis, thread, waiting, proposals)
    digest = digest_of(said)
    if any(p.digest == digest and p.kind == "say" for p in waiting):
        return Decision("refresh", "the same findings wait already")
    if thread is not None and thread.state == "open" and thread.digest == digest:
        return Decision("nothing", "the comment says so already")
    if any(p.digest == digest and p.kind == "say" and p.state == "rejected" for p in proposals):
        return Decision("nothing", "a person rejected these findings")
    if thread is not None and thread.state == "open" and set(_pairs(said)) < set(_pairs(thread.said)):
        return Decision("say", "policy: says less than the comment that stands", alone=True)
    if may_be_said_alone(said, opted_in):
        return Decision("say", "policy: the owner switched these rules on", alone=True)
    return Decision("say", "new findings")


def _nothing_found(basis: Basis, thread: Thread | None, waiting: list[Proposal], proposals: list[Proposal]) -> Decision:
    if thread is None or thread.state != "open":
        return Decision("nothing", "no findings")
    if any(p.kind in ("close", "withdraw") for p in waiting):
        return Decision("nothing", "the comment is being closed already")
    if any(p.kind == "withdraw" and p.state == "rejected" and p.digest == thread.digest for p in proposals):
        return Decision("nothing", "a person decided that the comment stands")
    if basis.claim != thread.basis.claim:
        return Decision("close", "policy: the card was changed and no finding is left", alone=True)
    if basis.index_digest != thread.basis.index_digest and basis.n_models < thread.basis.n_models:
        return Decision("withdraw", "the findings are gone, but so are models of the index")
    return Decision("withdraw", "policy: the findings no longer hold", alone=True)


def may_be_said_alone(said: tuple[Said, ...], opted_in: frozenset[str]) -> bool:
    """Whether the owner switched on every rule that speaks, and none of them needs a person in any case."""
    rules = {one.rule_id for one in said}
    return bool(rules) and rules <= opted_in and not rules & NEVER_ALONE


def over_budget(owner: str, opened: Mapping[str, int], budget: Budget) -> str | None:
    """Why no discussion may be opened for an owner today, or None. `opened` counts today's by owner."""
    if (theirs := opened.get(owner, 0)) >= budget.per_owner:
        return f"{theirs} discussions were opened for {owner} today; the budget is {budget.per_owner}"
    if (total := sum(opened.values())) >= budget.per_day:
        return f"{total} discussions were opened today; the budget is {budget.per_day}"
    return None


def next_day(now: float) -> float:
    """When the budgets begin anew (Unix seconds)."""
    return (now // 86_400 + 1) * 86_400.0


def _pairs(said: tuple[Said, ...]) -> list[tuple[str, str]]:
    return [(one.rule_id, one.message) for one in said]
