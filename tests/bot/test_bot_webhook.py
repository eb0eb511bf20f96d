"""The door: who is let in, what is believed, what is kept before it is answered. Over real sockets."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from bot_bench import SECRET, payload
from hypothesis import given
from hypothesis import strategies as st

from hubdna.bot import inbox, ledger, webhook
from hubdna.bot.events import read_event
from hubdna.bot.nouns import Basis, Thread
from hubdna.bot.serve import _bound
from hubdna.bot.state import State
from hubdna.bot.webhook import Door, make_app
from hubdna.errors import UsageError

GOOD = {"X-Webhook-Secret": SECRET}


@dataclass
class Served:
    door: Door
    port: int

    def send(
        self, body: bytes | dict[str, Any], headers: dict[str, str] | None = None, path: str = "/"
    ) -> tuple[int, str]:
        """A delivery; status and word of the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, raw, GOOD if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())["status"]
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def jobs(self) -> list[str]:
        return [row["repo_id"] for row in self.door.state.all("SELECT repo_id FROM jobs ORDER BY repo_id")]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with State(tmp_path / "state") as state:
        door = Door(state, SECRET, max_jobs=5)
        server = uvicorn.Server(uvicorn.Config(make_app(door), lifespan="off", log_config=None, http="h11", ws="none"))
        bound = _bound("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield Served(door, bound.getsockname()[1])
        server.should_exit = server.force_exit = True
        thread.join(5)


def test_a_push_is_queued_and_on_disk_before_the_answer(served: Served) -> None:
    assert served.send(payload("a/b")) == (202, "queued")
    with State(served.door.state.folder) as other:
        assert inbox.n_jobs(other) == (1, 0)
    assert served.send(payload("c/d"), path="/webhook") == (202, "queued")


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Webhook-Secret": ""}, {"X-Webhook-Secret": SECRET + "x"}, {"X-Webhook-Secret": SECRET[:-1]},
     {"X-Webhook-Secret": SECRET.upper()}, {"X-Webhook-Secret": "\xe9" * 21}, {"Authorization": f"Bearer {SECRET}"}],
)  # fmt: skip
def test_whoever_does_not_know_the_secret_is_not_read(served: Served, headers: dict[str, str]) -> None:
    assert served.send(payload("a/b"), headers) == (401, "forged")
    assert served.send(b"\xff" * 100, headers) == (401, "forged")
    assert served.jobs() == [] and served.door.state.all("SELECT * FROM deliveries") == []


def test_the_secret_is_checked_before_the_body_has_come(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as wire:
        wire.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-Webhook-Secret: no\r\nContent-Length: 500000\r\n\r\n")
        assert b" 401 " in wire.recv(200)


def test_a_short_secret_is_refused_at_the_start(tmp_path: Path) -> None:
    with State(tmp_path) as state, pytest.raises(UsageError, match="at least 16 characters, found 0"):
        Door(state, "")


def test_a_body_that_is_too_large_is_refused_by_its_word_and_by_its_bytes(served: Served) -> None:
    assert served.send(b" " * (webhook.MAX_BODY + 1)) == (413, "too_large")
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-Webhook-Secret: {SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.sendall(head.encode())
        answer = b""
        try:
            for _ in range(40):
                wire.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            pass
        answer = wire.recv(200)
    assert b" 413 " in answer


def test_a_body_that_does_not_come_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "READ_S", 0.2)
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as wire:
        wire.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\nX-Webhook-Secret: {SECRET}\r\nContent-Length: 50\r\n\r\n{{".encode()
        )
        assert b" 408 " in wire.recv(200)


HOSTILE = [
    b"", b"null", b"[]", b"1", b"\xff\xfe", b"{", b"[" * 200_000, b'{"a":' * 100_000, b'{"n": ' + b"9" * 10_000 + b"}",
    json.dumps({"event": 1, "repo": 2}).encode(), json.dumps({"event": {}, "repo": {}}).encode(),
    json.dumps(payload("../../etc/passwd")).encode(), json.dumps(payload("/etc")).encode(),
    json.dumps(payload("./a")).encode(), json.dumps(payload("a/b@main")).encode(),
    json.dumps(payload("a" * 500)).encode(),
    json.dumps(payload("https://huggingface.co/a/b")).encode(), json.dumps(payload("a/b\n")).encode(),
    json.dumps(payload("\u202ea/b")).encode(), json.dumps(payload("аdmin/b")).encode(),
    json.dumps(payload("a/b", repo={"type": "model", "name": ["a/b"], "private": False})).encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_payload_is_malformed(served: Served, body: bytes) -> None:
    assert served.send(body) == (400, "malformed")
    assert served.jobs() == []


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from(["event", "repo", "action", "scope", "name", "type", "private", "updatedRefs", "ref", "newSha",
                         "discussion", "num", "movedTo"]), inner, max_size=5)), max_leaves=20,
))  # fmt: skip
def test_no_json_surprises_the_reader(value: object) -> None:
    try:
        event = read_event(json.dumps(value).encode())
    except UsageError:
        return
    assert event.what in ("nothing", "look", "thread", "moved")


