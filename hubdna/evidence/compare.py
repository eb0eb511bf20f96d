"""One pair of DNAs -> Evidence: everything the verdict may rest on, as numbers."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import replace

from hubdna.evidence import difference, fixed_points, marks, pairing
from hubdna.evidence.pairing import Pair
from hubdna.records import UNIT_VIEWS, Bucket, Dna, Evidence, Gene
from hubdna.sources.safetensors import FLOATS

BODY = (*UNIT_VIEWS, "gram")
"""Views that look at more than a token table."""
_NUMBER = re.compile(r"\d+")
MIN_ALIKE = 0.5
"""Correlation from which two genes count as one layer in the layer map."""


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
        more = "" if a.content and b.content else " among those that were read; needs --read full"
        why = f"no comparable genes: no tensors of equal shape have testable units in both{more}"
        return replace(_nothing(exact, why), n_bytes_unread=_unread(a, b))
    if any(g.rows is None for pair in pairs for g in pair):
        return _nothing(exact, "rows not at hand: a published index holds sketches only", pairs)
    buckets = fixed_points.run_tests(pairs)
    if not buckets:
        return _nothing(exact, "too few live units: a test needs 18 that are neither dead nor repeated", pairs)
    return _evidence(a, b, exact, pairs, buckets)


def _evidence(a: Dna, b: Dna, exact: str | None, pairs: list[Pair], buckets: tuple[Bucket, ...]) -> Evidence:
    rows = [pair for pair in pairs if pair[0].view == "rows"]
    rest, places = _changed(pairs), marks.matrices(rows, a.blocks, b.blocks)
    return Evidence(
        buckets=buckets,
        log10_p=min(b.log10_p for b in buckets),
        components=_components(a, b, pairs),
        similarity=fixed_points.similarity(rows) if rows else None,
        n_genes=len(rows),
        n_rows=sum(len(x.live) for x, _ in rows),
        n_rows_equal=_n_equal(rows),
        n_rows_cast=(_n_cast(rows), _n_cast([(y, x) for x, y in rows])),
        exact=exact,
        same_layout=all((x.tensor, x.shape, x.axis) == (y.tensor, y.shape, y.axis) for x, y in rows),
        detectable=detectable(buckets),
        could_meet=_could_meet(a, b, rows),
        complete=a.content is not None and b.content is not None,
        n_bytes_unread=_unread(a, b),
        quantised=(_is_quantised([x for x, _ in rows]), _is_quantised([y for _, y in rows])),
        changed_log10_p=min(b.log10_p for b in rest) if rest else None,
        changed_detectable=detectable(rest) if rest else None,
        scale_spread=marks.scale_spread(places),
        flipped=marks.flipped(places),
        folded=marks.folded(rows),
        named_alike=all(_NUMBER.sub("#", x.tensor) == _NUMBER.sub("#", y.tensor) for x, y in rows),
        n_alone=(_n_alone(a, [x for x, _ in rows]), _n_alone(b, [y for _, y in rows])),
        n_foreign=(_n_foreign(a, b), _n_foreign(b, a)),
        n_experts=(_n_experts(a), _n_experts(b)),
        n_moved=_n_moved(rows),
        n_tokens=(a.n_tokens, b.n_tokens),
        layer_map=_layer_map(rows),
        difference=difference.differ(a, b),
    )


def _unread(a: Dna, b: Dna) -> int | None:
    """What a full read of both would take."""
    return None if a.n_bytes_unread is None or b.n_bytes_unread is None else a.n_bytes_unread + b.n_bytes_unread


def _could_meet(a: Dna, b: Dna, rows: list[Pair]) -> bool:
    """Whether "no evidence" may be said: some model was read whole (both sides of each matrix), or names agree.

    One framework stores a map [out, in], another [in, out]; a partial read takes the leading axis, so that widening
    maps of one model meet narrowing maps of the other. Names only withhold a verdict here, they never make one.
    """
    if a.content is not None or b.content is not None:
        return True
    return 2 * sum(x.tensor == y.tensor for x, y in rows) >= len(rows)


def detectable(buckets: tuple[Bucket, ...]) -> float:
    """The correlation that nine draws of ten would have shown in the best plain test (else in the best of any)."""
    plain = [b for b in buckets if b.view == "rows" and b.signed] or list(buckets)
    return min(fixed_points.POWER_Z / math.sqrt(b.n_columns) for b in plain)


def _changed(pairs: list[Pair]) -> tuple[Bucket, ...]:
    """Tests of the tensors that are neither equal nor cast alone, in every view; none when all are, or none is."""
    rows = [pair for pair in pairs if pair[0].view == "rows"]
    changed = {x.tensor for x, y in rows if not (x.hashes == y.hashes).any(axis=1).all()}
    if len(changed) in (0, len({x.tensor for x, _ in rows})):
        return ()
    return fixed_points.run_tests([(x, y) for x, y in pairs if x.tensor in changed and x.view in BODY])


def _components(a: Dna, b: Dna, pairs: list[Pair]) -> tuple[tuple[float, float, float], ...]:
    """Parts of composite models (a vision tower, a language model), each tested alone."""
    shares = _shares(a), _shares(b)
    if max(len(s) for s in shares) < 2:
        return ()
    parts: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for x, y in pairs:
        if x.view in UNIT_VIEWS:
            parts[x.component, y.component].append((x, y))
    return tuple(
        (min(bucket.log10_p for bucket in buckets), shares[0].get(i, 0.0), shares[1].get(j, 0.0))
        for (i, j), members in sorted(parts.items())
        if (buckets := fixed_points.run_tests(members))
    )


def _shares(dna: Dna) -> dict[str, float]:
    """Share of the weights, among tensors with testable units, of each component."""
    sizes = {g.tensor: (g.component, math.prod(g.shape)) for g in dna.genes if g.view == "rows"}
    weights: Counter[str] = Counter()
    for component, n in sizes.values():
        weights[component] += n
    return {component: n / sum(weights.values()) for component, n in weights.items()}


def _n_equal(rows: list[Pair]) -> int:
    return sum(int((x.hashes[:, 0] == y.hashes[:, 0]).sum()) for x, y in rows)


def _n_cast(rows: list[Pair]) -> int:
    """Rows of the second gene that are the first one's, rounded to bfloat16 or float16."""
    return sum(int((x.hashes[:, 1:] == y.hashes[:, :1]).any(axis=1).sum()) for x, y in rows)


