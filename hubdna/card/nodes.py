"""YAML text -> a tree that knows where each value stands. Nothing is constructed: no tag runs, no number overflows.

YAML from the Hub is hostile. Its length is checked before it is parsed; depth, the number of nodes and what aliases
unfold to (a few hundred bytes of them can stand for gigabytes) are checked while it is parsed. ruamel.yaml reads, and
this module only notes what it read and from where to where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from hubdna.errors import CardError

MAX_FRONT_MATTER = 200_000
"""Characters; the longest real front matters (evaluation results) have about 100,000."""
MAX_DEPTH = 24
MAX_EVENTS = 40_000
"""YAML events, and nodes once aliases are unfolded; two seconds of parsing. A thousand results take about 20,000."""

_BLANKS = re.compile(r"[\x85\u2028\u2029]|\r(?!\n)|(?<=\S)[ \t]*\t")
"""Line breaks to YAML, but neither to editors nor to diffs; and tabs after a colon, which ruamel.yaml does not like."""

_COLON = re.compile(r"[ \t]*:")


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the front matter.

    Attributes:
        start, end: character positions in the card; anchor and tag are inside, comments and line ends behind are not.
        line: where it begins, 1-based.
        tag: "str", "null", "int", ... of a scalar, by the rules of YAML 1.2; of others what the author wrote.
        style: of a scalar: "" plain, or the sign it begins with.
        flow: whether it stands in brackets or braces.
        children: entries of a sequence; keys and values of a mapping in turn; the target of an alias.
        size: nodes once aliases are unfolded.
    """

    kind: Literal["scalar", "sequence", "mapping", "alias"]
    start: int
    end: int
    line: int
    tag: str = ""
    text: str = ""
    style: str = ""
    flow: bool = False
    anchor: str | None = None
    children: tuple[Node, ...] = ()
    size: int = 1

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Keys and values of a mapping, in the order of the text."""
        return zip(self.children[::2], self.children[1::2], strict=True)

    def plain(self) -> Any:
        """What the text says, as nested tuples that can be compared; styles, anchors and comments left out."""
        if self.kind == "scalar":
            return (self.tag, self.text)
        if self.kind == "alias":
            return self.children[0].plain()
        return (self.kind, self.tag, *(child.plain() for child in self.children))


def compose(front: str, offset: int, line: int) -> Node | None:
    """Parse one YAML document that begins at this position (characters) and line (1-based) of a card.

    Returns:
        Its root, or None where there is nothing but blanks and comments.

    Raises:
        CardError: too long, too deep, too many nodes, several documents, a key twice, or not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    if len(front) > MAX_FRONT_MATTER:
        raise CardError(f"README.md: front matter of {len(front)} characters, at most {MAX_FRONT_MATTER} are read")
    text = _BLANKS.sub(lambda found: " " * len(found[0]), front)
    builder = _Builder(text, offset, line)
    yaml = YAML(typ="safe", pure=True)
    try:
        for event in islice(yaml.parse(text), MAX_EVENTS + 1):
            builder.take(event, yaml.resolver)
    except CardError:
        raise
    except MarkedYAMLError as error:
        at = f" (line {error.problem_mark.line + line})" if error.problem_mark else ""
        raise CardError(f"README.md: front matter is not YAML{at}: {_short(error.problem)}") from None
    except Exception as error:  # characters that YAML forbids, numbers of versions: ruamel.yaml raises anything
        raise CardError(f"README.md: front matter is not YAML: {_short(error)}") from None
    return builder.root()


def _short(error: object) -> str:
    return "".join(c if c.isprintable() else " " for c in " ".join(str(error).split()))[:120]


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    event: Any
    kind: Literal["sequence", "mapping"]
    children: list[Node]


