"""Who is asking, for which repository, with what body.

Everything a handler reads from a request goes through here, so that decoding, authorisation and size limits are the
same everywhere. Any token is good: the local Hub keeps no accounts. Writing needs one all the same, as on the Hub; it
also means that no web page can make a browser write here, since a page cannot add that header unasked.
"""

import json
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from hubdna.localhub.files import safe_path
from hubdna.localhub.refusals import Refusal, bad_request, revision_not_found, unauthorized
from hubdna.localhub.repos import NAME, Hub, Repo, check_revision, find_repo

#: Largest request body held in memory. Commits carry their small files in it (at most 10 MB each, in base64).
BODY_LIMIT = 64 * 2**20
#: The user whose token does not look like `hf_<name>`.
NOBODY = "local"


def hub_of(request: Request) -> Hub:
    """The Hub that this app serves."""
    hub: Hub = request.app.state.hub
    return hub


def is_authorized(request: Request) -> bool:
    """Whether the request carries a token."""
    return request.headers.get("authorization", "").startswith("Bearer ")


def user_of(request: Request) -> str:
    """The caller's name: `alice` for the token `hf_alice`.

    Raises:
        Refusal: 401 without a token.
    """
    if not is_authorized(request):
        raise unauthorized()
    name = request.headers["authorization"].removeprefix("Bearer ").removeprefix("hf_")
    return name if NAME.fullmatch(name) else NOBODY


def repo_of(request: Request) -> Repo:
    """The repository named in the URL."""
    repo_id = f"{unquote(request.path_params['org'])}/{unquote(request.path_params['name'])}"
    return find_repo(hub_of(request), repo_id, is_authorized(request))


def revision_of(request: Request, repo: Repo) -> str:
    """The commit that the URL's revision names; `main` if it has none."""
    return check_revision(repo, unquote(request.path_params.get("revision", "main")))


def path_of(request: Request) -> str:
    """The file or folder named at the end of the URL, checked to stay inside the repository."""
    return safe_path(unquote(request.path_params["path"]))


def has_flag(request: Request, name: str) -> bool:
    """Whether a query parameter is set: clients write True, true or 1."""
    return request.query_params.get(name, "").lower() in ("true", "1")


async def read_body(request: Request) -> bytes:
    """The whole body, if it is of reasonable size."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Refusal(413, f"Request body is larger than {BODY_LIMIT} bytes")
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object."""
    return parse_object(await read_body(request))


def parse_object(raw: bytes) -> dict[str, Any]:
    """One JSON object, or 400."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request("Body is not valid JSON") from None
    if not isinstance(data, dict):
        raise bad_request("Body is not a JSON object")
    return data


def check_main(revision: str) -> None:
    """Writing goes to the only branch."""
    if revision != "main":
        raise revision_not_found(revision)
