"""Webhook deliveries: who gets a payload, in what order, how often it is tried.

Deliveries are made by a few threads beside the servers. Those of one repository to one webhook stand in a lane and are
made one after the other; lanes do not wait for each other. An answer of 5xx, or none, is tried again a few times; any
other answer ends a delivery. How often the Hub tries, and how long it waits, is not known.

Only loopback is called, redirects are not followed, and answers are read up to a bound: the addresses come from
callers.
"""

import http.client
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from urllib.parse import urlsplit

from hubdna.localhub.faults import Fault, Faults, Target

logger = logging.getLogger(__name__)

#: Threads that deliver; so many receivers may hang before others wait.
THREADS = 8
#: Seconds before the second, third and fourth try. Short: whoever waits is a test.
PAUSES = (0.1, 0.2, 0.4)
#: Seconds a receiver may take to answer.
PATIENCE = 5.0
#: Most deliveries that wait in one lane; what comes then is dropped. The Hub's own limit is 1,000 a day.
LANE_LIMIT = 1000
#: Most bytes of an answer that are read.
ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """A payload on its way.

    Attributes:
        repo: The repository that it is about.
        event: Action and scope, as `update/repo.content`.
        hook: The webhook's id.
        url: Its address.
        secret: What goes into `X-Webhook-Secret`, if anything.
        body: The payload as JSON.
    """

    repo: str
    event: str
    hook: str
    url: str
    secret: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery and how it ended.

    Attributes:
        repo: The repository that it is about.
        event: Action and scope, as `update/repo.content`.
        hook: The webhook's id.
        status: The last answer's status; 0 if there was none.
        tries: How often it was sent; 0 if it was dropped.
    """

    repo: str
    event: str
    hook: str
    status: int
    tries: int


Lane = deque[Letter]


class Courier:
    """Takes letters and delivers them. Threads start with the first letter."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._changed = threading.Condition()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._ready: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._done: list[Delivery] = []
        self._open = 0  # letters taken and not yet done with
        self._threads = 0

    def take(self, letter: Letter) -> None:
        """Deliver a letter after those before it."""
        key = (letter.repo, letter.hook)
        with self._changed:
            lane = self._lanes.setdefault(key, deque())
            if len(lane) >= LANE_LIMIT:
                logger.warning("too many deliveries wait for webhook %s; one is dropped", letter.hook)
                self._done.append(_record(letter, 0, 0))
                return
            lane.append(letter)
            self._open += 1
            if len(lane) == 1:
                self._ready.put(key)
            if self._threads < THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name="localhub-webhooks", daemon=True).start()
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is on its way; False if something still is after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, seconds)

    def stop(self) -> None:
        """End the threads; what they have in hand is sent, what waits is not."""
        with self._changed:
            self._lanes.clear()
            for _ in range(self._threads):
                self._ready.put(None)

    def deliveries(self) -> tuple[Delivery, ...]:
        """What was delivered or dropped, in that order."""
        with self._changed:
            return tuple(self._done)

    def reset(self) -> None:
        """Forget what was delivered."""
        with self._changed:
            self._done.clear()

    def _work(self) -> None:
        while (key := self._ready.get()) is not None:
            with self._changed:
                lane = self._lanes.get(key)
                letter = lane[0] if lane else None
            if lane is not None and letter is not None:
                batch = self._deliver(lane, letter)
                with self._changed:
                    for _ in range(batch):
                        lane.popleft()
                    self._open -= batch
                    if lane:
                        self._ready.put(key)
                    else:
                        self._lanes.pop(key, None)
                    self._changed.notify_all()

    def _deliver(self, lane: Lane, letter: Letter) -> int:
        """Deliver the first letter of a lane, and the second before it if they are to be swapped; how many were."""
        taken = self._faults.take(Target("webhook", "POST", letter.event, letter.repo, None, ranged=False))
        fault = taken[1] if taken else None
        letters = self._next_two(lane, fault) if fault and fault.kind == "reorder" else [letter]
        for one in letters:
            if fault and fault.kind == "drop":
                self._keep(_record(one, 0, 0))
                continue
            for _ in range(2 if fault and fault.kind == "duplicate" else 1):
                self._keep(_send(one))
        return len(letters)

    def _next_two(self, lane: Lane, fault: Fault) -> list[Letter]:
        with self._changed:
            self._changed.wait_for(lambda: len(lane) > 1, fault.seconds)
            return [lane[1], lane[0]] if len(lane) > 1 else [lane[0]]

    def _keep(self, delivery: Delivery) -> None:
        with self._changed:
            self._done.append(delivery)


def _send(letter: Letter) -> Delivery:
    status = tries = 0
    for pause in (*PAUSES, None):
        status, tries = _post(letter), tries + 1
        if 0 < status < 500 or pause is None:
            break
        time.sleep(pause)
    return _record(letter, status, tries)


def _post(letter: Letter) -> int:
    """The status of the answer; 0 if there is none."""
    url = urlsplit(letter.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = {"Content-Type": "application/json", "User-Agent": "hubdna-localhub"}
    if letter.secret is not None:
        headers["X-Webhook-Secret"] = letter.secret
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=PATIENCE)
    try:
        connection.request("POST", target, letter.body, headers)
        answer = connection.getresponse()
        answer.read(ANSWER_LIMIT)
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        logger.info("webhook %s: %s", letter.hook, error)
        return 0
    finally:
        connection.close()


def _record(letter: Letter, status: int, tries: int) -> Delivery:
    return Delivery(letter.repo, letter.event, letter.hook, status, tries)
