"""Bytes that mean one thing only: what receipts and masks commit to is hashed here.

Each kind of thing is hashed under its own name (`leaf`, `node`, `link`, ...), with the length of every part in front of
it, so that no bytes of one kind can pass for another, and no boundary can move. Values are hashed as what they are:
all bytes of a tensor, canonical JSON of a record. (The reference code of the paper hashes `str(array)`, which numpy
abbreviates with "..." beyond 1,000 elements.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

DOMAIN = b"hubdna.receipt/1"
N_BYTES = 32
"""Of a digest: SHA-256."""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def is_hex(value: Any, n_bytes: int = N_BYTES) -> bool:
    """Whether a value is a text of so many bytes in hexadecimal, lower case, nothing between."""
    return isinstance(value, str) and len(value) == 2 * n_bytes and not set(value) - set("0123456789abcdef")


def digest(kind: str, *parts: bytes) -> bytes:
    """SHA-256 of `parts`, each with its length, under the name of what they are."""
    made = hashlib.sha256(DOMAIN)
    for part in (kind.encode(), *parts):
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()


def file_digest(chunks: Iterable[bytes]) -> bytes:
    """Digest of a file that is read piece by piece, however it is cut."""
    made = hashlib.sha256(DOMAIN + b" file ")
    for chunk in chunks:
        made.update(chunk)
    return made.digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaves that are digests themselves; their number is part of it.

    An odd node goes up as it is (RFC 6962 does the same), leaves and inner nodes are hashed under different names, so
    that no inner node can be shown as a leaf.
    """
    level = [digest("leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [digest("node", a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[-1:] if len(level) % 2 else pairs
    return digest("root", len(leaves).to_bytes(8, "little"), *level)


def array_digest(name: str, dtype: str, shape: Sequence[int], data: bytes) -> bytes:
    """Digest of a named array: its type, its shape and every byte of it (little-endian, rows in C order)."""
    return digest("array", canonical([name, dtype, list(shape)]), data)
