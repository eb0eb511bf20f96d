"""README.md -> Claim: what a card says about where the model comes from, and on which lines.

Cards are written by hand and by a hundred tools. What a person would read as the name of a model is read as one: an
address of the Hub, a name with `.git` behind it, one in a nested list, one with invisible characters in it. What is no
name at all is told as a remark, never dropped in silence: "no base is declared" would be untrue of such a card.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from hubdna.card.front import read_front
from hubdna.card.nodes import Node
from hubdna.records import Claim, Skipped

MAX_BASES = 100
MAX_NAME = 500
MAX_LICENCES = 5
MAX_REMARKS = 10
MAX_NESTED = 4
"""Lists in lists, as of a card that was written by a script."""

NAME_KEYS = ("name", "id", "model", "model_id", "repo_id", "repo", "model_name")
"""Where the name stands in a base model that is a mapping."""
_HUB_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?!(?:datasets|spaces|docs|papers|collections)/)"
    r"([^/\s?#]+(?:/(?!(?:tree|blob|resolve|commit)/)[^/\s?#]+)?)(?:/(?:tree|blob|resolve|commit)/\S*)?/?(?:[?#]\S*)?",
    re.IGNORECASE,
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class _Value(NamedTuple):
    """A value as it was found: its text if it is one, how to show it, and its line if there is one.

    `word` is what stands there, be it text, a number or a date, and None of what is no single value: a relation that is
    no text is a wrong one, and not none.
    """

    text: str | None
    shown: str
    line: int | None
    word: str | None = None


def claim_of_data(data: Mapping[str, Any] | None) -> Claim:
    """Read a claim from a listing's card data: no lines. Odd values count as absent, and are named in `remarks`."""
    data = data or {}
    names, _, remarks = _names(_of_data(data.get("base_model")))
    words = {key: _word(_of_data(data.get(key)), key) for key in _WORDS}
    return replace(_claim(words), base_models=names, remarks=remarks)


def read_claim(text: str) -> Claim:
    """Read a claim from README.md, with the lines of its values (1-based).

    `line` is that of the key `base_model`, or where it would have to stand.

    Raises:
        CardError: the front matter is malformed, oversized, too deep, or never closed.
    """
    front = read_front(text)
    if front is None:
        return Claim(line=1)
    at = {key: front.get(key) for key in ("base_model", *_WORDS)}
    base = at["base_model"]
    names, lines, remarks = _names(_of_node(base[1]) if base else ())
    words = {key: _word(_of_node(pair[1]), key) if (pair := at[key]) else None for key in _WORDS}
    relation, licence = at["base_model_relation"], at["license"]
    return replace(
        _claim(words),
        base_models=names,
        line=base[0].line if base else front.line,
        base_lines=lines,
        relation_line=relation[0].line if relation else None,
        license_line=licence[0].line if licence else None,
        remarks=remarks,
    )


_WORDS = ("base_model_relation", "license", "license_name", "license_link")


def _claim(words: dict[str, str | None]) -> Claim:
    """A claim of single words; a licence called `other` goes by its name."""
    name = words["license_name"]
    return Claim(
        relation=words["base_model_relation"],
        license=name if words["license"] == "other" else words["license"],
        license_name=name,
        license_link=words["license_link"],
    )


def name_of(raw: str) -> str | None:
    """The name of a model as a person reads it: no invisible characters, no address, no `.git`. None: it is no name."""
    if len(raw) > 4 * MAX_NAME:
        return None
    name = "".join(c for c in raw if unicodedata.category(c) != "Cf").strip()
    if address := _HUB_ADDRESS.fullmatch(name):
        name = address[1]
    for tail in ("/", ".git"):
        if _REPOSITORY.fullmatch(name.removesuffix(tail)):
            name = name.removesuffix(tail)
    return name if name and name.isprintable() and len(name) <= MAX_NAME else None


def _names(values: Iterable[_Value]) -> tuple[tuple[str, ...], tuple[int, ...], tuple[Skipped, ...]]:
    """Names, each once; their lines; and what was no name, or had invisible characters in it."""
    found: dict[str, int | None] = {}
    remarks: list[Skipped] = []
    for text, shown, line, _ in islice(values, MAX_BASES):
        where = "README.md" if line is None else f"README.md:{line}"
        name = None if text is None else name_of(text)
        if name is not None:
            found.setdefault(name, line)
        hidden = sorted({f"U+{ord(c):04X}" for c in text or "" if unicodedata.category(c) == "Cf"}) if name else []
        if hidden:
            remarks.append(Skipped(where, f"base_model {name} has invisible characters in it: {', '.join(hidden)}"))
        elif name is None and (text is None or text.strip()):
            remarks.append(Skipped(where, f"base_model: expected the name of a model, found {shown}"))
    lines = tuple(line for line in found.values() if line is not None)
    return tuple(found), lines, tuple(remarks[:MAX_REMARKS])


def _of_node(node: Node, depth: int = 0) -> Iterator[_Value]:
    """Values of one key of the front matter, lists unfolded."""
    node_at = node.line
    while node.kind == "alias":
        node = node.children[0]
    if node.kind == "scalar":
        if node.tag != "null":
            text = node.text if node.tag in ("str", "") else None
            yield _Value(text, f"{_shown(node.text)} ({node.tag})", node_at, node.text)
    elif node.kind == "sequence" and depth < MAX_NESTED:
        for child in node.children:
            yield from _of_node(child, depth + 1)
    elif node.kind == "mapping" and (inner := _named({k.text: v for k, v in node.pairs()})) is not None:
        yield from _of_node(inner, MAX_NESTED)
    else:
        yield _Value(None, f"a {node.kind}", node_at)


def _of_data(data: Any, depth: int = 0) -> Iterator[_Value]:
    """Values of one field of a listing's card data, lists unfolded."""
    if isinstance(data, str):
        yield _Value(data, f"{_shown(data)} (str)", None, data)
    elif isinstance(data, list) and depth < MAX_NESTED:
        for item in data[:MAX_BASES]:
            yield from _of_data(item, depth + 1)
    elif isinstance(data, dict) and depth <= MAX_NESTED and (inner := _named(data)) is not None:
        yield from _of_data(inner, MAX_NESTED + 1)
    elif data is not None:
        shown = "" if isinstance(data, list | dict) else f"{_shown(str(data)[:100])} "
        yield _Value(None, f"{shown}({type(data).__name__})", None, shown.strip() or None)


def _named(mapping: Mapping[str, Any]) -> Any:
    return next((mapping[key] for key in NAME_KEYS if key in mapping), None)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:80])


def _word(values: Iterable[_Value], key: str) -> str | None:
    """The value of a key that has one; of a list the first, but all licences, with a comma between them."""
    found = islice(values, MAX_LICENCES if key == "license" else 1)
    words = [value.word if key == "base_model_relation" else value.text for value in found]
    texts = [word.strip() if word else word for word in words]  # a block of YAML ends with a line end
    if not all(text is None or text.isprintable() for text in texts):
        return None
    return ", ".join(dict.fromkeys(text[:100] for text in texts if text)) or None
