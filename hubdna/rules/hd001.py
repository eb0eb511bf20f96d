"""HD001 undeclared base model: the card names no base, the weights share their origin with an earlier model."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Match, Severity
from hubdna.report.wording import evidence_lines, shared_origin
from hubdna.rules.case import Case
from hubdna.rules.hd005 import missing_parent
from hubdna.rules.hd008 import reuploaded
from hubdna.rules.hd009 import disguised
from hubdna.rules.hd010 import contradicted
from hubdna.rules.hd015 import reissued

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def undeclared_base(case: Case) -> Iterator[Finding]:
    """Speak to the likely child only, and only where no rule says the same more exactly.

    `warning` when a checked receipt says that this model was trained from the other one, or when that is on the
    foundation list or is others' declared base, and was published earlier;
    `info` when neither side is likely to be the parent, or the weights correlate so little that a shared seed could
    explain it. The likely parent receives nothing, and a foundation model never does: it may have been uploaded anew.
    What only a small part was taken from is no base: HD011 speaks of that.
    """
    if case.claim.base_models or case.ref.repo_id in case.foundations or _said_better(case):
        return
    known = reissued(case)
    parents = [m for m in case.likely_parents if not case.is_small_part(m) and (known is None or m.rank != known.rank)]
    if parents:
        yield _finding(case, parents[0], case.severity(parents[0]))
        return
    if known is not None or case.is_known_base(case.ref.repo_id, besides=case.ref.repo_id):
        return
    below = [m for m in case.relatives if case.declares_us(m) or case.is_later(m) or case.is_attested_child(m)]
    others = [m for m in case.relatives if m not in below and not case.is_small_part(m)]
    if others:
        yield _finding(case, others[0], "info")


def _said_better(case: Case) -> bool:
    """Whether it is a copy, a disguised one, a merge, or contradicts a sentence of the card: HD005, 8, 9, 10."""
    merged = any(f.severity == "warning" for f in missing_parent(case))
    return bool(reuploaded(case) or disguised(case) or contradicted(case) or merged)


def _finding(case: Case, match: Match, severity: Severity) -> Finding:
    base = match.ref.repo_id
    said = "The declared base_model names no model" if case.claim.remarks else "No base_model is declared"
    message = f"{said}, but this model {shared_origin(match)}."
    if severity == "info":
        message += " Which of the two came first, or whether both grew from a third, is not known."
    patch = case.patch(base, f"declare {base} as the base model, if that is what it was made from")
    return Finding("HD001", severity, case.ref, case.claim.line, message, evidence_lines(match), patch)
