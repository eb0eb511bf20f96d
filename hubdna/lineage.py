"""families(index): which models of an index are of one origin, and how they descend from each other.

    candidates by sketches -> exact tests -> clusters -> distances -> the shortest tree -> marks, dates, claims -> edges

An edge is `certain` by a mark in the bits, and `attested` by a receipt that this user verified in full. It is `likely`
when trees drawn again, marks and dates leave little doubt of its place and its way, and another branch shows that the
parent itself was passed through. All others are undirected: the nearest relatives that the index holds, whose common
parent may be missing from it. Dates alone make no direction, cards are told and count for nothing, names, sizes and
configs are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx
import numpy as np

from hubdna.evidence import topology
from hubdna.evidence.attested import attested_child, receipts_among
from hubdna.evidence.compare import compare_dna
from hubdna.evidence.direction import marks
from hubdna.evidence.unmix import unmix
from hubdna.records import Certainty, CheckedReceipt, Dna, Edge, Family, Mark, Mixture, ModelRef, Verdict
from hubdna.search import MIN_CANDIDATES, Once, Rows, with_rows
from hubdna.store import Entry, IndexDir
from hubdna.verdict import LIKELY_CHANCE, judge

CERTAIN_ODDS, LIKELY_ODDS, DATE_ODDS = 1000.0, 20.0, 20.0
"""How many times likelier a certain mark, a likely one (a grid, zeros, a coarser type) and the dates of publication
make a direction. Chosen, not measured: the board `direction` says how often likely edges are right, without dates."""

CONTRADICTED = "the two contradict each other, so neither gives a direction"
LAST = 10
"""Of the candidates, the last ones that are all relatives when there may be more."""

MOST = 0.999
"""What a chance from drawing 100 trees may say at most."""
Pair = tuple[int, int]
Verdicts = dict[Pair, Verdict]
Progress = Callable[[str], object]


@dataclass
class Kin:
    """Models of one origin, as far as they were found.

    Attributes:
        entries: one of each set of exact copies.
        models: their DNA.
        verdicts: on the pairs (i, j), i < j, that were tested and share an origin.
    """

    entries: list[Entry]
    models: list[Dna]
    verdicts: Verdicts = field(default_factory=dict)

    def verdict(self, i: int, j: int) -> Verdict:
        """On a pair, tested now if it was not before; seen from the smaller number."""
        i, j = min(i, j), max(i, j)
        if (i, j) not in self.verdicts:
            self.verdicts[i, j] = judge(compare_dna(self.models[i], self.models[j]))
        return self.verdicts[i, j]


def families(
    index: IndexDir,
    refs: Iterable[ModelRef] = (),
    rows: Rows | None = None,
    progress: Progress = lambda name: None,
    remarks: bool = False,
    checked: Sequence[CheckedReceipt] = (),
) -> Iterator[Family]:
    """Find the families of an index, or those that some models belong to.

    Args:
        index: where to look.
        refs: models of the index; without any, all families of two or more.
        rows: reads rows that a published index does not hold.
        progress: called with the name of each model that was looked at.
        remarks: look for members that lack a parent, too, for a second or two each.
        checked: receipts that this user verified in full.

    Yields:
        Families, each with its tree; a model without relatives is a family of one when it was asked for.
    """
    names = [ref.repo_id for ref in refs]
    reader = Once(rows) if rows and not isinstance(rows, Once) else rows  # every member is met many times
    asked = [e for name in names if (e := index.get(name)) is not None]
    done: set[int] = set()
    for entry in asked if names else index.entries():
        if entry.id in done:  # a thousand copies are looked up once, not a thousand times
            continue
        first = index.copies(entry)[0]
        kin = _gather(first, index, reader, progress)
        groups = {e.ref: index.copies(e) for e in kin.entries}
        done |= {e.id for group in groups.values() for e in group}
        copies = {ref: tuple(c.ref for c in group[1:]) for ref, group in groups.items()}
        if len(kin.entries) > 1 or asked or copies[first.ref]:
            yield family(kin, copies, remarks, checked)


def _gather(start: Entry, index: IndexDir, rows: Rows | None, progress: Progress) -> Kin:
    """All models that share an origin with the first, or with one that does, and so on."""
    kin = Kin([start], [with_rows(index.dna(start), start, rows)])
    known, at = {start.id}, 0
    while at < len(kin.entries):
        progress(kin.entries[at].ref.repo_id)
        _add_relatives(kin, known, at, index, rows)
        at += 1
    return kin


def _add_relatives(kin: Kin, known: set[int], at: int, index: IndexDir, rows: Rows | None) -> None:
    """Add one model's relatives; asks for more candidates as long as the last ones are relatives."""
    n, tested = MIN_CANDIDATES, 0
    while True:
        candidates = index.candidates(kin.models[at], n)
        related = [e.id in known or _is_related(kin, at, e, index, rows) for e in candidates[tested:]]
        known |= {e.id for e, yes in zip(candidates[tested:], related, strict=True) if yes}
        if len(candidates) < n or not all(related[-LAST:]):
            return
        n, tested = 2 * n, len(candidates)