def _is_quantised(genes: list[Gene]) -> bool:
    return 2 * sum(gene.dtype not in FLOATS for gene in genes) > len(genes)


def _exact(a: Dna, b: Dna) -> str | None:
    if a.content is not None and b.content is not None and a.content != b.content:
        return None
    if a.weights_sha256 and all(a.weights_sha256) and a.weights_sha256 == b.weights_sha256:
        return "file"
    return "content" if a.content is not None and a.content == b.content else None


def _n_alone(dna: Dna, paired: list[Gene]) -> int:
    return sum(g.view == "rows" for g in dna.genes) - len(paired)


def _n_foreign(dna: Dna, other: Dna) -> int:
    """Genes of shapes that the other model does not have."""
    there = pairing.shelves(other)
    return sum(g.view == "rows" and g.key not in there for g in dna.genes)


def _n_experts(dna: Dna) -> int:
    return sum(g.view == "rows" and "expert" in g.tensor for g in dna.genes)


def _n_moved(rows: list[Pair]) -> int:
    """Experts in another place of the same layer; of two mixtures, not of one and the layer that it was made of."""
    experts = [(x, y) for x, y in rows if "expert" in x.tensor and "expert" in y.tensor]
    return sum(x.tensor != y.tensor and x.layer == y.layer for x, y in experts)


def _layer_map(rows: list[Pair]) -> tuple[tuple[int, int], ...]:
    """Which layer of A corresponds to which of B, from genes that resemble each other."""
    layered = [(x, y) for x, y in rows if x.layer >= 0 <= y.layer]
    found = {(x.layer, y.layer) for x, y in layered if fixed_points.similarity([(x, y)]) >= MIN_ALIKE}
    return tuple(sorted(found))


def untested(reason: str) -> Evidence:
    """Evidence of a pair that no test was made for."""
    return _nothing(None, reason)


def _nothing(exact: str | None, reason: str, pairs: list[Pair] | None = None) -> Evidence:
    """Evidence without a test. Hashes may still speak: equal bits need no rows."""
    rows = [pair for pair in pairs or [] if pair[0].view == "rows"]
    return Evidence(
        buckets=(), log10_p=None, similarity=None, n_genes=len(rows), n_rows=sum(len(g.live) for g, _ in rows),
        n_rows_equal=_n_equal(rows), n_rows_cast=(0, 0), exact=exact,
        same_layout=all(x.tensor == y.tensor for x, y in rows), detectable=None, untestable=reason,
    )  # fmt: skip
