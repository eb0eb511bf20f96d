"""What a webhook's body says, as far as the bot wants to know: which model to look at, and whether one was renamed.

Nothing that is said of the model is believed: an event is a reason to look at the Hub, no more. So a forged, late or
repeated event can cost a request, and never makes the bot say something.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hubdna.errors import UsageError
from hubdna.records import ModelRef

MAIN = "refs/heads/main"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        what: `look` at the model; a `thread` may have been closed; a model `moved`; or `nothing` the bot reacts to.
        reason: why nothing.
        old, new: the commits between which `main` moved, where the event tells.
        num: of the discussion.
        moved_to: the model's new name.
    """

    what: str
    repo_id: str = ""
    reason: str = ""
    old: str | None = None
    new: str | None = None
    num: int = 0
    moved_to: str = ""


def read_event(body: bytes) -> Event:
    """Read a payload of version 3. Raises UsageError when it is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("the body: expected JSON, found something else") from None
    event, repo = _part(data, "event"), _part(data, "repo")
    action, scope = event.get("action"), event.get("scope")
    if not isinstance(action, str) or not isinstance(scope, str):
        raise UsageError("event: expected action and scope as text")
    if repo.get("type") != "model":
        return Event("nothing", reason="not a model")
    repo_id = _name(repo.get("name"))
    if repo.get("private") is not False:
        return Event("nothing", repo_id, "private")
    return _of_repo(data, repo_id, action, scope)


def _of_repo(data: Any, repo_id: str, action: str, scope: str) -> Event:
    if scope == "repo" and action == "move":
        return Event("moved", repo_id, moved_to=_name(_part(data, "movedTo").get("name")))
    if scope == "repo.content":
        return _of_content(data, repo_id)
    if scope in ("repo", "repo.config"):
        return Event("look", repo_id)
    if scope == "discussion" and action == "update":
        num = _part(data, "discussion").get("num")
        if isinstance(num, int):
            return Event("thread", repo_id, num=num)
    return Event("nothing", repo_id, "the bot answers nobody")


def _of_content(data: Any, repo_id: str) -> Event:
    refs = data.get("updatedRefs")
    refs = [r for r in refs if isinstance(r, dict)] if isinstance(refs, list) else []
    main = next((r for r in refs if r.get("ref") == MAIN), None)
    if main is None:
        return Event("nothing", repo_id, "not the main branch")
    return Event("look", repo_id, old=_sha(main.get("oldSha")), new=_sha(main.get("newSha")))


def _part(data: Any, key: str) -> dict[str, Any]:
    part = data.get(key) if isinstance(data, dict) else None
    if not isinstance(part, dict):
        raise UsageError(f"{key}: expected an object")
    return part


def _name(value: Any) -> str:
    """The name of a model on a Hub; never a path, a revision or an address."""
    if isinstance(value, str) and len(value) <= 200 and value.isascii():
        try:
            model = ModelRef.parse(value)
            if not model.is_local and model == ModelRef(value):
                return value
        except UsageError:
            pass
    raise UsageError("repo.name: expected the name of a model, as org/name")


def _sha(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 64 and value.isalnum() else None
