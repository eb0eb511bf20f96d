"""Family trees as one SVG: from left to right, a row to each last member, the kind of an edge told by its line.

Self-contained (no script, no font, no address), equal bytes for equal families, readable on light and dark ground.
Lines differ by their pattern, and every box repeats in words how its model hangs on the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len

from hubdna.records import Edge, Family
from hubdna.report.forest import MEANINGS, Layout, Line, far_end, layouts, line, number_of_copies, plain, title, words

ROW, BOX, GAP, EDGE, HEAD = 50, 38, 84, 20, 9
"""Pixels: from row to row, height of a box, from column to column, margin, length of an arrow's head."""
CHAR, SMALL = 7.5, 6.6
"""Pixels that a letter of a name, and of the line below it, takes."""
ASIDE = 10
"""Pixels below the middle of a box where lines beside the tree begin and end."""
LONGEST = 36
"""Letters of a name; a longer one is cut in the middle."""

STYLE = """
text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.name { font-size: 12.5px } .small { font-size: 11px; fill: #59636e } .family { font-size: 14px; font-weight: bold }
.ground { fill: #ffffff } .box { fill: #f6f8fa; stroke: #818b98 } .root { stroke-width: 2.5 } .head { fill: #1f2328 }
.certain, .attested, .likely, .open, .merge { fill: none; stroke: #1f2328; stroke-width: 1.6 }
.attested { stroke-dasharray: 14 4 2 4 }
.likely { stroke-dasharray: 11 5 } .open { stroke-width: 2.6; stroke-linecap: round; stroke-dasharray: 0.1 6 }
.merge { stroke-width: 5 } .inner { fill: none; stroke: #ffffff; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .ground { fill: #0d1117 } .box { fill: #151b23; stroke: #7d8590 }
.head { fill: #f0f6fc } .certain, .attested, .likely, .open, .merge { stroke: #f0f6fc } .inner { stroke: #0d1117 }
}
"""


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a member stands, in pixels: its left edge, its middle, its column's width, the free line between rows."""

    x: float
    y: float
    width: float
    lane: float

    @property
    def right(self) -> float:
        return self.x + self.width


Link = Callable[[str], str | None]
"""The address within a page that a model's box leads to, or None."""

MARKER = (
    f'<marker id="head" markerUnits="userSpaceOnUse" markerWidth="{HEAD}" markerHeight="{HEAD}" refX="0" '
    f'refY="{HEAD / 2}" orient="auto"><path class="head" d="M0 0 L{HEAD} {HEAD / 2} L0 {HEAD} z"/></marker>'
)
"""The head of an arrow; a page defines it once."""


def svg(families: Iterable[Family]) -> str:
    """An SVG document; text of others is escaped, and the whole name of a box is its tooltip."""
    drawn = layouts(families)
    parts: list[str] = []
    top, width = 3.0 * EDGE, _legend_width()
    for i, layout in enumerate(drawn, start=1):
        parts.append(_text(EDGE, top, "family", f"Family {i}: {title(layout)}"))
        more, bottom, right = _drawn(layout, top + 20)
        parts += more
        top, width = bottom + EDGE, max(width, right)
    if not drawn:
        parts.append(_text(EDGE, top, "family", "No families were found."))
        top += 2 * EDGE
    about = f"Family trees: {len(drawn)} families, {sum(len(d.layer) for d in drawn)} models"
    size = f'width="{width:.0f}" height="{top:.0f}" viewBox="0 0 {width:.0f} {top:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(about)}>',
        f"<title>{escape(about)}</title>",
        f"<style>{STYLE}</style>",
        f"<defs>{MARKER}</defs>",
        f'<rect class="ground" width="{width:.0f}" height="{top:.0f}"/>',
        *_legend(),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def tree(layout: Layout, link: Link, own: str = "") -> str:
    """One family as an element of a page that has `STYLE` and `MARKER`.

    Boxes lead to where `link` says; that of the model named `own` is of class "own".
    """
    parts, bottom, right = _drawn(layout, 2, link, own)
    about = f"Family tree: {title(layout)}"
    size = f'width="{right:.0f}" height="{bottom - ROW + BOX:.0f}"'
    return "\n".join([f'<svg class="tree" {size} role="group" aria-label={quoteattr(about)}>', *parts, "</svg>"])


