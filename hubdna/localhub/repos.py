"""From a folder on disk to the repositories of a Hub.

`ROOT/<org>/<name>/` is a repository; its files are whatever lies in the folder. Nothing is imported or indexed: every
request looks at the disk again, so files may be copied in, edited or removed while the Hub runs. An optional
`.hub.json` in the folder holds what files cannot say: dates, gating, download counts, commit messages.

Nothing a caller sends is ever joined to a path and opened. A repository id must match a strict pattern, and a file is
served only if the scan of its folder listed it, so a climbing path simply names a file that does not exist.
"""

import hashlib
import json
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from hubdna.localhub.deliveries import Courier
from hubdna.localhub.files import CACHE_SIZE, META_NAME, RepoFile, Stamp, identity_of, is_hidden, stamp_of
from hubdna.localhub.refusals import entry_not_found, repo_not_found

logger = logging.getLogger(__name__)

#: One half of a repository id, as the Hub allows it. A leading dot is refused: hidden folders are ours.
NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
#: What became of a request for access.
ACCESS = ("pending", "accepted", "rejected")
#: The only branch.
MAIN_REF = "refs/heads/main"


@dataclass(frozen=True, slots=True)
class Hub:
    """What every handler needs: the folder, the addresses, the page size, the key of signed URLs, the courier."""

    root: Path
    endpoint: str
    cdn_endpoint: str
    page_size: int
    secret: bytes
    #: Delivers what webhooks are told.
    courier: Courier
    #: Held while files are renamed into a repository and while a folder is read: readers see whole commits.
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Held from the check of a commit's parent to its entry in the history: one writer at a time.
    writing: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a repository's history."""

    id: str
    title: str
    message: str
    date: str
    author: str


@dataclass(frozen=True, slots=True)
class Access:
    """A user who asked for access to a gated repository, or was granted it."""

    user: str
    status: str
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    """The content of `.hub.json`, with defaults."""

    created_at: str | None = None
    last_modified: str | None = None
    gated: bool | str = False
    private: bool = False
    sha: str | None = None
    downloads: int = 0
    likes: int = 0
    lfs_sha256: tuple[tuple[str, str], ...] = ()
    history: tuple[Commit, ...] = ()
    discussions_disabled: bool = False
    object_id: str | None = None
    access: tuple[Access, ...] = ()


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository as one request sees it."""

    id: str
    folder: Path
    meta: Meta
    files: tuple[RepoFile, ...]
    #: `refs/heads/main`, or `refs/pr/7` for the files of a pull request.
    ref: str = MAIN_REF

    @property
    def author(self) -> str:
        """The organisation or user before the slash."""
        return self.id.partition("/")[0]


def timestamp(moment: datetime) -> str:
    """A date as the Hub writes it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def folder_of(hub: Hub, repo_id: str) -> Path | None:
    """Where a repository of this id lies or would lie; None if the id is not one."""
    owner, _, name = repo_id.partition("/")
    return hub.root / owner / name if NAME.fullmatch(owner) and NAME.fullmatch(name) else None


def find_repo(hub: Hub, repo_id: str, authorized: bool) -> Repo:
    """The repository, or a refusal if it does not exist for this caller."""
    folder = folder_of(hub, repo_id)
    repo = read_repo(hub, repo_id, folder) if folder else None
    if repo is None or (repo.meta.private and not authorized):
        raise repo_not_found(authorized)
    return repo


def all_repos(hub: Hub, authorized: bool) -> Iterator[Repo]:
    """Every repository that this caller may see, in order of id."""
    for owner in sorted(_names(hub.root)):
        for name in sorted(_names(hub.root / owner)):
            repo = read_repo(hub, f"{owner}/{name}", hub.root / owner / name)
            if repo is not None and (authorized or not repo.meta.private):
                yield repo


def sha_of(repo: Repo) -> str:
    """The commit id: declared, or made from the names and identities of all files."""
    if repo.meta.sha:
        return repo.meta.sha
    tree = "\n".join(f"{identity_of(file)} {file.path}" for file in repo.files)
    return hashlib.sha1(tree.encode(), usedforsecurity=False).hexdigest()


def find_file(repo: Repo, path: str) -> RepoFile | None:
    """One file by its name in the repository, or None."""
    return next((file for file in repo.files if file.path == path), None)


def file_in(repo: Repo, path: str) -> RepoFile:
    """One file by its name, or a refusal."""
    file = find_file(repo, path)
    if file is None:
        raise entry_not_found(path, sha_of(repo))
    return file


def created_at(repo: Repo) -> str:
    """When the repository was made: declared, else the age of its oldest file."""
    return repo.meta.created_at or _file_time(repo, min)


