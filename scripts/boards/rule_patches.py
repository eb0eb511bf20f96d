"""Is a patched card the same card, but for what the patch meant? Asked of another YAML library than the product's."""

from __future__ import annotations

from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from hubdna.card import apply, diff_of
from hubdna.records import CardPatch


def wrongs(card: str, patch: CardPatch) -> list[str]:
    """What a patch changed and should not have, or did not change and should have; empty for a sound one."""
    after = apply(card, patch)
    wrong = []
    if patch.diff != diff_of(card, after):
        wrong.append("the diff shows another change than is made")
    (front, body), (new_front, new_body) = _split(card), _split(after)
    if new_body != body:
        wrong.append("text outside the front matter changed")
    old, new = _data(front), _data(new_front)
    keys = {edit.key for edit in patch.edits}
    wrong += [f"{key} changed" for key in old.keys() | new.keys() if key not in keys and old.get(key) != new.get(key)]
    if [key for key in new if key in old] != [key for key in old if key in new]:
        wrong.append("keys changed their order")
    for edit in patch.edits:
        is_now = new.get(edit.key)
        values = tuple(is_now) if isinstance(is_now, list) else (is_now,)
        if edit.action == "set" and tuple(edit.values) != values:
            wrong.append(f"{edit.key} is {is_now!r}, expected {edit.values!r}")
        if edit.action == "add" and not set(edit.values) <= set(values):
            wrong.append(f"{edit.key} is {is_now!r}, and lacks some of {edit.values!r}")
    if _without(front, keys) != _without(new_front, keys):
        wrong.append("other lines of the front matter changed")
    return wrong


def _split(card: str) -> tuple[str, str]:
    """Front matter with its fences, and the rest, as the Hub's client cuts them; both as they are."""
    mark = "\ufeff" if card.startswith("\ufeff") else ""
    found = REGEX_YAML_BLOCK.search(card[len(mark) :])
    if found is None:
        return "", card
    return found[2], mark + card[len(mark) + found.end() :]


def _data(front: str) -> dict[str, Any]:
    read = yaml.safe_load(front) if front else None
    return read if isinstance(read, dict) else {}


def _without(front: str, keys: set[str]) -> list[str]:
    """The lines of front matter that hold none of these keys or their values; blank ones left out."""
    tree = yaml.compose(front) if front else None
    lines, cut = front.splitlines(), set[int]()
    if isinstance(tree, yaml.MappingNode) and tree.flow_style:  # all on one line, which the parsed data speak for
        return []
    for key, value in tree.value if isinstance(tree, yaml.MappingNode) else ():
        if key.value in keys:
            last = value.end_mark.line - (value.end_mark.column == 0 and value.end_mark.line > key.start_mark.line)
            last = max(last, key.start_mark.line)  # of an alias, the place of its anchor is known
            cut |= set(range(key.start_mark.line, last + 1))
    return [line for n, line in enumerate(lines) if n not in cut and line.strip()]
