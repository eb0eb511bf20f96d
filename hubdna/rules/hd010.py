"""HD010 "trained from scratch" contradicted: the card says so, and the weights share their origin with a base."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.card.prose import Statement, from_scratch
from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines, shared_origin
from hubdna.rules.case import Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def scratch_contradicted(case: Case) -> Iterator[Finding]:
    """As loud as the shared origin allows; nothing when a base is declared, or only later models are related."""
    found = contradicted(case)
    if found is None:
        return
    said, match = found
    message = f'The card says "{said.text[:200]}"; this model {shared_origin(match)}, an earlier model.'
    if case.severity(match) == "info":
        message += " A shared random seed, or a common parent, could explain that."
    name = match.ref.repo_id
    patch = case.patch(name, f"declare {name} as the base model, if that is what it was made from")
    yield Finding("HD010", case.severity(match), case.ref, said.line, message, evidence_lines(match), patch)


def contradicted(case: Case) -> tuple[Statement, Match] | None:
    """What the card says, and the earlier relative that speaks against it."""
    if case.claim.base_models or case.card is None or case.ref.repo_id in case.foundations:
        return None
    earlier = [m for m in case.relatives if case.is_earlier(m) and not case.declares_us(m)]
    match = next(iter(case.likely_parents), None) or next(iter(earlier), None)
    said = from_scratch(case.card) if match else None
    return (said, match) if said and match else None
