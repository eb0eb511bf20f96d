"""The only module that talks to the Hub: listings, byte ranges, cards.

Three facts of the Hub shape it. `config.json` through `/resolve/` counts as a download, so configs come from listings.
A large file's `/resolve/` answers with a redirect that already carries its SHA-256 and size: exact copies are known
before a weight byte is read, and every later range goes straight to the signed address. And a server that ignores
`Range` answers 200 with the whole file, so the status is checked before the body is touched.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory, parse_ratelimit_headers

from hubdna.errors import GatedError, HubError, NotFoundError, RangeIgnoredError, RateLimitedError
from hubdna.records import ModelRef, Snapshot

_EXPAND: Any = ["author", "cardData", "config", "createdAt", "gated", "private", "sha", "siblings"]
"""All a crawl needs from a listing; `config` here spares a counted download."""
N_TRIES = 5
MAX_PAUSE_S = 330.0
"""The Hub's rate window is five minutes; a longer wait is somebody's mistake."""
TIMEOUT = httpx2.Timeout(20.0, connect=10.0)
MAX_CARD = 1_000_000
"""Bytes of README.md that are read; the Hub itself refuses longer YAML."""

_RETRIED = (httpx2.TransportError, httpx2.StreamError)
T = TypeVar("T")


class _TryAgainError(Exception):
    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Throttle:
    """One pause for all threads: when the Hub says 429, nobody asks again until it may."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until the Hub may be asked again."""
        while (left := self._until - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))

    def pause(self, seconds: float) -> None:
        """Ask everybody to wait for so many seconds from now."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + min(seconds, MAX_PAUSE_S))


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
        self.token = token
        self.throttle = Throttle()
        set_client_factory(lambda: _with_timeout(default_client_factory(), timeout))
        self.api = HfApi(endpoint=self.endpoint, token=token, library_name="hubdna")
        self.client = httpx2.Client(timeout=timeout, follow_redirects=False)

    def models(
        self, filters: tuple[str, ...] = (), author: str | None = None, limit: int | None = None
    ) -> Iterator[Snapshot]:
        """Yield models of a listing. Raises HubError when a page cannot be had."""
        pages = self.api.list_models(filter=list(filters) or None, author=author, limit=limit, expand=_EXPAND)
        rows = iter(pages)
        while (info := _translated("the listing", lambda: next(rows, None))) is not None:
            yield _snapshot(info, info.id, "main")

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
        return HubReader(self, ref)

    def card(self, ref: ModelRef) -> str | None:
        """The text of README.md, or None when there is none. Raises HubError."""
        try:
            return HubReader(self, ref).read("README.md", 0, MAX_CARD).decode("utf-8", "replace")
        except NotFoundError:
            return None

    def patiently(self, subject: str, call: Callable[[], T]) -> T:
        """Run one API call; wait and repeat on 429, 5xx and lost connections."""
        for attempt in range(N_TRIES):
            self.throttle.wait()
            try:
                return _translated(subject, call)
            except _TryAgainError as error:
                self._back_off(error, attempt)
                last = error
        raise _given_up(subject, last)

    def _back_off(self, error: _TryAgainError, attempt: int) -> None:
        if error.pause_s is not None:
            self.throttle.pause(error.pause_s)
        elif attempt + 1 < N_TRIES:
            time.sleep(0.2 * 2**attempt * (1 + random.random()))


class HubReader:
    """Byte ranges of the files of one model on the Hub.

    `n_requests` counts requests that were sent for bytes; the hop from `/resolve/` to the signed address is not one.
    """

    def __init__(self, hub: Hub, ref: ModelRef) -> None:
        self.hub, self.ref = hub, ref
        self.n_bytes = 0
        self.n_requests = 0
        self._sizes: dict[str, int] = {}
        self._hashes: dict[str, str | None] = {}
        self._addresses: dict[str, str] = {}
        self._unused: set[str] = set()

    def size(self, filename: str) -> int:
        """Length of a file that was read from or asked about before, in bytes."""
        if filename not in self._sizes:
            raise HubError(f"{self.ref}/{filename}: the Hub did not say how long the file is")
        return self._sizes[filename]

    def sha256(self, filename: str) -> str | None:
        """The file's hash if a redirect already carried it, else None."""
        return self._hashes.get(filename)

    def ask_sha256(self, filename: str) -> str | None:
        """Ask for the file's hash: one request, and no byte of the body is taken. None when the Hub does not say."""
        if filename not in self._hashes:
            self._repeat(filename, lambda: self._resolve(filename, 0, 1))
        return self._hashes.get(filename)

    def read(self, filename: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), cut at the end of the file.

        Raises:
            RangeIgnoredError: the server sent the whole file instead; its body was not taken.
            NotFoundError, GatedError, RateLimitedError, HubError: the bytes could not be had.
        """
        return self._repeat(filename, lambda: self._read_once(filename, start, stop))

    def _repeat(self, filename: str, attempt_once: Callable[[], T]) -> T:
        subject = f"{self.ref}/{filename}"
        for attempt in range(N_TRIES):
            self.hub.throttle.wait()
            try:
                return attempt_once()
            except _TryAgainError as error:
                last = error
            except _RETRIED as error:
                last = _TryAgainError(f"{type(error).__name__}: {error}")
            self._addresses.pop(filename, None)  # a signed address may have expired
            self.hub._back_off(last, attempt)
        raise _given_up(subject, last)

    def _read_once(self, filename: str, start: int, stop: int) -> bytes:
        address = self._addresses.get(filename)
        if address is None:
            data = self._resolve(filename, start, stop)
            if data is not None:
                return data
            address = self._addresses[filename]
        elif filename not in self._unused:
            self.n_requests += 1
        self._unused.discard(filename)
        with self._get(address, start, stop) as response:
            return self._body(response, filename, start, stop)

    def _resolve(self, filename: str, start: int, stop: int) -> bytes | None:
        """Ask `/resolve/`: None and a remembered address when it redirects, the bytes when it answers itself."""
        self.n_requests += 1
        url = hf_hub_url(
            self.ref.repo_id, filename, revision=self.ref.sha or self.ref.revision, endpoint=self.hub.endpoint
        )
        for _ in range(3):  # renamed repositories redirect once within the Hub
            with self._get(url, start, stop) as response:
                if response.status_code not in (301, 302, 303, 307, 308):
                    self._hashes.setdefault(filename, None)
                    return self._body(response, filename, start, stop)
                target = urljoin(url, response.headers.get("Location", ""))
                if urlsplit(target).scheme not in ("http", "https"):
                    raise HubError(f"{self.ref}/{filename}: redirected to something that is not a web address")
                if "X-Linked-Etag" not in response.headers:
                    url = target
                    continue
                self._remember(filename, response.headers, target)
                return None
        raise HubError(f"{self.ref}/{filename}: more than three redirects")

    def _remember(self, filename: str, headers: httpx2.Headers, address: str) -> None:
        self._addresses[filename] = address
        self._unused.add(filename)
        etag = headers["X-Linked-Etag"].strip('"')
        self._hashes[filename] = etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None
        if headers.get("X-Linked-Size", "").isdigit():
            self._sizes.setdefault(filename, int(headers["X-Linked-Size"]))

    @contextmanager
    def _get(self, url: str, start: int, stop: int) -> Iterator[httpx2.Response]:
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        if urlsplit(url).netloc == urlsplit(self.hub.endpoint).netloc:  # the token never leaves the Hub's host
            headers |= build_hf_headers(token=self.hub.token, library_name="hubdna")
        with self.hub.client.stream("GET", url, headers=headers) as response:
            yield response

    def _body(self, response: httpx2.Response, filename: str, start: int, stop: int) -> bytes:
        """Check the answer before its body is touched, then take exactly what was asked for."""
        subject = f"{self.ref}/{filename}"
        if response.status_code == 206:
            expected = self._check_range(response, filename, start, stop)
        elif response.status_code == 200:
            length = response.headers.get("Content-Length", "")
            if start != 0 or not length.isdigit() or int(length) > stop:
                raise RangeIgnoredError(
                    f"{subject}: asked for bytes {start}-{stop - 1}, the server sent the whole file; not taken"
                )
            expected = self._sizes[filename] = int(length)
        elif response.status_code == 416 and start == 0:
            self._sizes[filename] = 0
            return b""
        else:
            raise _error_of(response.status_code, response.headers, subject)
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > expected:
                raise HubError(f"{subject}: more bytes than the {expected} announced")
        self.n_bytes += len(data)
        if len(data) != expected:
            raise _TryAgainError(f"connection cut after {len(data)} of {expected} bytes")
        return bytes(data)

    def _check_range(self, response: httpx2.Response, filename: str, start: int, stop: int) -> int:
        said = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if not said or int(said[1]) != start or not start <= int(said[2]) < min(stop, int(said[3])):
            found = response.headers.get("Content-Range")
            raise HubError(
                f"{self.ref}/{filename}: asked for bytes {start}-{stop - 1}, answered Content-Range {found!r}"
            )
        size = self._sizes[filename] = int(said[3])
        if int(said[2]) + 1 != min(stop, size):
            raise _TryAgainError(f"asked for bytes {start}-{stop - 1}, answered {said[0]}")
        return int(said[2]) + 1 - start


def _with_timeout(client: httpx2.Client, timeout: httpx2.Timeout) -> httpx2.Client:
    client.timeout = timeout
    return client


def _translated(subject: str, call: Callable[[], T]) -> T:
    """Run a client call; its errors become ours, or a request to try again."""
    try:
        return call()
    except GatedRepoError:
        raise GatedError(f"{subject}: gated; ask for access on its page, then log in or pass --token") from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise NotFoundError(f"{subject}: no such model or revision, or it is private ({_first_line(error)})") from None
    except OfflineModeIsEnabled:
        raise HubError(f"{subject}: offline mode is on (HF_HUB_OFFLINE)") from None
    except HfHubHTTPError as error:
        response = error.response
        raise _error_of(response.status_code, response.headers, subject) from None
    except _RETRIED as error:
        raise _TryAgainError(f"{type(error).__name__}: {error}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _error_of(status: int, headers: httpx2.Headers, subject: str) -> Exception:
    """What a bad status means; repeatable ones are a request to try again."""
    code = headers.get("X-Error-Code", "")
    if status == 429:
        info = parse_ratelimit_headers(headers)
        after = headers.get("Retry-After", "")
        pause = info.reset_in_seconds + 1 if info else float(after) if after.isdigit() else None
        return _TryAgainError("429 Too Many Requests", pause)
    if status in (408, 500, 502, 503, 504):
        return _TryAgainError(f"HTTP {status}")
    if code == "GatedRepo":
        return GatedError(f"{subject}: gated; ask for access on its page, then log in or pass --token")
    if code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound") or status in (401, 404):
        return NotFoundError(f"{subject}: not found, or private ({code or status})")
    if status == 403:  # a signed address that expired
        return _TryAgainError("HTTP 403")
    return HubError(f"{subject}: HTTP {status} {headers.get('X-Error-Message', '')[:120]}".rstrip())


def _given_up(subject: str, last: _TryAgainError) -> HubError:
    kind = RateLimitedError if "429" in str(last) else HubError
    return kind(f"{subject}: given up after {N_TRIES} tries; the last one ended with {last}")


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
