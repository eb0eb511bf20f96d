"""Evidence -> Verdict. The only home of thresholds; each stands with its reason.

The test rejects "initialised independently". What follows is a common origin: a copy, a derivation, siblings, or two
trainings from one seed. It has no direction, and the verdict claims none that the bits do not show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.filesize import decimal

from hubdna.evidence.attested import attested_child
from hubdna.records import UNIT_VIEWS, Certainty, Direction, Evidence, Origin, Verdict

COMMON_LOG10_P = -14.30
"""5e-15: two million models are 2e12 pairs, and 1 % of one false pair in the whole Hub is allowed. K >= 18."""
NO_EVIDENCE_LOG10_P = -6.0
"""Above, nothing worth a second look; between the lines the pair is undecided."""
MAX_DETECTABLE = 0.3
"""`no-evidence` is only said when a correlation of 0.3 would have been seen in nine of ten draws."""
SEED_SIMILARITY = 0.5
"""Two full trainings from one seed were measured at correlations of 0.14 to 0.39 where they had left their
initialisation; below 0.5 a shared seed could explain a common origin, so findings stay `info`."""

QUANTISED_SIMILARITY = 0.75
"""Rounding to 2 bits leaves a correlation of 0.78, to 3 bits 0.97: below, something else happened as well."""
TWO_BIT_SIMILARITY = 0.6
"""Three levels a group of 32 leave 0.64 in the worst of a model's matrices."""
MIN_ZEROED = 0.05
"""Share of weights that have to have become zero before a model is called pruned."""
MIN_SURVIVORS = 0.999
"""Share of the weights left that are the other model's, bit for bit, before one is called its mask."""
MIN_MASKED = 16
"""Weights that have to have become zero before one is called the other's mask, where all others of the same matrices
are equal bit for bit: learnt masks may take only one weight in two hundred."""
RESCALED = 0.25
"""Spread of log(scale ratio) over matching rows: undisguised pairs of the zoo reach 0.12, rescaled ones
begin at 0.63."""

MIN_TELLING_COLUMNS = 200
"""Columns from which a silent test of one layer length, beside others that were passed, says something."""
MIN_SHARE = 0.5
"""Share of either model's weights that has to lie in parts which show an origin themselves: two composite models with
one vision tower and two language models have a part in common and no more."""
FLIPPED = 0.02
"""Share of matching rows of the other sign: training flips none of them, disguises of
the zoo 41 % and more."""
FOLDED = 0.8
"""Share of the difference of matching rows that one factor a column explains: undisguised pairs of the zoo reach 0.25,
folded ones begin at 0.85."""
LIKELY_CHANCE = 0.9
"""From which an edge of a family tree counts as likely; the board `direction` says how often such edges are right."""
AGREED, NOT_AGREED = 0.2, 0.1
"""Share of hidden units on which two independent matchings agree, in at least half of the layers. Chance gives about
half a unit at any width: independent layers of 64 units reached 5 of them in 19,900 pairs (7.8 %), of 128 units 6
(4.7 %). Seven of 64 come by chance once in a million; models with 5 % of shared features planted were measured at
5 %."""

NEEDS_FULL = "needs --read full"
"""Ends every sentence of what a few MB cannot settle; how much a full read takes is said behind it."""
_MISSED = (
    "both were read in part only and name their tensors differently, so their matrices may lie the other way round: "
    + NEEDS_FULL
)
_COMPONENT = (
    "some tensors are equal bit for bit while all others look independent: a shared component or a fixed buffer"
)
_PART = (
    "a part of both models shares an origin, and less than half of the weights of either lie in such parts: a shared "
    "component"
)
_COORDINATES = (
    "the coordinates of the residual stream match and the hidden units do not: hidden units that were shuffled, a "
    "table of inputs that was taken over, or positions that number the coordinates"
)
_TABLE_TAKEN = (
    "the tables of inputs share an origin, and two matchings of the hidden units do not agree: a table that was taken "
    "over, or the weights behind it were trained anew"
)
_AGREES = (
    "two independent matchings of the hidden units agree on {share:.0%} of them, as in a disguised copy; that is "
    "calibrated, not exact, and no exact test is left without tokens that no training saw"
)
_TABLE_ONLY = (
    "the tables of inputs share an origin and nothing else shows one: a table that was taken over, or a copy whose "
    "hidden units and residual stream are both disguised"
)


@dataclass(frozen=True, slots=True)
class _Ruling:
    origin: Origin
    relation: str | None = None
    direction: Direction = "undirected"
    certainty: Certainty = "none"
    because: str | None = None


