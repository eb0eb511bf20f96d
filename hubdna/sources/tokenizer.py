"""Tokens that no training saw, by their names: `<|reserved_special_token_7|>`, `[unused12]`, `<unused3>`.

Their rows keep the initial draw (untied) or share one push (tied), so they are exchangeable among themselves and a
copy's are still those of its origin, whatever else was disguised. Which tokens these are is told by the tokenizer's
files, never by the weights. Names only: a token that is merely rare is not among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from hubdna.errors import HubdnaError
from hubdna.sources.interface import ByteReader

MAX_FILE = 4_000_000
"""Bytes of a tokenizer file that are read; the longest tokenizer_config.json and vocab.txt seen have under 2 MB."""
MAX_TOKENS = 10_000_000
_UNSEEN = re.compile(r"[<\[]\|?_?(?:reserved|unused)[-_ ]?(?:special[-_ ]?)?(?:token[-_ ]?)?\d{1,6}_?\|?[\]>]", re.I)


def unseen_tokens(reader: ByteReader, files: Iterable[str]) -> tuple[int, ...]:
    """Ids of tokens that are named as reserved or unused, sorted.

    Args:
        reader: gives the bytes; what cannot be had or understood counts as absent.
        files: the repository's file names.
    """
    present = set(files)
    for name, parse in (("tokenizer_config.json", _added), ("vocab.txt", _lines)):
        if name in present:
            try:
                raw = reader.read(name, 0, MAX_FILE + 1)
            except HubdnaError:
                continue
            ids = sorted(set(parse(raw))) if len(raw) <= MAX_FILE else []
            if ids:
                return tuple(ids)
    return ()


def longest_run(ids: tuple[int, ...], n_rows: int, limit: int) -> tuple[int, int]:
    """(first, n) of the longest run of consecutive ids below n_rows, cut to `limit`; one range to read."""
    best, start, previous = (0, 0), 0, -2
    for i in ids:
        if not 0 <= i < n_rows:
            continue
        start = start if i == previous + 1 else i
        previous = i
        if i - start + 1 > best[1]:
            best = start, i - start + 1
    return best[0], min(best[1], limit)


def _added(raw: bytes) -> Iterator[int]:
    """Of tokenizer_config.json: `added_tokens_decoder`, {id: {content}}."""
    try:
        found: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return
    table = found.get("added_tokens_decoder") if isinstance(found, dict) else None
    for key, token in (table if isinstance(table, dict) else {}).items():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str) and key.isdecimal() and len(key) < 9 and _is_unseen(content):
            yield int(key)


def _lines(raw: bytes) -> Iterator[int]:
    """Of vocab.txt: one token a line, ids from 0."""
    for i, line in enumerate(raw.decode("utf-8", "replace").split("\n")):
        if i < MAX_TOKENS and _is_unseen(line.strip()):
            yield i


def _is_unseen(token: str) -> bool:
    return len(token) <= 64 and _UNSEEN.fullmatch(token) is not None
