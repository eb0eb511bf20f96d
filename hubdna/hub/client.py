"""Listings, commits and cards of a Hub, through the real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_session, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status
from huggingface_hub.utils._pagination import paginate

from hubdna.card import MAX_CARD
from hubdna.errors import GatedError, HubError, NotFoundError, UsageError
from hubdna.hub.patience import N_TRIES, RETRIED, Throttle, TryAgainError, error_of, given_up
from hubdna.hub.reader import HubReader, Link
from hubdna.records import ModelRef, Skipped, Snapshot

_EXPAND: Any = ["author", "cardData", "config", "createdAt", "gated", "private", "sha", "siblings"]
"""All a crawl needs from a listing; `config` here spares a counted download."""
TIMEOUT = httpx2.Timeout(20.0, connect=10.0)

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
        self.link = Link(self.endpoint, token, httpx2.Client(timeout=timeout, follow_redirects=False), Throttle())

    def models(
        self, filters: tuple[str, ...] = (), author: str | None = None, limit: int | None = None
    ) -> Iterator[Snapshot | Skipped]:
        """Yield models of a listing; a row that makes no sense is a Skipped. Raises HubError when a page cannot be had.

        Rows are taken as JSON: the client's own classes refuse some malformed cards, and one such card would end the
        listing for all models after it.
        """
        asked = {"filter": list(filters), "author": author, "limit": limit, "expand": _EXPAND}
        params = {key: value for key, value in asked.items() if value}
        headers = build_hf_headers(token=self.link.token, library_name="hubdna")
        rows = islice(paginate(f"{self.endpoint}/api/models", params, headers), limit)
        while (row := self._next_row(rows)) is not None:
            try:
                yield _snapshot(row, "main")
            except HubError as error:
                yield Skipped("a row of the listing", str(error))

    def _next_row(self, rows: Iterator[Any]) -> Any:
        """The client has retried each page already, and a generator that raised has ended: so no second try here."""
        try:
            return _translated(f"the listing of {self.endpoint}", lambda: next(rows, None))
        except TryAgainError as error:
            raise given_up(f"the listing of {self.endpoint}", error) from None

    def snapshot(self, ref: ModelRef) -> Snapshot:
        """Resolve a reference to a commit and its files. Raises NotFoundError, GatedError, HubError."""
        return _snapshot(self.patiently(str(ref), lambda: self._model(ref)), ref.revision)

    def _model(self, ref: ModelRef) -> Any:
        url = f"{self.endpoint}/api/models/{ref.repo_id}/revision/{quote(ref.revision, safe='')}"
        headers = build_hf_headers(token=self.link.token, library_name="hubdna")
        response = get_session().get(url, params={"expand": _EXPAND}, headers=headers)
        hf_raise_for_status(response)
        return response.json()

    def reader(self, ref: ModelRef) -> HubReader:
        """Byte ranges of the files of one commit."""
        return HubReader(self.link, ref)

    def card(self, ref: ModelRef) -> str | None:
        """The text of README.md, or None when there is none. Raises HubError."""
        data = self.card_bytes(ref)
        return None if data is None else data.decode("utf-8", "replace")

    def card_bytes(self, ref: ModelRef) -> bytes | None:
        """README.md as it is, up to MAX_CARD bytes, or None when there is none. Raises HubError."""
        try:
            return HubReader(self.link, ref).read("README.md", 0, MAX_CARD)
        except NotFoundError:
            return None

    def propose(self, ref: ModelRef, card: bytes, title: str, description: str) -> str:
        """Open a pull request that replaces README.md, on top of the commit `ref.sha`.

        It is sent once: when an answer is lost, the request may have arrived, and nobody wants two.

        Returns:
            The address of the pull request.

        Raises:
            HubError: the model has moved on from that commit, or the Hub took no pull request.
        """
        if ref.sha is None:
            raise UsageError(f"{ref}: expected a commit to build on, found none; audit the model first")

        def send() -> Any:
            api = HfApi(self.endpoint, self.link.token, library_name="hubdna")
            return api.create_commit(
                ref.repo_id, [CommitOperationAdd("README.md", card)], commit_message=title,
                commit_description=description, create_pr=True, parent_commit=ref.sha,
            ).pr_url  # fmt: skip

        subject = f"{ref}: pull request"
        url = self.once(subject, send)
        if not isinstance(url, str):
            raise HubError(f"{subject}: the Hub's answer holds no address of one")
        return url

    def once(self, subject: str, send: Callable[[], T]) -> T:
        """Send what must not arrive twice. Raises HubError, also when it is not known whether it arrived."""
        self.link.throttle.wait()
        try:
            return _translated(subject, lambda: _sent(subject, send))
        except TryAgainError as error:
            self.link.throttle.back_off(error, N_TRIES)
            raise HubError(f"{subject}: not sure that it arrived ({error}); look at the model's discussions") from None

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


def _sent(subject: str, send: Callable[[], T]) -> T:
    """Run a request that writes; its refusals have reasons of their own."""
    try:
        return send()
    except HfHubHTTPError as error:
        status, said = error.response.status_code, str(error.server_message or "")[:120]
        if status in (409, 412):
            raise HubError(f"{subject}: the model has changed since it was audited; audit it again") from None
        if status in (401, 403):
            raise HubError(
                f"{subject}: HTTP {status}; expected a token that may open discussions: log in or pass --token"
            ) from None
        if status == 501:
            raise HubError(f"{subject}: this Hub takes none ({said})".replace(" ()", "")) from None
        raise
    except ValueError as error:  # the Hub refuses the card's metadata, for a reason that was there before
        raise HubError(f"{subject}: {' '.join(str(error).split())[:200]}") from None


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
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise HubError(f"{subject}: an answer that is not understood ({type(error).__name__})") from None


def _snapshot(row: Any, revision: str) -> Snapshot:
    """A snapshot from the Hub's JSON; fields of a wrong type are absent. Raises HubError without name or commit."""
    row = row if isinstance(row, dict) else {}
    repo_id, sha = row.get("id"), row.get("sha")
    if not isinstance(repo_id, str) or not _is_name(repo_id) or not isinstance(sha, str):
        raise HubError(f"{ascii(repo_id)[:80]}: the Hub's answer holds no sound name and commit")
    siblings = row.get("siblings")
    names = [s.get("rfilename") for s in siblings if isinstance(s, dict)] if isinstance(siblings, list) else []
    return Snapshot(
        ModelRef(repo_id, revision, sha),
        tuple(name for name in names if isinstance(name, str)),
        _if(dict, row.get("config")),
        _if(dict, row.get("cardData")),
        _if(str, row.get("createdAt")),
        _if(str, row.get("author")) or repo_id.partition("/")[0],
        bool(row.get("gated")),
        bool(row.get("private")),
    )


def _is_name(repo_id: str) -> bool:
    try:
        return not ModelRef.parse(repo_id).is_local
    except UsageError:
        return False


def _if(kind: type[T], value: Any) -> T | None:
    return value if isinstance(value, kind) else None
