"""The handlers of what changes files: uploads and commits.

They read the request, check that the caller has a token, and leave the work to `commits` and `pulls`.
"""

import hashlib
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub import commits, pulls
from hubdna.localhub.caller import (
    has_flag,
    hub_of,
    read_body,
    read_json,
    repo_at,
    repo_of,
    revision_of,
    user_of,
)
from hubdna.localhub.cards import MetadataError, metadata_block, parse_metadata
from hubdna.localhub.drafts import read_draft
from hubdna.localhub.files import WORK_FOLDER
from hubdna.localhub.refusals import Refusal, bad_request, revision_not_found
from hubdna.localhub.repos import Commit, Hub
from hubdna.localhub.revisions import MAIN
from hubdna.localhub.signing import check_signature, signed


async def validate_yaml(request: Request) -> Response:
    """Check a card before it is committed."""
    body = await read_json(request)
    content = body.get("content")
    if not isinstance(content, str):
        raise bad_request("content is not a string")
    try:
        await run_in_threadpool(parse_metadata, metadata_block(content) or "")
    except MetadataError as problem:
        return JSONResponse({"errors": [{"message": str(problem)}], "warnings": []}, status_code=400)
    return JSONResponse({"errors": [], "warnings": []})


async def preupload(request: Request) -> Response:
    """Sort the files of an upload into LFS and regular."""
    user_of(request)
    body = await read_json(request)

    def answer() -> Response:
        return JSONResponse(commits.preupload(repo_at(request), body))

    return await run_in_threadpool(answer)


async def lfs_batch(request: Request) -> Response:
    """Give each LFS object a place to be uploaded to, unless its bytes are here already."""
    user_of(request)
    hub = hub_of(request)
    body = await read_json(request)

    def answer() -> Response:
        needed = commits.uploads_needed(hub, repo_of(request), body)
        content = {"transfer": "basic", "objects": [_batch_object(hub, *item) for item in needed]}
        return JSONResponse(content, media_type="application/vnd.git-lfs+json")

    return await run_in_threadpool(answer)


async def lfs_upload(request: Request) -> Response:
    """Take the bytes of one LFS object; they count only if they have the promised size and sha256."""
    hub = hub_of(request)
    check_signature(hub.secret, request)
    oid, size = request.path_params["oid"], int(request.query_params["size"])
    temporary = await run_in_threadpool(commits.work_file, hub)
    try:
        digest, n_bytes = hashlib.sha256(), 0
        with temporary.open("wb") as file:
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > size:
                    raise Refusal(413, f"More than the promised {size} bytes")
                digest.update(chunk)
                file.write(chunk)
        if (digest.hexdigest(), n_bytes) != (oid, size):
            raise bad_request(f"The uploaded bytes are not {oid}")
        await run_in_threadpool(commits.keep_upload, hub, temporary, oid)
    finally:
        temporary.unlink(missing_ok=True)
    return Response()


async def commit(request: Request) -> Response:
    """Apply a commit to `main` or to a pull request, or open a pull request with it."""
    user, hub = user_of(request), hub_of(request)
    revision, new_pull = revision_of(request), has_flag(request, "create_pr")
    raw = await read_body(request)

    def answer() -> Response:
        repo_id, extra = repo_of(request).id, {}
        if new_pull:
            made, num = _commit_as_pull(hub, repo_id, revision, raw, user)
            extra["pullRequestUrl"] = f"{hub.endpoint}/{repo_id}/discussions/{num}"
        else:
            made = pulls.commit(hub, repo_id, revision, raw, user)
        url = f"{hub.endpoint}/{repo_id}/commit/{made.id}"
        return JSONResponse({"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": "", **extra})

    return await run_in_threadpool(answer)


def _commit_as_pull(hub: Hub, repo_id: str, revision: str, raw: bytes, user: str) -> tuple[Commit, int]:
    if revision not in MAIN:  # there is no other branch to merge into
        raise revision_not_found(revision)
    draft = read_draft(raw)
    text = draft.message or pulls.NO_TEXT
    discussion, made = pulls.open_pull(hub, repo_id, draft.title, text, user, draft)
    assert made is not None
    return made, discussion.num


def _batch_object(hub: Hub, oid: str, size: int, needed: bool) -> dict[str, Any]:
    if not needed:
        return {"oid": oid, "size": size}
    href = hub.endpoint + signed(hub.secret, quote(f"/{WORK_FOLDER}/lfs/{oid}"), f"size={size}")
    return {"oid": oid, "size": size, "actions": {"upload": {"href": href, "header": {}}}}
