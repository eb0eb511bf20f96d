"""Direction by receipt: which of two models was trained from the other, where this user has seen it done again.

A receipt counts for a pair only by bits: its first and its last weights have to be those of the two models, by the
digest of all float tensors (whatever their names, files and order) or by the hashes of all weights files. Names count
nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hubdna.evidence.direction import marks
from hubdna.records import CheckedReceipt, Dna, Evidence, Mark, Weights

NAME = "receipt"
"""Of the marks that are receipts."""


def receipts(a: Dna, b: Dna, checked: Iterable[CheckedReceipt]) -> tuple[Mark, ...]:
    """Checked receipts that lead from one of two models to the other.

    Args:
        a: weight DNA of one model; where it was not read whole, only hashes of its files can tell it.
        b: of the other one.
        checked: what this user verified.

    Returns:
        A mark for each, named "receipt"; `child` as in all marks.
    """
    found = []
    for one in checked:
        if _is(a, one.parent) and _is(b, one.child):
            found.append(Mark(NAME, 1, _because(one)))
        elif _is(b, one.parent) and _is(a, one.child):
            found.append(Mark(NAME, 0, _because(one)))
    return tuple(found)


def receipts_among(models: Sequence[Dna], checked: Sequence[CheckedReceipt]) -> dict[tuple[int, int], tuple[Mark, ...]]:
    """Checked receipts on pairs (i, j), i < j, of many models; pairs without one are left out."""
    pairs = itertools.combinations(range(len(models)), 2) if checked else ()
    found = {(i, j): receipts(models[i], models[j], checked) for i, j in pairs}
    return {pair: told for pair, told in found.items() if told}


def with_receipts(evidence: Evidence, a: Dna, b: Dna, checked: Iterable[CheckedReceipt]) -> Evidence:
    """The same evidence with the receipts on this pair, and with the certain marks that may contradict them."""
    found = receipts(a, b, checked)
    return replace(evidence, receipts=found, marks=marks(a, b)) if found else evidence


def attested_child(found: Sequence[Mark], certain: Sequence[Mark]) -> int | None:
    """0 or 1, as in a mark; None where there is no receipt, or receipts or certain marks contradict each other."""
    ways = {mark.child for mark in (*found, *certain)}
    return ways.pop() if found and len(ways) == 1 else None


def _is(dna: Dna, weights: Weights) -> bool:
    """Whether a model has exactly these weights."""
    if dna.content is not None and weights.content is not None and dna.scheme == weights.scheme:
        return dna.content == weights.content
    return bool(weights.sha256) and all(weights.sha256) and dna.weights_sha256 == weights.sha256


def _because(one: CheckedReceipt) -> str:
    return (
        f"a receipt signed by the key {one.author} leads from one's exact bytes to the other's; all its "
        f"{one.n_intervals} intervals were trained again here on {one.date} (root {one.root[:16]})"
    )