class _Builder:
    """Takes events, one by one, and keeps the tree that they make."""

    def __init__(self, text: str, offset: int, line: int) -> None:
        self.text, self.offset, self.line = text, offset, line
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.done: list[Node] = []
        self.n_events = 0

    def root(self) -> Node | None:
        node = self.done[0] if self.done else None
        return None if node is None or (node.kind == "scalar" and node.start == node.end) else node

    def take(self, event: Any, resolver: Any) -> None:
        from ruamel.yaml import events

        self.n_events += 1
        if self.n_events > MAX_EVENTS:
            raise CardError(f"README.md: front matter of more than {MAX_EVENTS} YAML events; refused")
        if isinstance(event, events.DocumentStartEvent) and self.done:
            raise CardError("README.md: front matter is not YAML: several documents, expected one")
        if isinstance(event, events.ScalarEvent):
            self._add(self._scalar(event, resolver))
        elif isinstance(event, events.AliasEvent):
            self._add(self._alias(event))
        elif isinstance(event, events.CollectionStartEvent):
            self.open.append(_Open(event, "mapping" if isinstance(event, events.MappingStartEvent) else "sequence", []))
            if len(self.open) > MAX_DEPTH:
                raise CardError(f"README.md: front matter is nested deeper than {MAX_DEPTH} levels; refused")
        elif isinstance(event, events.CollectionEndEvent):
            self._add(self._collection(self.open.pop(), event))

    def _add(self, node: Node) -> None:
        if node.anchor is not None:
            self.anchors[node.anchor] = node
        (self.open[-1].children if self.open else self.done).append(node)

    def _place(self, event: Any, end: int) -> tuple[int, int, int]:
        start = event.start_mark.index
        end = start + len(self.text[start:end].rstrip())  # a block scalar ends behind the blank lines that follow it
        return self.offset + start, self.offset + end, self.line + event.start_mark.line

    def _scalar(self, event: Any, resolver: Any) -> Node:
        from ruamel.yaml.nodes import ScalarNode

        tag = event.tag if event.tag and event.tag != "!" else resolver.resolve(ScalarNode, event.value, event.implicit)
        name = str(tag).rpartition(":")[2]
        place = self._place(event, event.end_mark.index)
        return Node("scalar", *place, name, event.value, event.style or "", anchor=event.anchor)

    def _alias(self, event: Any) -> Node:
        target = self.anchors.get(event.anchor)
        if target is None:
            raise CardError(f"README.md: front matter has the alias *{_short(event.anchor)} without a finished anchor")
        place = self._place(event, event.end_mark.index)
        return Node("alias", *place, children=(target,), size=self._bounded(target.size + 1))

    def _collection(self, opened: _Open, event: Any) -> Node:
        children, begin = tuple(self._settled(opened)), opened.event
        inner = max((child.end for child in children), default=0) - self.offset
        place = self._place(begin, event.end_mark.index if begin.flow_style else inner)
        size = self._bounded(1 + sum(child.size for child in children))
        tag, flow = str(begin.tag or ""), bool(begin.flow_style)
        node = Node(opened.kind, *place, tag, flow=flow, anchor=begin.anchor, children=children, size=size)
        if opened.kind == "mapping":
            _refuse_twins(node)
        return node

    def _settled(self, opened: _Open) -> Iterator[Node]:
        """Children in their places: the parser puts an empty value where the next one begins, behind comments."""
        before: Node | None = None
        for child in opened.children:
            if child.start == child.end:
                at = child.start - self.offset
                colon = _COLON.match(self.text, before.end - self.offset) if before else None
                at = colon.end() if colon and opened.kind == "mapping" else len(self.text[:at].rstrip())
                line = self.line + self.text[:at].count("\n")
                child = replace(child, start=self.offset + at, end=self.offset + at, line=line)
            yield child
            before = child

    @staticmethod
    def _bounded(size: int) -> int:
        if size > MAX_EVENTS:
            raise CardError(f"README.md: a YAML alias unfolds to more than {MAX_EVENTS} nodes; refused")
        return size


def _refuse_twins(mapping: Node) -> None:
    seen: dict[str, int] = {}
    for key, _ in mapping.pairs():
        if key.kind != "scalar":
            continue
        if key.text in seen:
            lines = f"lines {seen[key.text]} and {key.line}"
            raise CardError(f"README.md: duplicate key {_short(key.text)[:60]!r} on {lines}; expected each key once")
        seen[key.text] = key.line
