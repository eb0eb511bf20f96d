"""README.md <-> Claim: what a card says about where the model comes from, on which line, and how to put it right.

YAML from the Hub is hostile: its size and depth are bounded, aliases (the "billion laughs") are refused, and nothing
is ever constructed from tags. Patches edit the text, not the parsed tree, so that comments and order survive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hubdna.errors import CardError
from hubdna.records import CardPatch, Claim

MAX_CARD = 1_000_000
"""Bytes of README.md that are read; the Hub itself refuses longer YAML."""
MAX_FRONT_MATTER = 200_000
"""Characters; the longest real front matters (evaluation results) have about 100,000."""
MAX_DEPTH = 24
MAX_BASES = 100
MAX_NAME = 500

MAX_EVENTS = 40_000
"""YAML events; two seconds of parsing. Front matters with a thousand evaluation results have about 20,000."""

_FRONT = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_OTHER_BREAKS = re.compile(r"[\x85\u2028\u2029]|\r(?!\n)")
"""Line breaks to YAML, but neither to editors nor to diffs."""
_PLAIN = re.compile(r"[A-Za-z][\w.-]*/[\w.-]+")
"""Names that need no quotes in YAML: nobody takes them for a number, a date or null."""


def claim_of_data(data: Mapping[str, Any] | None) -> Claim:
    """Read a claim from a listing's card data: no lines. Odd values count as absent."""
    data = data or {}
    license_name = data.get("license_name") if data.get("license") == "other" else data.get("license")
    return Claim(_names(data.get("base_model")), _word(data.get("base_model_relation")), _word(license_name))


def read_claim(text: str) -> Claim:
    """Read a claim from README.md, with the line of `base_model` or where it would have to stand (1-based).

    Raises:
        CardError: the YAML is malformed, oversized, too deep, or uses aliases.
    """
    front = _FRONT.match(text)
    if front is None:
        return Claim(line=1)
    data, first, _, _ = _parse(front[1])
    claim = claim_of_data(data)
    return Claim(claim.base_models, claim.relation, claim.license, text[: front.start(1)].count("\n") + 1 + first)


def patch_base_model(text: str, base_models: tuple[str, ...], reason: str) -> CardPatch | None:
    """Suggest `base_model: ...` as a unified diff that touches no other line.

    Returns:
        The patch, or None where there is no safe one: unreadable front matter, or all of it on one line in braces.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    names = [b if _PLAIN.fullmatch(b) else json.dumps(b, ensure_ascii=False) for b in base_models]
    value = [f"base_model: {names[0]}"] if len(names) == 1 else ["base_model:", *(f"- {n}" for n in names)]
    front = _FRONT.match(text)
    try:
        if front is None:
            patched = [line + end for line in ("---", *value, "---")] + lines
        else:
            _, first, last, indent = _parse(front[1])
            offset = text[: front.start(1)].count("\n")
            replaced = [" " * indent + line + end for line in value]
            patched = [*lines[: offset + first], *replaced, *lines[offset + last :]]
        if read_claim("".join(patched)).base_models != base_models or _others(text) != _others("".join(patched)):
            return None
    except CardError:
        return None
    import difflib

    diff = difflib.unified_diff(lines, patched, "a/README.md", "b/README.md")
    marked = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)
    return CardPatch(reason, "".join(marked))


def _parse(front: str) -> tuple[Mapping[str, Any], int, int, int]:
    """Read front matter: its data, the lines [first, last) of `base_model` or where it would go, and the indent."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    if len(front) > MAX_FRONT_MATTER:
        raise CardError(f"README.md: front matter of {len(front)} characters, at most {MAX_FRONT_MATTER} are read")
    front = _OTHER_BREAKS.sub(" ", front)
    try:
        first, last, indent = _find(YAML().parse(front), front.count("\n"))
        data = YAML().load(front)
    except CardError:
        raise
    except Exception as error:  # odd tags make the parser's constructors raise anything
        raise CardError(f"README.md: front matter is not YAML: {' '.join(str(error).split())[:120]}") from None
    if data is None:
        return CommentedMap(), last, last, 0
    if not isinstance(data, CommentedMap):
        raise CardError("README.md: front matter is not a mapping of keys to values")
    return data, first, last, indent


def _others(text: str) -> dict[str, Any]:
    """All that a card says besides `base_model`."""
    front = _FRONT.match(text)
    return {} if front is None else {k: v for k, v in _parse(front[1])[0].items() if k != "base_model"}


def _find(events: Iterable[Any], n_lines: int) -> tuple[int, int, int]:
    """Lines [first, last) of the value of `base_model` in a stream of events, and the indent of the keys."""
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent, ScalarEvent

    depth = n_nodes = indent = 0
    first = last = n_lines
    inside = False
    for n_events, event in enumerate(events):
        if isinstance(event, AliasEvent):
            raise CardError("README.md: front matter uses a YAML alias; refused")
        if n_events > MAX_EVENTS:
            raise CardError(f"README.md: front matter of more than {MAX_EVENTS} YAML events; refused")
        if depth == 1 and isinstance(event, NodeEvent):  # keys and values of the card take turns
            n_nodes += 1
            if n_nodes == 1:
                indent = event.start_mark.column
            is_key = n_nodes % 2 == 1
            if is_key and isinstance(event, ScalarEvent) and event.value == "base_model":
                inside, first = True, event.start_mark.line
                last = first + 1
            elif is_key:
                inside = False
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise CardError(f"README.md: front matter is nested deeper than {MAX_DEPTH} levels; refused")
        if inside and depth and event.end_mark.index > event.start_mark.index:  # block ends lie beyond comments
            last = max(last, event.end_mark.line + (event.end_mark.column > 0))
    return first, last, indent


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    names = (str(v).strip() for v in items[:MAX_BASES] if isinstance(v, str) and len(v) <= MAX_NAME)
    return tuple(dict.fromkeys(n for n in names if n and n.isprintable()))


def _word(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return str(value)[:100] if isinstance(value, str) and value and value.isprintable() else None
