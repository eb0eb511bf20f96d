"""Gated repositories: who may read their files, who asked, who decides.

A gated repository is listed and described for everybody, and its card can be read; its other files need a user who
was granted access. Asking grants it at once where `gated` is `auto`, and waits for an answer where it is `manual`.
Users and their status stand in `.hub.json` under `access`. Whoever has a token may decide, as everywhere here; the
user or organisation before the slash needs no grant.

Status codes and messages are those that others have recorded on the Hub.
"""

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub import commits
from hubdna.localhub.caller import hub_of, is_authorized, read_json, repo_id_of, repo_of, user_of
from hubdna.localhub.fields import object_id
from hubdna.localhub.refusals import Refusal, bad_request, gated, request_not_found
from hubdna.localhub.repos import ACCESS, NAME, Access, Hub, Repo, created_at, find_repo, read_meta_json

#: What everybody may read of a gated repository.
OPEN_FILE = "README.md"
#: Most users who asked or were granted; the list comes in one page.
USERS_LIMIT = 1000

REASONS = {
    "pending": "Your request to access model {repo} is awaiting a review from the repo authors.",
    "rejected": "Your request to access model {repo} has been rejected by the repo's authors.",
}
#: From a repository to the new status of a user, or a refusal.
Decide = Callable[[Repo], tuple[str, str]]


def check_access(request: Request, repo: Repo) -> None:
    """Refuse the files of a gated repository to a caller who was not granted access.

    Raises:
        Refusal: 401 without a token, 403 with one, both with the code `GatedRepo`.
    """
    if not repo.meta.gated:
        return
    if not is_authorized(request):
        raise gated(repo.id, authorized=False)
    user = user_of(request)
    status = _status(repo, user)
    if user != repo.author and status != "accepted":
        reason = REASONS.get(status or "", "").format(repo=repo.id)
        raise gated(repo.id, authorized=True, reason=reason)


async def ask(request: Request) -> Response:
    """Ask for access, as the form on a model's page does. Asking again changes nothing."""
    user, hub = user_of(request), hub_of(request)

    def decide(repo: Repo) -> tuple[str, str]:
        return user, _status(repo, user) or ("accepted" if repo.meta.gated == "auto" else "pending")

    await run_in_threadpool(_decide, hub, repo_id_of(request), decide)
    return Response(status_code=303, headers={"Location": f"{hub.endpoint}/{repo_id_of(request)}"})


def list_requests(request: Request) -> Response:
    """Who has a status."""
    user_of(request)
    repo, status = repo_of(request), request.path_params["status"]
    _check_status(status)
    return JSONResponse([_shown(repo, entry) for entry in repo.meta.access if entry.status == status])


async def handle(request: Request) -> Response:
    """Accept or reject a request, or put it back among those that wait."""
    user_of(request)
    body = await read_json(request)
    status = body.get("status")
    _check_status(status)

    def decide(repo: Repo) -> tuple[str, str]:
        name = _named(repo, body)
        if _status(repo, name) in (None, status):
            raise request_not_found()
        return name, str(status)

    await run_in_threadpool(_decide, hub_of(request), repo_id_of(request), decide)
    return JSONResponse({})


async def grant(request: Request) -> Response:
    """Give a user access who may not have asked."""
    user_of(request)
    body = await read_json(request)

    def decide(repo: Repo) -> tuple[str, str]:
        name = _named(repo, body)
        if _status(repo, name) == "accepted":
            raise bad_request("That user already has access to the repo")
        return name, "accepted"

    await run_in_threadpool(_decide, hub_of(request), repo_id_of(request), decide)
    return JSONResponse({})


def _decide(hub: Hub, repo_id: str, decide: Decide) -> None:
    with hub.writing:
        repo = find_repo(hub, repo_id, authorized=True)
        if not repo.meta.gated:
            raise Refusal(400, f"model {repo.id} is not gated", "RepoNotGated")
        name, status = decide(repo)
        users = {entry.user: {"status": entry.status, "timestamp": entry.timestamp} for entry in repo.meta.access}
        old = users.get(name, {"timestamp": commits.now()})
        users[name] = {**old, "status": status}
        if len(users) > USERS_LIMIT:
            raise bad_request(f"A repository has at most {USERS_LIMIT} users who asked for access")
        commits.write_meta(hub, repo.folder, {**read_meta_json(repo.folder), "access": users})


def _check_status(status: object) -> None:
    if status not in ACCESS:
        raise bad_request(f"Invalid status: expected one of {', '.join(ACCESS)}")


def _named(repo: Repo, body: dict[str, Any]) -> str:
    """The user whom a body names, by name or by the id of the request."""
    name, request_id = body.get("user"), body.get("requestId")
    if (name is None) == (request_id is None):
        raise bad_request("Either requestId or user must be provided, but not both")
    if request_id is not None:
        name = next((entry.user for entry in repo.meta.access if _request_id(repo, entry) == request_id), None)
        if name is None:
            raise request_not_found()
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Refusal(404, "User not found")
    return name


def _status(repo: Repo, user: str) -> str | None:
    return next((entry.status for entry in repo.meta.access if entry.user == user), None)


def _request_id(repo: Repo, entry: Access) -> str:
    return object_id(f"{repo.id}/access/{entry.user}")


def _shown(repo: Repo, entry: Access) -> dict[str, Any]:
    user = {"_id": object_id(f"user/{entry.user}"), "user": entry.user, "fullname": entry.user}
    moment = entry.timestamp or created_at(repo)
    return {"requestId": _request_id(repo, entry), "user": user, "status": entry.status, "timestamp": moment}
