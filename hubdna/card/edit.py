"""One edit of the front matter -> pieces of text to replace. The tree says where; what is written is text.

A value in place of another takes over its quotes. An entry that comes to a list looks like its neighbours. Comments
stay, except one behind an entry that goes: it speaks about that entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from hubdna.card.claim import name_of
from hubdna.card.front import Front
from hubdna.card.nodes import Node
from hubdna.errors import CardError
from hubdna.records import CardEdit

_PLAIN = re.compile(r"[A-Za-z][\w.-]*/[\w.-]*\w")
"""Names that need no quotes in YAML: nobody takes them for a number, a date or null."""
_WORD = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)\Z)[A-Za-z][A-Za-z0-9.-]*", re.IGNORECASE)
"""Licences and relations that need none."""
_REST = re.compile(r"[ \t]*(?:[ \t]#[^\n]*|\r)?(?:\n|\Z)")
"""What may stand behind a value that leaves with its line: blanks, a comment."""


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace text[start:end]."""

    start: int
    end: int
    text: str


def splices(text: str, front: Front, edit: CardEdit, end_of_line: str) -> list[Splice]:
    """What to replace so that the edit is made. Raises CardError where that would not be safe."""
    found, wanted = front.get(edit.key), wanted_entries(front, edit)
    if found is None:
        return [_new_key(text, front, edit.key, edit.values, end_of_line)] if wanted else []
    key, value = found
    if wanted == [n.plain() for n in entries(front, edit.key)] and (wanted or edit.values):
        return []
    if not wanted:
        return _whole_lines(text, front, key, value)
    if value.kind == "sequence" and value.children:
        return list(_in_list(text, value, wanted))
    names = [quoted(_name(value, entry), _style(value)) for entry in wanted]
    new = names[0] if len(names) == 1 and value.kind != "sequence" else f"[{', '.join(names)}]"
    return [_in_place(text, value, new)]


def wanted_entries(front: Front, edit: CardEdit) -> list[Any]:
    """All entries of the key after the edit, as `Node.plain` tells them."""
    if edit.action == "set":
        return [("str", name) for name in dict.fromkeys(edit.values)]
    old = entries(front, edit.key)
    if edit.action == "add":
        known = {_read(node) for node in old}
        new = [("str", name) for name in dict.fromkeys(edit.values) if name not in known]
        folded = len(old) == 1 and _read(old[0]) and not _is_list(front, edit.key)  # `>` ends with a line break
        return [("str", _read(old[0])), *new] if new and folded else [*(n.plain() for n in old), *new]
    return [n.plain() for n in old if edit.values and _read(n) not in edit.values]


def entries(front: Front, key: str) -> list[Node]:
    """The values of a key: those of its list, its only one, or none."""
    found = front.get(key)
    value = found[1] if found else None
    while value is not None and value.kind == "alias":
        value = value.children[0]
    if value is None or value.tag == "null":
        return []
    return list(value.children) if value.kind == "sequence" else [value]


def _is_list(front: Front, key: str) -> bool:
    found = front.get(key)
    return found is not None and found[1].kind == "sequence"


def _read(node: Node) -> str | None:
    return name_of(node.text) if node.kind == "scalar" and node.tag == "str" else None


def _name(value: Node, entry: Any) -> str:
    """The text of an entry that has to be written anew."""
    if entry[0] != "str":
        raise CardError(f"{_at(value)}: expected names, found a value that is none; correct it by hand")
    return str(entry[1])


def quoted(name: str, style: str = "") -> str:
    """A value as YAML: in the quotes of its neighbours, plain where that is safe, else in double quotes."""
    if style == "'":
        return "'" + name.replace("'", "''") + "'"
    plain = _PLAIN.fullmatch(name) or _WORD.fullmatch(name)
    return name if style != '"' and plain else json.dumps(name, ensure_ascii=False)


def _style(node: Node) -> str:
    """The quotes of a value: its own, or those of its first entry."""
    first = next((c for c in node.children if c.kind == "scalar"), node) if node.kind == "sequence" else node
    return first.style


def _in_place(text: str, node: Node, new: str) -> Splice:
    """One value for another. The colon before an empty one needs a blank."""
    if node.anchor is not None:
        raise CardError(
            f"{_at(node)}: expected a value without an anchor, found &{node.anchor}; remove the anchor first"
        )
    if node.kind != "scalar" and "#" in text[node.start : node.end]:
        raise CardError(f"{_at(node)}: expected a plain value, found one with a comment inside; correct it by hand")
    blank = " " if node.start == node.end and text[node.start - 1 : node.start] in (":", "-") else ""
    return Splice(node.start, node.end, blank + new)


def _new_key(text: str, front: Front, key: str, values: tuple[str, ...], end_of_line: str) -> Splice:
    """The key and its values as lines of their own, below all others."""
    if front.root is not None and front.root.flow:
        raise CardError(
            f"README.md:{front.root.line}: expected front matter with one key a line, found braces; add {key} by hand"
        )
    indent = "" if front.root is None else text[_line_start(text, front.root.start) : front.root.start]
    lines = key_lines(key, values)
    return Splice(front.end, front.end, "".join(indent + line + end_of_line for line in lines))


