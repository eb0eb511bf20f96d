"""The comment: it states what it must, and of a repository nothing is rendered, nobody called, nothing hidden."""

import re

import pytest
from bot_texts import HARMLESS, HOSTILE, tokens
from hypothesis import given
from hypothesis import strategies as st

from hubdna.bot import words
from hubdna.bot.nouns import Said
from hubdna.records import Audit, CardPatch, Claim, Finding, ModelRef, Provenance

MADE = Provenance("d" * 16, "/index", 42, "weight-1", "1.0", "2026-01-02")


def audit(message: str, evidence: tuple[str, ...] = (), diff: str | None = None, name: str = "me/model") -> Audit:
    ref = ModelRef(name, sha="c" * 40)
    patch = None if diff is None else CardPatch(message, diff)
    return Audit(ref, Claim(), (), (Finding("HD001", "warning", ref, 3, message, evidence, patch),), MADE)


def test_it_states_evidence_confidence_computation_dispute_and_opt_out() -> None:
    text = words.note(audit("shares its origin with big/base.", ("p <= 1e-35 that ...",), "-a\n+b"), "mail ann")
    for needed in ("HD001 warning", "line 3", "`big/base`", "p <= 1e-35", "How sure", "How was it computed",
                   "`hubdna audit me/model`", "index of 42 models", "Is it wrong?", "withdraw", "mail ann",
                   "hubdna-bot: false", "Close this discussion", "```diff", "c" * 40, "a program"):  # fmt: skip
        assert needed in text, needed


def test_info_findings_are_left_out() -> None:
    ref = ModelRef("me/model")
    one = Audit(ref, Claim(), (), (Finding("HD003", "info", ref, None, "unknown"),), MADE)
    assert "HD003" not in words.note(one)


@pytest.mark.parametrize("evil", HOSTILE)
def test_nothing_of_a_repository_is_rendered(evil: str) -> None:
    for text in (
        words.note(audit(evil, (evil, f"a {evil} b"), f"+{evil}\n {evil}", f"me/{evil}"), evil),
        words.withdrawal("today", evil, [Said("HD001", "warning", evil)]),
    ):
        assert set(tokens(text)) <= HARMLESS, set(tokens(text)) - HARMLESS
        assert not re.search(r"@\w", text)
        assert all(c.isprintable() or c in "\n\N{ZERO WIDTH JOINER}" for c in text)
        assert words.marker_of(words.signed(text, "abcdefabcdef")) == "abcdefabcdef"
        assert words.marker_of(text) is None


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), min_size=1, max_size=5).map(" ".join))
def test_nothing_of_any_text_is_rendered(evil: str) -> None:
    text = words.note(audit(evil, (evil,), evil))
    assert set(tokens(text)) <= HARMLESS
    assert not re.search(r"@\w", text)
    text.encode()


def test_reading_direction_is_spelled_out() -> None:
    text = words.note(audit("a \u202ename/evil\u202c b"))
    assert "U+202Ename/evilU+202C" in text


def test_a_comment_has_a_bounded_length() -> None:
    ref = ModelRef("me/model")
    patch = CardPatch("x" * 100_000, "+" + "y" * 3_000)
    findings = tuple(Finding("HD001", "warning", ref, 1, "m" * 10**6, ("e" * 10**6,) * 100, patch) for _ in range(50))
    text = words.signed(words.note(Audit(ref, Claim(), (), findings, MADE), "c"), "0" * 12)
    assert len(words.edited(text, "today")) <= 65_536 and re.search(r"And \d\d more", text)


@pytest.mark.parametrize("char", ["@a ", "` ", "\u202e", "a` @b\n", "\x00"])
def test_however_it_is_escaped(char: str) -> None:
    text = words.note(audit(char * 10_000, (char * 10_000,) * 100, char * 1_000))
    assert 1_000 < len(words.edited(text, "today")) <= 65_536


def test_a_long_patch_is_left_to_the_command() -> None:
    text = words.note(audit("m", (), "+" + "x" * 5_000))
    assert "audit --fix" in text and "```diff" not in text


NO_MARKERS = [
    None,
    "",
    "x",
    "<!-- hubdna-bot proposal=0123456789ab -->\nmore",
    "x <!-- hubdna-bot proposal=0123456789ab -->",
    "<!-- hubdna-bot proposal=xyz -->",
]


@pytest.mark.parametrize("text", NO_MARKERS)
def test_what_is_no_marker(text: str | None) -> None:
    assert words.marker_of(text) is None


def test_the_marker_survives_what_a_hub_does_to_line_ends() -> None:
    assert words.marker_of(words.signed("x", "0123456789ab") + "\r\n\n") == "0123456789ab"
