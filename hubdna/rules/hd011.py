"""HD011 component not named: a part of this model is another model, or shares its origin with one."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import UNIT_VIEWS, Finding, Match, Severity, Verdict
from hubdna.report.wording import evidence_lines
from hubdna.rules.case import Case
from hubdna.rules.hd009 import matches_in_coordinates_only
from hubdna.verdict import COMMON_LOG10_P

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def unnamed_component(case: Case) -> Iterator[Finding]:
    """`warning` when all of an earlier, known base lies inside this model; `info` when they have a part in common.

    A card names a component when it mentions it anywhere; `base_model` is not the place for a vision tower. A part for
    which somebody is named or declared needs no second name, since the relatives of a tower share the tower; but where
    the bits are another's than the named one's, that is told, as `info`.
    """
    if case.card is None or case.ref.repo_id in case.foundations:
        return
    told = _told(case)
    severity: Severity
    for match in case.matches:
        if not _is_part(match) or case.is_credited(match) or case.is_named(match.ref.repo_id):
            continue
        shared = told.keys() & _lengths(match.verdict)
        if case.is_later(match) or case.declares_us(match):
            continue
        if shared and (any(told[length] for length in shared) or not _has_its_bits(match.verdict)):
            continue
        name = match.ref.repo_id
        if match.verdict.origin == "common" and _is_inside(match):
            severity = "info" if shared else case.severity(match)
            words = f"All of {name} that could be compared lies inside this model"
        else:
            severity, words = "info", f"This model and {name} have a part in common"
        message = f"{words}; the card does not mention it."
        yield Finding("HD011", severity, case.ref, None, message, evidence_lines(match))
        return  # one part; the others are most often its copies


def _is_part(match: Match) -> bool:
    """Whether a test was passed and the verdict is that only a part is shared. HD009 has what is left open."""
    is_passed = (match.verdict.log10_p or 0.0) <= COMMON_LOG10_P
    return match.verdict.relation == "component" and is_passed and not matches_in_coordinates_only(match)


def _told(case: Case) -> dict[int, bool]:
    """Layer lengths in which this model matches somebody whom the card names or declares; whether the bits do."""
    named = [m.verdict for m in case.matches if case.is_credited(m) or case.is_named(m.ref.repo_id)]
    declared = [d.verdict for d in case.declared if d.verdict is not None and d.is_confirmed]
    told: dict[int, bool] = {}
    for verdict in (*named, *declared):
        for length in _lengths(verdict):
            told[length] = told.get(length, False) or _has_its_bits(verdict)
    return told


def _has_its_bits(verdict: Verdict) -> bool:
    """Whether all rows that were compared are equal bit for bit."""
    return verdict.evidence.n_rows == verdict.evidence.n_rows_equal > 0


def _lengths(verdict: Verdict) -> set[int]:
    """Of the layers whose hidden units passed the test."""
    buckets = verdict.evidence.buckets
    return {b.n_axis for b in buckets if b.view in UNIT_VIEWS and b.log10_p <= COMMON_LOG10_P}


def _is_inside(match: Match) -> bool:
    """Whether the other model (B) has nothing that this one lacks, and this one has parts of other kinds."""
    e = match.verdict.evidence
    return e.n_alone[1] == 0 and e.n_foreign[0] > 0
