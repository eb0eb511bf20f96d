"""HD007 base cannot be followed: it is gone, renamed, gated, no name of a model, this model itself, or a cycle."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import CardEdit, CardPatch, Finding, Severity
from hubdna.rules.case import Case, Declared

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

_SAYS: dict[str, tuple[Severity, str]] = {
    "itself": ("error", "The card names this model itself as its base."),
    "no-name": ("warning", "The declared base {base} is not the name of a model on the Hub."),
    "gone": ("warning", "The declared base {base} is not on the Hub: it never was, was taken away, or is private."),
    "renamed": ("info", "The declared base {base} goes by the name {today} today."),
    "gated": ("info", "The declared base {base} is gated: readers need its owner's leave to look at it."),
}


def unfollowable_base(case: Case) -> Iterator[Finding]:
    """`error` for a model that is its own base, `warning` where a reader finds nothing, `info` for a detour."""
    for base in case.declared:
        if base.state in _SAYS:
            severity, words = _SAYS[base.state]
            message = words.format(base=shown(base.repo_id), today=base.today)
            line = _line(case, base.repo_id)
            yield Finding("HD007", severity, case.ref, line, message, (), _patch(case, base))
    if case.cycle and not any(b.state == "itself" for b in case.declared):
        circle = " -> ".join((str(case.ref), *case.cycle))
        message = f"The declared bases form a circle: {circle}. One of these cards is wrong."
        yield Finding("HD007", "warning", case.ref, _line(case, case.cycle[0]), message)


def shown(name: str) -> str:
    """A card's word for a base as part of a sentence: no longer than a name of the Hub can be."""
    return name if len(name) <= 96 else f"{name[:95]}\N{HORIZONTAL ELLIPSIS}"


def _line(case: Case, base: str) -> int | None:
    """Of the name itself, where the card was read."""
    names, lines = case.claim.base_models, case.claim.base_lines
    return lines[names.index(base)] if base in names and len(lines) == len(names) else case.claim.line


def _patch(case: Case, base: Declared) -> CardPatch | None:
    """Only what is beyond doubt: the new name for the old, and no base for a model that names itself."""
    if base.state not in ("renamed", "itself"):
        return None
    if base.state == "renamed" and base.today:
        kept = dict.fromkeys(base.today if name == base.repo_id else name for name in case.claim.base_models)
        edits = (CardEdit("base_model", "set", tuple(kept)),)
    else:
        edits = (CardEdit("base_model", "remove", (base.repo_id,)),)
    reason = f"{base.repo_id} is now {base.today}" if base.today else "a model is not its own base"
    return case.offer(edits, reason)
