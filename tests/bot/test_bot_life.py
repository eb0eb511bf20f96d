"""The life of a comment: queued, approved, posted once, edited, closed, withdrawn; nobody is answered."""

import shutil

import pytest
from bot_bench import BOT, CHILD, COPY, HONEST, PARENT, TWIN, Bench, MakeBench, with_base

from hubdna.bot import inbox, ledger, wishes, words
from hubdna.bot.nouns import Said
from hubdna.bot.withdraw import withdraw
from hubdna.errors import NotFoundError
from hubdna.localhub import Fault


def test_nothing_is_said_before_a_person_agrees(bench: Bench) -> None:
    bench.look(CHILD, HONEST)
    (one,) = bench.waiting(CHILD)
    assert one.state == "queued" and {s.rule_id for s in one.said} >= {"HD001"}
    assert bench.waiting(HONEST) == []
    assert bench.on_hub(CHILD) == []
    bench.later(90_000)
    assert bench.on_hub(CHILD) == []


def test_an_approved_proposal_is_posted_once(bench: Bench) -> None:
    bench.look(CHILD)
    one = bench.approve(CHILD)
    text = bench.text(CHILD)
    assert words.marker_of(text) == one.id and text == words.signed(one.body, one.id)
    assert PARENT in text and "p <= 1e-" in text
    for _ in range(3):
        bench.look(CHILD)
        bench.later()
    assert bench.text(CHILD) == text
    assert [p.state for p in ledger.of_repo(bench.state, CHILD)] == ["posted"]
    assert ledger.of_repo(bench.state, CHILD)[0].by == "ann"


def test_a_rejected_finding_set_is_not_proposed_again(bench: Bench) -> None:
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    assert ledger.decide(bench.state, one.id, "rejected", "ann", "today", "the text names it")
    bench.commit(CHILD, bench.card(CHILD) + "\nOne more line.\n")
    bench.look(CHILD)
    assert bench.waiting(CHILD) == [] and bench.on_hub(CHILD) == []


def test_a_dry_run_posts_nothing_that_is_approved(make: MakeBench) -> None:
    bench = make(post=False)
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.later()
    assert bench.on_hub(CHILD) == [] and [p.state for p in bench.waiting(CHILD)] == ["approved"]


def test_a_fixed_card_closes_the_comment(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), PARENT))
    bench.look(CHILD)
    (thread,) = bench.on_hub(CHILD)
    assert thread["status"] == "closed" and "Settled on" in bench.text(CHILD)
    assert ledger.corrections(bench.state) == []
    bench.look(CHILD)
    bench.later()
    assert len(bench.on_hub(CHILD)) == 1


def test_a_comment_that_was_closed_by_the_bot_opens_again_when_the_card_is_spoilt_again(bench: Bench) -> None:
    old = bench.card(CHILD)
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.commit(CHILD, with_base(old, PARENT))
    bench.look(CHILD)
    bench.commit(CHILD, old)
    bench.look(CHILD)
    bench.approve(CHILD)
    (thread,) = bench.on_hub(CHILD)
    assert thread["status"] == "open" and "Edited on" in bench.text(CHILD) and PARENT in bench.text(CHILD)


