"""Sentences that never say more than the evidence."""

from __future__ import annotations

import math

from hubdna.records import Match, Verdict


def shared_origin(match: Match) -> str:
    """`shares its origin with ...`: common descent, no direction."""
    if match.verdict.origin == "identical":
        return f"is bit for bit the same as {match.ref.repo_id}"
    return f"shares its origin with {match.ref.repo_id}"


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
    lines += [
        f"{b.fixed_points} of {b.n_units} units match themselves over {b.n_genes} tensors "
        f"in layers of {b.n_axis} units; independent models: about 1"
        for b in e.buckets
    ]
    if e.n_rows_equal:
        lines.append(f"{e.n_rows_equal} of {e.n_rows} rows are equal bit for bit")
    if verdict.log10_p is not None and verdict.log10_p < 0:
        lines.append(f"{p_value(verdict.log10_p)} that independently initialised models match this often")
    return lines
