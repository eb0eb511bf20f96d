"""HD005 parent missing from a merge: the weights are a mixture, and the card does not name all of its parts."""

from __future__ import annotations

from collections.abc import Iterator

from hubdna.records import CardEdit, CardPatch, Finding, Match, Mixture, Severity
from hubdna.rules.case import Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")

STEADY = 0.05
"""Of a share, from place to place."""
_HOW = {
    "linear": "each matrix is a weighted sum of theirs, to rounding",
    "sparse": "each weight is the base's, changed by some of theirs, to rounding",
    "layers": "each layer is one of theirs, bit for bit",
}


def missing_parent(case: Case) -> Iterator[Finding]:
    """`warning` of a plain mixture whose missing parents were all published earlier, else `info`."""
    missing = missing_parents(case)
    if not missing or case.mixture is None:
        return
    plain = is_plain(case.mixture)
    severity: Severity = "warning" if plain and all(case.is_earlier(m) for m in missing) else "info"
    shares = ", ".join(f"{m.ref.repo_id} ({m.share:.2f})" for m in case.mixture.parents)
    base = f", on the base {case.mixture.base.ref.repo_id}" if case.mixture.base else ""
    names = ", ".join(m.ref.repo_id for m in missing)
    said = f"does not name {names}" if case.claim.base_models else "names no base"
    message = f"The weights are a mixture of {shares}{base}; the card {said}."
    if not plain:
        message += " One of them may stand for a relative that was changed the same way."
    evidence = (f"{_HOW[case.mixture.kind]}, at {len(case.mixture.tensors)} places that were looked at",)
    yield Finding("HD005", severity, case.ref, case.claim.line, message, evidence, _patch(case, missing))


def is_plain(mixture: Mixture) -> bool:
    """Whether each parent is beyond doubt: whole layers, or sums with the same shares everywhere, none below nothing.

    Of those the board `merges` never called a wrong parent, nor a model that is no merge. Of sums whose shares change
    with the place, and of those that take a part of each change, it once each called a relative in place of the parent;
    and a sum with a share below nothing may be the equation of another model's merge, turned round: with the base in no
    index, an adapter is what its merge at half scale has too much of.
    """
    members = (*mixture.parents, *((mixture.base,) if mixture.base else ()))
    steady = all(max(m.shares, default=0.0) - min(m.shares, default=0.0) <= STEADY for m in mixture.parents)
    return mixture.kind == "layers" or (mixture.kind == "linear" and steady and all(m.share >= 0 for m in members))


def missing_parents(case: Case) -> tuple[Match, ...]:
    """Parents of the mixture that the card names by none of their names; those of a base need not be named."""
    if case.mixture is None or not case.mixture.directed:
        return ()
    by_name = {m.ref.repo_id: m for m in case.relatives}
    parents = [by_name[p.ref.repo_id] for p in case.mixture.parents if p.ref.repo_id in by_name]
    return tuple(m for m in parents if not case.is_credited(m))


def _patch(case: Case, missing: tuple[Match, ...]) -> CardPatch | None:
    """All of its parents and the word `merge`, if the card can be edited safely."""
    edits = (
        CardEdit("base_model", "add", tuple(m.ref.repo_id for m in missing)),
        CardEdit("base_model_relation", "set", ("merge",)),
    )
    return case.offer(edits, "name the models that were merged, if that is how it was made")
