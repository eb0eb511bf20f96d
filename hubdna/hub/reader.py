"""Byte ranges over the Hub: one hop to the signed address, the status before the body, exact counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers

from hubdna.errors import HubError, RangeIgnoredError
from hubdna.hub.patience import N_TRIES, RETRIED, Throttle, TryAgainError, error_of, given_up
from hubdna.records import ModelRef

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """How a Hub is reached; shared by all readers and threads."""

    endpoint: str
    token: str | None = field(repr=False)
    client: httpx2.Client
    throttle: Throttle


class HubReader:
    """Byte ranges of the files of one model on the Hub.

    `n_requests` counts requests that were sent for bytes; the hop from `/resolve/` to the signed address is not one.
    """

    def __init__(self, link: Link, ref: ModelRef) -> None:
        self.link, self.ref = link, ref
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
            self.link.throttle.wait()
            try:
                return attempt_once()
            except TryAgainError as error:
                last = error
            except RETRIED as error:
                last = TryAgainError(f"{type(error).__name__}: {error}")
            self._addresses.pop(filename, None)  # a signed address may have expired
            self.link.throttle.back_off(last, attempt)
        raise given_up(subject, last)

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
            self.ref.repo_id, filename, revision=self.ref.sha or self.ref.revision, endpoint=self.link.endpoint
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
        if urlsplit(url)[:2] == urlsplit(self.link.endpoint)[:2]:  # the token never leaves the Hub's scheme and host
            headers |= build_hf_headers(token=self.link.token, library_name="hubdna")
        with self.link.client.stream("GET", url, headers=headers) as response:
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
            raise error_of(response.status_code, response.headers, subject)
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > expected:
                raise HubError(f"{subject}: more bytes than the {expected} announced")
        self.n_bytes += len(data)
        if len(data) != expected:
            raise TryAgainError(f"connection cut after {len(data)} of {expected} bytes")
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
            raise TryAgainError(f"asked for bytes {start}-{stop - 1}, answered {said[0]}")
        return int(said[2]) + 1 - start
