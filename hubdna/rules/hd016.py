"""HD016 not auditable: the weights could not be tested, and why."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Severity
from hubdna.rules.case import Case

SEVERITIES: tuple[Severity, ...] = ("info",)


def not_auditable(case: Case) -> Iterator[Finding]:
    """Always `info`: that nothing was found here says nothing."""
    if case.unread is not None:
        reason = case.unread.removeprefix(f"{case.ref}: ")
        message = f"The weights were not tested: {reason}. What was found rests on the card alone."
        yield Finding("HD016", "info", case.ref, None, message)
