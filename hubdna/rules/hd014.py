"""HD014 naming duties unmet: an ancestor's licence asks for words in the name, the card or a Notice file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubdna.licences import Licence, begins_with, has_words
from hubdna.records import Finding, Severity
from hubdna.rules.above import EXPLAINED, called, is_copy, licensed, mildness, prose, source_line
from hubdna.rules.case import Ancestor, Case

SEVERITIES: tuple[Severity, ...] = ("warning", "info")

_GRAVER = ("info", "warning")
_HEADING = re.compile(r"^[ \t]{0,3}#{1,2}[ \t]+([^\n]+)|^([^\n]+)\n[ \t]*=+[ \t]*$", re.MULTILINE)


def unmet_duties(case: Case) -> Iterator[Finding]:
    """`warning` for the name of a confirmed descendant, where the licence is clear; `info` for everything else.

    Of several ancestors that ask for the same the nearest is named, and a confirmed one before others.

    Words to be shown may stand on another page, and a notice in another file: that is never more than `info`.
    """
    if case.card is None:
        return
    found: dict[tuple[object, ...], Finding] = {}
    for ancestor, one in licensed(case):
        asked = (one.name_begins, one.display, one.notice)
        finding = _finding(case, ancestor, one)
        if finding is not None and (asked not in found or (found[asked].severity, finding.severity) == _GRAVER):
            found[asked] = finding
    yield from found.values()


def _finding(case: Case, ancestor: Ancestor, one: Licence) -> Finding | None:
    named, others = _unnamed(case, one), _unshown(case, one)
    if named is None and not others:
        return None
    because = _mildness(case, ancestor, one)
    severity: Severity = "warning" if named and because is None else "info"
    asks = [*([named] if named else []), *others]
    message = " ".join(
        [f"The licence of {called(ancestor).rstrip(',')} is {one.id}.", *(f"It asks {ask}." for ask in asks)]
    )
    message += f" But {because}." if because else ""
    line = case.claim.license_line or case.claim.line
    return Finding("HD014", severity, case.ref, line, message, (source_line(one), EXPLAINED))


def _mildness(case: Case, ancestor: Ancestor, one: Licence) -> str | None:
    if one.doubt is not None:
        return one.doubt
    if is_copy(case, ancestor):
        return "it is not settled whether the same model in another format is a new one, with a name of its own"
    return mildness(case, ancestor)


def _unnamed(case: Case, one: Licence) -> str | None:
    """What the licence asks of the name, where neither the repository's nor the card's keeps it."""
    if one.name_begins is None or case.ref.is_local:
        return None
    name = case.ref.repo_id.rpartition("/")[2]
    heading = _HEADING.search(prose(case))
    names = [name, *((heading[1] or heading[2],) if heading else ())]
    if any(begins_with(each, one.name_begins) for each in names):
        return None
    return f'that the name of a model made with it begins with "{one.name_begins}"; {name} does not'


def _unshown(case: Case, one: Licence) -> list[str]:
    """Words that the licence wants shown and that the card does not have; a notice that no file is called after."""
    text, missing = prose(case), []
    if one.display and not any(has_words(text, words) for words in one.display):
        words = " or ".join(f'"{words}"' for words in one.display)
        missing.append(f"to show {words}; the card does not, another page may")
    noted = any("notice" in file.rpartition("/")[2].casefold() for file in case.files)
    if one.notice and case.files and not noted and not has_words(text, one.notice):
        missing.append(f'for a Notice file with the words "{one.notice}"; there is none')
    return missing
