"""A card's words -> licences, and whether a text keeps a name, shows some words, or speaks of a licence.

A text is read generously: what might be a mention counts as one. It only ever makes a finding milder.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

from hubdna.licences.table import Licence, find
from hubdna.records import Claim

NEAR = 80
"""Characters between a licence's short name and a word like "license" that make it a mention."""
MAX_TEXT = 200_000
"""Characters of a card that are looked at."""
MAX_HITS = 500
"""Places of a name that are looked at."""
_SPEAKS_OF_TERMS = re.compile(r"licen[cs]|terms|lizenz|许可|ライセンス|라이선스")
_LAST_WORDS = re.compile(r"(?:[\s-]+(?:licen[cs]e|agreement|terms of use|international))+$", re.IGNORECASE)


def licence(claim: Claim) -> Licence | None:
    """The one licence that a card gives. None: it gives none, several, `unknown`, or one that nobody knows."""
    found = licences(claim)
    return found[0] if len(found) == 1 else None


def licences(claim: Claim) -> tuple[Licence, ...]:
    """The licences that a card gives, of those that are known: usually one; several where it lists several.

    Of a licence without a known name the link counts, where the table has that address.
    """
    if (linked := find(claim.license_link or "")) and (claim.license is None or find(claim.license) is None):
        return (linked,)
    if claim.license is None:
        return ()
    whole = find(claim.license)
    found = (whole,) if whole else tuple(find(part) for part in claim.license.split(","))
    known = [one for one in found if one is not None and one.kind != "none"]
    if len(known) < len(found):
        return ()  # what is not known could allow what the others forbid
    return tuple(dict.fromkeys(known))


def mentions(text: str, one: Licence) -> bool:
    """Whether a text speaks of a licence: by its name, its address, or by its short name near a word like "license"."""
    folded = fold(text)
    address = one.source.partition("://")[2].casefold()
    if address in folded or (one.notice and fold(one.notice) in folded):
        return True
    for name in {one.id, one.spdx or one.id, _LAST_WORDS.sub("", one.name), *one.aliases}:
        for at in islice(re.finditer(_loosely(name), folded), MAX_HITS):
            if _SPEAKS_OF_TERMS.search(folded, max(0, at.start() - NEAR), at.end() + NEAR):
                return True
    return False


def has_words(text: str, words: str) -> bool:
    """Whether a text has these words in this order, whatever stands between them but other words."""
    return re.search(_loosely(words), fold(text)) is not None


def begins_with(name: str, words: str) -> bool:
    """Whether the name of a model begins with some words: `Llama-3-8B-mine` and `llama3_mine` with "Llama 3".

    Meta's own prefix (`Meta-Llama-3-8B`) is not counted against anybody.
    """
    letters = re.sub(r"[\W_]", "", fold(name)).removeprefix("meta")
    return letters.startswith(re.sub(r"[\W_]", "", fold(words)))


def fold(text: str) -> str:
    """Case and invisible characters taken away, full-width letters made plain."""
    plain = unicodedata.normalize("NFKC", text[:MAX_TEXT]).casefold()
    return "".join(c for c in plain if unicodedata.category(c) != "Cf")


def _loosely(words: str) -> str:
    """A pattern for words between which anything may stand that is no letter or digit, at most three characters."""
    parts = re.findall(r"[a-z]+|[\d.]*\d|\+\+", fold(words))
    return r"(?<![a-z\d])" + r"[^a-z\d]{0,3}".join(re.escape(part) for part in parts) + r"(?![a-z\d]|\.\d)"
