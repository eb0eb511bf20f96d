"""table.toml -> Licence: what each licence asks of models made from another one, by any of its spellings.

Spellings differ in case, blanks, hyphens and words like "license" only; nothing is guessed. An id without the version
that decides its terms is no spelling of any licence.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, Literal, get_args

Kind = Literal[
    "public domain", "permissive", "weak copyleft", "copyleft", "share-alike", "no derivatives", "use restrictions",
    "community", "non-commercial", "research only", "family", "none",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
OPEN_KINDS = frozenset({"public domain", "permissive", "weak copyleft", "copyleft", "share-alike"})
"""Anybody may use the model for anything, commerce included."""
DOUBTS: dict[str, str] = {
    "copyleft": "it is written for programs, and how far it reaches weights made from weights is not settled",
    "weak copyleft": "it is written for programs, fonts or data, and how far it reaches weights is not settled",
}
"""Kinds of licences of which no clear statement on derived models can be made, and why."""
MAX_SPELLING = 200
"""Characters of a card's word that are looked at."""
_FILLERS = re.compile(r"\b(?:the|licen[cs]e|agreement|version)\b|\bv(?=\.?\s?\d)")
_SEPARATORS = re.compile(r"[^a-z0-9.+*]+")


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence; `table.toml` says what each field means.

    Attributes:
        id: as in a card: the Hub's, or a common `license_name`.
        read: the day on which a copy of its text was read for the table (`2026-11-30`); None: the facts are as
            commonly known.
    """

    id: str
    name: str
    kind: Kind
    source: str
    hub: bool = True
    spdx: str | None = None
    aliases: tuple[str, ...] = ()
    commercial: bool = True
    derivatives: bool = True
    share_alike: bool = False
    use_restrictions: bool = False
    passes_on: bool = False
    other_terms: bool = False
    accepts: tuple[str, ...] = ()
    threshold: str | None = None
    name_begins: str | None = None
    display: tuple[str, ...] = ()
    notice: str | None = None
    makers: tuple[str, ...] = ()
    unclear: str | None = None
    read: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lets anybody use the model for anything, commerce included."""
        return self.kind in OPEN_KINDS

    @property
    def binds(self) -> bool:
        """Whether it asks anything of the terms of a derived model, beyond keeping a notice."""
        return self.share_alike or self.passes_on or not self.commercial or not self.derivatives

    @property
    def doubt(self) -> str | None:
        """Why no clear statement can be made on it; None where one can."""
        return self.unclear or DOUBTS.get(self.kind)

    @property
    def where(self) -> str:
        """Its source, and when it was read."""
        return f"{self.source}, {f'read {self.read}' if self.read else 'not read for this table'}"


def find(spelling: str) -> Licence | None:
    """The licence that a word of a card stands for, in any spelling, or by its address. None: nobody knows it."""
    return _SPELLINGS.get(key(spelling)) or _ADDRESSES.get(_address(spelling))


def key(spelling: str) -> str:
    """What all spellings of a licence have in common: `Apache License, Version 2.0` and `apache-2.0` are one."""
    plain = unicodedata.normalize("NFKC", spelling[:MAX_SPELLING]).casefold().replace("_", " ")
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    words = [word.strip(".") for word in _SEPARATORS.split(_FILLERS.sub(" ", plain))]
    return "".join(words) or plain.strip()


def _address(text: str) -> str:
    return text[:MAX_SPELLING].strip().casefold().partition("://")[2].removeprefix("www.").rstrip("/")


def _load() -> dict[str, Licence]:
    text = files("hubdna.licences").joinpath("table.toml").read_text("utf-8")
    return {name: _licence(name, row) for name, row in tomllib.loads(text).items()}


def _licence(name: str, row: dict[str, Any]) -> Licence:
    known = {f.name for f in fields(Licence)} - {"id"}
    if wrong := row.keys() - known:
        raise ValueError(f"table.toml: [{name}]: expected keys of Licence, found {', '.join(sorted(wrong))}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Licence(id=name, **values)


TABLE: dict[str, Licence] = _load()
"""All licences by id, in the order of the file."""


def _spellings() -> dict[str, Licence]:
    found: dict[str, Licence] = {}
    for one in TABLE.values():
        for spelling in (one.id, one.name, *one.aliases, *filter(None, [one.spdx])):
            other = found.setdefault(key(spelling), one)
            if other is not one:
                raise ValueError(f"table.toml: {spelling!r} is a spelling of {other.id} and of {one.id}")
    return found


_SPELLINGS = _spellings()
_ONCE = Counter(_address(one.source) for one in TABLE.values())
_ADDRESSES = {at: one for one in TABLE.values() if _ONCE[at := _address(one.source)] == 1}
"""Pages that hold the text of one licence only."""
