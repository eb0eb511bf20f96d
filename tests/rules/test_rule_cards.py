"""A small part of the board of rules: one card of each rule and way on a local Hub; and that the board's eyes see."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubdna.card import suggest
from hubdna.records import CardEdit, CardPatch
from hubdna.rules import RULES

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))

import licence_cards
import rule_cards
import rule_claims
import rule_hostile
import rule_patches
import rules as board
from rule_cards import Card, Desk
from rule_forms import FORMS

CARDS = rule_cards.load()
FEW = board.quick([card for card in CARDS if not card.held])
PLACE = "sentence"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A Hub with the models that the few cards need."""
    names = {card.weights for card in FEW} | {"child"}
    with Desk(tmp_path_factory.mktemp("desk"), names - rule_cards.rule_models.CARDS.keys()) as one:
        yield one


@pytest.mark.parametrize("card", FEW, ids=lambda card: card.key)
def test_a_card_of_each_rule_and_way(desk: Desk, card: Card) -> None:
    row = board.measure(desk, card)
    said = rule_cards.judged(card, row["said"])
    assert said["right"] and not said["false"], row
    assert row["wrong"] == []


def test_a_hostile_sentence_comes_through_nowhere(desk: Desk) -> None:
    card = rule_hostile.PLACES[PLACE]
    plain = [desk.audit("child", card("harmless").encode())]
    assert ("HD010", "warning") in [(f.rule_id, f.severity) for f in plain[0].findings]
    payload = " ".join(v for k, v in rule_hostile.PAYLOADS.items() if k in ("link", "html", "mention", "terminal"))
    assert rule_hostile.wrongs(desk.audit("child", card(payload).encode()), plain) == []


def test_every_rule_has_25_cards_each_way() -> None:
    n = Counter((card.rule, card.way) for card in CARDS)
    n += Counter((r["rule"], "fires" if licence_cards.expected(r) else "quiet") for r in licence_cards.load())
    assert {rule: n[rule, way] for rule in RULES for way in ("fires", "quiet") if n[rule, way] < 25} == {}


def test_another_form_is_another_card() -> None:
    front, text = "license: mit\nbase_model: a/b\nbase_model_relation: merge", "# x"
    cards = {name: form(front, text) for name, form in FORMS.items()}
    assert len(set(cards.values())) == len(cards)


def test_what_a_judge_calls_false() -> None:
    card = Card("k", "HD001", "quiet", "child", b"", "", ("HD008",), False)
    assert rule_cards.judged(card, [("HD008", "warning"), ("HD003", "info")])["false"] == []
    assert rule_cards.judged(card, [("HD001", "info")]) == {"spoke": True, "right": False, "false": []}
    assert rule_cards.judged(card, [("HD002", "warning")])["false"] == ["HD002 warning"]
    assert rule_cards.judged(card, [("HD008", "error")])["false"] == ["HD008 error"]


class TestPatches:
    """The independent look at patches sees what went wrong."""

    CARD = "---\nlicense: mit\n# why\nbase_model: a/b\ntags: [x]\n---\n# x\n"
    EDIT = CardEdit("base_model", "set", ("c/d",))

    def test_a_sound_one(self) -> None:
        assert rule_patches.wrongs(self.CARD, suggest(self.CARD, (self.EDIT,), "r")) == []

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("c/d", "c/e", "base_model is"),
            ("# why\n", "", "other lines"),
            ("tags: [x]", "tags: [y]", "tags changed"),
            ("# x\n", "# y\n", "text outside"),
        ],
    )
    def test_one_that_does_more(self, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str) -> None:
        done = self.CARD.replace("a/b", "c/d").replace(old, new)
        monkeypatch.setattr(rule_patches, "apply", lambda card, patch: done)
        assert any(says in one for one in rule_patches.wrongs(self.CARD, CardPatch("r", "", (self.EDIT,))))


class TestEyes:
    """What the board would see if a report let something through."""

    @pytest.mark.parametrize("text", ["[a](javascript:x)", "<b>x</b>", "![a](b)", "<https://x.example>"])
    def test_markdown_that_is_drawn(self, text: str) -> None:
        assert rule_hostile.rendered(f"so {text}")
        assert not rule_hostile.rendered(f"so `{text}`")

    def test_mentions(self) -> None:
        assert rule_hostile._mentions("hi @all", False) == ["@all"]
        assert rule_hostile._mentions("hi `@all`", False) == [] and rule_hostile._mentions("hi `@all`", True)

    def test_controls(self) -> None:
        assert rule_hostile._controls("a\x1b[31m\u202e") == ["\x1b", "\u202e"]


def test_real_claims_and_a_real_card_are_read_as_they_are() -> None:
    assert len(rule_claims.load()) == 385
    assert rule_claims.real_card() == {"base_models": [], "license": "apache-2.0", "remarks": 0}