def last_modified(repo: Repo) -> str:
    """When the repository last changed: declared, else the age of its newest file."""
    return repo.meta.last_modified or _file_time(repo, max)


def read_meta_json(folder: Path) -> dict[str, Any]:
    """`.hub.json` as written, or {} if there is none. A broken one is reported and ignored."""
    try:
        raw = json.loads((folder / META_NAME).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is not read: %s", folder / META_NAME, error)
        return {}
    return raw if isinstance(raw, dict) else {}


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir()]


def _file_time(repo: Repo, choose: Callable[[list[int]], int]) -> str:
    times = [file.stamp.mtime_ns for file in repo.files] or [repo.folder.stat().st_mtime_ns]
    return timestamp(datetime.fromtimestamp(choose(times) / 1e9, UTC))


def read_repo(hub: Hub, repo_id: str, folder: Path) -> Repo | None:
    """Look at a folder. A link out of the root is no repository."""
    if not folder.is_dir() or not folder.resolve().is_relative_to(hub.root):
        return None
    with hub.lock:
        meta = _read_meta(folder)
        declared = dict(meta.lfs_sha256)
        files = [RepoFile(path, stamp, declared.get(path)) for path, stamp in _scan(hub.root, folder)]
    return Repo(repo_id, folder, meta, tuple(sorted(files, key=lambda file: file.path)))


def _scan(root: Path, folder: Path) -> Iterator[tuple[str, Stamp]]:
    """All regular files below a folder. Links to files are followed inside the root, links to folders never."""
    waiting = [(folder, "")]
    while waiting:
        here, prefix = waiting.pop()
        with os.scandir(here) as entries:
            for entry in filter(_is_content, entries):
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, f"{prefix}{entry.name}/"))
                elif stamp := _stamp(root, entry, path):
                    yield prefix + entry.name, stamp


def _is_content(entry: os.DirEntry[str]) -> bool:
    """Our own file is not, nor what tools leave behind, nor a name that JSON cannot carry."""
    return not is_hidden(entry.name) and entry.name.encode("utf-8", "replace").decode() == entry.name


def _stamp(root: Path, entry: os.DirEntry[str], path: Path) -> Stamp | None:
    try:
        state = entry.stat()
    except OSError:  # a dangling link, or a file that went away since it was listed
        return None
    if not stat.S_ISREG(state.st_mode) or (entry.is_symlink() and not path.resolve().is_relative_to(root)):
        return None
    return stamp_of(path, state)


def _read_meta(folder: Path) -> Meta:
    try:
        state = (folder / META_NAME).stat()
    except OSError:
        return Meta()
    return _parse_meta(stamp_of(folder / META_NAME, state))


@lru_cache(CACHE_SIZE)
def _parse_meta(stamp: Stamp) -> Meta:
    """Take what is well formed from `.hub.json` and drop the rest: one wrong value must not hide a repository."""
    raw = read_meta_json(stamp.path.parent)
    hashes = raw.get("lfs_sha256")
    history = raw.get("history")
    gated, sha, object_id = raw.get("gated"), raw.get("sha"), raw.get("id")
    return Meta(
        created_at=_date(raw.get("created_at")),
        last_modified=_date(raw.get("last_modified")),
        gated=gated if gated in ("auto", "manual") else False,
        private=raw.get("private") is True,
        sha=sha if isinstance(sha, str) and re.fullmatch("[0-9a-f]{40}", sha) else None,
        downloads=_count(raw.get("downloads")),
        likes=_count(raw.get("likes")),
        lfs_sha256=tuple(_hashes(hashes)) if isinstance(hashes, dict) else (),
        history=tuple(_commits(history)) if isinstance(history, list) else (),
        discussions_disabled=raw.get("discussions_disabled") is True,
        access=tuple(_access(raw.get("access"))),
        object_id=object_id if isinstance(object_id, str) and re.fullmatch("[0-9a-f]{24}", object_id) else None,
    )


def _date(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _hashes(raw: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for path, value in raw.items():
        if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
            yield path, value


def _access(raw: object) -> Iterator[Access]:
    """`{"alice": "accepted"}` will do; the Hub itself also writes when."""
    for user, value in raw.items() if isinstance(raw, dict) else ():
        entry = value if isinstance(value, dict) else {"status": value}
        if NAME.fullmatch(user) and entry.get("status") in ACCESS:
            yield Access(user, entry["status"], _date(entry.get("timestamp")))


def _commits(raw: list[object]) -> Iterator[Commit]:
    for entry in raw:
        if isinstance(entry, dict):
            yield Commit(**{name: str(entry.get(name, "")) for name in ("id", "title", "message", "date", "author")})