def sample(kind: Line) -> str:
    """A line as a legend shows it, as an element of a page."""
    return f'<svg class="sample" width="60" height="12" aria-hidden="true">{_line(kind, "M2 6 L48 6")}</svg>'


def _drawn(layout: Layout, top: float, link: Link = lambda name: None, own: str = "") -> tuple[list[str], float, float]:
    """A family from `top` on: its parts, and how far down and to the right it reaches."""
    places, labels = _places(layout, top), _labels(layout)
    parts = list(_edges(layout, places))
    for name in layout.walk():
        box, address = _box(layout, name, labels[name], places[name]), link(name)
        kind = ' class="own"' if name == own else ""
        parts.append(box if address is None else f"<a href={quoteattr(address)}{kind}>{box}</a>")
    return parts, max(box.y for box in places.values()) + ROW, max(box.right for box in places.values()) + EDGE


def cut(text: str) -> str:
    """A name of at most `LONGEST` letters' width; what goes is in the middle, since beginnings and ends tell more."""
    if cell_len(text) <= LONGEST:
        return text
    head, tail = text, text
    while cell_len(head) > LONGEST // 2:
        head = head[:-1]
    while cell_len(tail) > LONGEST - LONGEST // 2 - 1:
        tail = tail[1:]
    return f"{head}…{tail}"


def _places(layout: Layout, top: float) -> dict[str, _Box]:
    """A row to each last member; the others stand in the middle of those that hang on them."""
    row: dict[str, float] = {}
    n_rows = 0
    order = list(layout.walk())
    for name in order:
        if not layout.below[name]:
            row[name] = n_rows
            n_rows += 1
    for name in reversed(order):
        if layout.below[name]:
            ends = [row[far_end(edge, name)] for edge in layout.below[name]]
            row[name] = (min(ends) + max(ends)) / 2
    wide = [0.0] * (1 + max(layout.layer.values()))
    for name, (first, second) in _labels(layout).items():
        wide[layout.layer[name]] = max(wide[layout.layer[name]], cell_len(first) * CHAR, cell_len(second) * SMALL)
    left = [EDGE + sum(wide[:i]) + i * (GAP + 20) for i in range(len(wide))]
    return {name: _at(row[name], layout.layer[name], left, wide, top + BOX / 2) for name in order}


def _at(row: float, layer: int, left: list[float], wide: list[float], top: float) -> _Box:
    return _Box(left[layer], top + row * ROW, wide[layer] + 20, top + (math.floor(row) + 0.5) * ROW)


def _labels(layout: Layout) -> dict[str, tuple[str, str]]:
    """Both lines of each box: the name; how it hangs on the one before, and how many copies it has."""
    hangs = {far_end(edge, name): words(edge) for name in layout.below for edge in layout.below[name]}
    labels = {}
    for name in layout.layer:
        copies = number_of_copies(len(layout.copies.get(name, ())))
        labels[name] = cut(plain(name)), cut("; ".join(filter(None, (plain(hangs.get(name, "")), copies))))
    return labels


def _box(layout: Layout, name: str, label: tuple[str, str], at: _Box) -> str:
    first, second = label
    kind = "box root" if name in layout.roots else "box"
    said = "; ".join([name, *(f"identical: {copy}" for copy in layout.copies.get(name, ()))])
    lift = 2 if second else -4
    return (
        f'<g><title>{escape(plain(said))}</title><rect class="{kind}" x="{at.x:.1f}" y="{at.y - BOX / 2:.1f}" '
        f'width="{at.width:.1f}" height="{BOX}" rx="6"/>'
        + _text(at.x + 10, at.y - lift, "name", first, CHAR)
        + (_text(at.x + 10, at.y + 13, "small", second, SMALL) if second else "")
        + "</g>"
    )


