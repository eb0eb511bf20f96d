"""HD017 behaves like another model: the weights gave no verdict, and what the model computes is like another's."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import Finding, Lookalike, Severity
from hubdna.rules.case import Case

SEVERITIES: tuple[Severity, ...] = ("info",)
RATE = 0.01
"""The share of strangers that may be called similar; what is only similar at a larger one is not named."""
NAMED = 3


def behaves_alike(case: Case) -> Iterator[Finding]:
    """Always `info`, and never a patch: behaviour is no evidence of origin."""
    if not case.is_open or case.ref.repo_id in case.foundations:
        return
    named = [one for one in case.lookalikes if is_similar(one) and is_news(case, one)][:NAMED]
    if not named:
        return
    names = ", ".join(one.ref.repo_id for one in named)
    message = (
        f"On probes it behaves like {names}. {RATE:.0%} of strangers of the same architecture and data are called so, "
        f"too, and {_compared(named[0].n_compared)}. Behaviour is no evidence of origin."
    )
    yield Finding("HD017", "info", case.ref, None, message, tuple(map(_line, named)))


def is_similar(one: Lookalike) -> bool:
    """Whether it is called similar at the strictest rate of error."""
    rate = one.likeness.error_rate
    return one.likeness.verdict == "behaviourally similar" and rate is not None and rate <= RATE


def is_news(case: Case, one: Lookalike) -> bool:
    """Whether a reader of the card does not know it yet, and it may have been there first."""
    name = one.ref.repo_id
    declared = {base for d in case.declared for base in (d.repo_id, d.today)} | set(case.claim.base_models)
    is_child = name in case.bases.get(case.ref.repo_id, frozenset())
    is_later = one.created_at is not None and case.created_at is not None and one.created_at > case.created_at
    return name not in declared and not is_child and not is_later and not case.is_named(name)


def _compared(n: int) -> str:
    return "one vector was compared" if n == 1 else f"{n} vectors were compared"


def _line(one: Lookalike) -> str:
    """A candidate in numbers."""
    said = one.likeness
    chance = "" if said.probability is None else f", probability {said.probability:.2f}"
    return f"{one.ref.repo_id}: {said.verdict} at {said.error_rate:.0%} error, similarity {said.similarity:.2f}{chance}"
