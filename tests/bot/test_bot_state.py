"""The file: one worker, several readers, decisions that cannot both happen; damage is told."""

import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hubdna.bot import inbox, ledger, logs, wishes
from hubdna.bot.nouns import Basis, Proposal, Said
from hubdna.bot.state import State, StateError
from hubdna.errors import UsageError

SAID = (Said("HD001", "warning", "one"),)


def draft(repo_id: str = "a/b", state: str = "queued", digest: str = "d", kind: str = "say") -> Proposal:
    return Proposal("", repo_id, kind, digest, SAID, "text", Basis("s", "c", "i", 1), state)


@pytest.fixture
def state(tmp_path: Path) -> State:
    with State(tmp_path / "state") as state:
        yield state


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        made = ledger.propose(state, draft())
        inbox.take(state, "a/b", "digest", 1.0, 10)
        wishes.block(state, "Owner", "ann", "today")
        state.count("audits", 3)
    with State(tmp_path / "s") as state:
        assert ledger.get(state, made.id) == made
        assert inbox.take(state, "a/b", "digest", 1.0, 10) == "replay"
        assert wishes.blocked(state) == ["owner"] and wishes.silence(state, "OWNER/x")
        assert state.counts() == {"audits": 3}


def test_one_of_two_people_decides(state: State) -> None:
    made = ledger.propose(state, draft())
    decisions = [("approved", "ann"), ("rejected", "bob")] * 8
    start = threading.Barrier(len(decisions))

    def decide(one: tuple[str, str]) -> bool:
        with State(state.folder) as own:
            start.wait()
            return ledger.decide(own, made.id, one[0], one[1], "today")  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(decisions)) as pool:
        done = list(pool.map(decide, decisions))
    final = ledger.get(state, made.id)
    assert final is not None
    assert sum(d for d, (to, _) in zip(done, decisions, strict=True) if to == "rejected") == 1
    assert (final.state, final.by) == ("rejected", "bob")  # what is approved may still be rejected, not the reverse


def test_a_transaction_is_all_or_nothing(state: State) -> None:
    with pytest.raises(ZeroDivisionError), state.change():
        ledger.propose(state, draft())
        state.count("audits")
        raise ZeroDivisionError
    assert ledger.listed(state) == [] and state.counts() == {}


def test_what_is_posted_or_rejected_stays(state: State) -> None:
    for end in ("posted", "rejected", "superseded", "dropped"):
        made = ledger.propose(state, draft(state=end))
        assert not ledger.decide(state, made.id, "approved", "ann", "today")
        assert not ledger.begin_post(state, made, 0.0, 1.0, opens=True)
        ledger.finish(state, made, "posted")
        ledger.supersede(state, "a/b", "newer")
        found = ledger.get(state, made.id)
        assert found is not None and found.state == end


def test_ids_differ_even_where_all_else_is_equal(state: State) -> None:
    assert len({ledger.propose(state, draft()).id for _ in range(50)}) == 50
    assert len(ledger.listed(state)) == 1


def test_of_one_model_one_proposal_is_posted_at_a_time(state: State) -> None:
    first = ledger.propose(state, draft(state="approved", digest="one"))
    assert ledger.begin_post(state, first, 100.0, 30.0, opens=True)
    second = ledger.propose(state, draft(state="approved", digest="two"))
    assert ledger.due(state, 120.0) == []
    assert [p.id for p in ledger.due(state, 131.0)] == [first.id]
    ledger.finish(state, first, "posted")
    assert [p.id for p in ledger.due(state, 131.0)] == [second.id]


def test_a_post_that_fails_for_a_day_is_failed_and_may_be_approved_again(state: State) -> None:
    made, now = ledger.propose(state, draft(state="approved")), 0.0
    for _ in range(ledger.MAX_POSTS):
        (made,) = ledger.due(state, now)
        assert ledger.begin_post(state, made, now, 30.0, opens=True)
        ledger.postpone(state, made, "HTTP 500", now)
        now += 3601
    assert ledger.due(state, now + 1e9) == []
    found = ledger.get(state, made.id)
    assert found is not None and (found.state, found.reason) == ("failed", "HTTP 500")
    assert ledger.decide(state, made.id, "approved", "ann", "today") and len(ledger.due(state, now)) == 1


def test_one_worker_at_a_time(state: State) -> None:
    with State(state.folder) as other, state.working(), pytest.raises(StateError, match="another bot works"):
        with other.working():
            pass
    with State(state.folder) as other, other.working():
        pass


def test_what_is_no_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "bot.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StateError, match="not the state of a bot"):
        State(tmp_path)
    other = tmp_path / "other"
    with State(other) as state, state.change() as db:
        db.execute("UPDATE about SET value = 'hubdna.bot/0'")
    with pytest.raises(StateError, match=r"expected hubdna\.bot/1, found hubdna\.bot/0"):
        State(other)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    sqlite3.connect(foreign / "bot.sqlite").execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(StateError):
        State(foreign)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder"):
        State(tmp_path / "file" / "below")


def test_the_state_is_its_owners_alone(tmp_path: Path) -> None:
    with State(tmp_path / "new") as state:
        assert state.folder.stat().st_mode & 0o077 == 0


def test_a_line_of_the_log_holds_no_secret_and_is_one_line() -> None:
    record = logging.LogRecord("hubdna", logging.WARNING, "", 0, "asked with %s\n", ("hf_abcdefgh1234",), None)
    record.repo, record.why, record.other = "a/\u202eb\nc", "the word s3cret-word was said", "unseen"
    line = logs.Lines(("s3cret-word",)).format(record)
    assert "\n" not in line and line.isascii()
    assert "hf_abc" not in line and "s3cret" not in line and "unseen" not in line
    try:
        raise ValueError("token hf_abcdefgh1234")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "hf_abc" not in logs.Lines().format(record)
