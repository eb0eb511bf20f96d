"""The community tab of a model: one account's discussions, opened once, edited, closed.

Reading, editing and closing may be repeated, so they are sent again after a bad answer. Opening is sent once: whoever
wants no two looks for the first before the next try.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from huggingface_hub import DiscussionComment, DiscussionStatusChange, HfApi, get_token

from hubdna.errors import HubError
from hubdna.hub.client import Hub

MAX_LISTED = 200
"""Discussions of one listing that are looked at."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A discussion or pull request as the Hub has it.

    Attributes:
        status: `open`, `closed`, `merged` or `draft`.
        comment_id: of its opening comment; None when it was not looked at or has none.
        text: the opening comment as Markdown; None when it was not looked at or is hidden.
        closed_by: who changed its status last; None when nobody did or it was not looked at.
        hidden: whether the opening comment was hidden.
    """

    num: int
    title: str
    author: str
    status: str
    comment_id: str | None = None
    text: str | None = None
    closed_by: str | None = None
    hidden: bool = False
    is_pull_request: bool = False

    @property
    def is_open(self) -> bool:
        """Whether people see it as going on."""
        return self.status in ("open", "draft")


class Community:
    """Discussions of models, as the account of the hub's token."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._api = HfApi(hub.endpoint, hub.link.token, library_name="hubdna")

    @property
    def has_token(self) -> bool:
        """Whether there is a token to write with; the Hub is not asked."""
        return bool(self.hub.link.token or get_token())

    @cached_property
    def me(self) -> str:
        """The name of the account. Raises HubError without a token."""
        said = self.hub.patiently("the account of the token", self._api.whoami)
        name = said.get("name") if isinstance(said, dict) else None
        if not isinstance(name, str) or not name:
            raise HubError("the account of the token: the Hub's answer holds no name; log in or pass --token")
        return name

    def topics(self, repo_id: str, author: str | None = None) -> list[Topic]:
        """Discussions of a model, newest first; at most MAX_LISTED. Raises HubError."""

        def ask() -> list[Topic]:
            found = self._api.get_repo_discussions(repo_id, author=author)
            return [Topic(d.num, d.title, d.author, d.status) for d in islice(found, MAX_LISTED)]

        return self.hub.patiently(f"{repo_id}: discussions", ask)

    def topic(self, repo_id: str, num: int) -> Topic:
        """One discussion with its opening comment. Raises HubError."""
        subject = f"{repo_id}: discussion {num}"
        found = self.hub.patiently(subject, lambda: self._api.get_discussion_details(repo_id, num))
        first = next((e for e in found.events if isinstance(e, DiscussionComment)), None)
        changes = [e.author for e in found.events if isinstance(e, DiscussionStatusChange)]
        return Topic(
            found.num, found.title, found.author, found.status,
            first.id if first else None, first.content if first and not first.hidden else None,
            changes[-1] if changes else None, first.hidden if first else False, found.is_pull_request,
        )  # fmt: skip

    def open(self, repo_id: str, title: str, text: str) -> int:
        """Open a discussion; its number. Raises HubError, also when it is not known whether it was opened."""

        def send() -> Any:
            return self._api.create_discussion(repo_id, title, description=text).num

        num = self.hub.once(f"{repo_id}: new discussion", send)
        if not isinstance(num, int):
            raise HubError(f"{repo_id}: new discussion: the Hub's answer holds no number")
        return num

    def edit(self, repo_id: str, topic: Topic, text: str) -> None:
        """Give the opening comment another text. Raises HubError."""
        if topic.comment_id is None:
            raise HubError(f"{repo_id}: discussion {topic.num} has no opening comment to edit")
        comment: str = topic.comment_id
        self.hub.patiently(
            f"{repo_id}: discussion {topic.num}",
            lambda: self._api.edit_discussion_comment(repo_id, topic.num, comment, text),
        )

    def set_status(self, repo_id: str, num: int, status: str) -> None:
        """Close a discussion, or open it again. Raises HubError."""
        self.hub.patiently(
            f"{repo_id}: discussion {num}",
            lambda: self._api.change_discussion_status(repo_id, num, status),  # type: ignore[arg-type]
        )
