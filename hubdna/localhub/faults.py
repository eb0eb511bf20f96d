"""Ways in which a Hub misbehaves, on demand.

A crawler meets rate limits, time-outs, servers that ignore ranges and repositories that vanish between the listing
and the read. A test asks the local Hub for exactly one of them: which kind, for which requests, how many times.

Kinds:
    429               Too Many Requests with the Hub's `RateLimit` header; `seconds` is when the quota comes back
    429-retry-after   the same with the plain `Retry-After` header
    500               an internal error
    hang              nothing for `seconds`, then the right answer
    ignore-range      200 and the whole file instead of 206 and the range
    cut               the connection drops in the middle of the body
    truncated         a complete answer whose Content-Length and body are half as long as they should be
    wrong-range       Content-Range names other bytes than were asked for
    gated             403 for the files of the repository; its listing and metadata stay visible
    vanished          the repository is listed but does not exist
    expired           the CDN refuses its signed URL
    duplicate         a webhook delivery is made twice
    reorder           a webhook delivery comes after the next one, if there is one within `seconds`
    drop              a webhook delivery is not made
"""

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Kind = Literal[
    "429",
    "429-retry-after",
    "500",
    "hang",
    "ignore-range",
    "cut",
    "truncated",
    "wrong-range",
    "gated",
    "vanished",
    "expired",
    "duplicate",
    "reorder",
    "drop",
]
Host = Literal["hub", "cdn", "webhook"]

#: Faults that need a file's bytes in the answer: a redirect, an error or a HEAD neither shows nor uses them up.
BODY_KINDS = frozenset({"ignore-range", "cut", "truncated", "wrong-range"})
#: Of those, the ones that only a request with a Range header can meet.
RANGE_KINDS = frozenset({"ignore-range", "wrong-range"})
#: Faults of webhook deliveries; they meet nothing else, and nothing else meets deliveries.
DELIVERY_KINDS = frozenset({"duplicate", "reorder", "drop"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is aimed at, as far as its URL tells. The path of a delivery is its event."""

    host: Host
    method: str
    path: str
    repo: str | None
    file: str | None
    ranged: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour and the requests it meets.

    Attributes:
        kind: What happens.
        repo: Repository id or glob; None for all requests.
        path: Glob over the file's path in its repository; for requests that name no file, over the URL's path; for
            webhook deliveries over action and scope, as `update/repo.content`.
        host: Only the Hub, only the CDN, or both.
        times: How many requests it meets before it is used up; None for all until `calm()`.
        seconds: How long a hang holds, when a rate limit ends, how long a delivery waits for the next one.
    """

    kind: Kind
    repo: str | None = None
    path: str | None = None
    host: Host | None = None
    times: int | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown fault {self.kind!r}, expected one of {', '.join(get_args(Kind))}")


class Faults:
    """The faults in force. Tests set them from their thread while the servers read them from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[int, tuple[Fault, float]] = {}
        self._next = 0

    def add(self, fault: Fault) -> None:
        """Put a fault in force; the one added first meets a request first."""
        with self._lock:
            self._left[self._next] = (fault, float("inf") if fault.times is None else fault.times)
            self._next += 1

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._left.clear()

    def take(self, target: Target) -> tuple[int, Fault] | None:
        """The fault that this request meets, with the number to give it back by."""
        with self._lock:
            for number, (fault, left) in self._left.items():
                if left >= 1 and meets(fault, target):
                    self._left[number] = (fault, left - 1)
                    return number, fault
        return None

    def give_back(self, number: int) -> None:
        """The fault could not show (a redirect carries no body): it waits for another request."""
        with self._lock:
            if number in self._left:
                fault, left = self._left[number]
                self._left[number] = (fault, left + 1)


def meets(fault: Fault, target: Target) -> bool:
    """Whether a fault concerns a request."""
    if fault.host not in (None, target.host) or not _can_show(fault.kind, target):
        return False
    if fault.repo is not None and not fnmatchcase(target.repo or "", fault.repo):
        return False
    return fault.path is None or fnmatchcase(target.file or target.path, fault.path)


def _can_show(kind: Kind, target: Target) -> bool:
    if kind in DELIVERY_KINDS or target.host == "webhook":
        return kind in DELIVERY_KINDS and target.host == "webhook"
    if kind in BODY_KINDS:
        return target.method == "GET" and target.file is not None and (target.ranged or kind not in RANGE_KINDS)
    if kind == "gated":
        return target.host == "hub" and target.file is not None
    if kind == "vanished":
        return target.host == "hub" and target.repo is not None
    return kind != "expired" or target.host == "cdn"
