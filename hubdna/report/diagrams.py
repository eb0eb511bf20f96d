"""Family trees for other programs: GraphML (networkx, Gephi, yEd), DOT (Graphviz), Mermaid (GitHub's Markdown).

Nodes are numbered: a name is other people's text and stands only where each format has a way to quote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import networkx as nx

from hubdna.records import Edge, Family
from hubdna.report.forest import Layout, layouts, line, number_of_copies, plain, words

_ARROWS = {"certain": "-->", "attested": "--o", "likely": "-.->", "open": "-.-", "merge": "==>"}
_STYLES = {
    "certain": "style=solid", "attested": "style=bold, arrowhead=normalodot", "likely": "style=dashed",
    "open": "style=dotted, dir=none",
    "merge": 'color="black:invis:black"',
}  # fmt: skip


def graphml(families: Iterable[Family]) -> str:
    """GraphML that `networkx.read_graphml` and others read.

    An edge without direction has `directed` false: the format's readers refuse graphs of both kinds of edges.
    """
    graph = nx.DiGraph()
    drawn = layouts(families)
    number = _numbers(drawn)
    for i, layout in enumerate(drawn, start=1):
        for name in layout.walk():
            copies = " ".join(plain(c) for c in layout.copies.get(name, ()))
            graph.add_node(number[name], label=plain(name), family=i, copies=copies)
        for edge in _edges(layout):
            graph.add_edge(*_ends(edge, number), **_attributes(edge))
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def dot(families: Iterable[Family]) -> str:
    """Graphviz."""
    lines = ["digraph families {", "  node [shape=box];"]
    for layout, number in _numbered(families):
        lines += [f'  {number[name]} [label="{_dot(_label(layout, name))}"];' for name in layout.walk()]
        for edge in _edges(layout):
            u, v = _ends(edge, number)
            lines.append(f'  {u} -> {v} [label="{_dot(plain(words(edge)))}", {_STYLES[line(edge)]}];')
    return "\n".join([*lines, "}", ""])


def mermaid(families: Iterable[Family]) -> str:
    """A Mermaid flowchart."""
    lines = ["graph TD"]
    for layout, number in _numbered(families):
        lines += [f'  {number[name]}["{_mermaid(_label(layout, name))}"]' for name in layout.walk()]
        for edge in _edges(layout):
            u, v = _ends(edge, number)
            lines.append(f'  {u} {_ARROWS[line(edge)]}|"{_mermaid(plain(words(edge)))}"| {v}')
    return "\n".join([*lines, ""])


def _numbered(families: Iterable[Family]) -> Iterator[tuple[Layout, dict[str, str]]]:
    drawn = layouts(families)
    number = _numbers(drawn)
    for layout in drawn:
        yield layout, number


def _numbers(drawn: Sequence[Layout]) -> dict[str, str]:
    return {name: f"n{i}" for i, name in enumerate(name for layout in drawn for name in layout.walk())}


def _ends(edge: Edge, number: dict[str, str]) -> tuple[str, str]:
    return number[edge.parent.repo_id], number[edge.child.repo_id]


def _edges(layout: Layout) -> Iterator[Edge]:
    for name in layout.walk():
        yield from layout.below[name]
    yield from layout.beside


def _label(layout: Layout, name: str) -> str:
    return "\n".join(filter(None, (plain(name), number_of_copies(len(layout.copies.get(name, ()))))))


def _attributes(edge: Edge) -> dict[str, str | float | bool]:
    return {
        "directed": edge.certainty != "none", "certainty": edge.certainty, "chance": round(edge.chance, 3),
        "relation": plain(edge.relation or ""), "because": "; ".join(plain(b) for b in edge.because),
    }  # fmt: skip


def _dot(text: str) -> str:
    r"""Inside quotes; a backslash would begin an escape such as \N, the node's name, and `&` a character's."""
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _mermaid(text: str) -> str:
    """Inside quotes: all but plain text by number, as Mermaid has it (`#34;`); the label is read as HTML."""
    return re.sub(r"[^\w ./?,:()-]", lambda c: "<br/>" if c[0] == "\n" else f"#{ord(c[0])};", text)