def _is_related(kin: Kin, at: int, entry: Entry, index: IndexDir, rows: Rows | None) -> bool:
    """Test a candidate; one that shares the origin joins the others."""
    dna = with_rows(index.dna(entry), entry, rows)
    verdict = judge(compare_dna(kin.models[at], dna))
    if verdict.origin not in ("identical", "common"):
        return False
    kin.verdicts[at, len(kin.entries)] = verdict
    kin.entries.append(entry)
    kin.models.append(dna)
    return True


def family(
    kin: Kin,
    copies: Mapping[ModelRef, tuple[ModelRef, ...]],
    remarks: bool = False,
    checked: Sequence[CheckedReceipt] = (),
) -> Family:
    """Draw the family tree of models of one origin; remarks are on members that lack a parent."""
    distances = topology.measure(kin.models)
    graph = topology.tree(kin.models, distances, {})
    signs = {pair: _signs(kin, *pair) for pair in _pairs(graph)}
    made_from = {p[s.child]: p[1 - s.child] for p, found in signs.items() for s in found if s.name != "repeated"}
    graph = topology.tree(kin.models, distances, made_from)
    _join(graph, kin)
    attested = receipts_among(kin.models, checked)
    topology.tie(graph, distances.mean(), attested)
    signs |= {pair: _signs(kin, *pair) for pair in _pairs(graph) if pair not in signs}
    both = {pair: (*marked, *attested.get(pair, ())) for pair, marked in signs.items()}
    firm = topology.firmness(topology.draws(kin.models, distances, made_from), _odds(kin, both))
    passed = topology.passed_through(graph, distances)
    found = _mixtures(kin, distances, remarks)
    mixtures = {ref: mixture for ref, mixture in found.items() if mixture.unexplained == 0}
    edges = [_edge(kin, pair, signs, attested.get(pair, ()), firm, passed) for pair in _pairs(graph)]
    return Family(
        members=tuple(e.ref for e in kin.entries),
        copies=tuple((ref, same) for ref, same in copies.items() if same),
        edges=tuple(_with_merges(edges, mixtures)),
        mixtures=tuple(mixtures.items()),
        remarks=tuple((ref, mixture) for ref, mixture in found.items() if mixture.unexplained > 0),
    )


def _pairs(graph: nx.Graph) -> list[Pair]:
    return sorted((min(u, v), max(u, v)) for u, v in graph.edges)


def _signs(kin: Kin, i: int, j: int) -> tuple[Mark, ...]:
    """Certain marks, else what the verdict says of the direction."""
    found = marks(kin.models[i], kin.models[j])
    verdict = kin.verdict(i, j)
    if found or verdict.direction == "undirected":
        return found
    child = 0 if verdict.direction == "a-from-b" else 1
    return (Mark("likely", child, f"looks {verdict.relation}"),)


def _odds(kin: Kin, signs: Mapping[Pair, tuple[Mark, ...]]) -> topology.Odds:
    """How many times likelier it is that the second was made from the first than the other way round."""

    def odds(parent: int, child: int) -> float:
        ways = DATE_ODDS ** _older(kin.entries[parent], kin.entries[child])
        pair = min(parent, child), max(parent, child)
        for mark in signs.get(pair, ()):
            strength = LIKELY_ODDS if mark.name == "likely" else CERTAIN_ODDS
            ways *= strength if pair[mark.child] == child else 1 / strength
        return ways

    return odds


def _join(graph: nx.Graph, kin: Kin) -> None:
    """Join what shares no exact weights (a child of other width) where the exact test spoke most clearly."""
    for (i, j), _ in sorted(kin.verdicts.items(), key=lambda one: (one[1].log10_p or 0.0, one[0])):
        if not nx.has_path(graph, i, j):
            graph.add_edge(i, j)


