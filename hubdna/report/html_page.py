"""The frame of an HTML report: one file that asks nobody for anything, and in which nothing of others runs.

A Content-Security-Policy stands in the head: no address is allowed, and of styles and scripts only the two that are
written here, by their hashes. Without scripts everything can be read (`<details>`); the script opens what a box of a
drawing leads to. All text of others goes through `esc` or `name`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from hubdna.report.html_style import STYLE
from hubdna.report.text import clean

SCRIPT = """
document.addEventListener("click", function (event) {
  const link = event.target.closest("a[href^='#']");
  const goal = link && document.getElementById(link.getAttribute("href").slice(1));
  if (goal && goal.tagName === "DETAILS") { goal.open = true; }
});
"""
"""Click-to-show; nothing is hidden without it, only folded."""


def esc(text: object) -> str:
    """Text of others, to stand between tags or inside a quoted attribute; on one line, without control characters."""
    return escape(" ".join(clean(text).split("\n")))


def name(text: object) -> str:
    """A name of others, set apart so that its writing direction changes nothing around it."""
    return f"<bdi>{esc(text)}</bdi>"


def page(title: str, body: Iterable[str]) -> str:
    """A whole document.

    Args:
        title: plain text, escaped here.
        body: HTML.
    """
    policy = (
        f"default-src 'none'; script-src '{_hash(SCRIPT)}'; style-src '{_hash(STYLE)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>{esc(title)}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*head, *body, f"<script>{SCRIPT}</script>", "</body>", "</html>"]) + "\n"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A list of terms; the second of each is HTML."""
    return "<dl>" + "".join(f"<dt>{esc(term)}</dt><dd>{value}</dd>" for term, value in rows) + "</dl>"


def table(head: Iterable[tuple[str, str]], rows: Iterable[Iterable[str]]) -> str:
    """A table; heads are (text, class), cells HTML. It scrolls by itself where it is too wide."""
    columns = list(head)
    top = "".join(f'<th scope="col" class="{kind}">{esc(text)}</th>' for text, kind in columns)
    kinds = [kind for _, kind in columns]
    cells = ((f'<td class="{k}">{cell}</td>' for k, cell in zip(kinds, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
