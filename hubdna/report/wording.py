"""Sentences that never say more than the evidence."""

from __future__ import annotations

import math

from hubdna.evidence.agreement import calibration
from hubdna.records import Bucket, Evidence, Match, Mixture, ReceiptGlance, Verdict

SHOWN_LOG10_P = -6.0
"""Tests beside the plain one are told when they found something."""


def shared_origin(match: Match) -> str:
    """`shares its origin with ...`: common descent, no direction."""
    if match.verdict.origin == "identical":
        return f"is bit for bit the same as {match.ref.repo_id}"
    return f"shares its origin with {match.ref.repo_id}"


def remark(mixture: Mixture) -> str:
    """What is said of a merge that this index does not explain; models that explain a part are not named as parents."""
    share = f"{max(mixture.unexplained, 0.01):.0%}"
    if mixture.kind == "layers":
        return (
            f"{share} of its matrices are no model's of this index, the others are other models' bit for bit:"
            " a parent may be missing, or layers were trained on"
        )
    return f"{share} of its changed weights are explained by no model of this index: a parent may be missing"


def receipt(seen: ReceiptGlance) -> str:
    """What is told of a training receipt that was only looked at: who says what, and what nobody has checked."""
    if seen.problem:
        return f"a training receipt that cannot be used: {seen.problem}"
    start = f"{seen.parent.repo_id}, weights of root {seen.parent.root}," if seen.parent else "an initialiser"
    return (
        f"a training receipt, signed by the key {seen.author}, says that {seen.steps} steps led from {start} to "
        f"weights of root {seen.weights}; only its claim, chain and signature were read: it was neither replayed nor "
        "compared with this model's weights here"
    )


def p_value(log10_p: float | None) -> str:
    """`p <= 1e-35`, or a dash."""
    return (
        "-"
        if log10_p is None
        else f"p <= 1e{math.ceil(log10_p)}"
        if log10_p < -1
        else f"p <= {min(1.0, 10**log10_p):.1g}"
    )


def evidence_lines(match: Match) -> tuple[str, ...]:
    """What the verdict rests on, a line each."""
    return tuple(explain(match.verdict))


def explain(verdict: Verdict) -> list[str]:
    """The verdict's grounds for a reader who is no statistician."""
    e, lines = verdict.evidence, []
    if e.exact:
        lines.append("the weights files have the same hash" if e.exact == "file" else "all float tensors are bit-equal")
    lines += [_test(b) for b in _telling(e)]
    if e.agreement:
        shares = ", ".join(f"{share:.0%}" for share in e.agreement)
        lines.append(f"two matchings of the hidden units agree on {shares} of them by layer")
        lines.append(f"calibrated, not exact: {calibration()}")
    lines += [mark.because for mark in (*e.receipts, *e.marks)]
    if e.receipts and verdict.direction == "undirected":
        lines.append("these contradict each other, so none of them gives a direction")
    if e.difference is not None and e.difference.rank is not None and not verdict.disguise:
        lines.append(f"the change has rank {e.difference.rank} in every matrix looked at")
    if e.n_rows_equal:
        lines.append(f"{e.n_rows_equal} of {e.n_rows} rows are equal bit for bit")
    if verdict.log10_p is not None and verdict.log10_p < 0:
        lines.append(f"{p_value(verdict.log10_p)} that independently initialised models match this often")
    return lines


_VIEWS = {
    "rows": "units match themselves over {n} tensors in layers of {length} units",
    "response": "units match themselves by their response to the same inputs, over {n} tensors in layers of {length}",
    "gram": "residual coordinates match themselves by their products, over {n} tensors of width {length}",
    "residual": "residual coordinates match themselves over the same inputs, width {length}",
    "unseen": "tokens that no training saw match themselves",
}


def _telling(evidence: Evidence) -> list[Bucket]:
    """Of each view the tests that were passed; the plain ones in any case."""
    shown: dict[tuple[str, int], Bucket] = {}
    for bucket in sorted(evidence.buckets, key=lambda b: b.log10_p):
        plain = bucket.view == "rows" and bucket.signed
        if plain or bucket.log10_p <= SHOWN_LOG10_P:
            shown.setdefault((bucket.view, bucket.n_axis), bucket)
    return sorted(shown.values(), key=lambda b: (list(_VIEWS).index(b.view), b.n_axis))


def _test(b: Bucket) -> str:
    tensors = _VIEWS[b.view].format(n=b.n_genes, length=b.n_axis)
    sign = "" if b.signed else ", up to sign"
    return f"{b.fixed_points} of {b.n_units} {tensors}{sign}; independent models: about 1"
