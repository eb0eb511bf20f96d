"""Family -> Layout: what hangs on what, and how deep; every picture of a family tree is drawn from this.

Each member but the roots hangs on one other: on the parent that lies deepest, so that all arrows lead down, or else on
a neighbour of unknown direction. A tree without any direction has no root; the member with most neighbours stands at
the top then, which proves nothing. Edges that no one hangs on (further parents of a merge) are drawn beside the tree.

Members are known by name: an index holds a name once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from hubdna.records import Edge, Family
from hubdna.report.text import clean
from hubdna.report.wording import remark

Line = Literal["certain", "attested", "likely", "open", "merge"]
MEANINGS: dict[Line, str] = {
    "certain": "certain: no ordinary process leaves its mark the other way round",
    "attested": "attested: by a receipt that was trained again here in full; not who had the parent's weights first",
    "likely": "likely: by the shape of the whole tree, with its chance",
    "open": "?: one origin, direction not known; both may come from a model that the index lacks",
    "merge": "merge of several parents",
}
_STRENGTH = {"certain": 0, "attested": 1, "likely": 2, "none": 3}


@dataclass(frozen=True, slots=True)
class Layout:
    """A family ready to be drawn.

    Attributes:
        roots: members that hang on none, those with most below them first.
        below: for each member the edges that others hang on, the surest first.
        beside: all other edges.
        layer: of each member; 0 for roots, and every arrow leads to a deeper one, cycles apart.
        copies: for each member the names of its exact copies.
        remarks: of some members, that a parent may be missing from the index.
    """

    roots: tuple[str, ...]
    below: dict[str, tuple[Edge, ...]]
    beside: tuple[Edge, ...]
    layer: dict[str, int]
    copies: dict[str, tuple[str, ...]]
    remarks: dict[str, str]

    def walk(self) -> Iterator[str]:
        """All members, each before those that hang on it, branch by branch."""
        waiting = list(reversed(self.roots))
        while waiting:
            yield (name := waiting.pop())
            waiting += [far_end(edge, name) for edge in reversed(self.below[name])]


def line(edge: Edge) -> Line:
    """How an edge is drawn."""
    if edge.certainty == "none":
        return "open"
    return "merge" if edge.relation == "merge" else edge.certainty


def words(edge: Edge) -> str:
    """`likely 0.98, pruned`; a chance is rounded down, so that 1.00 is never said of less."""
    if line(edge) == "open":
        return "?" + (f", {edge.relation}" if edge.relation else "")
    if line(edge) == "merge":  # the weights' sum decides, no chance was computed
        return ", ".join(("merge", *edge.because))
    chance = f" {math.floor(edge.chance * 100) / 100:.2f}" if edge.certainty == "likely" else ""
    return f"{edge.certainty}{chance}" + (f", {edge.relation}" if edge.relation else "")


def number_of_copies(n: int) -> str:
    """`and 3 identical copies`; nothing for none."""
    return f"and {n} identical cop{'y' if n == 1 else 'ies'}" if n else ""


def title(layout: Layout) -> str:
    """`4 models and 1 identical copy`."""
    n = len(layout.layer)
    copies = number_of_copies(sum(len(c) for c in layout.copies.values()))
    return " ".join(filter(None, (f"{n} model{'' if n == 1 else 's'}", copies)))


def plain(text: object) -> str:
    """Text of others on one line, without control characters."""
    return clean(text).replace("\n", " ")


def far_end(edge: Edge, name: str) -> str:
    """The other end of an edge."""
    return edge.child.repo_id if edge.parent.repo_id == name else edge.parent.repo_id


def layouts(families: Iterable[Family]) -> list[Layout]:
    """All families, the largest first."""
    return sorted((lay_out(f) for f in families), key=lambda x: (-len(x.layer), x.roots))


def lay_out(family: Family) -> Layout:
    """Decide what hangs on what."""
    arrows = _without_cycles(e for e in family.edges if e.certainty != "none")
    arrows.add_nodes_from(m.repo_id for m in family.members)
    arrows.add_nodes_from(m.repo_id for e in family.edges for m in (e.parent, e.child))
    hooks = list(_hooks(arrows, [e for e in family.edges if e.certainty == "none"]))
    graph = arrows.copy()
    graph.add_edges_from(hooks)
    layer: dict[str, int] = {}
    hangs: dict[str, Edge] = {}
    below: dict[str, list[Edge]] = {name: [] for name in graph}
    for name in nx.lexicographical_topological_sort(graph):
        layer[name] = max((layer[p] + 1 for p in graph.pred[name]), default=0)
        if graph.pred[name]:
            parent = min(graph.pred[name], key=lambda p: (-layer[p], *_sure(graph.edges[p, name]["edge"]), p))
            hangs[name] = graph.edges[parent, name]["edge"]
            below[parent].append(hangs[name])
    hanging = set(hangs.values())
    return Layout(
        roots=_roots(below, hangs, layer),
        below={p: tuple(sorted(edges, key=lambda e: (*_sure(e), far_end(e, p)))) for p, edges in below.items()},
        beside=tuple(sorted((e for e in family.edges if e not in hanging), key=_names)),
        layer=layer,
        copies={ref.repo_id: tuple(c.repo_id for c in same) for ref, same in family.copies},
        remarks={ref.repo_id: remark(mixture) for ref, mixture in family.remarks},
    )


def _roots(below: dict[str, list[Edge]], hangs: dict[str, Edge], layer: dict[str, int]) -> tuple[str, ...]:
    size = dict.fromkeys(below, 1)
    for name in sorted(hangs, key=lambda n: -layer[n]):
        size[far_end(hangs[name], name)] += size[name]
    return tuple(sorted(below.keys() - hangs.keys(), key=lambda n: (-size[n], n)))


def _sure(edge: Edge) -> tuple[int, float]:
    return _STRENGTH[edge.certainty], -edge.chance if edge.certainty == "likely" else 0.0


def _names(edge: Edge) -> tuple[str, str]:
    return edge.parent.repo_id, edge.child.repo_id


def _without_cycles(edges: Iterable[Edge]) -> nx.DiGraph:
    """Edges as arrows; of each cycle (two models may each seem a merge with the other in it) the least sure goes."""
    graph = nx.DiGraph()
    graph.add_edges_from((*_names(e), {"edge": e}) for e in sorted(edges, key=_names))
    while not nx.is_directed_acyclic_graph(graph):
        weakest = max(nx.find_cycle(graph), key=lambda pair: _sure(graph.edges[pair]["edge"]))
        graph.remove_edge(*weakest)
    return graph


def _hooks(arrows: nx.DiGraph, loose: Sequence[Edge]) -> Iterator[tuple[str, str, dict[str, Edge]]]:
    """Edges of unknown direction that a member without parents hangs on, from the largest part of the family on."""
    parts = [frozenset(part) for part in nx.weakly_connected_components(arrows)]
    part = {name: names for names in parts for name in names}
    joined = nx.Graph()
    joined.add_nodes_from(parts)
    for one in sorted(loose, key=_names):
        joined.add_edge(part[one.parent.repo_id], part[one.child.repo_id], edge=one)
    seen: set[frozenset[str]] = set()
    likelier = Counter(part[one.parent.repo_id] for one in loose)
    for start in sorted(parts, key=lambda p: (-len(p), -joined.degree(p), -likelier[p], min(p))):
        if start in seen:
            continue
        seen |= nx.node_connected_component(joined, start)
        for near, far in nx.bfs_edges(joined, start, sort_neighbors=lambda ps: sorted(ps, key=min)):
            edge: Edge = joined.edges[near, far]["edge"]
            u, v = _names(edge)
            u, v = (u, v) if u in near else (v, u)
            if not arrows.pred[v]:
                yield u, v, {"edge": edge}
