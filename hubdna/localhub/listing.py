"""`GET /api/models`: filter, sort, cut into pages.

Pages are found by a cursor that holds the sort key of the last entry shown, not a position: repositories may appear
or vanish between two pages and nothing is skipped or shown twice. To the client the cursor is an opaque word inside
the `Link: <...>; rel="next"` header. A filter that this server does not have is refused: ignoring it would give a
wrong answer.
"""

import base64
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub.caller import has_flag, hub_of, is_authorized, repo_at
from hubdna.localhub.cards import tags_of
from hubdna.localhub.fields import BRIEF, DETAIL, FIELDS, FULL, check_expand, describe, sibling
from hubdna.localhub.refusals import bad_request
from hubdna.localhub.repos import Repo, all_repos

Item = TypeVar("Item")
Key = tuple[Any, str]

#: Parameters understood here; `direction` is what older clients add to `sort`.
PARAMETERS = frozenset(
    "filter author search pipeline_tag gated sort direction limit expand full cardData config cursor".split()
)
SORT_KEYS = frozenset({"createdAt", "lastModified", "downloads", "likes", "trendingScore"})


def list_models(request: Request) -> Response:
    """Answer one page of the listing."""
    query = request.query_params
    if unknown := sorted(query.keys() - PARAMETERS):
        raise bad_request(f"Not supported by the local Hub: {', '.join(unknown)}")
    names = _selection(request)
    hub = hub_of(request)
    found = [repo for repo in all_repos(hub, is_authorized(request)) if _matches(repo, query)]
    repos, cursor = page(found, _sort_key(query.get("sort")), query.get("cursor"), _limit(query, hub.page_size))
    headers = next_link(f"{hub.endpoint}/api/models", query, cursor)
    return JSONResponse([describe(repo, names) for repo in repos], headers=headers)


def model_info(request: Request) -> Response:
    """Answer the page of one model, at `main` or at another revision."""
    repo = repo_at(request)
    names = check_expand(request.query_params.getlist("expand"))
    info = describe(repo, names or DETAIL)
    if has_flag(request, "blobs"):
        info["siblings"] = [sibling(file) for file in repo.files]
    return JSONResponse(info)


def page(
    items: Iterable[Item], key: Callable[[Item], Key], cursor: str | None, size: int, newest_first: bool = True
) -> tuple[list[Item], str | None]:
    """The items after a cursor, in the order of their keys, and the cursor of the next page."""
    after = _decode(cursor) if cursor else None
    try:
        keyed = sorted(((key(item), item) for item in items), key=lambda pair: pair[0], reverse=newest_first)
        behind = operator.lt if newest_first else operator.gt
        rest = [pair for pair in keyed if after is None or behind(pair[0], after)]
    except TypeError:  # a cursor of another sort order
        raise bad_request("Invalid cursor") from None
    more = len(rest) > size
    return [item for _, item in rest[:size]], _encode(rest[size - 1][0]) if more else None


def next_link(url: str, query: QueryParams, cursor: str | None) -> dict[str, str]:
    """The header that leads to the next page, if there is one."""
    if cursor is None:
        return {}
    pairs = [(name, value) for name, value in query.multi_items() if name != "cursor"]
    return {"Link": f'<{url}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'}


def _selection(request: Request) -> Sequence[str]:
    if expand := check_expand(request.query_params.getlist("expand")):
        return expand
    names = FULL if has_flag(request, "full") else BRIEF
    return (*names, *(name for name in ("cardData", "config") if has_flag(request, name)))


def _matches(repo: Repo, query: QueryParams) -> bool:
    if (author := query.get("author")) and repo.author != author:
        return False
    if (search := query.get("search")) and search.lower() not in repo.id.lower():
        return False
    if (gated := query.get("gated")) and bool(repo.meta.gated) != (gated.lower() == "true"):
        return False
    wanted = set(query.getlist("filter")) | set(query.getlist("pipeline_tag"))
    return not wanted or wanted <= set(tags_of(repo))


def _sort_key(sort: str | None) -> Callable[[Repo], Key]:
    """Without a sort the Hub shows what is trending; nothing trends here, so the newest come first."""
    if sort is not None and sort not in SORT_KEYS:
        raise bad_request(f"Invalid sort: {sort}")
    field = FIELDS[sort or "createdAt"]
    return lambda repo: (field(repo), repo.id)


def _limit(query: QueryParams, page_size: int) -> int:
    text = query.get("limit", str(page_size))
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise bad_request(f"Invalid limit: {text}")
    return min(int(text[:9]), page_size)


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _decode(cursor: str) -> Key:
    try:
        value, name = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise bad_request("Invalid cursor") from None
    if not isinstance(name, str) or not isinstance(value, str | int):
        raise bad_request("Invalid cursor")
    return value, name
