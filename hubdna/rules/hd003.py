"""HD003 unsupported claim: the declared base could not be confirmed."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Severity
from hubdna.rules.case import Case, Declared
from hubdna.rules.hd002 import wrong_base

SEVERITIES: tuple[Severity, ...] = ("info",)


def unsupported_base(case: Case) -> Iterator[Finding]:
    """Always `info`: a distilled, re-initialised or re-shaped model shows no evidence although its card is honest."""
    if case.unread is not None or next(wrong_base(case), None) is not None:
        return
    for declared in case.declared:
        if declared.verdict is None and declared.state in ("gone", "gated", "no-name", "itself"):
            continue  # HD007 has said so
        if declared.verdict is None or declared.verdict.origin in ("no-evidence", "undecided"):
            message = f"The declared base {declared.repo_id} could not be supported: {_why(declared)}."
            yield Finding("HD003", "info", case.ref, case.claim.line, message)


def _why(declared: Declared) -> str:
    if declared.verdict is None:
        return (declared.reason or "it could not be read").removeprefix(f"{declared.repo_id}: ")
    if declared.verdict.origin == "undecided":
        return declared.verdict.undecided_because or "the test was undecided"
    return (
        "the weights show no evidence of a common origin "
        f"(a correlation of {declared.verdict.evidence.detectable:.2f} would have shown)"
    )