def key_lines(key: str, values: tuple[str, ...]) -> list[str]:
    """`key: value`, or a list below the key."""
    if len(values) == 1:
        return [f"{key}: {quoted(values[0])}"]
    return [f"{key}:", *(f"- {quoted(value)}" for value in values)]


def _whole_lines(text: str, front: Front, key: Node, value: Node) -> list[Splice]:
    """The key and its value go, with their lines. Comments on lines of their own between its entries stay."""
    if front.root is None or front.root.flow or text[_line_start(text, key.start) : key.start].strip():
        raise CardError(f"{_at(key)}: expected {key.text} on a line of its own; remove it by hand")
    if value.kind == "sequence" and not value.flow:
        head = Splice(*_lines(text, key.start, max(key.end, text.find(":", key.end) + 1)), "")
        return [head, *_without(text, value, 0, len(value.children))]
    if value.kind != "scalar" and "#" in text[value.start : value.end]:
        raise CardError(f"{_at(value)}: expected a value without comments inside; remove it by hand")
    return [Splice(*_lines(text, key.start, max(key.end, value.end)), "")]


def _in_list(text: str, value: Node, wanted: list[Any]) -> Iterator[Splice]:
    """As few entries as possible are replaced, removed, added."""
    nodes, old = value.children, [node.plain() for node in value.children]
    for kind, i, j, k, m in SequenceMatcher(None, old, wanted, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        names, both = [_name(value, entry) for entry in wanted[k:m]], min(j - i, m - k)
        for node, name in zip(nodes[i : i + both], names, strict=False):
            yield _in_place(text, node, quoted(name, node.style if node.kind == "scalar" else _style(value)))
        if i + both < j:
            yield from _without(text, value, i + both, j)
        elif names[both:]:
            yield _added(text, value, i + both, [quoted(name, _style(value)) for name in names[both:]])


def _without(text: str, value: Node, i: int, j: int) -> Iterator[Splice]:
    """Entries i to j of a list go: with their lines, or with the commas before or after them."""
    nodes = value.children
    for node in nodes[i:j]:
        if node.anchor is not None:
            raise CardError(f"{_at(node)}: expected an entry without an anchor, found &{node.anchor}; remove it first")
        if not value.flow:
            yield Splice(*_lines(text, _dash(text, value, node), node.end), "")
    if value.flow:
        start = nodes[i - 1].end if i > 0 else nodes[0].start
        end = nodes[j].start if i == 0 and j < len(nodes) else nodes[j - 1].end
        if "#" in text[start:end]:
            raise CardError(f"{_at(nodes[i])}: expected entries without comments between them; remove it by hand")
        yield Splice(start, end, "")


def _added(text: str, value: Node, i: int, new: list[str]) -> Splice:
    """Entries before the i-th of a list, looking like their neighbours."""
    nodes = value.children
    if value.flow:
        if i < len(nodes):
            return Splice(nodes[i].start, nodes[i].start, "".join(f"{name}, " for name in new))
        return Splice(nodes[-1].end, nodes[-1].end, "".join(f", {name}" for name in new))
    neighbour = nodes[max(i - 1, 0)]
    dash = _dash(text, value, neighbour)
    begin = _line_start(text, dash)
    lead = text[begin : neighbour.start] if "\n" not in text[begin : neighbour.start] else text[begin:dash] + "- "
    if neighbour.anchor is not None or lead.strip() != "-":
        lead = text[begin:dash] + "- "
    end = _line_end(text, neighbour.end)
    place = end if i > 0 else begin
    line_end = "\r\n" if text[:end].endswith("\r\n") else "\n"
    return Splice(place, place, "".join(lead + name + line_end for name in new))


def _dash(text: str, value: Node, node: Node) -> int:
    """Where the dash of an entry stands: in the list's column, in front of it or on a line above."""
    column = value.start - _line_start(text, value.start)
    line = _line_start(text, node.start)
    while line >= 0:
        at = line + column
        if text[at : at + 1] == "-" and not text[line:at].strip():
            return at
        line = _line_start(text, line - 1) if line > _line_start(text, value.start) else -1
    raise CardError(f"{_at(node)}: expected one entry of the list a line; correct it by hand")


def _lines(text: str, start: int, end: int) -> tuple[int, int]:
    """The lines of a piece of text, when nothing else stands on them."""
    begin = _line_start(text, start)
    rest = _REST.match(text, end)
    if rest is None or text[begin:start].strip():
        line = text[:start].count("\n") + 1
        raise CardError(f"README.md:{line}: expected a value on lines of its own, found more; remove it by hand")
    return begin, rest.end()


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _at(node: Node) -> str:
    return f"README.md:{node.line}"
