"""What lies in a repository: tree, paths, refs, commits, safetensors headers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub.access import check_access
from hubdna.localhub.caller import (
    has_flag,
    hub_of,
    parse_object,
    path_of,
    read_body,
    repo_at,
    repo_of,
    user_of,
)
from hubdna.localhub.fields import object_id
from hubdna.localhub.files import RepoFile, blob_id, pointer_of, sha256_of
from hubdna.localhub.listing import next_link, page
from hubdna.localhub.refusals import bad_request, entry_not_found
from hubdna.localhub.repos import Commit, Repo, last_modified, sha_of
from hubdna.localhub.revisions import pulls_of
from hubdna.localhub.weights import sharded_headers

#: Entries per page of a tree, as on the Hub.
TREE_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder between the root of a repository and its files; git has no other."""

    path: str


def tree(request: Request) -> Response:
    """List a folder, or everything below it."""
    repo = repo_at(request)
    path = path_of(request) if request.path_params.get("path") else ""
    below = list(_below(repo, path, deep=has_flag(request, "recursive")))
    if path and not below:
        raise entry_not_found(path, sha_of(repo))
    query = request.query_params
    shown, cursor = page(below, lambda item: (item.path, ""), query.get("cursor"), TREE_PAGE, newest_first=False)
    headers = next_link(f"{hub_of(request).endpoint}{request.scope['path']}", query, cursor)
    return JSONResponse([_entry(repo, item, has_flag(request, "expand")) for item in shown], headers=headers)


async def paths_info(request: Request) -> Response:
    """Describe the named files and folders; names that do not exist are left out."""
    paths, expand = _asked_paths(await read_body(request), request.headers.get("content-type", ""))

    def answer() -> Response:
        repo = repo_at(request)
        items = {item.path: item for item in _below(repo, "", deep=True)}
        return JSONResponse([_entry(repo, items[path], expand) for path in paths if path in items])

    return await run_in_threadpool(answer)


def refs(request: Request) -> Response:
    """The only branch, and the pull requests if they are asked for."""
    main = repo_of(request)
    pulls = pulls_of(hub_of(request), main) if has_flag(request, "include_prs") else ()
    branches, requests = [_ref("main", main)], [_ref(pull.ref.rpartition("/")[2], pull) for pull in pulls]
    return JSONResponse({"branches": branches, "tags": [], "converts": [], "pullRequests": requests})


def commits(request: Request) -> Response:
    """The commits made through this Hub, and before them the state of the folder if it is another."""
    return JSONResponse([_commit(commit) for commit in history_of(repo_at(request))])


def auth_check(request: Request) -> Response:
    """Whether the caller may read the files, or write."""
    repo = repo_of(request)
    if request.url.path.endswith("/write"):
        user_of(request)
    check_access(request, repo)
    return JSONResponse({})


def safetensors_metadata(request: Request) -> Response:
    """The headers of all shards in one answer."""
    repo = repo_of(request)
    check_access(request, repo)
    return JSONResponse(sharded_headers(repo, path_of(request)))


def history_of(repo: Repo) -> tuple[Commit, ...]:
    """All commits, newest first."""
    head = sha_of(repo)
    if repo.meta.history and repo.meta.history[0].id == head:
        return repo.meta.history
    found = Commit(head, "Files as they lie in the folder", "", last_modified(repo), repo.author)
    return (found, *repo.meta.history)


def _below(repo: Repo, folder: str, deep: bool) -> Iterator[RepoFile | Folder]:
    prefix = f"{folder}/" if folder else ""
    seen = set()
    for file in repo.files:
        if not file.path.startswith(prefix):
            continue
        parts = file.path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if deep else min(len(parts), 2)):
            path = prefix + "/".join(parts[:depth])
            if path not in seen:
                seen.add(path)
                yield Folder(path)
        if deep or len(parts) == 1:
            yield file


def _entry(repo: Repo, item: RepoFile | Folder, expand: bool) -> dict[str, Any]:
    if isinstance(item, Folder):
        entry: dict[str, Any] = {"type": "directory", "oid": _folder_id(repo, item), "size": 0, "path": item.path}
    else:
        entry = {"type": "file", "oid": blob_id(item), "size": item.size, "path": item.path}
        if item.is_lfs:
            entry["lfs"] = {"oid": sha256_of(item), "size": item.size, "pointerSize": len(pointer_of(item))}
    if expand:
        newest = history_of(repo)[0]
        entry["lastCommit"] = {"id": newest.id, "title": newest.title, "date": newest.date}
    return entry


def _folder_id(repo: Repo, folder: Folder) -> str:
    # Clients show a tree id and never look behind it.
    return object_id(f"{repo.id}/{folder.path}") + "0" * 16


def _ref(name: str, repo: Repo) -> dict[str, str]:
    return {"name": name, "ref": repo.ref, "targetCommit": sha_of(repo)}


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.id,
        "title": commit.title,
        "message": commit.message,
        "date": commit.date,
        "authors": [{"user": commit.author}],
    }


def _asked_paths(raw: bytes, content_type: str) -> tuple[Iterable[str], bool]:
    """The client sends a form, other tools JSON."""
    if "json" in content_type:
        body = parse_object(raw)
        paths, expand = body.get("paths"), body.get("expand") is True
    else:
        form = parse_qs(raw.decode("utf-8", "replace"))
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise bad_request("paths is not a list of strings")
    return dict.fromkeys(paths), expand
