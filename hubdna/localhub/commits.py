"""Writing: from the client's upload to files in the folder.

An upload has four steps. `preupload` says which files go to LFS; the LFS batch gives each of those a signed URL; the
bytes are streamed to a temporary file whose sha256 must be the promised one before it counts as uploaded; the commit
then names them, together with small files in base64, as one line of JSON each.

A commit is prepared beside the repository and only then renamed into it, file by file under the Hub's lock: a reader
sees all of it or nothing. The commit id follows from the files, so two Hubs with equal files have equal ids.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubdna.localhub.drafts import SHA256, Draft
from hubdna.localhub.files import (
    META_NAME,
    WORK_FOLDER,
    RepoFile,
    blob_id,
    knows_content,
    safe_path,
    sha256_of,
    stored_as_lfs,
)
from hubdna.localhub.refusals import Refusal, bad_request
from hubdna.localhub.repos import Commit, Hub, Repo, read_meta_json, read_repo, sha_of, timestamp


def preupload(repo: Repo, body: dict[str, Any]) -> dict[str, Any]:
    """Say for each file whether it goes to LFS, and what the repository has under its name."""
    present = {file.path: file for file in repo.files}
    return {"files": [_upload_mode(file, present) for file in _objects(body.get("files"))]}


def uploads_needed(hub: Hub, repo: Repo, body: dict[str, Any]) -> Iterator[tuple[str, int, bool]]:
    """The objects of an LFS batch: sha256, size, and whether their bytes are still needed."""
    for item in _objects(body.get("objects")):
        oid, size = item.get("oid"), item.get("size")
        if not isinstance(oid, str) or not SHA256.fullmatch(oid) or not isinstance(size, int) or size < 0:
            raise bad_request("An LFS object needs a sha256 and a size")
        yield oid, size, _content_of(hub, (repo,), oid) is None


def upload_path(hub: Hub, oid: str) -> Path:
    """Where an uploaded object lies until a commit takes it."""
    return hub.root / WORK_FOLDER / "lfs" / oid


def work_folder(hub: Hub) -> Path:
    """Where things are prepared, on the same file system as the repositories."""
    folder = hub.root / WORK_FOLDER / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def work_file(hub: Hub) -> Path:
    """A new empty file to prepare something in."""
    handle, name = tempfile.mkstemp(dir=work_folder(hub))
    os.close(handle)
    return Path(name)


def own_folder(repo: Repo) -> Path:
    """The server's own folder in a repository, for writing. A link is not written through."""
    folder = repo.folder / WORK_FOLDER
    if folder.is_symlink():
        raise Refusal(409, f"{repo.id}/{WORK_FOLDER} is a link")
    folder.mkdir(exist_ok=True)
    return folder


def keep_upload(hub: Hub, temporary: Path, oid: str) -> None:
    """Make an upload visible to commits, once its sha256 has been checked."""
    target = upload_path(hub, oid)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(target)


def check_parent(draft: Draft, repo: Repo) -> None:
    """Refuse a commit to a repository that has moved on from the parent it names."""
    if draft.parent not in (None, sha_of(repo)):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")


def apply(hub: Hub, repo: Repo, draft: Draft, author: str, *also: Repo) -> Commit:
    """Apply a commit to the files of a repository. The caller holds `hub.writing`.

    Args:
        hub: The Hub.
        repo: The repository, or a pull request's copy of it.
        draft: What changes.
        author: The caller's name.
        also: Other repositories whose large files may be named by their sha256.

    Raises:
        Refusal: 400 for a malformed one, 404 for the deletion of what is not there, 409 if what else lies in the
            folder is in the way.
    """
    _check_tree(repo, draft)
    _change(hub, repo, draft, (repo, *also))
    for content in draft.added.values():
        if isinstance(content, str):
            upload_path(hub, content).unlink(missing_ok=True)
    return _record(hub, repo, draft, author)


def write_meta(hub: Hub, folder: Path, raw: dict[str, Any]) -> None:
    """Replace `.hub.json` in one step."""
    temporary = work_file(hub)
    temporary.write_text(json.dumps(raw, indent=1), encoding="utf-8")
    temporary.replace(folder / META_NAME)


def now() -> str:
    """This moment as the Hub writes it."""
    return timestamp(datetime.now(UTC))


