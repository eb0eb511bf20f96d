"""Licence x Licence -> Step: does a derived model's licence carry on what its parent's asks?

Only the two ids are compared. A repository may hold the parent's text besides, its author may have a permission of his
own, and the parent may have had another licence at the time: that is why no step is an accusation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from hubdna.licences.names import licences
from hubdna.licences.table import Licence
from hubdna.records import Claim

StepVerdict = Literal["fine", "less-restrictive", "incompatible", "unclear"]
_WORST_FIRST: tuple[StepVerdict, ...] = ("incompatible", "less-restrictive", "unclear", "fine")


@dataclass(frozen=True, slots=True)
class Step:
    """One step down a family.

    Attributes:
        verdict: `less-restrictive`: the child's licence allows what the parent's forbids. `incompatible`: the parent's
            does not let derived models carry the child's. `unclear`: it depends on what the ids do not tell.
        why: a clause that goes on after "X says PARENT'S ID, which"; empty for `fine`.
    """

    verdict: StepVerdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """How an ancestor's licence stands to that of a model, and where on the way down it was lost.

    Attributes:
        lost_at: 0 for the model itself, 1 for the next above it, and so on: the first one, seen from the ancestor,
            whose licence does not carry on the ancestor's, or is not known. None: it was not lost.
    """

    step: Step
    parent: Licence | None
    child: Licence | None
    lost_at: int | None


def step(parent: Licence, child: Licence) -> Step:
    """Compare a derived model's licence with its parent's."""
    if parent.kind == "none" or child.kind == "none":
        return Step("unclear", "cannot be compared: one of the two licences is not stated")
    if parent.derivatives and (parent.id == child.id or child.id in parent.accepts):
        return Step("fine")
    found = sorted(_faults(parent, child), key=lambda fault: _WORST_FIRST.index(fault.verdict))
    if not found:
        return Step("fine")
    verdict = found[0].verdict
    whys = [fault.why for fault in found if fault.verdict == verdict]
    doubts = [parent.doubt] if parent.doubt else []
    doubts += [f"of {child.id}, {child.unclear}"] if child.unclear else []
    if verdict != "unclear" and doubts:
        return Step("unclear", f"{'; and '.join(whys)}; but {'; '.join(doubts)}")
    return Step(verdict, "; and ".join(whys))


def _faults(parent: Licence, child: Licence) -> Iterator[Step]:
    if parent.kind == "family":
        yield Step("unclear", "names a family of licences: the conditions of its members differ")
        return
    if not parent.derivatives:
        yield Step("incompatible", "does not allow adapted versions to be passed on, under any licence")
        return
    if child.kind == "family":
        if parent.binds:
            yield Step(
                "unclear", f"has conditions; {child.id}, a family of licences, does not tell whether it has them"
            )
        return
    if not parent.commercial and child.commercial:
        yield Step("less-restrictive", f"does not allow commercial use, while {child.id} does")
    if parent.share_alike:
        others = f" (or {', '.join(parent.accepts)})" if parent.accepts else ""
        yield Step("incompatible", f"asks that adapted versions carry the same licence{others}")
    if parent.kind in ("copyleft", "weak copyleft"):
        yield Step("incompatible", "asks that derived works, or changed parts of them, keep the same licence")
    yield from _passed_on(parent, child)
    if parent.kind == "permissive" and child.kind == "public domain":
        yield Step("unclear", f"asks that its notices are kept, while {child.id} asks for nothing")


def _passed_on(parent: Licence, child: Licence) -> Iterator[Step]:
    """Terms that have to go on with every derived model."""
    if parent.use_restrictions and child.is_open:
        yield Step("less-restrictive", f"forbids some uses and has that handed on, while {child.id} forbids none")
    elif parent.passes_on and child.is_open and parent.commercial:
        if parent.other_terms:
            why = f"lets derived models have other terms if its own are met; {child.id} does not tell whether they are"
            yield Step("unclear", why)
        else:
            yield Step("unclear", _goes_along(child))
    elif parent.passes_on and not child.is_open:
        yield Step("unclear", _goes_along(child))


def _goes_along(child: Licence) -> str:
    return f"has to go with derived models; {child.id} does not tell whether it does"


def chain(claims: Sequence[Claim | None]) -> Passage:
    """Follow an ancestor's licence down to a model.

    Args:
        claims: of the model itself, of the models above it in turn, and of the ancestor, which comes last; None for a
            card that could not be read.

    Where a card lists several licences, the best of all pairs counts: anybody may choose, as far as the card tells.
    """
    top = claims[-1]
    parents = licences(top) if top is not None else ()
    steps = [_best(parents, claim) for claim in claims[:-1]]
    worst, parent, child = steps[0]
    lost = [i for i, (one, _, _) in enumerate(steps) if one.verdict != "fine"]
    return Passage(worst, parent, child, lost[-1] if lost else None)


def _best(parents: tuple[Licence, ...], claim: Claim | None) -> tuple[Step, Licence | None, Licence | None]:
    children = licences(claim) if claim is not None else ()
    pairs = [(step(parent, child), parent, child) for parent in parents for child in children]
    if not pairs:
        return Step("unclear", "cannot be compared: one of the two licences is not known"), None, None
    found, parent, child = max(pairs, key=lambda pair: _WORST_FIRST.index(pair[0].verdict))
    if found.verdict not in ("fine", "unclear") and len(pairs) > 1:
        found = Step("unclear", f"{found.why}; but several licences are listed, and which of them holds is not said")
    return found, parent, child
