"""HD012 licence missing or unknown: the card gives no licence, or one that nobody can look up."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.licences import Licence, find, licences
from hubdna.records import CardEdit, CardPatch, Finding, Severity
from hubdna.rules.above import called, holds_terms, licensed, mildness, source_line, speaks_of
from hubdna.rules.case import Ancestor, Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")


def missing_licence(case: Case) -> Iterator[Finding]:
    """`info`; `warning` where nothing at all is given and a confirmed ancestor's licence has to be handed on.

    A licence is never chosen for the author. One is suggested where the parent's asks for the same one.
    """
    fault = _fault(case)
    if fault is None:
        return
    line = case.claim.license_line or case.claim.line
    heir = next(_heirs(case), None) if _gives_nothing(case) else None
    if heir is None:
        yield Finding("HD012", "info", case.ref, line, f"{fault}.")
        return
    ancestor, one = heir
    message = f"{fault}; {called(ancestor)} says {one.id}, which {duties(one)}."
    yield Finding("HD012", "warning", case.ref, line, message, (source_line(one),), _patch(case, ancestor, one))


def _gives_nothing(case: Case) -> bool:
    said = case.claim.license
    return (said is None and case.claim.license_line is None) or (said is not None and find(said) is find("unknown"))


def _fault(case: Case) -> str | None:
    """What is wrong with the licence that the card gives; None where one can look it up."""
    claim = case.claim
    if case.card is None or licences(claim):
        return None
    can_be_read = claim.license_link is not None or holds_terms(case)
    if claim.license is None and claim.license_line is None:
        return "The card gives no licence"
    if claim.license is None:
        return None if can_be_read else "The card gives a licence without a name; `license: other` needs a license_name"
    found = find(claim.license)
    if found is not None and found.id == "unknown":
        return "The card says that its licence is unknown"
    if claim.license_name is not None and can_be_read:
        return None
    if claim.license.startswith(("https://", "http://")):
        return "The card gives an address for its licence; the Hub expects an id, or `other` with a license_link"
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in claim.license[:80])
    return f"The card gives the licence {shown!r}, which is known neither to the Hub nor here, and no license_link"


def _heirs(case: Case) -> Iterator[tuple[Ancestor, Licence]]:
    """Confirmed ancestors whose licence has to be handed on, and clearly was not."""
    if holds_terms(case):
        return
    for ancestor, one in licensed(case):
        clear = one.binds and one.derivatives and one.doubt is None
        if clear and mildness(case, ancestor) is None and not speaks_of(case, one):
            yield ancestor, one


def duties(one: Licence) -> str:
    """What a licence asks of derived models, as a clause that goes on after "which"."""
    said = {
        "does not allow commercial use": not one.commercial,
        "asks that adapted versions carry the same licence": one.share_alike,
        "forbids some uses and has that handed on": one.use_restrictions,
        "has to go with derived models": one.passes_on and not one.use_restrictions,
    }
    return " and ".join(words for words, holds in said.items() if holds)


def _patch(case: Case, ancestor: Ancestor, one: Licence) -> CardPatch | None:
    """The parent's licence, where it asks for itself and no other parent's asks for another."""
    asked = {other.id for _, other in licensed(case) if other.binds}
    if not one.share_alike or not one.hub or asked != {one.id}:
        return None
    reason = f"give {one.id}, since the licence of {ancestor.repo_id} asks for the same one, if you agree to its terms"
    return case.offer((CardEdit("license", "set", (one.id,)),), reason)
