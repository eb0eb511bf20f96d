"""HD009 disguised copy: an undeclared relative of which the weights were rearranged in a way that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines, shared_origin
from hubdna.rules.case import Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")

INNOCENT = frozenset({"gains folded", "experts renumbered", "rows rescaled"})
"""Tools for inference and conversion do these; they hide nothing from a test of plain rows."""


def disguised_copy(case: Case) -> Iterator[Finding]:
    """`warning` of a close, likely parent whose units or coordinates were rearranged; `info` otherwise.

    Close as far as that can be told: where the plain rows say nothing, the exact test of what the change leaves alone
    was passed, and a shared seed does not survive a disguise and look like one.
    """
    match = disguised(case)
    if match is None:
        return
    severity: Severity = "warning" if case.is_likely_parent(match) and _hides(match) else "info"
    changes = ", ".join(match.verdict.disguise)
    message = (
        f"This model {shared_origin(match)}, which the card does not name; between the two: {changes}. That leaves "
        "what a model computes as it is, and hides its origin from plain comparisons. It may have other reasons, such "
        "as preparing for quantisation."
    )
    name = match.ref.repo_id
    patch = case.patch(name, f"declare {name} as the base model, if that is what it was made from")
    yield Finding("HD009", severity, case.ref, case.claim.line, message, evidence_lines(match), patch)


def disguised(case: Case) -> Match | None:
    """The nearest undeclared relative with a disguise that neither came later nor declares this model."""
    if case.ref.repo_id in case.foundations or any(b.is_confirmed for b in case.declared):
        return None
    found = [m for m in case.relatives if m.verdict.disguise and not case.is_credited(m)]
    open_ = [m for m in found if not case.is_later(m) and not case.declares_us(m)]
    return next(iter(sorted(open_, key=lambda m: (not case.is_likely_parent(m), m.rank))), None)


def _hides(match: Match) -> bool:
    return not INNOCENT.issuperset(match.verdict.disguise)
