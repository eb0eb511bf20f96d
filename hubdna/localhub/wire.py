"""The layer between the sockets and the app: faults, counters, and a check of the Host header.

The app below serves correctly and knows nothing of faults. This layer answers in its place (429, gated, ...), changes
the request on the way in (a Range header removed) or the answer on the way out (a body cut in the middle). It is plain
ASGI, so it needs nothing but asyncio, and the same layer stands before the Hub and before the CDN.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

from hubdna.localhub.faults import BODY_KINDS, Fault, Faults, Host, Target
from hubdna.localhub.refusals import Refusal, gated, repo_not_found
from hubdna.localhub.traffic import Request, TrafficLog

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The Hub's quotas are per five minutes; 500 is the anonymous one. Clients show these numbers, none computes with them.
RATE_POLICY = '"fixed window";"{bucket}";q=500;w=300'


class CutError(BaseException):
    """Raised into the app to stop it in the middle of a body; like a cancellation, no error for it to report."""


class Tap:
    """Counts one answer on its way out and records it before the client can have all of it."""

    def __init__(self, send: Send, scope: Scope, target: Target, log: TrafficLog) -> None:
        self._send, self._target, self._log = send, target, log
        self._range = header(scope, b"range")
        self._authorized = bool(header(scope, b"authorization"))
        self._n_bytes, self._recorded = 0, False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        """Pass a message on, counted."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            # A HEAD answer may come with a body that the server then drops.
            self._n_bytes += len(message.get("body", b"")) * (self._target.method != "HEAD")
            if not message.get("more_body", False):
                self.record()
        await self._send(message)

    def record(self) -> None:
        """Write the record, once."""
        if self._recorded:
            return
        self._recorded = True
        target = self._target
        self._log.add(
            Request(
                target.method,
                target.host,
                unquote(target.path),
                target.repo,
                self.status,
                self._n_bytes,
                self._range,
                self._authorized,
            )
        )


def wired(app: App, host: Host, faults: Faults, log: TrafficLog) -> App:
    """Put the layer before an app."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        # Routing sees the path as it was sent: `%2F` inside a revision or a file name is not a separator.
        scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        target = target_of(host, scope)
        tap = Tap(send, scope, target, log)
        try:
            if not _from_loopback(scope):
                await _refuse(tap, Refusal(403, "This Hub answers to loopback addresses only."))
            elif taken := faults.take(target):
                await _misbehave(app, scope, receive, tap, taken[1], lambda: faults.give_back(taken[0]))
            else:
                await app(scope, receive, tap)
        except CutError:
            pass  # the server closes a connection whose answer is incomplete
        finally:
            tap.record()

    return serve


def target_of(host: Host, scope: Scope) -> Target:
    """Read from a URL which repository and which file it is about."""
    path = scope["path"]
    parts = [unquote(part) for part in path.split("/")[1:]]
    repo = file = None
    if host == "cdn" and len(parts) > 2:
        repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    elif parts[:2] == ["api", "models"] and len(parts) > 3:
        repo = "/".join(parts[2:4])
    elif len(parts) > 4 and parts[2] == "resolve":
        repo, file = "/".join(parts[:2]), "/".join(parts[4:])
    elif len(parts) == 3 and parts[2] == "ask-access":
        repo = "/".join(parts[:2])
    elif len(parts) > 2 and parts[1].endswith(".git"):
        repo = f"{parts[0]}/{parts[1].removesuffix('.git')}"
    return Target(host, scope["method"], path, repo, file, header(scope, b"range") is not None)


def header(scope: Scope, name: bytes) -> str | None:
    """A request header, or None."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _from_loopback(scope: Scope) -> bool:
    """Whether the request was addressed to loopback: a web page can make a browser call us under its own name."""
    try:
        name = urlsplit(f"//{header(scope, b'host') or ''}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


async def _misbehave(
    app: App, scope: Scope, receive: Receive, tap: Tap, fault: Fault, give_back: Callable[[], None]
) -> None:
    if refusal := _refusal(fault, scope):
        await _refuse(tap, refusal)
    elif fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
        await app(scope, receive, tap)
    else:
        if fault.kind == "ignore-range":
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"range"]}
        try:
            await app(scope, receive, _Spoiler(fault, tap))
        finally:
            if tap.status not in (200, 206) and fault.kind in BODY_KINDS:
                give_back()


def _refusal(fault: Fault, scope: Scope) -> Refusal | None:
    authorized = header(scope, b"authorization") is not None
    bucket = "resolvers" if "/resolve/" in scope["path"] else "api"
    wait = math.ceil(fault.seconds)
    match fault.kind:
        case "429":
            limits = {"RateLimit": f'"{bucket}";r=0;t={wait}', "RateLimit-Policy": RATE_POLICY.format(bucket=bucket)}
            return Refusal(429, "Too many requests", headers=limits)
        case "429-retry-after":
            return Refusal(429, "Too many requests", headers={"Retry-After": str(wait)})
        case "500":
            return Refusal(500, "Internal Error - We're working hard to fix this as soon as possible!")
        case "gated":
            return gated("/".join(scope["path"].split("/")[1:3]), authorized=True)
        case "vanished":
            return repo_not_found(authorized)
        case "expired":
            return Refusal(403, "Request has expired")
        case _:
            return None


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": refusal.message}).encode()
    names = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in names.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Spoiler:
    """Changes one answer: drops the second half of its body, or names other bytes than it sends."""

    def __init__(self, fault: Fault, send: Send) -> None:
        self._kind, self._send = fault.kind, send
        self._left: int | None = None  # bytes still to be sent, once the half is known
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in (200, 206):
            message = {**message, "headers": [self._spoil(*pair) for pair in message["headers"]]}
        elif message["type"] == "http.response.body" and self._left is not None:
            if self._ended:
                return
            body = message.get("body", b"")[: self._left]
            self._left -= len(body)
            self._ended = self._left == 0
            message = {**message, "body": body, "more_body": not self._ended or self._kind == "cut"}
        await self._send(message)
        if self._left == 0 and self._kind == "cut":
            raise CutError

    def _spoil(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name == b"content-length" and self._kind in ("cut", "truncated"):
            self._left = int(value) // 2
            return name, (b"%d" % self._left if self._kind == "truncated" else value)
        if name == b"content-range" and self._kind == "wrong-range":
            span, _, total = value.removeprefix(b"bytes ").partition(b"/")
            first, _, last = span.partition(b"-")
            return name, b"bytes %d-%d/%s" % (int(first) + 1, int(last) + 1, total)
        return name, value
