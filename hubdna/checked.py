"""Receipts that this user has checked: kept on this machine, and believed from nowhere else.

A report of a verification is somebody's word; only one's own counts. So what `hubdna prove verify --save` finds goes
into the user's own data folder, never into an index, which may be another's, and each record carries a tag
(HMAC-SHA256) by a key that was drawn on this machine and never leaves it (mode 0600). A record that was made elsewhere,
or edited, has no such tag, and is left out. Whoever can read that key can do anything else in this user's name, too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubdna.errors import ReceiptError
from hubdna.records import CheckedReceipt, Weights
from hubdna.writing import write_atomically

KEY = "key"
MAX_RECORD, MAX_RECORDS = 100_000, 10_000
"""Bytes of a record; records that are read."""

Say = Callable[[str], object]


def folder() -> Path:
    """Where this user's records are."""
    from platformdirs import user_data_path

    return user_data_path("hubdna") / "receipts"


def keep(checked: CheckedReceipt, at: Path | None = None) -> Path:
    """Write a record; its file. Raises ReceiptError when it cannot be written."""
    at = at or folder()
    try:
        at.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = asdict(checked)
        name = hashlib.sha256(_bytes({k: v for k, v in body.items() if k != "date"})).hexdigest()[:32]
        place = at / f"{name}.json"
        write_atomically(place, _bytes({"checked": body, "tag": _tag(_key(at, make=True), body)}))
    except OSError as error:
        raise ReceiptError(f"{at}: cannot keep what was checked: {error.strerror}") from None
    return place


def kept(at: Path | None = None, say: Say = lambda text: None) -> tuple[CheckedReceipt, ...]:
    """All records of this user, by file name; `say` is told of each that is not, and is left out."""
    at = at or folder()
    places = sorted(at.glob("*.json"))[:MAX_RECORDS] if at.is_dir() else []
    found = []
    for place in places:
        try:
            found.append(_read(place, _key(at, make=False)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            say(f"{place}: left out: not a record that this user's hubdna made (check the receipt again with --save)")
    return tuple(found)


def believed(checked: Iterable[CheckedReceipt] | None) -> tuple[CheckedReceipt, ...]:
    """Those that a caller hands over; None: all records of this user."""
    return kept() if checked is None else tuple(checked)


def _read(place: Path, key: bytes) -> CheckedReceipt:
    """One record. Raises ValueError and its like for what is none, or has another's tag."""
    with place.open("rb") as file:
        raw = file.read(MAX_RECORD + 1)
    said = json.loads(raw) if len(raw) <= MAX_RECORD else {}
    body = dict(said["checked"])
    if not hmac.compare_digest(_tag(key, body), str(said["tag"])):
        raise ValueError("another's tag")
    for side in ("parent", "child"):
        body[side] = Weights(**body[side] | {"sha256": tuple(body[side]["sha256"])})
    return CheckedReceipt(**body)


def _key(at: Path, *, make: bool) -> bytes:
    """The key of this user; drawn at first use."""
    place = at / KEY
    if make and not place.exists():
        temporary = at / f"{KEY}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, place)  # the first of two at once stays
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return place.read_bytes()


def _tag(key: bytes, body: dict[str, Any]) -> str:
    return hmac.new(key, _bytes(body), hashlib.sha256).hexdigest()


def _bytes(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