def judge(evidence: Evidence) -> Verdict:
    """Draw the verdict that the evidence supports, and nothing more."""
    disguise = _disguise(evidence)
    r = _attested(_rule(evidence, disguise), evidence)
    disguise = disguise if r.origin == "common" else ()
    return Verdict(
        r.origin, r.relation, r.direction, r.certainty, evidence.log10_p, evidence.similarity, disguise, evidence,
        _priced(r.because, evidence.n_bytes_unread),
    )  # fmt: skip


def _attested(r: _Ruling, e: Evidence) -> _Ruling:
    """A checked receipt gives a common origin its direction; where it is contradicted, there is none."""
    if r.origin != "common" or not e.receipts:
        return r
    child = attested_child(e.receipts, e.marks)
    if child is None:
        return replace(r, direction="undirected", certainty="none")
    return replace(r, direction="b-from-a" if child else "a-from-b", certainty="attested")


def _priced(because: str | None, n_bytes: int | None) -> str | None:
    """`..., 13.5 GB` behind what only a full read can settle, where its size is known and not yet paid."""
    return f"{because}, {decimal(n_bytes)}" if n_bytes and because and because.endswith(NEEDS_FULL) else because


def _rule(e: Evidence, disguise: tuple[str, ...]) -> _Ruling:
    if e.exact and e.quantised[0] != e.quantised[1]:
        return replace(_rule_quantised(e), origin="identical")
    if e.exact:
        return _Ruling("identical", "identical" if e.same_layout else "converted")
    if e.untestable:
        return _Ruling("undecided", because=e.untestable)
    assert e.log10_p is not None and e.detectable is not None, "a test that ran has a p-value"
    if _body_log10_p(e) <= COMMON_LOG10_P:
        return _rule_common(e, disguise)
    agreed = _agreement(e)
    if e.log10_p <= COMMON_LOG10_P:
        return _rule_table(e, agreed)
    if agreed is not None and agreed >= AGREED:
        return _Ruling("undecided", because=_AGREES.format(share=agreed))
    if e.log10_p <= NO_EVIDENCE_LOG10_P:
        lines = f"lies between the lines {NO_EVIDENCE_LOG10_P} and {COMMON_LOG10_P}"
        return _Ruling("undecided", because=f"log10 p = {e.log10_p:.1f} {lines}")
    if e.detectable > MAX_DETECTABLE:
        return _Ruling(
            "undecided", because=f"too little to test: only correlations above {e.detectable:.2f} would have shown"
        )
    if not e.could_meet:
        return _Ruling("undecided", because=_MISSED)
    if {b.view for b in e.buckets} == {"unseen"}:
        return _Ruling("undecided", because="nothing but a table of tokens could be compared")
    return _Ruling("no-evidence")


