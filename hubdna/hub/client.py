"""Listings, commits and cards of a Hub, through the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import default_client_factory

from hubdna.errors import GatedError, HubError, NotFoundError, UsageError
from hubdna.hub.patience import N_TRIES, RETRIED, Throttle, TryAgainError, error_of, given_up
from hubdna.hub.reader import HubReader, Link
from hubdna.records import ModelRef, Snapshot

_EXPAND: Any = ["author", "cardData", "config", "createdAt", "gated", "private", "sha", "siblings"]
"""All a crawl needs from a listing; `config` here spares a counted download."""
TIMEOUT = httpx2.Timeout(20.0, connect=10.0)
MAX_CARD = 1_000_000
"""Bytes of README.md that are read; the Hub itself refuses longer YAML."""

T = TypeVar("T")


class Hub:
    """A Hub: huggingface.co, or any endpoint that speaks its protocol.

    Args:
        endpoint: base address; None means HF_ENDPOINT or the public Hub.
        token: access token; None means the one the client is logged in with.
        timeout: of one request; huggingface_hub's own session has none, so it is given this one.
    """

    def __init__(
        self, endpoint: str | None = None, token: str | None = None, timeout: httpx2.Timeout = TIMEOUT
    ) -> None:
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        if not self.endpoint.startswith(("http://", "https://")):
            raise UsageError(f"endpoint {self.endpoint!r}: expected an address that starts with http:// or https://")
        set_client_factory(lambda: _with_timeout(default_client_factory(), timeout))
        self.api = HfApi(endpoint=self.endpoint, token=token, library_name="hubdna")
        self.link = Link(self.endpoint, token, httpx2.Client(timeout=timeout, follow_redirects=False), Throttle())

    def models(
        self, filters: tuple[str, ...] = (), author: str | None = None, limit: int | None = None
    ) -> Iterator[Snapshot]:
        """Yield models of a listing. Raises HubError when a page cannot be had."""
        pages = self.api.list_models(filter=list(filters) or None, author=author, limit=limit, expand=_EXPAND)
        rows = iter(pages)
        while (info := self._next_row(rows)) is not None:
            yield _snapshot(info, info.id, "main")

    def _next_row(self, rows: Iterator[Any]) -> Any:
        """The client has retried each page already, and a generator that raised has ended: so no second try here."""
        try:
            return _translated(f"the listing of {self.endpoint}", lambda: next(rows, None))
        except TryAgainError as error:
            raise given_up(f"the listing of {self.endpoint}", error) from None

    def snapshot(self, ref: ModelRef) -> Snapshot:
        """Resolve a reference to a commit and its files. Raises NotFoundError, GatedError, HubError."""
        return _snapshot(
            self.patiently(
                str(ref),
                lambda: self.api.model_info(ref.repo_id, revision=ref.revision, expand=_EXPAND, timeout=20),
            ),
            ref.repo_id,
            ref.revision,
        )

    def reader(self, ref: ModelRef) -> HubReader:
        """Byte ranges of the files of one commit."""
        return HubReader(self.link, ref)

    def card(self, ref: ModelRef) -> str | None:
        """The text of README.md, or None when there is none. Raises HubError."""
        try:
            return HubReader(self.link, ref).read("README.md", 0, MAX_CARD).decode("utf-8", "replace")
        except NotFoundError:
            return None

    def patiently(self, subject: str, call: Callable[[], T]) -> T:
        """Run one API call; wait and repeat on 429, 5xx and lost connections."""
        for attempt in range(N_TRIES):
            self.link.throttle.wait()
            try:
                return _translated(subject, call)
            except TryAgainError as error:
                self.link.throttle.back_off(error, attempt)
                last = error
        raise given_up(subject, last)


def _with_timeout(client: httpx2.Client, timeout: httpx2.Timeout) -> httpx2.Client:
    client.timeout = timeout
    return client


def _translated(subject: str, call: Callable[[], T]) -> T:
    """Run a client call; its errors become ours, or a request to try again."""
    try:
        return call()
    except GatedRepoError:
        raise GatedError(f"{subject}: gated; ask for access on its page, then log in or pass --token") from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise NotFoundError(f"{subject}: no such model or revision, or it is private") from None
    except OfflineModeIsEnabled:
        raise HubError(f"{subject}: offline mode is on (HF_HUB_OFFLINE)") from None
    except HfHubHTTPError as error:
        response = error.response
        raise error_of(response.status_code, response.headers, subject) from None
    except RETRIED as error:
        raise TryAgainError(f"{type(error).__name__}: {error}") from None


def _snapshot(info: Any, repo_id: str, revision: str) -> Snapshot:
    card = info.card_data.to_dict() if info.card_data is not None else None
    return Snapshot(
        ModelRef(repo_id, revision, info.sha),
        tuple(s.rfilename for s in info.siblings or ()),
        info.config if isinstance(info.config, dict) else None,
        card,
        info.created_at.isoformat() if info.created_at else None,
        info.author or repo_id.partition("/")[0],
        bool(info.gated),
        bool(info.private),
    )
