"""What HD012, HD013 and HD014 ask: whose licence reaches down to a model, and what speaks for the author.

Whatever could make the author right makes a finding milder: a parent of the same owner, a model in between that gave
other terms first, an adapter, a text that speaks of the parent's licence, doubts about who was made from whom.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.card.front import read_front
from hubdna.errors import CardError
from hubdna.licences import Licence, chain, licence, mentions
from hubdna.records import Claim
from hubdna.rules.case import Ancestor, Case, owner

_TEXTS = ("license", "licence", "copying", "notice", "use_policy", "terms")
"""How files that hold a licence are called."""
_COPIES = frozenset({"quantized", "cast", "converted"})
"""The same model in other numbers or another format."""


def licensed(case: Case) -> Iterator[tuple[Ancestor, Licence]]:
    """Ancestors of other owners whose cards give one known licence, nearest first."""
    for ancestor in case.ancestry:
        found = licence(ancestor.claim) if ancestor.claim is not None else None
        if found is not None and not is_own(case, ancestor, found):
            yield ancestor, found


def is_own(case: Case, ancestor: Ancestor, one: Licence) -> bool:
    """Whether the owner of a model also owns the ancestor, or wrote its licence: then he may give what he likes."""
    mine = owner(case.ref.repo_id).casefold()
    theirs = {owner(ancestor.repo_id).casefold(), *(maker.casefold() for maker in one.makers)}
    return bool(mine) and not case.ref.is_local and mine in theirs


def path(case: Case, ancestor: Ancestor) -> tuple[Claim | None, ...]:
    """The cards' claims from this model up to an ancestor; None for one that could not be read."""
    claims = {one.repo_id: one.claim for one in case.ancestry}
    return (case.claim, *(claims.get(name) for name in ancestor.via), ancestor.claim)


def is_broken_above(case: Case, ancestor: Ancestor) -> bool:
    """Whether a model in between already gives another licence than the ancestor's asks for, or one that is unknown."""
    return bool(ancestor.via) and chain(path(case, ancestor)[1:]).lost_at is not None


def is_copy(case: Case, ancestor: Ancestor) -> bool:
    """Whether this model is an ancestor's in other numbers or another format, and no new one."""
    same = [m.verdict for m in case.matches if m.ref.repo_id == ancestor.repo_id]
    same += [d.verdict for d in case.declared if ancestor.repo_id in (d.repo_id, d.today) and d.verdict is not None]
    return case.claim.relation == "quantized" or any(v.origin == "identical" or v.relation in _COPIES for v in same)


def is_adapter(case: Case) -> bool:
    """Whether this is a difference to its base, which holds none of the base's weights."""
    return case.claim.relation == "adapter" or any(f.rpartition("/")[2] == "adapter_config.json" for f in case.files)


def holds_terms(case: Case) -> bool:
    """Whether the repository has a file that is called like a licence, a notice or terms of use."""
    names = (file.rpartition("/")[2].casefold().replace("-", "_") for file in case.files)
    return any(name.startswith(_TEXTS) or "license" in name or "notice" in name for name in names)


def speaks_of(case: Case, one: Licence) -> bool:
    """Whether the text of the card, below its front matter, mentions a licence."""
    return mentions(prose(case), one)


def prose(case: Case) -> str:
    """The card below its front matter."""
    card = case.card or ""
    try:
        front = read_front(card)
    except CardError:
        front = None
    return card[front.end :] if front else card


def mildness(case: Case, ancestor: Ancestor) -> str | None:
    """Why nothing on an ancestor's licence is more than `info`; None where nothing speaks for that."""
    if ancestor.support == "likely":
        return "no card declares that parent; the evidence makes it likely"
    if ancestor.support == "declared":
        return "that descent is declared only; the weights did not confirm it"
    if case.cycle or _looks_younger(case, ancestor):
        return "it is not clear which of the two was made from the other"
    if is_broken_above(case, ancestor):
        return f"a model in between, {ancestor.via[0]} or above, gives other terms already"
    if is_adapter(case):
        return "this is an adapter, which holds none of its base's weights"
    return None


def _looks_younger(case: Case, ancestor: Ancestor) -> bool:
    """Whether a declared ancestor was published after this model, or has the marks of being made from it."""
    marks = [*case.marks.get(ancestor.repo_id, ())]
    marks += (mark for d in case.declared if ancestor.repo_id in (d.repo_id, d.today) for mark in d.marks)
    if any(mark.child == 1 for mark in marks):
        return True
    return any(m.ref.repo_id == ancestor.repo_id and case.is_later(m) for m in case.matches)


def called(ancestor: Ancestor) -> str:
    """How a finding names an ancestor: never closer than the evidence."""
    kind = "its likely parent" if ancestor.support == "likely" else "its declared base"
    if not ancestor.via:
        return f"{kind} {ancestor.repo_id}"
    return f"{ancestor.repo_id}, which stands above {kind} {ancestor.via[0]},"


def source_line(one: Licence) -> str:
    """A line of evidence: where a licence can be read."""
    return f"{one.id}: {one.name}, {one.where}"


EXPLAINED = "a permission of the owner, or another licence at the time, would explain it"
"""A line of evidence that belongs to every finding on licences."""
