"""README.md -> its front matter: where it begins and ends, and the tree of its values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubdna.card.nodes import MAX_FRONT_MATTER, Node, compose
from hubdna.errors import CardError

_FRONT = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OPENED = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n\s*(?:#[^\n]*\n\s*)*['\"]?[\w-]+['\"]?[ \t]*:[ \t\r\n]")
"""A first line `---` with a key below it. Without a key it is a ruler above prose."""


@dataclass(frozen=True, slots=True)
class Front:
    """The front matter of a card.

    Attributes:
        start, end: character positions of the YAML between the two `---` lines.
        line: of the second `---`, 1-based.
        root: its mapping; None where there is nothing but blanks and comments.
    """

    start: int
    end: int
    line: int
    root: Node | None

    def get(self, key: str) -> tuple[Node, Node] | None:
        """A key and its value, each with its place."""
        pairs = self.root.pairs() if self.root else ()
        return next(((k, v) for k, v in pairs if k.kind == "scalar" and k.text == key), None)


def read_front(text: str) -> Front | None:
    """Find and parse the front matter.

    Returns:
        None where the card has none.

    Raises:
        CardError: it is never closed, is no mapping, or cannot be parsed safely (`compose`).
    """
    found = _FRONT.match(text)
    if found is None:
        if _OPENED.match(text) and len(text) > MAX_FRONT_MATTER:
            raise CardError(f"README.md: front matter does not end within {MAX_FRONT_MATTER} characters; refused")
        if _OPENED.match(text):
            line = text[: text.index("---")].count("\n") + 1
            raise CardError(
                f"README.md: front matter is opened on line {line} and never closed; expected a second line ---"
            )
        return None
    first = text[: found.start(1)].count("\n") + 1
    root = compose(found[1], found.start(1), first)
    if root is not None and root.kind != "mapping":
        raise CardError("README.md: front matter is not a mapping of keys to values")
    if root is not None and any(key.kind == "scalar" and key.text == "<<" for key, _ in root.pairs()):
        raise CardError("README.md: front matter takes its keys from a YAML alias (<<); expected them written out")
    return Front(found.start(1), found.end(1), first + found[1].count("\n"), root)
