"""What may be said, to whom, and who has to agree first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubdna.bot.nouns import Basis, Proposal, Said, Thread
from hubdna.bot.policy import (
    NEVER_ALONE,
    Budget,
    decide,
    digest_of,
    is_opted_out,
    may_be_said_alone,
    next_day,
    over_budget,
    said_of,
)
from hubdna.records import Audit, Claim, Finding, ModelRef

ONE, TWO = Said("HD001", "warning", "one"), Said("HD002", "warning", "two")
BASIS = Basis("a" * 40, '[[], null, "mit"]', "index", 10)
SAID = st.lists(
    st.builds(Said, st.sampled_from([f"HD{n:03}" for n in range(1, 20)]), st.just("warning"), st.text(max_size=3)),
    max_size=6,
).map(tuple)


def proposal(said: tuple[Said, ...], state: str, kind: str = "say") -> Proposal:
    return Proposal("0" * 12, "me/model", kind, digest_of(said), said, "text", BASIS, state)


def thread(said: tuple[Said, ...], state: str = "open") -> Thread:
    return Thread("me/model", 1, "0" * 12, digest_of(said), said, BASIS, state)


def test_info_is_never_told() -> None:
    ref = ModelRef("me/model")
    findings = tuple(Finding("HD001", severity, ref, None, severity) for severity in ("info", "warning", "error"))
    audit = Audit(ref, Claim(), (), findings, None)
    assert [s.severity for s in said_of(audit)] == ["warning", "error"]


def test_the_digest_is_of_rules_and_messages_in_no_order() -> None:
    assert digest_of((ONE, TWO)) == digest_of((TWO, ONE)) == digest_of((TWO, Said("HD001", "error", "one")))
    assert len({digest_of(s) for s in ((), (ONE,), (TWO,), (ONE, TWO), (Said("HD001", "warning", "two"),))}) == 5


@given(SAID, st.frozensets(st.sampled_from([f"HD{n:03}" for n in range(1, 20)])))
def test_an_accusation_never_goes_alone_whatever_is_switched_on(said: tuple[Said, ...], on: frozenset[str]) -> None:
    alone = may_be_said_alone(said, on)
    rules = {s.rule_id for s in said}
    assert not (alone and rules & NEVER_ALONE)
    assert alone == (bool(rules) and all(rule in on and rule not in NEVER_ALONE for rule in rules))


def test_the_accusations() -> None:
    assert {"HD008", "HD009", "HD010", "HD012", "HD013", "HD014", "HD015"} == NEVER_ALONE


@pytest.mark.parametrize("state", ["queued", "approved", "posting"])
def test_what_waits_is_refreshed_and_not_said_twice(state: str) -> None:
    assert decide((ONE,), BASIS, None, [proposal((ONE,), state)]).action == "refresh"


def test_what_stands_or_was_rejected_is_not_said_again() -> None:
    assert decide((ONE,), BASIS, thread((ONE,)), [proposal((ONE,), "posted")]).action == "nothing"
    assert decide((ONE,), BASIS, None, [proposal((ONE,), "rejected")]).action == "nothing"
    assert decide((ONE, TWO), BASIS, None, [proposal((ONE,), "rejected")]).action == "say"


def test_what_says_less_needs_nobody_and_what_says_more_does() -> None:
    less = decide((ONE,), BASIS, thread((ONE, TWO)), [])
    assert (less.action, less.alone) == ("say", True)
    more = decide((ONE, TWO), BASIS, thread((ONE,)), [])
    assert (more.action, more.alone) == ("say", False)
    other = decide((TWO,), BASIS, thread((ONE,)), [])
    assert (other.action, other.alone) == ("say", False)
    assert not decide((ONE,), BASIS, thread((ONE, TWO), "withdrawn"), []).alone


def test_a_changed_card_closes_and_an_unchanged_one_withdraws() -> None:
    changed = Basis("b" * 40, '[["a/b"], null, "mit"]', "index", 10)
    assert decide((), changed, thread((ONE,)), []).action == "close"
    assert decide((), Basis("b" * 40, BASIS.claim, "index", 10), thread((ONE,)), []).action == "withdraw"
    assert decide((), BASIS, None, []).action == "nothing"
    assert decide((), BASIS, thread((ONE,), "closed"), []).action == "nothing"


@pytest.mark.parametrize(("digest", "n", "alone"), [("index", 5, True), ("other", 5, False), ("other", 11, True)])
def test_a_withdrawal_needs_a_person_only_when_the_index_lost_models(digest: str, n: int, alone: bool) -> None:
    found = decide((), Basis("b" * 40, BASIS.claim, digest, n), thread((ONE,)), [])
    assert (found.action, found.alone) == ("withdraw", alone)


@pytest.mark.parametrize(
    "card",
    [
        "---\nhubdna-bot: false\n---\n",
        "---\nlicense: mit\n  'hubdna-bot' : \"OFF\"\n",
        "no front matter\nHUBDNA-BOT: no",
        "---\na: &a [x]\nb: *nowhere {\nhubdna-bot: never",
        "---\r\nhubdna-bot: false\r\n---\r\n",
    ],
)
def test_cards_that_opt_out(card: str) -> None:
    assert is_opted_out(card)


@pytest.mark.parametrize("card", [None, "", "---\nhubdna-bot: true\n---\n", "write `hubdna-bot: false` there",
                                  "hubdna-bot: falsetto", "x-hubdna-bot: false"])  # fmt: skip
def test_cards_that_do_not(card: str | None) -> None:
    assert not is_opted_out(card)


def test_looking_for_the_opt_out_takes_no_time_on_a_hostile_card() -> None:
    assert not is_opted_out("hubdna-bot" * 300_000)
    assert not is_opted_out(" " * 1_000_000 + "\n" + "\t" * 1_000_000)
    assert is_opted_out("---\n" + "a: b\n" * 100_000 + "hubdna-bot: false\n" + "x" * 10_000_000)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)), st.integers(0, 5), st.integers(0, 12))
def test_budgets_are_never_exceeded(opened: dict[str, int], per_owner: int, per_day: int) -> None:
    why = over_budget("a", opened, Budget(per_owner, per_day))
    assert (why is None) == (opened.get("a", 0) < per_owner and sum(opened.values()) < per_day)


def test_a_day_ends_at_midnight() -> None:
    assert next_day(86_400.0 * 10) == 86_400.0 * 11 == next_day(86_400.0 * 11 - 1)
