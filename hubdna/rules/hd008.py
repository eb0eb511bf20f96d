"""HD008 re-upload without credit: bit for bit somebody else's earlier model, which the card does not name."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines
from hubdna.rules.case import Case, owner

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def identical_reupload(case: Case) -> Iterator[Finding]:
    """`warning` when the other model was published earlier by another owner, `info` when dates are missing.

    The bits are certain and the dates are the Hub's; who made the weights, and who may publish them, is neither.
    """
    match = reuploaded(case)
    if match is None:
        return
    name, earlier = match.ref.repo_id, case.is_earlier(match)
    when = f", published earlier ({match.created_at:.10})" if earlier else "; which of the two came first is not known"
    message = f"This model is bit for bit the same as {name}{when}, and the card does not name it."
    if case.claim.base_models:
        message += f" It declares {', '.join(case.claim.base_models[:3])} instead."
    patch = case.patch(name, f"name {name}, if these are its weights")
    evidence = evidence_lines(match)
    yield Finding("HD008", "warning" if earlier else "info", case.ref, case.claim.line, message, evidence, patch)


def reuploaded(case: Case) -> Match | None:
    """The earliest exact copy, when it is another owner's and neither declared nor named by the card."""
    copies = case.copies
    if not copies or case.ref.repo_id in case.foundations or case.ref.is_local or case.is_credited(copies[0]):
        return None
    first = copies[0]
    if owner(first.ref.repo_id) == owner(case.ref.repo_id) or case.is_later(first) or case.declares_us(first):
        return None
    return None if any(case.is_named(m.ref.repo_id) for m in copies) else first