def _edge(
    kin: Kin,
    pair: Pair,
    signs: Mapping[Pair, tuple[Mark, ...]],
    attested: tuple[Mark, ...],
    firm: Mapping[Pair, float],
    passed: set[Pair],
) -> Edge:
    found = signs[pair]
    certain = tuple(m for m in found if m.name != "likely")
    ways = {m.child for m in certain or attested}
    turned = ways == {0} if len(ways) == 1 else firm.get(pair[::-1], 0.0) > firm.get(pair, 0.0)
    parent, child = pair[::-1] if turned else pair
    old, new = kin.entries[parent], kin.entries[child]
    chance, relation, said = min(firm.get((parent, child), 0.0), MOST), kin.verdict(*pair).relation, _said(old, new)
    if attested and attested_child(attested, certain) is None:
        because = (*(m.because for m in (*certain, *attested)), CONTRADICTED, *said)
        return Edge(old.ref, new.ref, "none", chance, relation, because)
    n_others = _n_others(kin, parent, child, certain) if certain and len(ways) == 1 else 0
    sure = bool(certain) and len(ways) == 1 and not n_others
    chance /= 1 + n_others
    likely = chance >= LIKELY_CHANCE and (parent, child) in passed
    certainty: Certainty = "certain" if sure else "attested" if attested else "likely" if likely else "none"
    alike = ("and so it is with another model, whose matrices are the same",) if n_others else ()
    because = (*(m.because for m in found), *alike, *(m.because for m in attested), *said)
    return Edge(old.ref, new.ref, certainty, 1.0 if sure or attested else chance, relation, because)


def _n_others(kin: Kin, parent: int, child: int, found: tuple[Mark, ...]) -> int:
    """Other members from which the child bears the same marks: fine-tunes of vectors, tables or heads alone."""
    names = {m.name for m in found}
    others = (k for k in range(len(kin.models)) if k not in (parent, child))
    return sum(any(m.child and m.name in names for m in marks(kin.models[k], kin.models[child])) for k in others)


def _older(parent: Entry, child: Entry) -> int:
    """1 when the first was published before the second, -1 after it, 0 when that is not known."""
    if not parent.created_at or not child.created_at:
        return 0
    return (parent.created_at < child.created_at) - (parent.created_at > child.created_at)


def _said(parent: Entry, child: Entry) -> tuple[str, ...]:
    """What dates and the two cards say."""
    words = {1: "published later", -1: "published earlier", 0: ""}[_older(parent, child)]
    said = [words] if words else []
    declared = parent.ref.repo_id in child.claim.base_models, child.ref.repo_id in parent.claim.base_models
    cards = {(True, False): "declared on its card", (False, True): "the other's card declares it as the base"}
    said += [cards[declared]] if declared in cards else ["each is declared on the other's card"] * all(declared)
    return tuple(said)


def _mixtures(kin: Kin, distances: topology.Distances, remarks: bool) -> dict[ModelRef, Mixture]:
    """Members that are merges of other members, or lack a parent; the nearest members are looked at."""
    if len(kin.models) < 3:
        return {}
    found = {}
    far = np.nan_to_num(distances.mean(), nan=np.inf)
    for i, model in enumerate(kin.models):
        others = [int(j) for j in np.argsort(far[i], kind="stable") if j != i]
        relatives = [replace(kin.models[j], ref=kin.entries[j].ref) for j in others]
        mixture = unmix(model, relatives, remarks=remarks)
        if mixture is not None and (mixture.directed or mixture.unexplained > 0):
            found[kin.entries[i].ref] = mixture
    return found


def _with_merges(edges: Sequence[Edge], mixtures: Mapping[ModelRef, Mixture]) -> Iterator[Edge]:
    """Edges into a merge come from its parents, all of them; where a merge leads stays.

    A model that a receipt says was trained is no merge to be told of, and its receipt gives no direction either.
    """
    trained = {edge.child for edge in edges if edge.certainty == "attested"}
    for edge in edges:
        into = edge.child in mixtures or (edge.certainty == "none" and edge.parent in mixtures)
        if edge.certainty == "attested" and edge.child in mixtures:
            because = (*edge.because, "its weights are a mixture of other members', too", CONTRADICTED)
            yield replace(edge, certainty="none", because=because)
        elif not into:
            yield edge
    for child, mixture in mixtures.items():
        for member in (*mixture.parents, *([mixture.base] if mixture.base else [])) if child not in trained else ():
            words = f"share {member.share:.2f} of its weights"
            yield Edge(member.ref, child, "likely", 1.0, "merge", (words,))


def descendants(found: Family, ref: ModelRef) -> list[Edge]:
    """Edges that lead down from a member, nearest first; undirected ones lead nowhere."""
    graph = nx.DiGraph()
    graph.add_node(ref)
    graph.add_edges_from((e.parent, e.child, {"edge": e}) for e in found.edges if e.certainty != "none")
    return [graph.edges[pair]["edge"] for pair in nx.bfs_edges(graph, ref)]
