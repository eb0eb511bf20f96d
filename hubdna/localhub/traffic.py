"""What went over the wire: one record per request, totals on demand.

hubdna promises a budget of bytes and requests per model; these counters are how its tests hold it to that. A record
is written before the last byte of an answer leaves, so that a client that has its answer finds it counted.
"""

import threading
from dataclasses import dataclass

from hubdna.localhub.faults import Host


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its answer.

    Attributes:
        method: HTTP method.
        host: Which of the two servers was asked.
        path: Decoded path of the URL, without the query.
        repo: Repository id, if the URL names one.
        status: HTTP status; 0 if the connection ended before there was one.
        n_bytes: Bytes of body sent, without headers.
        range: The Range header as received.
        authorized: Whether the request carried a token. On the CDN it never should.
    """

    method: str
    host: Host
    path: str
    repo: str | None
    status: int
    n_bytes: int
    range: str | None
    authorized: bool

    @property
    def is_resolve(self) -> bool:
        """Whether the Hub would count it against the quota of file requests."""
        return self.host == "hub" and "/resolve/" in self.path


@dataclass(frozen=True, slots=True)
class Traffic:
    """A snapshot of the requests so far."""

    requests: tuple[Request, ...]

    @property
    def n_requests(self) -> int:
        """All requests, on both servers."""
        return len(self.requests)

    @property
    def n_resolve(self) -> int:
        """Requests to the Hub's `/resolve/`, HEAD and GET."""
        return sum(request.is_resolve for request in self.requests)

    @property
    def n_cdn(self) -> int:
        """Requests to the CDN."""
        return sum(request.host == "cdn" for request in self.requests)

    @property
    def n_bytes(self) -> int:
        """Bytes of body sent by both servers."""
        return sum(request.n_bytes for request in self.requests)

    def for_repo(self, repo_id: str) -> "Traffic":
        """The part that concerns one repository."""
        return Traffic(tuple(request for request in self.requests if request.repo == repo_id))


class TrafficLog:
    """The growing list behind the snapshots; both servers write to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        """Count a request."""
        with self._lock:
            self._requests.append(request)

    def snapshot(self) -> Traffic:
        """What was counted so far."""
        with self._lock:
            return Traffic(tuple(self._requests))

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self._requests.clear()
