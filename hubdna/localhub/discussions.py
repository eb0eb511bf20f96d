"""A discussion: what it is, how it is kept, what may be done with it.

A pull request is a discussion with files. Each is one JSON file in its repository, `.hub/discussions/<num>.json`; it
is read again for every request, so the owner may edit it too: `"locked": true` has no other way in. Events (comments,
changes of status or title, commits) are kept as the API shows them.

Everything in it comes from callers, so everything is bounded: titles, comments, events, the bytes of one discussion,
and how many a repository has. The Hub has such limits; what they are is not known.
"""

import html
import json
import logging
import re
import stat
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hubdna.localhub.commits import now, own_folder, work_file
from hubdna.localhub.fields import object_id
from hubdna.localhub.files import WORK_FOLDER
from hubdna.localhub.refusals import Refusal, bad_request, comment_not_found, discussion_not_found, not_now
from hubdna.localhub.repos import Hub, Repo

logger = logging.getLogger(__name__)

#: Longest title and longest comment, in characters.
TITLE_LIMIT = 256
COMMENT_LIMIT = 65_536
#: Most events of a discussion, most discussions of a repository.
EVENTS_LIMIT = 1000
DISCUSSIONS_LIMIT = 1000
#: Largest discussion as a file. Edits keep what was edited, so it grows with them too.
FILE_LIMIT = 8 * 2**20

FILE_NAME = re.compile(r"([1-9][0-9]{0,5})\.json")
HIDDEN = "This comment has been hidden"
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion or pull request.

    Attributes:
        num: Its number in the repository; discussions and pull requests share one count.
        title: At most `TITLE_LIMIT` characters.
        author: The user who opened it.
        created_at: When.
        status: `open` or `closed`; a pull request may also be `draft` or `merged`.
        is_pull_request: Whether it proposes files.
        events: What happened, oldest first; the first event is the opening comment.
        locked: Whether it takes no more comments.
        merge_commit: The commit on `main` that a merge made.
    """

    num: int
    title: str
    author: str
    created_at: str
    status: str
    is_pull_request: bool
    events: tuple[Event, ...] = ()
    locked: bool = False
    merge_commit: str | None = None


def new_discussion(repo: Repo, title: object, text: object, author: str, status: str, pull: bool) -> Discussion:
    """A discussion with its opening comment, not yet kept. The caller holds `hub.writing`.

    Raises:
        Refusal: 400 for a bad title or comment, or one discussion too many.
    """
    nums = numbers(repo)
    if len(nums) >= DISCUSSIONS_LIMIT:
        raise bad_request(f"A repository has at most {DISCUSSIONS_LIMIT} discussions")
    fresh = Discussion(max(nums, default=0) + 1, _title(title), author, now(), status, pull)
    return commented(repo, fresh, text, author)


def commented(repo: Repo, discussion: Discussion, text: object, author: str) -> Discussion:
    """With one more comment."""
    data = {"edited": False, "hidden": False, "latest": _content(text, author), "history": []}
    return with_event(repo, discussion, "comment", author, data)


def check_open(discussion: Discussion) -> None:
    """Refuse a comment to a discussion that takes none."""
    if discussion.locked:
        raise Refusal(403, "This discussion has been locked")
    if discussion.status == "closed":
        raise Refusal(403, "This discussion has been closed")


def edited(discussion: Discussion, comment_id: str, text: object, author: str) -> Discussion:
    """With a comment's text replaced; what it was before goes to its history."""
    event = comment_of(discussion, comment_id)
    data = event["data"]
    if data["hidden"]:
        raise not_now("A hidden comment cannot be edited")
    history = [*data["history"], data["latest"]]
    return _replaced(discussion, event, {**data, "edited": True, "latest": _content(text, author), "history": history})


def hidden(discussion: Discussion, comment_id: str, author: str) -> Discussion:
    """With a comment's text gone for ever, its history too."""
    event = comment_of(discussion, comment_id)
    gone = {"hidden": True, "hiddenBy": author, "latest": _content(HIDDEN, author), "history": []}
    return _replaced(discussion, event, {**event["data"], **gone})


def renamed(repo: Repo, discussion: Discussion, title: object, author: str) -> Discussion:
    """With another title."""
    data = {"from": discussion.title, "to": _title(title)}
    return replace(with_event(repo, discussion, "title-change", author, data), title=data["to"])


def with_status(repo: Repo, discussion: Discussion, status: object, author: str) -> Discussion:
    """Opened again, published, closed or merged. What is merged stays so."""
    if status not in ("open", "closed", "merged"):
        raise bad_request(f"Invalid status: {status!r}")
    if discussion.status == "merged":
        raise not_now("This pull request has been merged")
    return replace(with_event(repo, discussion, "status-change", author, {"status": status}), status=str(status))