def test_changed_facts_edit_the_comment_after_approval(bench: Bench) -> None:
    bench.look(CHILD)
    first = bench.approve(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    assert words.marker_of(bench.text(CHILD)) == first.id
    second = bench.approve(CHILD)
    assert words.marker_of(bench.text(CHILD)) == second.id and "Edited on" in bench.text(CHILD)
    assert {s.rule_id for s in second.said} >= {"HD002"}
    assert len(bench.on_hub(CHILD)) == 1


def test_a_fallen_verdict_withdraws_the_comment_with_a_note(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    monkeypatch.setattr("hubdna.bot.policy.said_of", lambda audit: ())  # as a corrected rule would
    inbox.add_job(bench.state, CHILD, forget=True)
    bench.work()
    (thread,) = bench.on_hub(CHILD)
    assert thread["status"] == "closed" and "Withdrawn on" in bench.text(CHILD)
    (made,) = ledger.corrections(bench.state)
    assert made.repo_id == CHILD and made.told and made.was[0].rule_id.startswith("HD")


def test_an_index_that_shrank_withdraws_nothing_without_a_person(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    thread = ledger.thread_of(bench.state, CHILD)
    assert thread is not None
    bench.worker.index_digest = "another"
    monkeypatch.setattr("hubdna.bot.policy.said_of", lambda audit: ())
    monkeypatch.setattr(
        "hubdna.bot.worker.basis_of",
        lambda audit, digest: type(thread.basis)(audit.ref.sha, thread.basis.claim, digest, 1),
    )
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    assert (one.kind, one.state) == ("withdraw", "queued")
    assert "Withdrawn" not in bench.text(CHILD)
    assert ledger.decide(bench.state, one.id, "rejected", "ann", "today")
    bench.look(CHILD)
    assert bench.waiting(CHILD) == []


def test_a_person_withdraws(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    withdraw(bench.state, CHILD, "wrong, says @root <b>", "ann", "today")
    bench.work()
    text = bench.text(CHILD)
    assert "Withdrawn on today" in text and PARENT not in text
    (made,) = ledger.corrections(bench.state)
    assert (made.by, made.reason, made.told) == ("ann", "wrong, says @root <b>", True)
    with pytest.raises(NotFoundError, match="no comment there"):
        withdraw(bench.state, CHILD, "again", "ann", "today")


def test_what_is_withdrawn_in_a_closed_discussion_is_logged_as_untold(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    (thread,) = bench.on_hub(CHILD)
    bench.people.change_discussion_status(CHILD, thread["num"], "closed")
    withdraw(bench.state, CHILD, "wrong", "ann", "today")
    bench.work()
    (made,) = ledger.corrections(bench.state)
    assert not made.told and "discussion" in made.note
    assert bench.on_hub(CHILD)[0]["status"] == "closed"


def test_a_closed_discussion_is_an_opt_out_for_good(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    (thread,) = bench.on_hub(CHILD)
    bench.people.change_discussion_status(CHILD, thread["num"], "closed")
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    assert wishes.silence(bench.state, CHILD) == "opted out: the discussion was closed"
    assert bench.waiting(CHILD) == [] and len(bench.on_hub(CHILD)) == 1
    assert "Edited on" not in bench.text(CHILD)


def test_a_hidden_comment_is_an_opt_out(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    (thread,) = bench.on_hub(CHILD)
    bench.people.hide_discussion_comment(CHILD, thread["num"], thread["events"][0]["id"])
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    assert wishes.silence(bench.state, CHILD) == "opted out: the comment was hidden"
    assert len(bench.on_hub(CHILD)) == 1


def test_a_removed_discussion_is_an_opt_out(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    for path in (bench.root / CHILD / ".hub" / "discussions").glob("*.json"):
        path.unlink()
    bench.commit(CHILD, with_base(bench.card(CHILD), "northbyte/pyllama-245k-scratch"))
    bench.look(CHILD)
    assert wishes.silence(bench.state, CHILD) == "opted out: the discussion was removed"
    assert bench.on_hub(CHILD) == []


def test_a_card_opts_out_also_between_approval_and_post(make: MakeBench) -> None:
    waiting = make(post=False)
    waiting.look(CHILD)
    waiting.approve(CHILD)
    (waiting.root / CHILD / "README.md").write_text("---\nhubdna-bot: false\n---\n")
    bench = make()
    bench.work()
    bench.later()
    assert bench.on_hub(CHILD) == []
    assert wishes.silence(bench.state, CHILD) == "opted out: its card says hubdna-bot: false"


def test_a_blocked_owner_hears_nothing(bench: Bench) -> None:
    bench.look(CHILD, TWIN)
    (one,) = bench.waiting(CHILD)
    assert ledger.decide(bench.state, one.id, "approved", "ann", "today")
    wishes.block(bench.state, "QuietLab", "ann", "today")
    bench.work()
    bench.look(CHILD, TWIN)
    assert bench.on_hub(CHILD) == bench.on_hub(TWIN) == [] and bench.waiting(TWIN) == []
    assert wishes.unblock(bench.state, "quietlab") and wishes.silence(bench.state, CHILD) is None


def test_a_model_that_changed_after_approval_is_audited_before_anything_is_said(bench: Bench) -> None:
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    bench.commit(CHILD, with_base(bench.card(CHILD), PARENT))
    assert ledger.decide(bench.state, one.id, "approved", "ann", "today")
    bench.work()
    bench.later()
    assert bench.on_hub(CHILD) == []
    assert [p.state for p in ledger.of_repo(bench.state, CHILD)] == ["superseded"]


def test_the_same_findings_at_a_later_commit_keep_their_approval(bench: Bench) -> None:
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    bench.commit(CHILD, bench.card(CHILD) + "\nMore.\n")
    assert ledger.decide(bench.state, one.id, "approved", "ann", "today")
    bench.work()
    bench.later()
    head = bench.people.model_info(CHILD).sha
    assert words.marker_of(bench.text(CHILD)) == one.id and head and head in bench.text(CHILD)


def test_budgets_wait_for_the_next_day(make: MakeBench) -> None:
    bench = make(per_owner=1, per_day=2)
    bench.look(CHILD, TWIN, COPY)
    for repo_id in (CHILD, TWIN, COPY):
        (one,) = bench.waiting(repo_id)
        ledger.decide(bench.state, one.id, "approved", "ann", "today")
    bench.work()
    assert [len(bench.on_hub(r)) for r in (CHILD, TWIN, COPY)] == [1, 0, 1]
    (held,) = bench.waiting(TWIN)
    assert held.state == "approved" and "the budget is 1" in held.reason
    bench.later(3600)
    assert bench.on_hub(TWIN) == []
    bench.later(86_400)
    assert len(bench.on_hub(TWIN)) == 1


def test_an_owner_who_asked_for_it_hears_without_a_person(bench: Bench) -> None:
    wishes.opt_in(bench.state, "QuietLab", "HD001", "ann", "today")
    bench.look(CHILD, COPY)
    assert [p.state for p in bench.waiting(COPY)] == ["queued"]
    (one,) = ledger.of_repo(bench.state, CHILD)
    assert {s.rule_id for s in one.said} == {"HD001"} and one.state == "posted"
    assert one.by == "policy: the owner switched these rules on" and len(bench.on_hub(CHILD)) == 1


def test_another_bot_of_this_kind_has_told_them_already(bench: Bench) -> None:
    bench.people.create_discussion(CHILD, words.TITLE, description="said\n\n" + words.signed("x", "0" * 12))
    bench.look(CHILD)
    bench.approve(CHILD)
    assert bench.on_hub(CHILD) == []
    (one,) = ledger.of_repo(bench.state, CHILD)
    assert one.state == "dropped" and "alice" in one.reason


def test_the_hub_being_away_loses_nothing(bench: Bench) -> None:
    bench.hub.misbehave(Fault("500", repo=CHILD, times=60))
    bench.look(CHILD)
    assert bench.waiting(CHILD) == []
    bench.hub.calm()
    bench.later()
    one = bench.waiting(CHILD)
    assert len(one) == 1 and bench.state.counts()["audits_put_off"] >= 1


def test_a_relative_that_cannot_be_read_withdraws_nothing(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    inbox.add_job(bench.state, CHILD, forget=True)
    bench.hub.misbehave(Fault("500", path="*.safetensors"))
    bench.work()
    bench.hub.calm()
    assert "Withdrawn" not in bench.text(CHILD) and ledger.corrections(bench.state) == []
    bench.later()
    assert "Withdrawn" not in bench.text(CHILD)
    assert inbox.n_jobs(bench.state) == (0, 0)


def test_a_base_that_cannot_be_read_withdraws_nothing(make: MakeBench) -> None:
    """What is said rests on a declared base outside the index; while the Hub cannot give it, nothing is taken back."""
    bench, base = make(), "northbyte/unindexed"
    shutil.copytree(bench.root / "northbyte/pyllama-245k-scratch", bench.root / base)
    (bench.root / CHILD / "README.md").write_text(with_base(bench.card(CHILD), base))
    bench.look(CHILD)
    assert {s.rule_id for s in bench.approve(CHILD).said} == {"HD002"}
    later = make()  # another process: nothing is remembered of the base
    inbox.add_job(later.state, CHILD, forget=True)
    later.hub.misbehave(Fault("500", repo=base))
    later.work()
    assert "Withdrawn" not in later.text(CHILD) and inbox.n_jobs(later.state) == (1, 0)
    later.hub.calm()
    later.later()
    assert "Withdrawn" not in later.text(CHILD) and inbox.n_jobs(later.state) == (0, 0)
    assert ledger.corrections(later.state) == []


def test_a_model_that_takes_no_discussions_is_asked_ever_more_seldom_and_then_no_more(bench: Bench) -> None:
    bench.look(CHILD)
    (one,) = bench.waiting(CHILD)
    (bench.root / CHILD / ".hub.json").write_text('{"discussions_disabled": true}')
    ledger.decide(bench.state, one.id, "approved", "ann", "today")
    poster = bench.worker.poster
    assert poster is not None
    poster.community.hub.patiently = poster.community.hub.once  # type: ignore[method-assign,assignment]
    pauses = []
    for _ in range(200):
        if not (left := bench.waiting(CHILD)):
            break
        pauses.append(left[0].not_before - bench.clock())
        bench.later(max(1.0, pauses[-1]))
    (found,) = ledger.of_repo(bench.state, CHILD)
    assert found.state == "failed" and found.tries == ledger.MAX_POSTS and len(pauses) <= ledger.MAX_POSTS + 2
    assert pauses[5] > 4 * pauses[2] and pauses[-1] == 3600.0


def test_a_lost_answer_posts_no_second_comment(bench: Bench) -> None:
    bench.look(CHILD)
    opened = bench.worker.poster.community.open

    def lost(*args: str) -> int:
        opened(*args)
        from hubdna.errors import HubError

        raise HubError("not sure that it arrived")

    bench.worker.poster.community.open = lost  # type: ignore[method-assign]
    (one,) = bench.waiting(CHILD)
    ledger.decide(bench.state, one.id, "approved", "ann", "today")
    bench.work()
    assert [p.state for p in bench.waiting(CHILD)] == ["posting"]
    bench.later(31)
    assert len(bench.on_hub(CHILD)) == 1 and bench.waiting(CHILD) == []
    assert bench.state.counts()["comments_adopted"] == 1


def test_a_bot_that_lost_its_state_finds_its_own_comment(make: MakeBench) -> None:
    bench = make()
    bench.look(CHILD)
    bench.approve(CHILD)
    again = make("fresh")
    again.look(CHILD)
    again.approve(CHILD)
    assert len(again.on_hub(CHILD)) == 1


def test_a_model_that_is_gone_ends_its_job_and_its_proposals(bench: Bench) -> None:
    bench.look(CHILD)
    bench.people.delete_repo(CHILD)
    bench.look(CHILD, "nobody/nothing")
    assert bench.waiting(CHILD) == [] and inbox.n_jobs(bench.state) == (0, 0)


def test_a_renamed_model_takes_its_comment_along(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    bench.people.move_repo(CHILD, "quietlab/renamed")
    inbox.renamed(bench.state, CHILD, "quietlab/renamed")
    bench.look("quietlab/renamed")
    thread = ledger.thread_of(bench.state, "quietlab/renamed")
    assert thread is not None and len(bench.on_hub("quietlab/renamed")) == 1


def test_private_models_are_left_alone(bench: Bench) -> None:
    bench.people.update_repo_settings(CHILD, private=True)
    bench.look(CHILD)
    assert bench.waiting(CHILD) == [] and inbox.n_jobs(bench.state) == (0, 0)


def test_the_bot_writes_discussions_and_nothing_else(bench: Bench) -> None:
    bench.look(CHILD)
    bench.approve(CHILD)
    written = {(r.method, (r.path or "").split("/discussions")[-1]) for r in bench.hub.traffic.requests
               if r.method != "GET" and r.method != "HEAD"}  # fmt: skip
    assert len(written) == 1 and all(method == "POST" for method, _ in written)
    assert bench.on_hub(CHILD)[0]["author"] == BOT


def test_said_knows_no_info(bench: Bench) -> None:
    bench.look("northbyte/pyllama-245k-scratch", "pixelworks/vit-digits-inverted")
    for one in ledger.listed(bench.state, ("queued", "approved", "posted")):
        assert all(isinstance(s, Said) and s.severity != "info" for s in one.said)
