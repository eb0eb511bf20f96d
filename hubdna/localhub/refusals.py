"""How the local Hub says no.

The Hub's client reads the reason of a failure from two headers, `X-Error-Code` and `X-Error-Message`, and picks its
exception class by them. A handler raises a `Refusal`; the app turns it into that answer. One function per reason
keeps status codes and header spellings in one place.
"""

from collections.abc import Mapping

#: Longest text put in a header. Messages may quote what the caller sent, and clients cap the size of headers.
MESSAGE_LIMIT = 200


class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """An answer of 4xx with the headers the Hub's client expects."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.extra = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """The refusal as HTTP headers; a header holds one line of plain ASCII."""
        line = " ".join(self.message.encode("ascii", "replace").decode().split())[:MESSAGE_LIMIT]
        code = {"X-Error-Code": self.code} if self.code else {}
        return {**code, "X-Error-Message": line, **self.extra}


def bad_request(message: str) -> Refusal:
    """The request is malformed."""
    return Refusal(400, message)


def unauthorized() -> Refusal:
    """The call writes, or asks who the caller is, and carries no token."""
    return Refusal(401, "Invalid username or password.")


def repo_not_found(authorized: bool) -> Refusal:
    """No such repository. Without a token the Hub answers 401, so as not to tell private from missing."""
    return Refusal(404 if authorized else 401, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    """No such branch or commit."""
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, sha: str) -> Refusal:
    """No such file. The commit goes along: clients remember by it which files do not exist."""
    return Refusal(404, f"Entry not found: {path}", "EntryNotFound", {"X-Repo-Commit": sha})


def discussion_not_found() -> Refusal:
    """No discussion of this number."""
    return Refusal(404, "Discussion not found")


def comment_not_found() -> Refusal:
    """No such comment in the discussion."""
    return Refusal(404, "Comment not found")


def webhook_not_found() -> Refusal:
    """No such webhook, or it is another user's."""
    return Refusal(404, "Webhook not found")


def not_now(message: str) -> Refusal:
    """The request is fine and the state of things forbids it: a merged pull request, a conflict."""
    return Refusal(409, message)


def request_not_found() -> Refusal:
    """Nobody asked for access who could be given this status."""
    return Refusal(404, "No access request found matching your criteria")


def gated(repo_id: str, authorized: bool, reason: str = "") -> Refusal:
    """The repository's files need an accepted agreement."""
    message = reason or f"Access to model {repo_id} is restricted and you are not in the authorized list."
    return Refusal(403 if authorized else 401, message, "GatedRepo")
