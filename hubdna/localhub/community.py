"""The handlers of the community tab: discussions and pull requests.

Any token may do everything here, as elsewhere: there are no accounts, so nobody is the author of a comment alone.
"""

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub import discussions, events, pulls
from hubdna.localhub.caller import has_flag, hub_of, read_json, read_optional_json, repo_id_of, repo_of, user_of
from hubdna.localhub.discussions import Discussion
from hubdna.localhub.refusals import bad_request, discussion_not_found
from hubdna.localhub.repos import MAIN_REF, Hub, Repo, find_repo

TYPES = ("all", "discussion", "pull_request")
#: What the listing means by a status.
STATUSES = {"all": ("open", "draft", "closed", "merged"), "open": ("open", "draft"), "closed": ("closed", "merged")}

Body = dict[str, Any]
#: Says to webhooks what happened, once it is kept.
News = Callable[[Hub, Repo, Discussion], None]
#: From a repository, a discussion, the body of a request and a user to the changed discussion, the answer, the news.
Change = Callable[[Repo, Discussion, Body, str], tuple[Discussion, Body, News]]


def list_discussions(request: Request) -> Response:
    """Answer one page of the listing, newest first."""
    repo = repo_of(request)
    discussions.check_enabled(repo)
    kind, status = request.query_params.get("type", "all"), request.query_params.get("status", "all")
    page, author = request.query_params.get("p", "0"), request.query_params.get("author")
    if kind not in TYPES or status not in STATUSES or not (page.isascii() and page.isdigit()):
        raise bad_request("Invalid type, status or p")
    found = [
        discussion
        for discussion in _all(repo)
        if (kind == "all" or discussion.is_pull_request == (kind == "pull_request"))
        and discussion.status in STATUSES[status]
        and author in (None, discussion.author)
    ]
    size = hub_of(request).page_size
    start = int(page[:6]) * size
    shown = [_summary(repo, discussion) for discussion in found[start : start + size]]
    return JSONResponse({"discussions": shown, "count": len(found), "start": start})


def discussion_details(request: Request) -> Response:
    """Answer one discussion with its events; a pull request with its conflicts, too, and its diff if asked."""
    repo = repo_of(request)
    discussions.check_enabled(repo)
    discussion = discussions.read_discussion(repo, _num(request))
    answer = {**_summary(repo, discussion), "events": list(discussion.events), "locked": discussion.locked}
    if discussion.is_pull_request:
        merged = {"mergeCommitId": discussion.merge_commit} if discussion.merge_commit else {}
        answer["changes"] = {"base": MAIN_REF, **merged}
        answer["filesWithConflicts"] = pulls.files_with_conflicts(hub_of(request), repo, discussion)
        if has_flag(request, "diff"):
            answer["diff"] = pulls.diff(hub_of(request), repo, discussion.num)
    return JSONResponse(answer)


async def create_discussion(request: Request) -> Response:
    """Open a discussion, or a pull request without files."""
    user, hub = user_of(request), hub_of(request)
    body = await read_json(request)

    def answer() -> Response:
        repo, title, text = repo_of(request), body.get("title"), body.get("description")
        if body.get("pullRequest") is True:
            made, _ = pulls.open_pull(hub, repo.id, title, text, user)
        else:
            made = _open(hub, repo, title, text, user)
        url = f"{hub.endpoint}/{repo.id}/discussions/{made.num}"
        return JSONResponse({"num": made.num, "pullRequest": made.is_pull_request, "url": url})

    return await run_in_threadpool(answer)


async def comment(request: Request) -> Response:
    """Add a comment."""

    def change(repo: Repo, old: Discussion, body: Body, user: str) -> tuple[Discussion, Body, News]:
        discussions.check_open(old)
        new = discussions.commented(repo, old, body.get("comment"), user)
        return new, {"newMessage": new.events[-1]}, _comment_made

    return await _changed(request, change)


async def edit_comment(request: Request) -> Response:
    """Replace the text of a comment."""
    comment_id = request.path_params["comment"]

    def change(repo: Repo, old: Discussion, body: Body, user: str) -> tuple[Discussion, Body, News]:
        discussions.check_open(old)
        new = discussions.edited(old, comment_id, body.get("content"), user)
        return new, *_updated(new, comment_id)

    return await _changed(request, change)


