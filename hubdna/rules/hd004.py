"""HD004 wrong relation: `base_model_relation` says something else than the weights."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import CardEdit, CardPatch, Finding, Severity, Verdict
from hubdna.report.wording import explain
from hubdna.rules.case import Case, Declared

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

KNOWN = ("finetune", "adapter", "merge", "quantized")
"""What the Hub knows; it shows nothing for other words."""
_MADE = {
    "quantised": "every matrix that was looked at is a quantised one of",
    "cast": "every matrix that was looked at is a rounded one of",
    "masked": "every matrix that was looked at is one, with some weights set to zero, of",
}
"""What certain marks say of matrices."""
_RELATIONS = {"quantised": "quantized"}
"""What the Hub calls what a mark shows, where it has a word."""


def wrong_relation(case: Case) -> Iterator[Finding]:
    """Compare the word with the bits; a card without one says nothing wrong.

    `error` for a fine-tune whose weights are the base's, bit for bit; `warning` for one that a certain mark calls a
    quantised, cast or masked copy (marks see matrices, and a head or a norm may be trained beside them); `info` for
    what is only unusual.
    """
    said = (case.claim.relation or "").strip().casefold()
    if not said:
        return
    if said not in KNOWN:
        yield _finding(case, "info", f"base_model_relation is {said!r:.80}: the Hub knows {', '.join(KNOWN)}.")
    elif said == "finetune":
        yield from _finetune(case)
    elif said == "merge" and len(case.claim.base_models) == 1 and case.mixture is None:
        yield _finding(case, "info", "The card calls this a merge and names one base: name the other models too.")
    elif said == "adapter" and case.unread is None and not _has_adapter(case) and case.declared:
        yield _finding(case, "info", "The card calls this an adapter, and the repository holds a whole model.")
    elif said == "quantized":
        yield from _quantized(case)


def _finetune(case: Case) -> Iterator[Finding]:
    for base in case.declared:
        if base.verdict is None:
            continue
        if base.verdict.origin == "identical" and base.verdict.relation != "quantized":
            # an adapter beside the base's weights is a fine-tune all the same
            severity: Severity = "info" if _has_adapter(case) else "error"
            yield _about(case, base, base.verdict, severity, "the weights are bit for bit those of")
        elif made := next((m for m in base.marks if m.child == 0 and m.name in _MADE), None):
            yield _about(case, base, base.verdict, "warning", _MADE[made.name], _RELATIONS.get(made.name))
        elif base.verdict.relation == "quantized" and base.verdict.direction == "a-from-b":
            yield _about(case, base, base.verdict, "info", "the weights look like a quantised copy of", "quantized")


def _quantized(case: Case) -> Iterator[Finding]:
    """A quantised copy whose values lie on no grid: floats that were unpacked again, or another model."""
    for base in case.declared:
        v = base.verdict
        if v is None or v.origin != "common" or any(v.evidence.quantised) or base.marks:
            continue
        d = v.evidence.difference
        if d is not None and d.n_changed and not d.grid[0] and v.relation != "cast":
            yield _about(case, base, v, "info", "the weights are floats on no grid, and differ from those of")


def _about(
    case: Case, base: Declared, verdict: Verdict, severity: Severity, words: str, right: str | None = None
) -> Finding:
    message = f"The card says {case.claim.relation} of {base.repo_id}; {words} {base.repo_id}."
    patch = None
    if right and len(case.declared) == 1:
        edits = (CardEdit("base_model_relation", "set", (right,)),)
        patch = case.offer(edits, f"say {right}, if that is how it was made")
    return _finding(case, severity, message, tuple(explain(verdict)), patch)


def _finding(
    case: Case, severity: Severity, message: str, evidence: tuple[str, ...] = (), patch: CardPatch | None = None
) -> Finding:
    line = case.claim.relation_line or case.claim.line
    return Finding("HD004", severity, case.ref, line, message, evidence, patch)


def _has_adapter(case: Case) -> bool:
    return any(name.rpartition("/")[2].startswith("adapter_") for name in case.files)
