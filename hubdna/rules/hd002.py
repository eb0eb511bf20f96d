"""HD002 wrong base model: the declared base shows no evidence while another model does."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines, shared_origin
from hubdna.rules.case import Case
from hubdna.rules.hd005 import missing_parents

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def wrong_base(case: Case) -> Iterator[Finding]:
    """`warning` when the other model is a likely parent and close, else `info`."""
    refuted = [d for d in case.declared if d.verdict is not None and d.verdict.origin == "no-evidence"]
    others = [m for m in case.relatives if _may_be_above(case, m)]
    if not refuted or len(refuted) < len(case.declared) or not others:
        return  # a base that could not be tested may be the right one
    likely = [m for m in others if case.is_likely_parent(m)]
    match = (likely or others)[0]
    severity: Severity = "warning" if likely and case.is_close(match) else "info"
    yield _finding(case, refuted[0].repo_id, match, severity)


def _may_be_above(case: Case, match: Match) -> bool:
    """Published before this model, and neither its child, by card or receipt, nor the donor of a small part."""
    below = case.declares_us(match) or case.is_attested_child(match)
    return case.is_earlier(match) and not below and not case.is_small_part(match)


def _finding(case: Case, declared: str, match: Match, severity: Severity) -> Finding:
    base = match.ref.repo_id
    message = (
        f"The declared base {declared} shows no evidence of a common origin, while this model {shared_origin(match)}."
    )
    merge = missing_parents(case)  # HD005 has the patch then
    patch = None if merge else case.patch(base, f"name {base} instead of {declared}, if that is what it was made from")
    return Finding("HD002", severity, case.ref, case.claim.line, message, evidence_lines(match), patch)
