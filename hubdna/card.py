"""README.md <-> Claim: what a card says about where the model comes from, on which line, and how to put it right.

YAML from the Hub is hostile: its size and depth are bounded, aliases (the "billion laughs") are refused, and nothing
is ever constructed from tags. Patches edit the text, not the parsed tree, so that comments and order survive.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from hubdna.errors import CardError
from hubdna.records import CardPatch, Claim

MAX_FRONT_MATTER = 200_000
"""Characters; the longest real front matters (evaluation results) have about 100,000."""
MAX_DEPTH = 24
MAX_BASES = 100

_FRONT = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


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
    data = _parse(front[1])
    claim = claim_of_data(data)
    first = text[: front.start(1)].count("\n") + 1
    line = first + front[1].count("\n") if "base_model" not in data else first + data.lc.key("base_model")[0]
    return Claim(claim.base_models, claim.relation, claim.license, line)


def patch_base_model(text: str, base_models: tuple[str, ...], reason: str) -> CardPatch:
    """Suggest `base_model: ...` as a unified diff that touches no other line."""
    value = (
        [f"base_model: {base_models[0]}"]
        if len(base_models) == 1
        else ["base_model:", *(f"- {b}" for b in base_models)]
    )
    lines = text.splitlines()
    front = _FRONT.match(text)
    if front is None:
        patched = ["---", *value, "---", *lines]
    else:
        claim = read_claim(text)
        assert claim.line is not None, "a card with front matter has a line"
        start = claim.line - 1
        stop = start
        if re.match(r"base_model\s*:", lines[start]):
            stop += 1
            while stop < len(lines) and re.match(r"[ \t]+\S|-[ \t]", lines[stop]):
                stop += 1
        patched = [*lines[:start], *value, *lines[stop:]]
    diff = difflib.unified_diff(lines, patched, "a/README.md", "b/README.md", lineterm="")
    return CardPatch(reason, "\n".join(diff))


def _parse(front: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    if len(front) > MAX_FRONT_MATTER:
        raise CardError(f"README.md: front matter of {len(front)} characters, at most {MAX_FRONT_MATTER} are read")
    yaml, depth = YAML(), 0
    try:
        for event in YAML().parse(front):
            if isinstance(event, AliasEvent):
                raise CardError("README.md: front matter uses a YAML alias; refused")
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise CardError(f"README.md: front matter is nested deeper than {MAX_DEPTH} levels; refused")
        data = yaml.load(front)
    except (YAMLError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise CardError(f"README.md: front matter is not YAML: {' '.join(str(error).split())[:120]}") from None
    if data is None:
        return CommentedMap()
    if not isinstance(data, CommentedMap):
        raise CardError("README.md: front matter is not a mapping of keys to values")
    return data


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(str(v).strip() for v in items[:MAX_BASES] if isinstance(v, str) and v.strip()))


def _word(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return str(value)[:100] if isinstance(value, str) and value else None
