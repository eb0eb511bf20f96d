"""A process may end anywhere. After each place the next one goes on: one comment, nothing lost, nothing said twice."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bot_bench import CHILD, PARENT, Bench, MakeBench, make_bench, with_base

from hubdna.bot import inbox, ledger, words
from hubdna.bot.state import State
from hubdna.bot.withdraw import withdraw
from hubdna.hub.community import Community
from hubdna.localhub import LocalHub
from hubdna.store import IndexDir


class Killed(BaseException):
    """Nothing in the bot catches it, so nothing is done after it: what SIGKILL leaves behind."""


class Fate:
    """Ends the process at the n-th place: before or after a transaction, before or after a write to the Hub."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for kind, name in ((Community, "open"), (Community, "edit"), (Community, "set_status")):
            monkeypatch.setattr(kind, name, self._around(getattr(kind, name)))
        monkeypatch.setattr(State, "change", self._around_change(State.change))

    def passes(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def _around(self, call: Any) -> Any:
        def wrapped(*args: Any) -> Any:
            self.passes()
            done = call(*args)
            self.passes()
            return done

        return wrapped

    def _around_change(self, change: Any) -> Any:
        @contextmanager
        def wrapped(state: State) -> Iterator[Any]:
            outermost = not state._db.in_transaction
            if outermost:
                self.passes()
            with change(state) as db:
                yield db
            if outermost:
                self.passes()

        return wrapped


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    return Fate(monkeypatch)


@pytest.fixture
def again(hub: LocalHub, root: Path, index: IndexDir, tmp_path: Path) -> Iterator[Any]:
    """Everything as it was before the process that was killed: the Hub's folder and the bot's state."""
    kept: list[Bench] = []

    def build(number: int, before: Path) -> Bench:
        folder = tmp_path / f"again-{number}"
        shutil.copytree(before / "state", folder)
        shutil.rmtree(root / CHILD)
        shutil.copytree(before / "model", root / CHILD)
        kept.append(make_bench(hub, root, index, folder))
        return kept[-1]

    yield build
    for bench in kept:
        bench.state.close()


def keep(bench: Bench, place: Path) -> Path:
    bench.state.one("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(bench.state.folder, place / "state")
    shutil.copytree(bench.root / CHILD, place / "model")
    return place


def killed_everywhere(again: Any, before: Path, fate: Fate) -> Iterator[Bench]:
    """The bench after each possible death and the restart that followed; the last one did not die."""
    for n in range(100):
        bench = again(n, before)
        fate.left = n
        try:
            bench.work()
            died = False
        except Killed:
            died = True
        fate.left = None
        bench.later(31)
        bench.later(4000)
        yield bench
        if not died:
            assert n >= 3
            return
    raise AssertionError("it never got to the end")


def test_posting(make: MakeBench, again: Any, fate: Fate, tmp_path: Path) -> None:
    bench = make(post=False)
    bench.look(CHILD)
    one = bench.approve(CHILD)
    for after in killed_everywhere(again, keep(bench, tmp_path / "before"), fate):
        assert words.marker_of(after.text(CHILD)) == one.id
        assert [p.state for p in ledger.of_repo(after.state, CHILD)] == ["posted"]


def test_a_request_on_its_way_is_waited_for(make: MakeBench, again: Any, fate: Fate, tmp_path: Path) -> None:
    """Killed while the Hub was asked: the next process asks nothing before that request has arrived or is lost."""
    bench = make(post=False)
    bench.look(CHILD)
    bench.approve(CHILD)
    before = keep(bench, tmp_path / "before")
    for n in range(100):
        after = again(n, before)
        fate.left = n
        with pytest.raises(Killed):
            after.work()
        fate.left = None
        if [p.state for p in after.waiting(CHILD)] == ["posting"]:
            break
    after.hub.reset_traffic()
    after.clock.t += 29
    after.work()
    assert after.hub.traffic.requests == ()
    after.clock.t += 2
    after.work()
    assert len(after.on_hub(CHILD)) == 1 and after.waiting(CHILD) == []


def test_editing(bench: Bench, again: Any, fate: Fate, tmp_path: Path) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    ledger.decide(bench.state, one.id, "approved", "ann", "today")
    for after in killed_everywhere(again, keep(bench, tmp_path / "before"), fate):
        assert words.marker_of(after.text(CHILD)) == one.id
        (thread,) = after.on_hub(CHILD)
        assert len(thread["events"][0]["data"]["history"]) == 1, "edited twice"


def test_auditing_and_closing(bench: Bench, again: Any, fate: Fate, tmp_path: Path) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), PARENT))
    inbox.add_job(bench.state, CHILD)
    for after in killed_everywhere(again, keep(bench, tmp_path / "before"), fate):
        (thread,) = after.on_hub(CHILD)
        assert thread["status"] == "closed" and "Settled" in after.text(CHILD)
        assert inbox.n_jobs(after.state) == (0, 0)


def test_withdrawing_is_logged_once(bench: Bench, again: Any, fate: Fate, tmp_path: Path) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    withdraw(bench.state, CHILD, "it was wrong", "ann", "today")
    for after in killed_everywhere(again, keep(bench, tmp_path / "before"), fate):
        (thread,) = after.on_hub(CHILD)
        assert thread["status"] == "closed" and "it was wrong" in after.text(CHILD)
        (made,) = ledger.corrections(after.state)
        assert made.told and made.by == "ann"


def test_auditing_and_proposing(make: MakeBench, again: Any, fate: Fate, tmp_path: Path) -> None:
    bench = make()
    inbox.add_job(bench.state, CHILD)
    for after in killed_everywhere(again, keep(bench, tmp_path / "before"), fate):
        assert [p.state for p in ledger.of_repo(after.state, CHILD)] == ["queued"]
        assert after.on_hub(CHILD) == [] and inbox.n_jobs(after.state) == (0, 0)


def test_a_model_that_kills_the_process_comes_last(bench: Bench) -> None:
    for repo_id in (CHILD, PARENT):
        inbox.add_job(bench.state, repo_id)
    first = inbox.begin_job(bench.state, bench.clock(), 30.0)  # and then the process died
    second = inbox.begin_job(bench.state, bench.clock(), 30.0)
    assert first and second and (first.repo_id, second.repo_id) == (CHILD, PARENT)
    assert inbox.begin_job(bench.state, bench.clock(), 30.0) is None
    assert inbox.begin_job(bench.state, bench.clock() + 31, 30.0) is not None


def test_a_job_is_given_up_in_the_end_and_the_next_event_tries_again(bench: Bench) -> None:
    inbox.add_job(bench.state, CHILD)
    for n in range(inbox.MAX_TRIES):
        assert inbox.begin_job(bench.state, bench.clock() + n * 3601, 30.0) is not None
    assert inbox.begin_job(bench.state, bench.clock() + 1e9, 30.0) is None
    assert inbox.n_jobs(bench.state) == (0, 1)
    inbox.add_job(bench.state, CHILD)
    assert inbox.begin_job(bench.state, bench.clock() + 1e9, 30.0) is not None
