"""Where a model and its card are, as addresses: on a Hub, or on this machine."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from urllib.parse import quote as _quote

from hubdna.records import ModelRef

PUBLIC_HUB = "https://huggingface.co"

_NAME = re.compile(r"[a-z0-9][\w.-]*(/[a-z0-9_][\w.-]*)?", re.ASCII | re.IGNORECASE)

quote = partial(_quote, errors="replace")
"""Names as a part of an address; also those that are no valid text."""


def hub_address(endpoint: str) -> str:
    """An endpoint without a trailing slash, and without a password that may stand in it."""
    return re.sub(r"(?<=//)[^/@]*@", "", endpoint).rstrip("/")


def card_path(ref: ModelRef) -> str:
    """A card below its Hub (`org/name/blob/main/README.md`), or below the working directory; quoted for an address.

    The revision stands as it was asked for, not as its commit, so that a card keeps its address between two audits.
    """
    if ref.is_local:
        path = Path(ref.repo_id) / "README.md"
        return path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return f"{quote(ref.repo_id)}/blob/{quote(ref.revision)}/README.md"


def purl(ref: ModelRef, hub: str = PUBLIC_HUB) -> str | None:
    """A package URL: `pkg:huggingface/org/name@commit`, with the Hub where it is not the public one.

    None of what has no name on a Hub: a folder, or what an index of others may hold in place of a name.
    """
    if not _NAME.fullmatch(ref.repo_id):
        return None
    version = f"@{quote(ref.sha, safe='')}" if ref.sha else ""
    where = "" if hub == PUBLIC_HUB else f"?repository_url={quote(hub, safe='')}"
    return f"pkg:huggingface/{ref.repo_id}{version}{where}"
