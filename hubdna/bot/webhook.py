"""The app that webhooks call: secret, size, replay, queue; answered before any work is done.

The secret is compared in constant time before a byte of the body is read. A body is read up to a limit and for a
limited time. What is queued is on disk before the answer, so a 2xx is a promise.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from hubdna.bot import inbox, ledger, metrics
from hubdna.bot.events import Event, read_event
from hubdna.bot.state import State
from hubdna.errors import UsageError

MAX_BODY = 1_000_000
"""Bytes; the largest payloads (a discussion with a long comment) have about 100,000."""
READ_S = 10.0
"""Seconds a body may take to arrive."""
MAX_JOBS = 10_000
"""Models that wait; beyond it the Hub is asked to come again."""
MIN_SECRET = 16


class RefusedError(Exception):
    """A request that is answered with a status and one word."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word


@dataclass
class Door:
    """Takes deliveries.

    Attributes:
        wake: called when there is something to do.
        is_working: whether the worker is alive.
        outcomes: deliveries since the start by what became of them.
    """

    state: State
    secret: str
    wake: Callable[[], None] = lambda: None
    is_working: Callable[[], bool] = lambda: True
    now: Callable[[], float] = time.time
    max_jobs: int = MAX_JOBS
    max_body: int = MAX_BODY
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET:
            raise UsageError(
                f"the webhook's secret: expected at least {MIN_SECRET} characters, found {len(self.secret)}; "
                "set HUBDNA_WEBHOOK_SECRET or --secret-file"
            )

    def check(self, request: Request) -> None:
        """Refuse whoever does not know the secret. Takes as long for a wrong one as for the right one."""
        given = request.headers.get("x-webhook-secret", "").encode("utf-8", "replace")
        if not hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(self.secret.encode()).digest()):
            raise RefusedError(401, "forged")

    async def body(self, request: Request) -> bytes:
        """The body, if it is of reasonable size and comes in reasonable time."""
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self.max_body:
            raise RefusedError(413, "too_large")
        body = bytearray()
        try:
            async with asyncio.timeout(READ_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self.max_body:
                        raise RefusedError(413, "too_large")
        except (TimeoutError, ClientDisconnect):
            raise RefusedError(408, "too_slow") from None
        return bytes(body)

    def take(self, body: bytes) -> str:
        """Queue what an event asks for; one word on what became of it."""
        try:
            event = read_event(body)
        except UsageError:
            raise RefusedError(400, "malformed") from None
        if event.what == "nothing" or (event.what == "thread" and not self._is_ours(event)):
            return "ignored"
        digest = hashlib.sha256(body).hexdigest()
        if event.what == "moved":
            inbox.renamed(self.state, event.repo_id, event.moved_to)
        target = event.moved_to or event.repo_id
        taken = inbox.take(self.state, target, digest, self.now(), self.max_jobs, event.old, event.new)
        if taken == "full":
            raise RefusedError(503, "full")
        if taken == "queued":
            self.wake()
        return taken

    def _is_ours(self, event: Event) -> bool:
        thread = ledger.thread_of(self.state, event.repo_id)
        return thread is not None and thread.num == event.num


def make_app(door: Door) -> FastAPI:
    """POST / takes deliveries; GET /health and /metrics tell how the bot is, without names of models."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.post("/")
    @app.post("/webhook")
    async def webhook(request: Request) -> Response:
        try:
            door.check(request)
            word, status = await run_in_threadpool(door.take, await door.body(request)), 202
        except RefusedError as refused:
            word, status = refused.word, refused.status
        door.outcomes[word] += 1
        again = {"Retry-After": "60"} if status == 503 else {}
        return JSONResponse({"status": word}, status, again)

    @app.get("/health")
    def health() -> Response:
        ok = door.is_working() and door.state.one("SELECT 1") is not None
        return JSONResponse({"status": "ok" if ok else "the worker has ended"}, 200 if ok else 503)

    @app.get("/metrics")
    def show_metrics() -> Response:
        return PlainTextResponse(metrics.render(door.state, door.outcomes), media_type=metrics.MEDIA_TYPE)

    return app
