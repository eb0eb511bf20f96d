"""Patience: what a bad answer means, how long to wait, when to give up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping

import httpx2
from huggingface_hub.utils._http import parse_ratelimit_headers

from hubdna.errors import GatedError, HubError, NotFoundError, RateLimitedError

N_TRIES = 5
MAX_PAUSE_S = 330.0
"""The Hub's rate window is five minutes; a longer wait is somebody's mistake."""
RETRIED = (httpx2.TransportError, httpx2.StreamError)
"""Lost connections and time-outs."""


class TryAgainError(Exception):
    """Not an answer yet; `pause_s` is how long the Hub asked everybody to wait."""

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

    def back_off(self, error: TryAgainError, attempt: int) -> None:
        """Wait before the next attempt: as long as the Hub asked, else a random time that doubles."""
        if error.pause_s is not None:
            self.pause(error.pause_s)
        elif attempt + 1 < N_TRIES:
            time.sleep(0.2 * 2**attempt * (1 + random.random()))


def error_of(status: int, headers: Mapping[str, str], subject: str) -> Exception:
    """What a bad status means; repeatable ones are a request to try again."""
    code = headers.get("X-Error-Code", "")
    if status == 429:
        info = parse_ratelimit_headers(headers)
        after = headers.get("Retry-After", "")
        pause = info.reset_in_seconds + 1 if info else float(after) if after.isdigit() else None
        return TryAgainError("429 Too Many Requests", pause)
    if status in (408, 500, 502, 503, 504):
        return TryAgainError(f"HTTP {status}")
    if code == "GatedRepo":
        return GatedError(f"{subject}: gated; ask for access on its page, then log in or pass --token")
    if code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound") or status in (401, 404):
        return NotFoundError(f"{subject}: no such file, model or revision, or it is private")
    if status == 403:  # a signed address that expired
        return TryAgainError("HTTP 403")
    return HubError(f"{subject}: HTTP {status} {headers.get('X-Error-Message', '')[:120]}".rstrip())


def given_up(subject: str, last: TryAgainError) -> HubError:
    """The error after the last try."""
    kind = RateLimitedError if "429" in str(last) else HubError
    return kind(f"{subject}: given up after {N_TRIES} tries; the last one ended with {last}")
