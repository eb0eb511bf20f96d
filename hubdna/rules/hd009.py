"""HD009 disguised copy: an undeclared relative of which the weights were rearranged in a way that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import UNIT_VIEWS, Finding, Match, Severity
from hubdna.report.wording import evidence_lines, shared_origin
from hubdna.rules.case import Case
from hubdna.verdict import COMMON_LOG10_P

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
        yield from _left_open(case)
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


def _left_open(case: Case) -> Iterator[Finding]:
    """`info` when only a full read could tell a shuffled copy from a table that was taken over."""
    if case.ref.repo_id in case.foundations or any(b.is_confirmed for b in case.declared):
        return
    found = [m for m in case.matches if matches_in_coordinates_only(m)]
    if any(case.is_credited(m) or case.is_named(m.ref.repo_id) for m in found):
        return  # the relatives of whom the card names match as well
    open_ = [m for m in found if not case.is_later(m) and not case.declares_us(m)]
    match = next(iter(sorted(open_, key=lambda m: (not case.is_likely_parent(m), m.rank))), None)
    if match is None:
        return
    message = (
        f"Undecided: the residual stream of this model matches that of {match.ref.repo_id} coordinate by coordinate, "
        "and the hidden units do not. Hidden units that were shuffled look like this, and so do a table of inputs that "
        "was taken over and positions that number the coordinates; --read full tells them apart."
    )
    yield Finding("HD009", "info", case.ref, case.claim.line, message, evidence_lines(match))


def matches_in_coordinates_only(match: Match) -> bool:
    """Whether the verdict was left open between a shuffled copy and coordinates that are in one order."""
    v, buckets = match.verdict, match.verdict.evidence.buckets
    passed = {b.view for b in buckets if b.log10_p <= COMMON_LOG10_P}
    is_open = v.origin == "undecided" and v.relation == "component" and not v.evidence.agreement
    return is_open and "gram" in passed and passed.isdisjoint(UNIT_VIEWS)


def disguised(case: Case) -> Match | None:
    """The nearest undeclared relative with a disguise that neither came later nor declares this model."""
    if case.ref.repo_id in case.foundations or any(b.is_confirmed for b in case.declared):
        return None
    found = [m for m in case.relatives if m.verdict.disguise and not case.is_credited(m)]
    open_ = [m for m in found if not case.is_later(m) and not case.declares_us(m)]
    return next(iter(sorted(open_, key=lambda m: (not case.is_likely_parent(m), m.rank))), None)


def _hides(match: Match) -> bool:
    return not INNOCENT.issuperset(match.verdict.disguise)
