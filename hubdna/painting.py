"""paint(dna, matches, index): every layer of a model beside the relatives that it matches; and the family around it.

The whole pair is judged elsewhere. A painting says where in the model a relative is seen, and where none is: of a
plain fine-tune all layers match one model, a stack is blocks of several, a merge a mixture in every layer, and a part
that was trained anew matches none.
"""

from __future__ import annotations

from collections.abc import Sequence

from hubdna.errors import HubdnaError
from hubdna.evidence.by_layer import by_layer, layer_name, layer_names, pay
from hubdna.evidence.places import MIN_ALIKE
from hubdna.lineage import Kin, family
from hubdna.models import Loaded, Loader
from hubdna.records import (
    Audit,
    Claim,
    Dna,
    Family,
    LayerEvidence,
    LayerState,
    Match,
    Mixture,
    ModelRef,
    Painted,
    Painting,
    Verdict,
)
from hubdna.search import Rows, with_rows
from hubdna.store import Entry, IndexDir
from hubdna.verdict import COMMON_LOG10_P, MAX_DETECTABLE, NO_EVIDENCE_LOG10_P

MAX_LOOKED, MAX_SHOWN = 12, 6
"""Relatives that are compared layer by layer, and that are drawn: a picture holds no more patterns."""
NEARER = 0.25
"""A layer goes to a relative further down the list when its unlikeness, 1 - correlation, is at most this part of what
the first one's is: siblings are about equally near, and a picture that changed its pattern with their noise would show
nothing. A rule of drawing, no evidence."""


class KeepingLoader(Loader):
    """A loader that keeps what it loaded until it is asked for, so that a painting reads no model a second time."""

    def __init__(self, *args, **more) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*args, **more)
        self._kept: dict[ModelRef, Loaded] = {}
        self._rows: dict[int, Dna] = {}

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """Load one model and keep it. Raises HubdnaError."""
        self._kept[ref] = super().load(ref, index)
        return self._kept[ref]

    def rows(self, entry: Entry) -> Dna:
        """Read the rows of an index entry again and keep them."""
        if entry.id not in self._rows:
            self._rows[entry.id] = super().rows(entry)
        return self._rows[entry.id]

    def kept(self, ref: ModelRef) -> Dna | None:
        """What was loaded under this name, or None when it could not be."""
        found = self._kept.get(ref)
        return found.dna if found else None

    def painting(self, asked: ModelRef, audit: Audit, index: IndexDir) -> Painting:
        """The painting of a model that was audited just now; then everything that was kept is let go."""
        picture = try_to_paint(audit.ref, self.kept(asked), audit.matches, index, self.rows)
        self._kept.clear()
        self._rows.clear()
        return picture


def paint(dna: Dna, matches: Sequence[Match], index: IndexDir, rows: Rows | None = None) -> Painting:
    """Paint a model with its relatives.

    Args:
        dna: of the model.
        matches: its relatives of the index, as a search or an audit found them.
        index: where they are.
        rows: reads rows that a published index does not hold.

    Returns:
        The painting; without relatives it has layers only.
    """
    names = layer_names(dna)
    known = [(m, e) for m in matches if m.verdict.origin in ("identical", "common") and (e := index.get(m.ref.repo_id))]
    related, entries = [m for m, _ in known[:MAX_LOOKED]], [e for _, e in known[:MAX_LOOKED]]
    if not entries:
        return Painting(dna.ref, names, owners=(None,) * len(names))
    models = [with_rows(index.dna(e), e, rows) for e in entries]
    found = _family(dna, related, entries, models)
    mixture = dict(found.mixtures).get(dna.ref)
    first = _order(dna.ref, related, found, mixture)
    related, models = [related[i] for i in first], [models[i] for i in first]
    beside = [by_layer(dna, model) for model in models]
    n_tests = sum(one.n_tests for layers in beside for one in layers)
    painted = [
        _painted(m, pay(layers, n_tests) if n_tests else layers, names, mixture)
        for m, layers in zip(related, beside, strict=True)
    ]
    shown, owners = _chosen(painted, len(names))
    return Painting(dna.ref, names, shown, owners, n_tests, len(models), found, mixture)


def pair(a: Dna, b: Dna, verdict: Verdict) -> Painting:
    """A painting of A with B alone, whatever the verdict on them is."""
    layers = by_layer(a, b)
    one = _painted(Match(b.ref, 1, verdict), layers, layer_names(a), None)
    owners = tuple(0 if state in _SEEN else None for state in one.states)
    met = {x.other for x in layers}
    unmet = tuple(name for name in layer_names(b) if name not in met)
    return Painting(a.ref, layer_names(a), (one,), owners, sum(x.n_tests for x in layers), 1, unmet=unmet)


def try_to_paint(
    ref: ModelRef, dna: Dna | None, matches: Sequence[Match], index: IndexDir, rows: Rows | None
) -> Painting:
    """The painting, or one that says why there is none: one bad model must not cost the others their report."""
    if dna is None:
        return Painting(ref, note="the model was not read")
    try:
        return paint(dna, matches, index, rows)
    except HubdnaError as error:
        return Painting(ref, note=str(error))
    except Exception as error:  # a defect of ours, as in an audit
        return Painting(ref, note=f"internal error, please report it: {type(error).__name__}: {str(error)[:200]}")


