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
from hubdna.localhub.refusals import Refusal, bad_request, unauthorized
from hubdna.localhub.repos import NAME, Hub, Repo, find_repo
from hubdna.localhub.revisions import at_revision

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


def repo_id_of(request: Request) -> str:
    """The id of the repository named in the URL."""
    return f"{unquote(request.path_params['org'])}/{unquote(request.path_params['name'])}"


def repo_of(request: Request) -> Repo:
    """The repository named in the URL, at `main`."""
    return find_repo(hub_of(request), repo_id_of(request), is_authorized(request))


def repo_at(request: Request) -> Repo:
    """The repository named in the URL, with the files that the URL's revision names; `main` if it has none."""
    return at_revision(hub_of(request), repo_of(request), revision_of(request))


def revision_of(request: Request) -> str:
    """The URL's revision as it was meant; `main` if it has none."""
    return unquote(request.path_params.get("revision", "main"))


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


async def read_optional_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty one where there is nothing to say."""
    raw = await read_body(request)
    return parse_object(raw) if raw else {}


def parse_object(raw: bytes) -> dict[str, Any]:
    """One JSON object, or 400."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request("Body is not valid JSON") from None
    if not isinstance(data, dict):
        raise bad_request("Body is not a JSON object")
    return data