def _agreement(e: Evidence) -> float | None:
    """What at least half of the layers reach."""
    return sorted(e.agreement)[len(e.agreement) // 2] if e.agreement else None


def _body_log10_p(e: Evidence) -> float:
    """Of the best test of hidden units; only that speaks for more than a table of inputs.

    A gram's coordinates may carry labels that no weight shows: hidden units that were trained anew on a table that was
    taken over find them in the old order, and sinusoids that are computed number them alike in all models.
    """
    return min((b.log10_p for b in e.buckets if b.view in UNIT_VIEWS), default=0.0)


def _rule_table(e: Evidence, agreed: float | None) -> _Ruling:
    """The exact test speaks for the table or the stream only; whether the units came along, the matchings tell."""
    coordinates = any(b.view == "gram" and b.log10_p <= COMMON_LOG10_P for b in e.buckets)
    shown = _COORDINATES if coordinates else _TABLE_ONLY
    if agreed is None:
        return _Ruling("undecided", "component", because=f"{shown}; {NEEDS_FULL}")
    if agreed >= AGREED:
        return _Ruling("common", "width" if e.complete and e.n_genes == 0 else None)
    if agreed > NOT_AGREED:
        return _Ruling("undecided", because=f"{shown}; two matchings of hidden units agree on {agreed:.0%}")
    return _Ruling("undecided", "component", because=_TABLE_TAKEN)


def _rule_common(e: Evidence, disguise: tuple[str, ...]) -> _Ruling:
    """Of a common origin: what the bits say about the relation. What they leave open stays None."""
    if _only_a_component(e):
        return _Ruling("undecided", "component", because=_COMPONENT)
    if _only_a_part(e):
        return _Ruling("undecided", "component", because=_PART)
    if e.quantised[0] != e.quantised[1]:
        return _rule_quantised(e)
    if e.n_rows_equal < e.n_rows:
        for n_cast, direction in zip(e.n_rows_cast, ("b-from-a", "a-from-b"), strict=True):
            if n_cast == e.n_rows:
                return _Ruling("common", "cast", direction, "likely")  # type: ignore[arg-type]
    if disguise:
        return _Ruling("common")
    return _rule_changed(e) or _rule_structure(e) or _Ruling("common")


def _rule_quantised(e: Evidence) -> _Ruling:
    """One side lies on a grid. Floats that are the grid's values, bit for bit, were made from it; others before it."""
    if (e.similarity or 0) < QUANTISED_SIMILARITY:
        return _Ruling("common")
    a_from_b = e.quantised[0] != (e.n_rows_equal == e.n_rows)
    return _Ruling("common", "quantized", "a-from-b" if a_from_b else "b-from-a", "likely")


def _rule_changed(e: Evidence) -> _Ruling | None:
    """From exact corners: values on a grid, zeros, a change of low rank."""
    d = e.difference
    if d is None or d.n_changed == 0:
        return None
    for child, direction in ((1, "b-from-a"), (0, "a-from-b")):
        towards: Direction = direction  # type: ignore[assignment]
        enough = TWO_BIT_SIMILARITY if d.grid[child] == 2 else QUANTISED_SIMILARITY
        if d.grid[child] and not d.grid[1 - child] and d.similarity >= enough:
            return _Ruling("common", "quantized", towards, "likely")
        lost, kept = d.zeroed[1 - child], d.survivors_equal[1 - child]
        all_kept = lost > 0 == d.zeroed[child] and kept == 1 and d.n_weights - d.n_equal >= MIN_MASKED
        if all_kept or (lost >= MIN_ZEROED > d.zeroed[child] and kept >= MIN_SURVIVORS):
            return _Ruling("common", "mask-of", towards, "likely")
        if lost >= MIN_ZEROED > d.zeroed[child]:
            return _Ruling("common", "pruned")  # of this model, or of a third that both were made from
    return _Ruling("common", "adapter-merged") if d.rank is not None else None


def _rule_structure(e: Evidence) -> _Ruling | None:
    """From which parts have a counterpart; only when both models were read whole."""
    if e.complete:
        if e.n_genes == 0:
            return _Ruling("common", "width")
        for own, other in ((0, 1), (1, 0)):
            if e.n_experts[own] and e.n_alone[own] and not e.n_experts[other]:
                return _Ruling("common", "upcycled")
            if e.n_alone[other] == 0 and e.n_foreign[own]:
                return _Ruling("common", "component")
            if e.n_alone[other] == 0 and e.n_alone[own] and e.named_alike:
                return _Ruling("common", "depth")
        if any(a != b for a, b in e.layer_map) and e.named_alike:
            return _Ruling("common", "depth")
    if min(e.n_tokens) and e.n_tokens[0] != e.n_tokens[1]:
        return _Ruling("common", "vocabulary")
    if e.n_rows_equal == e.n_rows and not e.same_layout:
        return _Ruling("common", "converted")
    return None


def _only_a_component(e: Evidence) -> bool:
    """Whether all evidence is in bit-equal tensors while the others, which could have shown some, look independent.

    A frozen part of another model and a buffer drawn from a fixed seed look like this; a fine-tune with frozen layers
    does not, since its other layers still resemble their origin.
    """
    if e.changed_log10_p is None or e.changed_detectable is None:
        return False
    return e.changed_log10_p > NO_EVIDENCE_LOG10_P and e.changed_detectable <= MAX_DETECTABLE


def _only_a_part(e: Evidence) -> bool:
    """Whether the parts that show an origin themselves are less than half of both composite models."""
    shown = [(a, b) for log10_p, a, b in e.components if log10_p <= COMMON_LOG10_P]
    return bool(shown) and max(sum(a for a, _ in shown), sum(b for _, b in shown)) < MIN_SHARE


def _disguise(e: Evidence) -> tuple[str, ...]:
    """Which change that leaves the function alone the weights went through, by the views that see past it."""
    plain = [b for b in e.buckets if b.view == "rows" and b.signed]
    passed = {(b.view, b.signed) for b in e.buckets if b.log10_p <= COMMON_LOG10_P}
    rescaled = ("rows rescaled",) if (e.scale_spread or 0.0) > RESCALED else ()
    signs = ("signs flipped",) if e.flipped > FLIPPED else ()
    if passed & {("rows", True), ("rows", False)}:
        folded = ("gains folded",) if e.folded > FOLDED else ()
        experts = ("experts renumbered",) if e.n_moved else ()
        silent = any(b.log10_p > NO_EVIDENCE_LOG10_P and b.n_columns >= MIN_TELLING_COLUMNS for b in plain)
        shuffled = ("hidden units shuffled",) if silent and ("gram", True) in passed else ()
        return shuffled + experts + signs + rescaled + folded
    if ("response", True) in passed:
        return ("residual stream rotated, permuted or rescaled",)
    if ("response", False) in passed:
        return ("residual stream rotated, permuted or rescaled", "signs flipped")
    if ("gram", True) in passed:
        return ("hidden units shuffled",) if plain else ()
    return ("hidden units shuffled", "residual stream rotated, permuted or rescaled") if passed else ()
