"""CardPatch: applied to the text of a card, shown as a unified diff. What is not meant to change, does not.

After every edit the card is read again. If anything but the edited key reads differently, the edit is refused: a card
is somebody's work, and a patch that is not made does less harm than one that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hubdna.card.claim import MAX_NAME, name_of
from hubdna.card.edit import entries, key_lines, splices, wanted_entries
from hubdna.card.front import Front, read_front
from hubdna.errors import CardError
from hubdna.records import CardEdit, CardPatch

MAX_CARD = 1_000_000
"""Bytes of README.md that are read; the Hub itself refuses longer YAML."""


def apply(text: str, patch: CardPatch) -> str:
    """Make a patch's edits in a card. An empty text stands for a card that does not exist yet.

    Comments, order, quotes, indents, line ends, byte order mark and final line end stay as they are.

    Returns:
        The new text; the same one where it says already what the patch wants.

    Raises:
        CardError: an edit makes no sense, the front matter cannot be read, or the edit would change more than its key.
            Nothing is changed then.
    """
    for edit in patch.edits:
        text = _edited(text, edit)
    return text


def suggest(text: str, edits: Iterable[CardEdit], reason: str) -> CardPatch:
    """A patch that makes these edits in a card, with its diff. Raises CardError as `apply` does."""
    edits = tuple(edits)
    return CardPatch(reason, diff_of(text, apply(text, CardPatch(reason, "", edits))), edits)


def offer(text: str, edits: Iterable[CardEdit], reason: str) -> CardPatch | None:
    """As `suggest`; None where there is no safe patch."""
    try:
        return suggest(text, edits, reason)
    except CardError:
        return None


def patch_base_model(text: str, base_models: tuple[str, ...], reason: str) -> CardPatch | None:
    """Suggest these base models, and nothing else; None where there is no safe patch."""
    return offer(text, (CardEdit("base_model", "set", base_models),), reason)


def diff_of(old: str, new: str) -> str:
    """The change of README.md as a unified diff; empty for none. A new file is made from /dev/null."""
    import difflib

    before, after = _lines(old), _lines(new)
    diff = difflib.unified_diff(before, after, "a/README.md" if old else "/dev/null", "b/README.md")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _edited(text: str, edit: CardEdit) -> str:
    _check(edit)
    front = read_front(text)
    first = text.partition("\n")[0]
    end_of_line = "\r\n" if first.endswith("\r") else "\n"
    if front is None:
        if edit.action == "remove":
            return text
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        head = ["---", *key_lines(edit.key, tuple(dict.fromkeys(edit.values))), "---"]
        new = mark + "".join(line + end_of_line for line in head) + text.removeprefix(mark)
        _verify(text, Front(len(mark), len(mark), 1, None), new, edit)
        return new
    new, reached = "", 0
    for splice in sorted(splices(text, front, edit, end_of_line), key=lambda s: (s.start, s.end)):
        new += text[reached : splice.start] + splice.text
        reached = splice.end
    new += text[reached:]
    _verify(text, front, new, edit)
    return new


def _check(edit: CardEdit) -> None:
    """Only what would be read back as it is given, and fits the key."""
    n = len(edit.values)
    if edit.action not in ("set", "add", "remove") or edit.key not in ("base_model", "base_model_relation", "license"):
        raise CardError(f"README.md: {edit.action} {edit.key}: expected set, add or remove of a key that is patched")
    if edit.action != "remove" and n == 0:
        raise CardError(f"README.md: {edit.action} {edit.key}: expected at least one value, found none")
    if edit.key != "base_model" and (edit.action == "add" or n > 1):
        raise CardError(f"README.md: {edit.action} {edit.key}: expected one value to set or remove, found {n} to add")
    for value in edit.values:
        sound = name_of(value) == value if edit.key == "base_model" else value.strip() == value and value.isprintable()
        if not value or not sound or len(value) > MAX_NAME:
            shown = ascii(value[:80])
            raise CardError(
                f"README.md: {edit.action} {edit.key}: expected a name that can be read back, found {shown}"
            )


def _verify(old: str, before: Front, new: str, edit: CardEdit) -> None:
    """Raise CardError unless the edited key reads as wanted, every other one as before, and the body is the same."""
    refused = f"README.md:{before.line}: {edit.action} {edit.key} cannot be made safely"
    try:
        after = read_front(new)
    except CardError as error:
        raise CardError(f"{refused}: then {str(error).removeprefix('README.md: ')}; edit it by hand") from None
    if after is None or [n.plain() for n in entries(after, edit.key)] != wanted_entries(before, edit):
        raise CardError(f"{refused}: the value would not be read back; edit it by hand")
    if _others(before, edit.key) != _others(after, edit.key):
        raise CardError(f"{refused}: other keys would change; edit it by hand")
    tail = old[before.end :]
    if not new.endswith(tail):
        raise CardError(f"{refused}: the text below would change; edit it by hand")


def _others(front: Front, key: str) -> list[object]:
    pairs = front.root.pairs() if front.root else ()
    return [(k.plain(), v.plain()) for k, v in pairs if not (k.kind == "scalar" and k.text == key)]