def with_event(repo: Repo, discussion: Discussion, kind: str, author: str, data: dict[str, Any]) -> Discussion:
    """With one more event."""
    if len(discussion.events) >= EVENTS_LIMIT:
        raise bad_request(f"A discussion has at most {EVENTS_LIMIT} events")
    event_id = object_id(f"{repo.id}#{discussion.num}/{len(discussion.events)}")
    event = {"id": event_id, "type": kind, "createdAt": now(), "author": user(author), "data": data}
    return replace(discussion, events=(*discussion.events, event))


def comment_of(discussion: Discussion, comment_id: str) -> Event:
    """One comment, or a refusal."""
    found = (e for e in discussion.events if e.get("id") == comment_id and e.get("type") == "comment")
    event = next(found, None)
    if event is None:
        raise comment_not_found()
    return event


def user(name: str) -> dict[str, Any]:
    """A user as the API shows one."""
    return {"_id": object_id(f"user/{name}"), "name": name, "fullname": name, "type": "user"}


def numbers(repo: Repo) -> list[int]:
    """The numbers of all discussions, in no order."""
    folder = _folder(repo)
    paths = folder.iterdir() if folder.is_dir() else ()
    return [int(match[1]) for path in paths if (match := FILE_NAME.fullmatch(path.name))]


def read_discussion(repo: Repo, num: int) -> Discussion:
    """One discussion, or a refusal."""
    found = find_discussion(repo, num)
    if found is None:
        raise discussion_not_found()
    return found


def find_discussion(repo: Repo, num: int) -> Discussion | None:
    """One discussion; None if there is none of this number. A file that cannot be read is reported and ignored."""
    path = _folder(repo) / f"{num}.json"
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > FILE_LIMIT:
            raise ValueError("not a file of reasonable size")
        return _parse(num, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        logger.warning("%s is not read: %s", path, error)
        return None


def keep(hub: Hub, repo: Repo, discussion: Discussion) -> None:
    """Write a discussion in one step. The caller holds `hub.writing`.

    Raises:
        Refusal: 400 if it has grown too large.
    """
    text = json.dumps(asdict(discussion)).encode()
    if len(text) > FILE_LIMIT:
        raise bad_request(f"A discussion has at most {FILE_LIMIT} bytes")
    folder = own_folder(repo) / "discussions"
    folder.mkdir(exist_ok=True)
    temporary = work_file(hub)
    temporary.write_bytes(text)
    temporary.replace(folder / f"{discussion.num}.json")


def check_enabled(repo: Repo) -> None:
    """Refuse where the owner wants no discussions."""
    if repo.meta.discussions_disabled:
        raise Refusal(403, "Discussions are disabled for this repo")


def _folder(repo: Repo) -> Path:
    return repo.folder / WORK_FOLDER / "discussions"


def _parse(num: int, raw: dict[str, Any]) -> Discussion:
    kinds = {"title": str, "author": str, "created_at": str, "status": str, "is_pull_request": bool, "events": list}
    if wrong := [name for name, kind in kinds.items() if not isinstance(raw[name], kind)]:
        raise ValueError(f"{', '.join(wrong)} of another type")
    if not all(isinstance(event, dict) for event in raw["events"]):
        raise ValueError("an event is not an object")
    known = {field.name: raw[field.name] for field in fields(Discussion) if field.name in raw}
    return Discussion(**{**known, "num": num, "events": tuple(raw["events"]), "locked": raw.get("locked") is True})


def _replaced(discussion: Discussion, old: Event, data: dict[str, Any]) -> Discussion:
    return replace(discussion, events=tuple({**e, "data": data} if e is old else e for e in discussion.events))


def _title(value: object) -> str:
    title = value.strip() if isinstance(value, str) else ""
    if not 0 < len(title) <= TITLE_LIMIT:
        raise bad_request(f"A title has 1 to {TITLE_LIMIT} characters")
    return _plain(title)


def _content(text: object, author: str) -> dict[str, Any]:
    """A comment's text. Markdown is not rendered here."""
    if not isinstance(text, str) or not 0 < len(text) <= COMMENT_LIMIT:
        raise bad_request(f"A comment has 1 to {COMMENT_LIMIT} characters")
    raw = _plain(text)
    return {"raw": raw, "html": f"<p>{html.escape(raw)}</p>", "updatedAt": now(), "author": user(author)}


def _plain(text: str) -> str:
    """JSON may carry halves of characters, which no answer can be written with."""
    return text.encode("utf-8", "replace").decode()