async def hide_comment(request: Request) -> Response:
    """Take the text of a comment away."""
    comment_id = request.path_params["comment"]

    def change(repo: Repo, old: Discussion, body: Body, user: str) -> tuple[Discussion, Body, News]:
        new = discussions.hidden(old, comment_id, user)
        return new, *_updated(new, comment_id)

    return await _changed(request, change)


async def rename(request: Request) -> Response:
    """Give a discussion another title."""

    def change(repo: Repo, old: Discussion, body: Body, user: str) -> tuple[Discussion, Body, News]:
        new = discussions.renamed(repo, old, body.get("title"), user)
        return new, {"newTitle": new.events[-1]}, events.discussion_changed

    return await _changed(request, change)


async def change_status(request: Request) -> Response:
    """Open or close a discussion, with a comment if there is one."""

    def change(repo: Repo, old: Discussion, body: Body, user: str) -> tuple[Discussion, Body, News]:
        if body.get("status") not in ("open", "closed"):
            raise bad_request("status is neither open nor closed")
        said = body.get("comment")
        if said is not None and old.locked:
            discussions.check_open(old)
        first = old if said is None else discussions.commented(repo, old, said, user)
        new = discussions.with_status(repo, first, body["status"], user)

        def tell(hub: Hub, repo: Repo, new: Discussion) -> None:
            if said is not None:
                events.comment_made(hub, repo, new, first.events[-1])
            events.discussion_changed(hub, repo, new)

        return new, {"newStatus": new.events[-1]}, tell

    return await _changed(request, change)


async def merge(request: Request) -> Response:
    """Merge a pull request."""
    user = user_of(request)
    body = await read_optional_json(request)

    def answer() -> Response:
        repo = repo_of(request)
        merged = pulls.merge(hub_of(request), repo.id, _num(request), user, body.get("comment"))
        return JSONResponse({"mergeCommitId": merged.merge_commit})

    return await run_in_threadpool(answer)


async def _changed(request: Request, change: Change) -> Response:
    """Change one discussion under the lock, and answer what the change says."""
    user, hub = user_of(request), hub_of(request)
    body = await read_optional_json(request)

    def answer() -> Response:
        with hub.writing:
            repo = find_repo(hub, repo_id_of(request), authorized=True)
            discussions.check_enabled(repo)
            new, said, tell = change(repo, discussions.read_discussion(repo, _num(request)), body, user)
            discussions.keep(hub, repo, new)
            tell(hub, repo, new)
        return JSONResponse(said)

    return await run_in_threadpool(answer)


def _open(hub: Hub, repo: Repo, title: object, text: object, user: str) -> Discussion:
    with hub.writing:
        discussions.check_enabled(repo)
        made = discussions.new_discussion(repo, title, text, user, "open", pull=False)
        discussions.keep(hub, repo, made)
        events.discussion_made(hub, repo, made)
    return made


def _comment_made(hub: Hub, repo: Repo, discussion: Discussion) -> None:
    events.comment_made(hub, repo, discussion, discussion.events[-1])


def _updated(new: Discussion, comment_id: str) -> tuple[Body, News]:
    comment = discussions.comment_of(new, comment_id)
    return {"updatedComment": comment}, lambda hub, repo, new: events.comment_changed(hub, repo, new, comment)


def _all(repo: Repo) -> list[Discussion]:
    nums = sorted(discussions.numbers(repo), reverse=True)
    return [found for num in nums if (found := discussions.find_discussion(repo, num))]


def _num(request: Request) -> int:
    text = request.path_params["num"]
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        raise discussion_not_found()
    return int(text)


def _summary(repo: Repo, discussion: Discussion) -> Body:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "status": discussion.status,
        "author": discussions.user(discussion.author),
        "createdAt": discussion.created_at,
        "isPullRequest": discussion.is_pull_request,
        "numComments": sum(event.get("type") == "comment" for event in discussion.events),
        "repo": {"name": repo.id, "type": "model"},
    }
