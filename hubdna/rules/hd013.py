"""HD013 licence weaker than an ancestor's: the card allows what an ancestor's licence forbids, or does not fit it."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.licences import Passage, chain
from hubdna.records import Finding, Severity
from hubdna.rules.above import EXPLAINED, called, is_copy, is_own, mildness, path, source_line, speaks_of
from hubdna.rules.case import Ancestor, Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def weaker_licence(case: Case) -> Iterator[Finding]:
    """`warning` where the ancestor is confirmed and the two licences clearly do not fit, else `info`; never `error`.

    Of several ancestors with one licence the nearest is named, and a confirmed one before others. Parents of a merge
    have each their own finding when their licences differ.
    """
    found: dict[str, Finding] = {}
    for ancestor in case.ancestry:
        passage = chain(path(case, ancestor))
        if passage.parent is None or passage.step.verdict == "fine" or is_own(case, ancestor, passage.parent):
            continue
        held = found.get(passage.parent.id)
        if held is None or held.severity == "info":
            finding = _finding(case, ancestor, passage)
            if held is None or finding.severity == "warning":
                found[passage.parent.id] = finding
    yield from found.values()


def _finding(case: Case, ancestor: Ancestor, passage: Passage) -> Finding:
    parent, child = passage.parent, passage.child
    assert parent is not None and child is not None
    because = mildness(case, ancestor)
    if because is None and speaks_of(case, parent):
        because = f"the text of the card speaks of {parent.id}"
    if because is None and not parent.derivatives and is_copy(case, ancestor):
        because = "it is not settled whether the same model in another format is an adapted version"
    severity: Severity = "info" if because or passage.step.verdict == "unclear" else "warning"
    message = f"The card gives {child.id}; {called(ancestor)} says {parent.id}, which {passage.step.why}."
    message += f" But {because}." if because else ""
    evidence = (source_line(parent), source_line(child), EXPLAINED)
    return Finding("HD013", severity, case.ref, case.claim.license_line or case.claim.line, message, evidence)