def _upload_mode(file: dict[str, Any], present: dict[str, RepoFile]) -> dict[str, Any]:
    path, size = safe_path(file.get("path")), file.get("size")
    if not isinstance(size, int):
        raise bad_request("size is not a number")
    old = present.get(path)
    lfs = stored_as_lfs(path, size)
    known = old is not None and old.is_lfs == lfs and (not lfs or knows_content(old))
    oid = (sha256_of(old) if lfs else blob_id(old)) if old and known else None
    return {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}


def _objects(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_request("Expected a list of objects")
    return value


def _check_tree(repo: Repo, draft: Draft) -> None:
    """The new tree must be one: no deletion of what is not there, no file where a folder is."""
    old = {file.path for file in repo.files}
    for path in sorted(draft.deleted):
        if path not in old and not (path.endswith("/") and any(name.startswith(path) for name in old)):
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound")
    paths = (old - _hit(old, draft.deleted)) | draft.added.keys()
    folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    if clash := sorted(paths & folders):
        raise bad_request(f"Both a file and a folder: {clash[0]}")
    for path in draft.added:
        # The owner may have linked a folder in here; it is not shown, and not written through.
        if not (repo.folder / path).parent.resolve().is_relative_to(repo.folder.resolve()):
            raise bad_request(f"Invalid path: {path!r}")


def _hit(paths: set[str], deleted: set[str]) -> set[str]:
    folders = tuple(path for path in deleted if path.endswith("/"))
    return {path for path in paths if path in deleted or path.startswith(folders)}


def _content_of(hub: Hub, repos: tuple[Repo, ...], oid: str) -> Path | None:
    """Where the bytes of an LFS object are: uploaded, or already in a repository under some name."""
    if upload_path(hub, oid).is_file():
        return upload_path(hub, oid)
    known = (file for repo in repos for file in repo.files if file.is_lfs and knows_content(file))
    return next((file.stamp.path for file in known if sha256_of(file) == oid), None)


def _stage(hub: Hub, repos: tuple[Repo, ...], content: bytes | str | Path) -> Path:
    """Put new content into a file of its own, ready to be renamed into the repository."""
    staged = work_file(hub)
    if isinstance(content, bytes):
        staged.write_bytes(content)
    elif isinstance(content, Path):
        staged.unlink()
        link(content, staged)
        return staged
    elif (source := _content_of(hub, repos, content)) is None:
        staged.unlink()
        raise bad_request(f"LFS object {content} was not uploaded")
    elif source == upload_path(hub, content):
        # Two names of one object share its bytes; nobody writes into a file in place.
        staged.unlink()
        staged.hardlink_to(source)
    else:
        shutil.copyfile(source, staged)
    staged.chmod(0o644)
    return staged


def link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _change(hub: Hub, repo: Repo, draft: Draft, sources: tuple[Repo, ...]) -> None:
    staged: dict[str, Path] = {}
    try:
        for path, content in draft.added.items():
            staged[path] = _stage(hub, sources, content)
        with hub.lock:
            _apply(repo.folder, draft.deleted, staged)
    except OSError as error:
        raise Refusal(409, f"The folder cannot be changed: {error.strerror}") from error
    finally:
        for leftover in staged.values():
            leftover.unlink(missing_ok=True)


def _apply(folder: Path, deleted: set[str], staged: dict[str, Path]) -> None:
    for path in sorted(deleted):
        if path.endswith("/"):
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink(missing_ok=True)
        _prune((folder / path).parent, folder)
    for path, source in staged.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def _prune(path: Path, top: Path) -> None:
    """Git has no empty folders."""
    while path != top and not any(path.iterdir()):
        path.rmdir()
        path = path.parent


def _record(hub: Hub, repo: Repo, draft: Draft, author: str) -> Commit:
    """Write the commit into `.hub.json`. What was declared about replaced files no longer holds."""
    raw = read_meta_json(repo.folder)
    raw.pop("sha", None)
    if isinstance(hashes := raw.get("lfs_sha256"), dict):
        gone = draft.added.keys() | _hit(set(hashes), draft.deleted)
        raw["lfs_sha256"] = {path: value for path, value in hashes.items() if path not in gone}
    moment = now()
    raw["last_modified"] = moment
    write_meta(hub, repo.folder, raw)
    changed = read_repo(hub, repo.id, repo.folder)
    assert changed is not None
    made = Commit(sha_of(changed), draft.title, draft.message, moment, author)
    history = raw.get("history") if isinstance(raw.get("history"), list) else []
    raw["history"] = [{name: getattr(made, name) for name in Commit.__slots__}, *(history or [])]
    write_meta(hub, repo.folder, raw)
    return made