def _edges(layout: Layout, places: dict[str, _Box]) -> Iterator[str]:
    """Lines under the boxes: those of the tree, then those beside it."""
    for name in layout.walk():
        for edge in layout.below[name]:
            yield _edge(edge, _branch(places[name], places[far_end(edge, name)], _head(edge)))
    for edge in layout.beside:
        start, end = places[edge.parent.repo_id], places[edge.child.repo_id]
        if line(edge) == "open" and end.x < start.x:  # it leads nowhere, and to the right there is a lane for it
            start, end = end, start
        yield _edge(edge, _aside(start, end, _head(edge)))


def _head(edge: Edge) -> int:
    return 0 if line(edge) == "open" else HEAD


def _branch(start: _Box, end: _Box, head: int, lower: float = 0) -> str:
    """From the right of a box to the left of one in the next column."""
    x, y, to, goal, middle = start.right, start.y + lower, end.x - head, end.y + lower, end.x - GAP / 2
    return f"M{x:.1f} {y:.1f} C{middle:.1f} {y:.1f} {middle:.1f} {goal:.1f} {to:.1f} {goal:.1f}"


def _aside(start: _Box, end: _Box, head: int) -> str:
    """A line beside the tree, lower on the boxes than its branches.

    To the next column as a branch, further right between two rows, in one column round the right side, and back to
    the left from below.
    """
    x, y, goal, bend = start.right, start.y + ASIDE, end.y + ASIDE, GAP * 0.8
    if start.x < end.x < x + 2 * bend:
        return _branch(start, end, head, ASIDE)
    if end.x > start.x:
        to, lane, half = end.x - head, start.lane, bend / 2
        down = f"M{x:.1f} {y:.1f} C{x + half:.1f} {y:.1f} {x + half:.1f} {lane:.1f} {x + bend:.1f} {lane:.1f}"
        turn = f"{end.x - half:.1f} {lane:.1f} {end.x - half:.1f} {goal:.1f} {to:.1f} {goal:.1f}"
        return f"{down} L{end.x - bend:.1f} {lane:.1f} C{turn}"
    if end.x == start.x:
        far = x + GAP / 2
        return f"M{x:.1f} {y:.1f} C{far:.1f} {y:.1f} {far:.1f} {goal:.1f} {x + head:.1f} {goal:.1f}"
    out, back = (start.x + x) / 2, (end.x + end.right) / 2
    y, goal = start.y + BOX / 2, end.y + BOX / 2 + head
    return f"M{out:.1f} {y:.1f} C{out:.1f} {y + ROW / 2:.1f} {back:.1f} {goal + ROW / 2:.1f} {back:.1f} {goal:.1f}"


def _edge(edge: Edge, path: str) -> str:
    way = "-" if line(edge) == "open" else "->"
    said = f"{edge.parent.repo_id} {way} {edge.child.repo_id}: {words(edge)}"
    if line(edge) in ("certain", "attested", "likely") and edge.because:
        said += f" ({'; '.join(edge.because)})"
    return f"<g><title>{escape(plain(said))}</title>{_line(line(edge), path)}</g>"


def _line(kind: Line, path: str) -> str:
    head = "" if kind == "open" else ' marker-end="url(#head)"'
    inner = f'<path class="inner" d="{path}"/>' if kind == "merge" else ""
    return f'<path class="{kind}"{head} d="{path}"/>{inner}'


def _legend() -> Iterator[str]:
    x = float(EDGE)
    for kind in MEANINGS:
        yield _line(kind, f"M{x:.1f} {EDGE} L{x + 46:.1f} {EDGE}")
        yield _text(x + 64, EDGE + 4, "small", _KINDS[kind], SMALL)
        x += _legend_step(kind)


_KINDS: dict[Line, str] = {
    "certain": "certain", "attested": "attested", "likely": "likely", "open": "direction not known", "merge": "merge"
}  # fmt: skip


def _legend_step(kind: Line) -> float:
    return 64 + cell_len(_KINDS[kind]) * SMALL + 24


def _legend_width() -> float:
    return 2 * EDGE + sum(_legend_step(kind) for kind in _KINDS)


def _text(x: float, y: float, kind: str, text: str, letter: float | None = None) -> str:
    """One line; its length is set, so that no reader's font lets it leave its box."""
    length = f' textLength="{cell_len(text) * letter:.1f}" lengthAdjust="spacingAndGlyphs"' if letter and text else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{length}>{escape(text)}</text>'
