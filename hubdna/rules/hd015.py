"""HD015 old weights under a new name: bit for bit an earlier model of the same owner, which the card does not name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines
from hubdna.rules.case import Case, owner

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def old_weights(case: Case) -> Iterator[Finding]:
    """`warning` when the two names differ in a version number, `info` otherwise: many re-uploads are mere moves."""
    match = reissued(case)
    if match is None:
        return
    name = match.ref.repo_id
    severity: Severity = "warning" if differ_in_version(name, case.ref.repo_id) else "info"
    message = (
        f"This model is bit for bit the same as {name}, which its owner published earlier ({match.created_at:.10}); "
        "the card does not mention it."
    )
    yield Finding("HD015", severity, case.ref, case.claim.line, message, evidence_lines(match))


def reissued(case: Case) -> Match | None:
    """The earliest exact copy of the same owner, when no earlier one is another's and the card names none."""
    copies = case.copies
    if not copies or case.ref.is_local or any(case.is_named(m.ref.repo_id) or case.is_credited(m) for m in copies):
        return None
    first = copies[0]
    same_owner = owner(first.ref.repo_id) == owner(case.ref.repo_id)
    return first if same_owner and case.is_earlier(first) and not case.declares_us(first) else None


def differ_in_version(a: str, b: str) -> bool:
    """Whether two names are equal but for a number that says which version: `v1` and `v2`, `-0711` and `-0825`.

    Sizes are no versions: a number followed by a letter for thousands, millions or billions counts as text.
    """
    cut = re.compile(r"(?<![\d.])\d+(?:\.\d+)*(?![\d.]*\d|[kmbt]\b|bit|px)", re.IGNORECASE)
    return a != b and cut.sub("#", a).casefold() == cut.sub("#", b).casefold()
