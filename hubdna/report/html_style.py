"""How an HTML report looks: one measure of text, numbers under each other, light and dark, six patterns.

A pattern is told from the others by its strokes, and a letter stands in or beside every one, so no colour is needed.
"""

from __future__ import annotations

from hubdna.report.svg import MARKER
from hubdna.report.svg import STYLE as TREE_STYLE

LETTERS = "ABCDEF"

_STROKES = {
    "A": "",
    "B": '<path d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"/>',
    "C": '<circle cx="2" cy="2" r="1.3"/><circle cx="6" cy="6" r="1.3"/>',
    "D": '<path d="M0 0 L8 8 M0 8 L8 0"/>',
    "E": '<path d="M2 0 V8 M6 0 V8"/>',
    "F": '<path d="M0 2 H8 M0 6 H8"/>',
    "gap": '<path d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"/>',
}


def _pattern(letter: str) -> str:
    return (
        f'<pattern id="p{letter}" class="p{letter}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect width="8" height="8"/>{_STROKES[letter]}</pattern>'
    )


DEFINITIONS = (
    '<svg class="none" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(_pattern(letter) for letter in _STROKES)
    + f"{MARKER}</defs></svg>"
)
"""Patterns and the head of an arrow; once a page."""

STYLE = (
    """
:root {
  color-scheme: light dark; --ground: #ffffff; --panel: #f6f8fa; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --A: #3b6fb6; --B: #b8661a; --C: #2f7d55; --D: #84529f; --E: #a8434b; --F: #766b16; --gap: #c2cad2;
  --error: #b3261e; --warning: #8a5a00; --info: #3b6fb6; --mark: #fff3c4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --panel: #151b23; --ink: #f0f6fc; --soft: #9198a1; --line: #30363d;
    --A: #6ea1e6; --B: #e0964a; --C: #62bd8b; --D: #b98ad6; --E: #e5828a; --F: #c4b653; --gap: #3d444d;
    --error: #ff8a80; --warning: #e3b341; --info: #6ea1e6; --mark: #3a3000;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem } h2 { font-size: 1.3rem; margin: 0; line-height: 1.3 }
h3 { font-size: 1rem; margin: 2rem 0 .6rem } p { margin: .5rem 0; max-width: 46rem }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1.6rem }
a { color: inherit } nav ul, ul.plain { list-style: none; padding: 0; margin: .6rem 0 }
.soft { color: var(--soft) } .say { font-size: 1.08rem }
code, pre, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
code, .mono { font-size: .9em }
pre { font-size: .82rem; overflow-x: auto; background: var(--panel); padding: .7rem .9rem; border-radius: 6px;
  margin: .5rem 0; overflow-wrap: normal }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0 }
dt { color: var(--soft) } dd { margin: 0; min-width: 0 }
.error { color: var(--error) } .warning { color: var(--warning) } .info { color: var(--info) }
b.tag { font-weight: 600 }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; width: 100%; overflow-wrap: normal }
th { text-align: left; font-weight: 500; color: var(--soft); border-bottom: 1px solid var(--line) }
th, td { padding: .3rem .8rem .3rem 0; vertical-align: top } td.num, th.num { text-align: right; white-space: nowrap }
td.says { white-space: nowrap } td.long { min-width: 14rem; overflow-wrap: anywhere }
tbody tr + tr td { border-top: 1px solid var(--line) }
details > summary { cursor: pointer } details:target > summary { background: var(--mark) }
.relative { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
.relative > summary { display: flex; flex-wrap: wrap; gap: 0 .8rem; align-items: baseline }
.tag-right { margin-left: auto; color: var(--soft); font-size: .9rem }
.painting { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .8rem; margin: .6rem 0 }
.row { display: grid; grid-template-columns: minmax(6rem, 12rem) 1fr 6.6rem 5.2rem 5.2rem; gap: 0 .8rem;
  align-items: center }
.layer > summary { list-style: none; padding: 2px 0 } .layer > summary::-webkit-details-marker { display: none }
.layer > summary:hover { background: var(--panel) } .layer[open] { background: var(--panel) }
.layer[open] > :not(summary) { padding: 0 0 .6rem }
.layer-name { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; font-size: .88rem }
.row > .num { text-align: right; font-size: .88rem; white-space: nowrap }
.row.heads { color: var(--soft); font-size: .85rem }
.one { white-space: nowrap }
.row > .who { font-size: .88rem; line-height: 1.25 } .bar { display: block; width: 100% }
.frame { fill: none; stroke: var(--line) } .hole { fill: none; stroke: var(--soft); stroke-dasharray: 3 3 }
.bar text, .swatch text { font: 600 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); stroke: var(--ground);
  stroke-width: 4px; paint-order: stroke; stroke-linejoin: round }
.bar text.quiet { font-weight: 400; fill: var(--soft) } .none { display: block; position: absolute }
.legend { display: grid; grid-template-columns: 48px 1fr; gap: .25rem .7rem; align-items: center; margin: .7rem 0;
  font-size: .92rem } .swatch, .sample { display: block }
.forest { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .8rem; margin: .6rem 0 }
.lines { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .88rem; color: var(--soft); padding: 0;
  margin: 0; list-style: none } .lines li { display: flex; gap: .5rem; align-items: center }
svg a.own rect { fill: var(--mark) }
svg a:hover rect, svg a:focus rect { stroke-width: 2.5 } svg a { cursor: pointer }
footer { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 1rem; font-size: .9rem }
@media (max-width: 40rem) {
  body { padding: 1.2rem .9rem 3rem } .row { grid-template-columns: 6.2rem 1fr 4.6rem; gap: 0 .5rem }
  .row > .optional { display: none } .layer-name { white-space: normal; font-size: .8rem; line-height: 1.2 }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .35rem }
}
@media print { details > summary { list-style: none } .layer { break-inside: avoid } }
"""
    + "".join(
        f".p{key} rect {{ fill: var(--{key}) }} .p{key} circle {{ fill: var(--ground) }} "
        f".p{key} path {{ stroke: var(--ground); stroke-width: 1.6; fill: none }}\n"
        for key in _STROKES
    )
    + TREE_STYLE  # its classes: name, small, family, ground, box, root, head, certain, likely, open, merge, inner
)