IGNORED = {
    "another branch": {"updatedRefs": [{"ref": "refs/heads/dev", "oldSha": "a", "newSha": "b"}]},
    "a pull request": {"updatedRefs": [{"ref": "refs/pr/1", "oldSha": None, "newSha": "b"}]},
    "no refs": {"updatedRefs": None},
    "a dataset": {"repo": {"type": "dataset", "name": "a/b", "private": False}},
    "a private model": {"repo": {"type": "model", "name": "a/b", "private": True}},
    "a model that may be private": {"repo": {"type": "model", "name": "a/b"}},
    "a comment": {"event": {"action": "create", "scope": "discussion.comment"}, "discussion": {"num": 1}},
    "its own discussion": {"event": {"action": "create", "scope": "discussion"}, "discussion": {"num": 1}},
    "somebody's discussion": {"event": {"action": "update", "scope": "discussion"}, "discussion": {"num": 7}},
}


@pytest.mark.parametrize("what", IGNORED)
def test_what_the_bot_does_not_react_to(served: Served, what: str) -> None:
    assert served.send(payload("a/b", **IGNORED[what])) == (202, "ignored")
    assert served.jobs() == []


def test_a_change_of_its_own_discussion_is_a_reason_to_look(served: Served) -> None:
    ledger.keep_thread(served.door.state, Thread("a/b", 7, "0" * 12, "d", (), Basis("s", "c", "i", 1), "open"))
    assert served.send(payload("a/b", **IGNORED["somebody's discussion"])) == (202, "queued")


def test_replays_are_dropped_and_repeated_states_are_not(served: Served) -> None:
    there, back = payload("a/b", "a" * 40, "b" * 40), payload("a/b", "b" * 40, "a" * 40)
    assert served.send(there) == (202, "queued")
    assert served.send(there) == (202, "replay")
    assert served.send(back) == (202, "queued")
    assert served.send(there) == (202, "queued")  # pushed again after it was set back
    assert served.send(there) == (202, "replay")
    assert served.jobs() == ["a/b"]


def test_a_commit_that_was_audited_is_known(served: Served) -> None:
    served.send(payload("a/b", "a" * 40, "b" * 40))
    job = inbox.begin_job(served.door.state, time.time(), 1.0)
    assert job is not None
    inbox.end_job(served.door.state, job, "b" * 40, "index")
    assert served.send(payload("a/b", "c" * 40, "b" * 40)) == (202, "known")
    assert served.jobs() == []


def test_the_queue_is_bounded_and_takes_more_of_what_waits(served: Served) -> None:
    for n in range(5):
        assert served.send(payload(f"a/b{n}")) == (202, "queued")
    late = payload("a/late")
    assert served.send(late) == (503, "full")
    assert served.send(payload("a/b0", "1" * 40, "2" * 40)) == (202, "queued")
    job = inbox.begin_job(served.door.state, time.time(), 1.0)
    assert job is not None
    inbox.end_job(served.door.state, job)
    assert served.send(late) == (202, "queued")


def test_an_event_during_the_work_is_not_lost(served: Served) -> None:
    served.send(payload("a/b", "a" * 40, "b" * 40))
    job = inbox.begin_job(served.door.state, time.time(), 100.0)
    assert job is not None
    served.send(payload("a/b", "b" * 40, "c" * 40))
    inbox.end_job(served.door.state, job, "b" * 40, "index")
    assert inbox.begin_job(served.door.state, time.time(), 1.0) is not None


def test_a_burst_from_many_threads(served: Served) -> None:
    served.door.max_jobs = 1000
    bodies = [payload(f"a/b{n % 50}", f"{n:040}", f"{n + 1:040}") for n in range(200)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(served.send, bodies + bodies))
    assert {status for status, _ in answers} == {202}
    assert sum(word == "replay" for _, word in answers) == 200
    assert len(served.jobs()) == 50


def test_renamed_models_keep_what_is_known(served: Served) -> None:
    ledger.keep_thread(served.door.state, Thread("a/b", 7, "0" * 12, "d", (), Basis("s", "c", "i", 1), "open"))
    move = payload("a/b", event={"action": "move", "scope": "repo"}, movedTo={"name": "x/y"})
    assert served.send(move) == (202, "queued")
    thread = ledger.thread_of(served.door.state, "x/y")
    assert thread is not None and thread.num == 7 and served.jobs() == ["x/y"]
    assert served.send({**move, "movedTo": {"name": "../x"}}) == (400, "malformed")


def test_health_and_metrics_name_nobody(served: Served) -> None:
    served.send(payload("secret-org/secret-model"))
    served.send(payload("a/b"), {})
    assert served.get("/health") == (200, '{"status":"ok"}')
    status, text = served.get("/metrics")
    assert status == 200 and "secret" not in text
    assert 'hubdna_bot_deliveries_total{outcome="queued"} 1' in text
    assert 'hubdna_bot_deliveries_total{outcome="forged"} 1' in text
    assert 'hubdna_bot_jobs{state="waiting"} 1' in text
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.split(" ")) == 2
    served.door.is_working = lambda: False
    assert served.get("/health")[0] == 503


def test_there_is_no_page_on_the_api(served: Served) -> None:
    for path in ("/docs", "/openapi.json", "/redoc", "/"):
        assert served.get(path)[0] in (404, 405)


def test_deliveries_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "KEPT", 10)
    with State(tmp_path) as state:
        for n in range(50):
            inbox.take(state, "a/b", f"digest {n}", float(n), 10)
        assert len(state.all("SELECT * FROM deliveries")) == 10
        inbox.take(state, "a/b", "late", inbox.KEPT_S + 100.0, 10)
        assert len(state.all("SELECT * FROM deliveries")) == 1