_SEEN: tuple[LayerState, ...] = ("same", "shared", "alike")


def state(one: LayerEvidence, verdict: Verdict) -> LayerState:
    """What a layer says, by the lines of a verdict.

    Returns:
        "same": all that was compared is equal bit for bit. "shared": its test passes the line of a common origin.
        "alike": no test could be run, and its exact weights correlate; "unlike": they do not. Both are said of
        relatives only. "open": between the lines. "none": tested, and a correlation of 0.3 would have shown.
        "untested": too little, or disguised.
    """
    related = verdict.origin in ("identical", "common")
    if one.log10_p is not None and one.log10_p <= COMMON_LOG10_P:
        return "same" if one.equal else "shared"
    if one.log10_p is None:
        if not related or not one.n_weights:
            return "untested"
        return "same" if one.equal else "alike" if (one.resemblance or 0.0) >= MIN_ALIKE else "unlike"
    if one.log10_p <= NO_EVIDENCE_LOG10_P:
        return "open"
    weak = one.detectable is None or one.detectable > MAX_DETECTABLE
    return "untested" if weak or verdict.disguise else "none"


def _family(dna: Dna, related: Sequence[Match], entries: Sequence[Entry], models: Sequence[Dna]) -> Family:
    """The model among its relatives; those with its weights are its copies, and their copies theirs."""
    own = Entry(dna.ref, "", Claim(), len(dna.genes), "")
    apart = [i for i, m in enumerate(related) if m.verdict.origin != "identical"]
    kin = Kin([own, *(entries[i] for i in apart)], [dna, *(models[i] for i in apart)])
    kin.verdicts |= {(0, n): related[i].verdict for n, i in enumerate(apart, start=1)}
    same = tuple(r for m in related if m.verdict.origin == "identical" for r in (m.ref, *m.copies))
    return family(kin, {dna.ref: same} | {entries[i].ref: related[i].copies for i in apart})


def _order(ref: ModelRef, related: Sequence[Match], found: Family, mixture: Mixture | None) -> list[int]:
    """Parents of a merge first, then parents by the tree, then by rank."""
    members = [m.ref.repo_id for m in (mixture.parents if mixture else ())]
    members += [mixture.base.ref.repo_id] if mixture and mixture.base else []
    above = {e.parent.repo_id for e in found.edges if e.child == ref and e.certainty != "none"}

    def place(i: int) -> tuple[int, bool, int]:
        name = related[i].ref.repo_id
        return members.index(name) if name in members else len(members), name not in above, i

    return sorted(range(len(related)), key=place)


def _painted(match: Match, layers: tuple[LayerEvidence, ...], names: Sequence[str], mixture: Mixture | None) -> Painted:
    states = tuple(state(one, match.verdict) for one in layers)
    return Painted(match.ref, match.verdict, layers, states, _shares(match.ref, names, mixture))


def _shares(ref: ModelRef, names: Sequence[str], mixture: Mixture | None) -> tuple[float | None, ...]:
    """What a parent's layers are multiplied by: the mean over the places of a layer."""
    members = [] if mixture is None else [*mixture.parents, *([mixture.base] if mixture.base else [])]
    for member in members:
        if mixture is not None and member.ref.repo_id == ref.repo_id:
            of: dict[str, list[float]] = {}
            for tensor, share in zip(mixture.tensors, member.shares, strict=True):
                of.setdefault(layer_name(tensor), []).append(share)
            return tuple(sum(of[name]) / len(of[name]) if name in of else None for name in names)
    return (None,) * len(names)


def _chosen(painted: Sequence[Painted], n_layers: int) -> tuple[tuple[Painted, ...], tuple[int | None, ...]]:
    """Which relatives are drawn, those with most layers first, and whose pattern each layer takes."""
    owner = [_owner(painted, i) for i in range(n_layers)]
    wins = [owner.count(r) for r in range(len(painted))]
    parents = [any(s is not None for s in p.shares) for p in painted]
    first = [owner.index(r) if r in owner else n_layers for r in range(len(painted))]
    ranked = sorted(range(len(painted)), key=lambda r: (not parents[r], -wins[r], first[r], r))[:MAX_SHOWN]
    number = {r: n for n, r in enumerate(ranked)}
    return tuple(painted[r] for r in ranked), tuple(None if o is None else number.get(o) for o in owner)


def _owner(painted: Sequence[Painted], layer: int) -> int | None:
    """The first relative that is seen in a layer, unless another one is clearly nearer there."""
    seen = [r for r, p in enumerate(painted) if p.states[layer] in _SEEN]
    if not seen:
        return None
    best = seen[0]
    for r in seen[1:]:
        one, other = painted[best], painted[r]
        if _is_nearer(other.layers[layer], other.states[layer], one.layers[layer], one.states[layer]):
            best = r
    return best


def _is_nearer(one: LayerEvidence, mine: LayerState, other: LayerEvidence, theirs: LayerState) -> bool:
    if "same" in (mine, theirs):
        return theirs != "same"
    return unlikeness(one) <= NEARER * unlikeness(other)


def unlikeness(one: LayerEvidence) -> float:
    """1 - correlation of a layer's tested rows, else of its exact weights; in [0, 2]."""
    alike = one.similarity if one.similarity is not None else one.resemblance
    return 2.0 if alike is None else 1.0 - alike
