"""Evidence -> Verdict. The only home of thresholds; each stands with its reason.

The test rejects "initialised independently". What follows is a common origin: a copy, a derivation, siblings, or two
trainings from one seed. It has no direction, and the verdict claims none that the bits do not show.
"""

from __future__ import annotations

from hubdna.records import Certainty, Direction, Evidence, Origin, Verdict

COMMON_LOG10_P = -14.30
"""5e-15: two million models are 2e12 pairs, and 1 % of one false pair in the whole Hub is allowed. K >= 17."""
NO_EVIDENCE_LOG10_P = -6.0
"""Above, nothing worth a second look; between the lines the pair is undecided."""
MAX_DETECTABLE = 0.3
"""`no-evidence` is only said when a correlation of 0.3 would have been seen in nine of ten draws."""
SEED_SIMILARITY = 0.5
"""Two full trainings from one seed were measured at correlations of 0.14 to 0.39 where they had left their
initialisation; below 0.5 a shared seed could explain a common origin, so findings stay `info`."""

QUANTISED_SIMILARITY = 0.75
"""Rounding to 2 bits leaves a correlation of 0.78, to 3 bits 0.97: below, something else happened as well."""

_MISSED = (
    "both were read in part only and name their tensors differently, so their matrices may lie the other way round: "
    "needs --read full"
)
_COMPONENT = (
    "some tensors are equal bit for bit while all others look independent: a shared component or a fixed buffer"
)

Ruling = tuple[Origin, str | None, Direction, Certainty, str | None]


def judge(evidence: Evidence) -> Verdict:
    """Draw the verdict that the evidence supports, and nothing more."""
    origin, relation, direction, certainty, because = _rule(evidence)
    return Verdict(origin, relation, direction, certainty, evidence.log10_p, evidence.similarity, (), evidence, because)


def _rule(e: Evidence) -> Ruling:
    if e.exact:
        return "identical", "identical" if e.same_layout else "converted", "undirected", "none", None
    if e.untestable:
        return "undecided", None, "undirected", "none", e.untestable
    assert e.log10_p is not None and e.detectable is not None, "a test that ran has a p-value"
    if e.log10_p <= COMMON_LOG10_P:
        return _rule_common(e)
    if e.log10_p <= NO_EVIDENCE_LOG10_P:
        return (
            "undecided",
            None,
            "undirected",
            "none",
            f"log10 p = {e.log10_p:.1f} lies between the lines {NO_EVIDENCE_LOG10_P} and {COMMON_LOG10_P}",
        )
    if e.detectable > MAX_DETECTABLE:
        return (
            "undecided",
            None,
            "undirected",
            "none",
            f"too little to test: only correlations above {e.detectable:.2f} would have shown",
        )
    if not e.could_meet:
        return "undecided", None, "undirected", "none", _MISSED
    return "no-evidence", None, "undirected", "none", None


def _rule_common(e: Evidence) -> Ruling:
    if _only_a_component(e):
        return "undecided", "component", "undirected", "none", _COMPONENT
    if e.quantised[0] != e.quantised[1]:
        return _rule_quantised(e)
    if e.n_rows_equal < e.n_rows:
        for n_cast, direction in zip(e.n_rows_cast, ("b-from-a", "a-from-b"), strict=True):
            if n_cast == e.n_rows:
                return "common", "cast", direction, "likely", None  # type: ignore[return-value]
    elif not e.same_layout:
        return "common", "converted", "undirected", "none", None
    return "common", None, "undirected", "none", None


def _rule_quantised(e: Evidence) -> Ruling:
    """One side lies on a grid. Floats that are the grid's values, bit for bit, were made from it; others before it."""
    if (e.similarity or 0) < QUANTISED_SIMILARITY:
        return "common", None, "undirected", "none", None
    a_from_b = e.quantised[0] != (e.n_rows_equal == e.n_rows)
    return "common", "quantized", "a-from-b" if a_from_b else "b-from-a", "likely", None


def _only_a_component(e: Evidence) -> bool:
    """Whether all evidence is in bit-equal tensors while the others, which could have shown some, look independent.

    A frozen part of another model and a buffer drawn from a fixed seed look like this; a fine-tune with frozen layers
    does not, since its other layers still resemble their origin.
    """
    if e.changed_log10_p is None or e.changed_detectable is None:
        return False
    return e.changed_log10_p > NO_EVIDENCE_LOG10_P and e.changed_detectable <= MAX_DETECTABLE
