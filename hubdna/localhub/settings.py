"""The handlers of repositories as a whole: made, deleted, moved, set."""

import tempfile
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub import commits, events, moves
from hubdna.localhub.caller import hub_of, read_json, repo_id_of, user_of
from hubdna.localhub.fields import repo_object_id
from hubdna.localhub.refusals import Refusal, bad_request
from hubdna.localhub.repos import Hub, find_repo, folder_of, read_meta_json


async def create_repo(request: Request) -> Response:
    """Make an empty repository."""
    user = user_of(request)
    body = await read_json(request)
    return await run_in_threadpool(_create, hub_of(request), user, body)


async def delete_repo(request: Request) -> Response:
    """Remove a repository with all its files."""
    user = user_of(request)
    body = await read_json(request)
    return await run_in_threadpool(_delete, hub_of(request), user, body)


async def move_repo(request: Request) -> Response:
    """Give a repository another id; reading the old one leads to it."""
    user_of(request)
    body = await read_json(request)
    return await run_in_threadpool(_move, hub_of(request), body)


async def update_settings(request: Request) -> Response:
    """Change who sees a repository and who reads its files."""
    user_of(request)
    body = await read_json(request)
    return await run_in_threadpool(_set, hub_of(request), repo_id_of(request), _checked(body))


def _named_repo(user: str, body: dict[str, Any]) -> str:
    if body.get("type") not in (None, "model"):
        raise bad_request("The local Hub serves models only")
    owner, name = body.get("organization") or user, body.get("name")
    if not isinstance(owner, str) or not isinstance(name, str):
        raise bad_request("A repository needs a name")
    return f"{owner}/{name}"


def _new_folder(hub: Hub, repo_id: str) -> Path:
    folder = folder_of(hub, repo_id)
    if folder is None or not folder.resolve().is_relative_to(hub.root):
        raise bad_request(f"Invalid repository name: {repo_id}")
    return folder


def _create(hub: Hub, user: str, body: dict[str, Any]) -> Response:
    repo_id = _named_repo(user, body)
    folder = _new_folder(hub, repo_id)
    answer = {"url": f"{hub.endpoint}/{repo_id}", "name": repo_id, "id": repo_id}
    private = body.get("visibility") == "private" or body.get("private") is True
    moment = commits.now()
    with hub.writing:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            return JSONResponse({**answer, "error": "You already created this model repo"}, status_code=409)
        except OSError:  # a file lies where the organisation's folder would be
            raise bad_request(f"Invalid repository name: {repo_id}") from None
        commits.write_meta(hub, folder, {"created_at": moment, "last_modified": moment, "private": private})
        events.repo_made(hub, find_repo(hub, repo_id, authorized=True))
    return JSONResponse(answer)


def _delete(hub: Hub, user: str, body: dict[str, Any]) -> Response:
    with tempfile.TemporaryDirectory(dir=commits.work_folder(hub)) as grave, hub.writing:
        repo = find_repo(hub, _named_repo(user, body), authorized=True)
        events.repo_deleted(hub, repo)
        # One rename makes it vanish; removing its files may then take as long as it takes.
        repo.folder.rename(Path(grave, "repo"))
    return JSONResponse({})


def _move(hub: Hub, body: dict[str, Any]) -> Response:
    old, new = body.get("fromRepo"), body.get("toRepo")
    if body.get("type") not in (None, "model") or not isinstance(old, str) or not isinstance(new, str):
        raise bad_request("A move needs fromRepo and toRepo, both models")
    target = _new_folder(hub, new)
    with hub.writing:
        repo = find_repo(hub, old, authorized=True)
        if target.exists():
            raise Refusal(409, f"{new} exists already")
        commits.write_meta(hub, repo.folder, {**read_meta_json(repo.folder), "id": repo_object_id(repo)})
        events.repo_moved(hub, repo, new)
        try:
            target.parent.mkdir(exist_ok=True)
            repo.folder.rename(target)
        except OSError:  # a file lies where the organisation's folder would be
            raise bad_request(f"Invalid repository name: {new}") from None
        moves.remember(hub, old, new)
    return JSONResponse({"url": f"{hub.endpoint}/{new}"})


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    """The settings that a body names, as `.hub.json` has them."""
    values: dict[str, Any] = {}
    if "gated" in body:
        values["gated"] = body["gated"]
    if "visibility" in body:
        values["private"] = {"private": True, "public": False}.get(str(body["visibility"]))
    elif "private" in body:
        values["private"] = body["private"]
    if not values or values.get("gated", False) not in (False, "auto", "manual"):
        raise bad_request("Settings are gated (auto, manual, false) and visibility (public, private)")
    if not isinstance(values.get("private", False), bool):
        raise bad_request("visibility is neither public nor private")
    return values


def _set(hub: Hub, repo_id: str, values: dict[str, Any]) -> Response:
    with hub.writing:
        repo = find_repo(hub, repo_id, authorized=True)
        commits.write_meta(hub, repo.folder, {**read_meta_json(repo.folder), **values})
        events.config_changed(hub, find_repo(hub, repo_id, authorized=True), values)
    return JSONResponse(values)
