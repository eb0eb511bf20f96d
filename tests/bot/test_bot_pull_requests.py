"""The other form of the one comment: a pull request with the patched card."""

from dataclasses import replace

from bot_bench import CHILD, PARENT, Bench, with_base

from hubdna.bot import inbox, ledger, wishes, words
from hubdna.bot.nouns import Proposal


def ask(bench: Bench) -> Proposal:
    assert bench.worker.poster is not None
    bench.worker.poster.pull_requests = True
    bench.look(CHILD)
    return bench.approve(CHILD)


def test_a_pull_request_holds_the_patch_and_the_note(bench: Bench) -> None:
    one = ask(bench)
    (pull,) = bench.on_hub(CHILD)
    assert pull["is_pull_request"] and pull["status"] == "open"
    assert words.marker_of(bench.text(CHILD)) == one.id
    proposed = (bench.root / CHILD / ".hub" / "pulls" / "1" / "head" / "README.md").read_text()
    assert f"base_model: {PARENT}" in proposed or f"- {PARENT}" in proposed
    for _ in range(2):
        bench.look(CHILD)
        bench.later()
    assert len(bench.on_hub(CHILD)) == 1


def test_a_merged_pull_request_is_the_end_and_no_opt_out(bench: Bench) -> None:
    ask(bench)
    bench.people.merge_pull_request(CHILD, 1)
    bench.look(CHILD)
    assert wishes.silence(bench.state, CHILD) is None
    thread = ledger.thread_of(bench.state, CHILD)
    assert thread is not None and thread.state == "closed"
    assert bench.on_hub(CHILD)[0]["status"] == "merged" and ledger.corrections(bench.state) == []


def test_after_a_merge_new_findings_open_a_new_one(bench: Bench) -> None:
    ask(bench)
    bench.people.merge_pull_request(CHILD, 1)
    bench.look(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch").replace(f"- {PARENT}\n", ""))
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.look(CHILD)
    assert [d["status"] for d in bench.on_hub(CHILD)] == ["merged", "open"]


def test_a_closed_pull_request_is_an_opt_out(bench: Bench) -> None:
    ask(bench)
    bench.people.change_discussion_status(CHILD, 1, "closed")
    inbox.add_job(bench.state, CHILD)
    bench.work()
    assert wishes.silence(bench.state, CHILD) == "opted out: the discussion was closed"


def test_facts_that_changed_warn_of_the_old_patch(bench: Bench) -> None:
    ask(bench)
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    bench.approve(CHILD)
    assert "do not merge it as it is" in bench.text(CHILD) and len(bench.on_hub(CHILD)) == 1


def test_a_patch_that_does_not_fit_is_shown_in_a_discussion(bench: Bench) -> None:
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    odd = tuple(replace(patch, diff="another") for patch in one.patches)
    assert odd
    ledger.refresh(bench.state, one, one.body, one.basis, odd)
    assert bench.worker.poster is not None
    bench.worker.poster.pull_requests = True
    bench.approve(CHILD)
    (only,) = bench.on_hub(CHILD)
    assert not only["is_pull_request"] and only["title"] == words.TITLE
