"""HD006 grandparent declared: a model between the declared base and this one is known."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Mark, Match, Severity
from hubdna.report.wording import evidence_lines
from hubdna.rules.case import Case, Declared

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def grandparent_declared(case: Case) -> Iterator[Finding]:
    """`warning` when a certain mark says that this model was made from the one in between, `info` when it is nearer.

    A model in between declares the declared base as its own, shares its origin with this model, and came earlier.
    """
    for base in case.declared:
        between = list(_between(case, base))
        marked = [(m, mark) for m, mark in between if mark is not None]
        if marked and not any(mark.child == 0 for mark in base.marks):
            match, mark = marked[0]
            assert mark is not None
            yield _finding(case, base, match, mark)
        elif between and base.is_confirmed:
            nearest = max((m for m, _ in between), key=lambda m: m.verdict.similarity or 0.0)
            if _similarity(nearest) > (base.verdict.similarity or 0.0 if base.verdict else 0.0):
                yield _finding(case, base, nearest, None)


def _between(case: Case, base: Declared) -> Iterator[tuple[Match, Mark | None]]:
    """Relatives that declare the base too and came earlier; copies of this model have rules of their own."""
    declaring = case.bases.get(base.today or base.repo_id, frozenset()) | case.bases.get(base.repo_id, frozenset())
    marks = {match.ref.repo_id: mark for match, mark in case.certain_parents()}
    for match in case.relatives:
        name = match.ref.repo_id
        if match.verdict.origin == "common" and name in declaring and case.is_earlier(match) and case.is_close(match):
            if not case.is_credited(match) and not case.declares_us(match):
                yield match, marks.get(name)


def _similarity(match: Match) -> float:
    return match.verdict.similarity or 0.0


def _finding(case: Case, base: Declared, match: Match, mark: Mark | None) -> Finding:
    name = match.ref.repo_id
    if mark is not None:
        message = f"The card declares {base.repo_id}, but this model was made from {name}, whose base that is."
        evidence = (f"{mark.because}", *evidence_lines(match))
        patch = case.patch(name, f"name {name}, which declares {base.repo_id} itself")
        return Finding("HD006", "warning", case.ref, case.claim.line, message, evidence, patch)
    message = (
        f"The card declares {base.repo_id}; the weights are nearer to {name}, which declares it too. Siblings may be "
        "that near: whether one was made from the other is not known."
    )
    return Finding("HD006", "info", case.ref, case.claim.line, message, evidence_lines(match))
