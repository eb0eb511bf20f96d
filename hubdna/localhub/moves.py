"""Names that repositories had before: `GET` of one leads to where the repository went, as on the Hub.

Kept in one file, `.hub/moves.json` at the root. A repository that takes an old name over is found first, so the note
about it is never read again.
"""

import json

from starlette.requests import Request
from starlette.responses import RedirectResponse

from hubdna.localhub.commits import work_file
from hubdna.localhub.files import WORK_FOLDER
from hubdna.localhub.repos import Hub

#: Old names that are remembered; the oldest are forgotten.
MOVES_LIMIT = 10_000


def remember(hub: Hub, old: str, new: str) -> None:
    """Note that a repository has another name now; callers hold the lock of writing."""
    moves = dict(list({**_read(hub), old: new}.items())[-MOVES_LIMIT:])
    temporary = work_file(hub)
    temporary.write_text(json.dumps(moves), encoding="utf-8")
    temporary.replace(hub.root / WORK_FOLDER / "moves.json")


def redirect(hub: Hub, request: Request) -> RedirectResponse | None:
    """Where a request for a name of the past should go; None for other requests."""
    names = request.path_params
    old = f"{names.get('org')}/{names.get('name')}"
    if request.method not in ("GET", "HEAD") or (new := _read(hub).get(old)) is None:
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(request.url.path.replace(f"/{old}", f"/{new}", 1) + query, status_code=307)


def _read(hub: Hub) -> dict[str, str]:
    try:
        moves = json.loads((hub.root / WORK_FOLDER / "moves.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(moves, dict)
    return {a: b for a, b in moves.items() if isinstance(a, str) and isinstance(b, str)} if sound else {}
