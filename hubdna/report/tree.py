"""Family trees for people, as text: roots first, one line a model, what its edge rests on behind it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from hubdna.records import Descent, Edge, Family
from hubdna.report.forest import MEANINGS, Layout, far_end, layouts, line, number_of_copies, plain, title, words
from hubdna.report.text import cost

MAX_COPIES = 3
"""Copies that are named; the others are counted."""


def lineage(families: Iterable[Family], where: str, paid: tuple[int, int] = (0, 0)) -> RenderableType:
    """Families as trees; paid is (bytes, requests)."""
    drawn = layouts(families)
    trees: list[RenderableType] = []
    for i, layout in enumerate(drawn, start=1):
        trees += [_tree(f"Family {i}: {title(layout)}", layout), Text()]
    kinds = {line(e) for layout in drawn for e in (*layout.beside, *(x for es in layout.below.values() for x in es))}
    legend = [Text(MEANINGS[kind], "dim") for kind in MEANINGS if kind in kinds]
    none = [] if drawn else [Text("No families were found.")]
    return Group(*trees, *none, *legend, Text(f"Looked in {where}. Read {cost(*paid)}."))


def descent(found: Descent) -> RenderableType:
    """What was made from a model, below the list of its relatives: a line each, nearest first."""
    if found.edges is None:
        return Text(f"\nNo descendants are listed: {plain(found.because)}.")
    same = f", which holds the weights of {plain(found.ref)}" if found.ref.repo_id != found.same_as.repo_id else ""
    whose = f"of {plain(found.same_as.repo_id)}{same}"
    head = f"\nDescendants {whose}:" if found.edges else f"\nNo descendants {whose} were found."
    lines = [Text.assemble("  ", _child(e, e.child.repo_id), f" (from {plain(e.parent.repo_id)})") for e in found.edges]
    n = found.n_undirected
    aside = (
        f"{n} more relative{' is' if n == 1 else 's are'} undirected: no descendant as far as is known, because"
        " the direction of an edge on the way is open."
        if n
        else "No relative was left out for want of a direction."
    )
    legend = [Text(MEANINGS[kind], "dim") for kind in MEANINGS if kind in {line(e) for e in found.edges}]
    return Group(Text(head), *lines, Text(aside), *legend)


def _tree(heading: str, layout: Layout) -> Tree:
    tree = Tree(Text(heading, "bold"))
    at = {root: tree.add(_member(Text(plain(root), "bold"), layout, root)) for root in layout.roots}
    for name in layout.walk():
        for edge in layout.beside:
            if edge.child.repo_id == name:
                at[name].add(Text(_also(edge), "dim"))
        for edge in layout.below[name]:
            child = far_end(edge, name)
            at[child] = at[name].add(_member(_child(edge, child), layout, child))
    return tree


def _also(edge: Edge) -> str:
    """An edge that is not the one its child hangs on."""
    way = "also next to" if line(edge) == "open" else "also from"
    return f"{way} {plain(edge.parent.repo_id)}  {plain(words(edge))}"


def _child(edge: Edge, name: str) -> Text:
    """Reasons of an edge speak of its child, so they are left out where that stands above; a merge's are its words."""
    because = "; ".join(edge.because) if line(edge) != "merge" and edge.child.repo_id == name else ""
    return Text.assemble((plain(name), "bold"), f"  {plain(words(edge))}", (because and f": {plain(because)}", "dim"))


def _member(text: Text, layout: Layout, name: str) -> Text:
    copies = layout.copies.get(name, ())
    if name in layout.remarks:
        text.append(f"\nremark: {layout.remarks[name]}", "dim")
    if not copies:
        return text
    more = ", ..." if len(copies) > MAX_COPIES else ""
    named = ", ".join(plain(c) for c in copies[:MAX_COPIES])
    return text.append(f"\n{number_of_copies(len(copies))}: {named}{more}")
