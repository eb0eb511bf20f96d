"""Starting and stopping: two sockets, one thread.

Both servers, the Hub and its CDN, run in one event loop in one daemon thread. The sockets are bound before the thread
starts, so that the addresses are known at once and a port in use is an error for the caller, not a line in a log.
Stopping does not wait for answers under way: a test that made the Hub hang must not hang with it.
"""

import asyncio
import importlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hubdna.errors import MissingExtraError, UsageError
from hubdna.localhub.deliveries import Courier, Delivery
from hubdna.localhub.faults import Fault, Faults
from hubdna.localhub.repos import Hub
from hubdna.localhub.traffic import Traffic, TrafficLog
from hubdna.localhub.wire import App, wired

if TYPE_CHECKING:
    from uvicorn import Server

#: The Hub's own size of a page of models is 1,000; a hundred shows paging on a small folder.
PAGE_SIZE = 100
#: Seconds an idle connection is kept. Longer than clients keep theirs, so that they never write into a closed one.
KEEP_ALIVE = 60
#: Seconds to wait for the servers to be ready, and for their thread to end. Both take some hundredths.
PATIENCE = 10.0
STOP_PATIENCE = 0.9
#: How often readiness is looked at.
TICK = 0.005


class LocalHub:
    """A Hugging Face Hub on loopback that serves a folder of repositories.

    Example:
        >>> with LocalHub(Path("models")) as hub:  # doctest: +SKIP
        ...     HfApi(endpoint=hub.endpoint).model_info("org/name")
    """

    def __init__(
        self,
        root: Path | str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_port: int = 0,
        page_size: int = PAGE_SIZE,
    ) -> None:
        """Prepare a Hub over `root`; nothing is opened yet.

        Args:
            root: Folder with `<org>/<name>/` folders in it.
            host: A loopback address.
            port: Port of the Hub; 0 for a free one.
            cdn_port: Port of the CDN; 0 for a free one.
            page_size: Most entries on one page of a listing.

        Raises:
            UsageError: `host` is not a loopback address, or `root` is not a folder.
            MissingExtraError: starlette or uvicorn is not installed.
        """
        if not _is_loopback(host):
            raise UsageError(f"a local Hub listens on loopback only, not on {host}")
        if not Path(root).is_dir():
            raise UsageError(f"{root} is not a folder")
        for package in ("starlette", "uvicorn"):
            _require(package)
        self._root, self._host = Path(root).resolve(), host
        self._ports, self._page_size = (port, cdn_port), page_size
        self._faults, self._log = Faults(), TrafficLog()
        self._courier = Courier(self._faults)
        self._servers: tuple[Server, ...] = ()
        self._thread: threading.Thread | None = None
        self.endpoint = self.cdn_endpoint = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Open both ports and return when they answer."""
        sockets: list[socket.socket] = []
        try:
            for port in self._ports:
                sockets.append(_bind(self._host, port))  # noqa: PERF401 - what was bound before a failure is closed
        except OSError:
            for bound in sockets:
                bound.close()
            raise
        self.endpoint, self.cdn_endpoint = map(_address, sockets)
        self._servers = self._make_servers()
        self._thread = threading.Thread(target=_run, args=(self._servers, sockets), name="localhub", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not all(server.started for server in self._servers):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the local Hub did not start")
            time.sleep(TICK)

    def stop(self) -> None:
        """Close both ports; answers under way are dropped."""
        for server in self._servers:
            server.should_exit = server.force_exit = True
        if self._thread is not None:
            self._thread.join(STOP_PATIENCE)
        self._courier.stop()
        self._courier = Courier(self._faults)
        self._servers, self._thread = (), None

    def misbehave(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._faults.add(fault)

    def calm(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    @property
    def traffic(self) -> Traffic:
        """What was requested and sent since the start or the last reset."""
        return self._log.snapshot()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What webhooks were sent since the start or the last reset, in that order."""
        return self._courier.deliveries()

    def settle(self, seconds: float = PATIENCE) -> bool:
        """Wait until no webhook delivery is on its way; False if one still is after `seconds`."""
        return self._courier.settle(seconds)

    def reset_traffic(self) -> None:
        """Count from zero."""
        self._log.reset()
        self._courier.reset()

    def _make_servers(self) -> tuple["Server", ...]:
        from hubdna.localhub.app import cdn_app, hub_app

        key = secrets.token_bytes(32)
        hub = Hub(self._root, self.endpoint, self.cdn_endpoint, self._page_size, key, self._courier)
        return (
            _server(wired(hub_app(hub), "hub", self._faults, self._log)),
            _server(wired(cdn_app(hub), "cdn", self._faults, self._log)),
        )


def serve(
    root: Path | str,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve a folder until interrupted.

    Args:
        root: Folder with `<org>/<name>/` folders in it.
        host: A loopback address.
        port: Port of the Hub; its CDN takes a free one.
        announce: Called with the endpoint once it answers.
    """
    with LocalHub(root, host=host, port=port) as hub:
        if announce is not None:
            announce(hub.endpoint)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "localhub") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left open (as socket.create_server does) asyncio does not switch off Nagle's algorithm, and
    # every answer waits 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: App) -> "Server":
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",  # the parser that is always installed
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",  # a connection cut on purpose is not an error worth a line
        timeout_keep_alive=KEEP_ALIVE,
    )
    return uvicorn.Server(config)


def _run(servers: tuple["Server", ...], sockets: list[socket.socket]) -> None:
    async def both() -> None:
        await asyncio.gather(*(server.serve([bound]) for server, bound in zip(servers, sockets, strict=True)))

    asyncio.run(both())
