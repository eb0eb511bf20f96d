"""A commit as the client sends it: one line of JSON for the header, one for each file.

{"key": "header", "value": {"summary": "...", "description": "...", "parentCommit": "..."}}
{"key": "file", "value": {"path": "README.md", "content": "...", "encoding": "base64"}}
{"key": "lfsFile", "value": {"path": "model.safetensors", "oid": "<sha256>"}}
{"key": "deletedFile", "value": {"path": "old.txt"}}
{"key": "deletedFolder", "value": {"path": "old/"}}
"""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubdna.localhub.caller import parse_object
from hubdna.localhub.files import safe_path
from hubdna.localhub.refusals import bad_request

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(slots=True)
class Draft:
    """A commit as it is read line by line; the only noun here that grows."""

    title: str = ""
    message: str = ""
    parent: str | None = None
    #: New content by path: bytes of a small file, the sha256 of an uploaded one, or a file to link.
    added: dict[str, bytes | str | Path] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


def read_draft(raw: bytes) -> Draft:
    """Read the body of a commit.

    Raises:
        Refusal: 400 for a malformed one.
    """
    draft = Draft()
    for line in raw.splitlines():
        if line.strip():
            entry = parse_object(line)
            value = entry.get("value")
            if not isinstance(value, dict):
                raise bad_request("A line of a commit needs a key and a value")
            _read_line(draft, entry.get("key"), value)
    if not draft.title:
        raise bad_request("A commit needs a summary")
    return draft


def _read_line(draft: Draft, key: object, value: dict[str, Any]) -> None:
    match key:
        case "header":
            draft.title, draft.message = str(value.get("summary") or ""), str(value.get("description") or "")
            draft.parent = value.get("parentCommit")
        case "file":
            draft.added[safe_path(value.get("path"))] = _decode(value)
        case "lfsFile":
            oid = value.get("oid")
            if not isinstance(oid, str) or not SHA256.fullmatch(oid):
                raise bad_request("oid is not a sha256")
            draft.added[safe_path(value.get("path"))] = oid
        case "deletedFile":
            draft.deleted.add(safe_path(value.get("path")))
        case "deletedFolder":
            draft.deleted.add(safe_path(str(value.get("path")).rstrip("/")) + "/")
        case _:
            raise bad_request(f"Unknown operation: {key!r}")


def _decode(value: dict[str, Any]) -> bytes:
    content = value.get("content")
    if not isinstance(content, str):
        raise bad_request("content is not a string")
    if value.get("encoding", "utf-8") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise bad_request("content is not valid base64") from None
