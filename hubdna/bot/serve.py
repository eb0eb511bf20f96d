"""Putting the bot together: state, index, Hub, worker; and the server around it."""

from __future__ import annotations

import datetime
import importlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hubdna.audit import Auditor
from hubdna.bot import policy
from hubdna.bot.post import SETTLE_S, Poster
from hubdna.bot.state import State
from hubdna.bot.worker import PATIENCE_S, CarefulLoader, Worker
from hubdna.config import Config
from hubdna.errors import MissingExtraError, UsageError
from hubdna.records import ReadLevel
from hubdna.seed import foundations, open_index

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a bot is set up.

    Attributes:
        state: folder of its state.
        index: folder of the index; None for the user's, else the seed.
        post: whether it writes to the Hub; a dry run otherwise.
        pull_requests: whether patches are sent as pull requests.
        config: which rules speak, how loudly at most, and what is ignored.
        patience, settle: seconds before an audit or a post is tried again.
    """

    state: Path
    index: Path | None = None
    endpoint: str | None = None
    token: str | None = None
    read: ReadLevel = "standard"
    post: bool = False
    budget: policy.Budget = field(default_factory=policy.Budget)
    contact: str = ""
    patience: float = PATIENCE_S
    settle: float = SETTLE_S
    pull_requests: bool = False
    config: Config = field(default_factory=Config)


def today() -> str:
    """The date, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


@contextmanager
def working(settings: Settings) -> Iterator[Worker]:
    """A worker that holds the state for itself. Raises StateError, IndexDirError, UsageError."""
    with State(settings.state) as state, state.working(), open_index(settings.index or settings.config.index) as index:
        loader = CarefulLoader(settings.endpoint, settings.token, settings.read)
        poster = None
        if settings.post:
            poster = Poster(
                state, loader.hub, settings.budget, time.time, today, settings.settle, settings.pull_requests
            )
            if not poster.community.has_token:
                raise UsageError("--post: expected a token to write with, found none; log in, or pass --token")
        auditor = Auditor(index, loader, frozenset(foundations()), config=settings.config)
        yield Worker(state, auditor, loader, poster, time.time, today, settings.contact, settings.patience)


def serve(settings: Settings, secret: str, host: str, port: int) -> None:
    """Take webhooks and work until the process is told to end.

    Raises:
        MissingExtraError: the extra `bot` is not installed.
        UsageError: the port is taken, or the secret too short.
    """
    for package in ("fastapi", "uvicorn"):
        _require(package)
    import uvicorn

    from hubdna.bot.webhook import Door, make_app

    stop, wake = threading.Event(), threading.Event()
    with working(settings) as worker:
        thread = threading.Thread(target=worker.run, args=(stop, wake), name="bot-worker", daemon=True)
        door = Door(worker.state, secret, wake.set, thread.is_alive)
        config = uvicorn.Config(
            make_app(door), http="h11", ws="none", lifespan="off", access_log=False, log_config=None,
            server_header=False, limit_concurrency=256, timeout_keep_alive=10,
        )  # fmt: skip
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())  # uvicorn raises what it caught once more when it has ended
        with _bound(host, port) as listening:
            thread.start()
            shown = f"http://{host}:{listening.getsockname()[1]}"
            logger.info("listening", extra={"url": shown, "mode": "post" if settings.post else "dry run"})
            uvicorn.Server(config).run(sockets=[listening])
        stop.set()
        wake.set()
        thread.join(30)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise UsageError(f"{host}:{port}: {error.strerror}; choose another with --port") from None
    return bound


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "bot") from error
