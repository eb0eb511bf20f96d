"""A unified diff of one file as replacements of whole lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


def replacements(diff: str) -> Iterator[tuple[int, int, str]]:
    """(first, last, text): lines [first, last) of the old file, counted from 1, give way to a text.

    The text keeps its line ends. A diff that takes or adds a last line without an end gives nothing: what stands
    behind such a line has no line number of its own.
    """
    lines = re.findall(r"[^\n]*\n", diff)[2:]  # behind the two file names
    for line, following in pairwise(lines):
        if line[0] in "+-" and following[0] == "\\":
            return
    at = first = 1
    text = ""
    for line in [*lines, " behind the last hunk"]:
        if line[0] == "-":
            at += 1
        elif line[0] == "+":
            text += line[1:]
        elif line[0] != "\\":
            if at > first or text:
                yield first, at, text
            at = _begin(line) if line[0] == "@" else at + 1
            first, text = at, ""


def _begin(line: str) -> int:
    """The first old line of a hunk; where it takes none, the line behind the one it names."""
    hunk = _HUNK.match(line)
    assert hunk is not None, "difflib writes the heads of hunks"
    return int(hunk[1]) + (hunk[2] == "0")
