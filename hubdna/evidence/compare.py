"""One pair of DNAs -> Evidence: everything the verdict may rest on, as numbers."""

from __future__ import annotations

import math
from dataclasses import replace

from hubdna.evidence import fixed_points, pairing
from hubdna.records import Bucket, Dna, Evidence, Gene
from hubdna.sources.safetensors import FLOATS


def compare_dna(a: Dna, b: Dna) -> Evidence:
    """Gather the evidence on whether two models share an origin.

    Args:
        a: weight DNA of one model.
        b: weight DNA of the other.

    Returns:
        Evidence; `untestable` says why no test could be run, if so.
    """
    exact = _exact(a, b)
    if a.scheme != b.scheme:
        return _nothing(exact, f"schemes differ ({a.scheme} and {b.scheme}): compute both with one version")
    pairs = pairing.pair_genes(a, b)
    if not pairs:
        more = "" if a.content and b.content else " among those that were read; --read full reads all"
        return _nothing(exact, f"no comparable genes: no tensors of equal shape have testable units in both{more}")
    if any(g.rows is None for pair in pairs for g in pair):
        return _nothing(exact, "rows not at hand: a published index holds sketches only", pairs)
    buckets = run_buckets(pairs)
    if not buckets:
        return _nothing(exact, "too few live units: a test needs 17 that are neither dead nor repeated", pairs)
    evidence = replace(_evidence(exact, pairs, buckets), could_meet=_could_meet(a, b, pairs))
    changed = [pair for pair in pairs if not (pair[0].hashes == pair[1].hashes).any(axis=1).all()]  # equal or cast
    if len(changed) in (0, len(pairs)):
        return evidence
    rest = run_buckets(changed)
    return replace(evidence, changed_log10_p=log10_p(rest), changed_detectable=detectable(rest)) if rest else evidence


def _could_meet(a: Dna, b: Dna, pairs: list[tuple[Gene, Gene]]) -> bool:
    """Whether "no evidence" may be said: some model was read whole (both sides of each matrix), or names agree.

    One framework stores a map [out, in], another [in, out]; a partial read takes the leading axis, so that widening
    maps of one model meet narrowing maps of the other. Names only withhold a verdict here, they never make one.
    """
    if a.content is not None or b.content is not None:
        return True
    return 2 * sum(x.tensor == y.tensor for x, y in pairs) >= len(pairs)


def run_buckets(pairs: list[tuple[Gene, Gene]]) -> tuple[Bucket, ...]:
    """One exact test for every length of unit axis."""
    assembled = sorted(fixed_points.assemble(pairs).items())
    return tuple(b for n_axis, members in assembled if (b := fixed_points.run_bucket(n_axis, members)))


def log10_p(buckets: tuple[Bucket, ...]) -> float:
    """The smallest 1/K!, paid for every bucket that was tried (Bonferroni)."""
    return min(0.0, math.log10(len(buckets)) - fixed_points.log10_factorial(max(b.fixed_points for b in buckets)))


def detectable(buckets: tuple[Bucket, ...]) -> float:
    """The correlation that nine draws of ten would have shown in the best bucket."""
    return min(fixed_points.POWER_Z / math.sqrt(b.n_columns) for b in buckets)


def _evidence(exact: str | None, pairs: list[tuple[Gene, Gene]], buckets: tuple[Bucket, ...]) -> Evidence:
    weight = sum(b.n_columns * b.n_units for b in buckets)
    return Evidence(
        buckets=buckets,
        log10_p=log10_p(buckets),
        similarity=sum(b.similarity * b.n_columns * b.n_units for b in buckets) / weight,
        n_genes=len(pairs),
        n_rows=sum(len(g.live) for g, _ in pairs),
        n_rows_equal=sum(int((x.hashes[:, 0] == y.hashes[:, 0]).sum()) for x, y in pairs),
        n_rows_cast=(_n_cast(pairs), _n_cast([(y, x) for x, y in pairs])),
        exact=exact,
        same_layout=all((x.tensor, x.shape, x.axis) == (y.tensor, y.shape, y.axis) for x, y in pairs),
        detectable=detectable(buckets),
        quantised=(_is_quantised([x for x, _ in pairs]), _is_quantised([y for _, y in pairs])),
    )


def _is_quantised(genes: list[Gene]) -> bool:
    return 2 * sum(gene.dtype not in FLOATS for gene in genes) > len(genes)


def _exact(a: Dna, b: Dna) -> str | None:
    if a.content is not None and b.content is not None and a.content != b.content:
        return None
    if a.weights_sha256 and all(a.weights_sha256) and a.weights_sha256 == b.weights_sha256:
        return "file"
    return "content" if a.content is not None and a.content == b.content else None


def _n_cast(pairs: list[tuple[Gene, Gene]]) -> int:
    """Rows of the second gene that are the first one's, rounded to bfloat16 or float16."""
    rounded = [(x.hashes[:, 1:] == y.hashes[:, :1]).any(axis=1) for x, y in pairs]
    return sum(int(rows.sum()) for rows in rounded)


def _nothing(exact: str | None, reason: str, pairs: list[tuple[Gene, Gene]] | None = None) -> Evidence:
    """Evidence without a test. Hashes may still speak: equal bits need no rows."""
    pairs = pairs or []
    return Evidence(
        buckets=(), log10_p=None, similarity=None, n_genes=len(pairs), n_rows=sum(len(g.live) for g, _ in pairs),
        n_rows_equal=sum(int((x.hashes[:, 0] == y.hashes[:, 0]).sum()) for x, y in pairs), n_rows_cast=(0, 0),
        exact=exact, same_layout=all(x.tensor == y.tensor for x, y in pairs), detectable=None, untestable=reason,
    )  # fmt: skip
