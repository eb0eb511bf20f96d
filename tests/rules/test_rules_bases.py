"""HD004 to HD007, HD010, HD011, HD016: what a card says of its base, or of having none."""

from dataclasses import replace
from typing import ClassVar

import pytest
from rule_cases import README, US, bucket, case, declared, found, mark, match, mixture, told

from hubdna.records import Claim
from hubdna.rules import Declared

SCRATCH = README + "It was trained from scratch.\n"


class TestWrongRelation:
    """HD004."""

    def test_a_finetune_with_the_bases_own_bits_is_an_error(self) -> None:
        one = case(("a/b",), relation="finetune", declared=(declared("a/b", "identical"),))
        assert told(one) == [("HD004", "error")]

    def test_with_an_adapter_beside_the_weights_it_is_none(self) -> None:
        tested = (declared("a/b", "identical"),)
        one = case(("a/b",), relation="finetune", declared=tested, files=("adapter_model.safetensors",))
        assert told(one) == [("HD004", "info")]

    def test_a_quantised_copy_called_a_finetune_is_warned_of_and_put_right(self) -> None:
        card = "---\nbase_model: a/b\nbase_model_relation: finetune\n---\n"
        tested = (declared("a/b", marks=(mark("quantised"),)),)
        one = case(("a/b",), relation="finetune", card=card, declared=tested)
        assert told(one) == [("HD004", "warning")]
        patch = found(one)[0].patch
        assert patch is not None and "+base_model_relation: quantized" in patch.diff

    def test_a_mark_the_other_way_says_nothing_of_us(self) -> None:
        one = case(("a/b",), relation="finetune", declared=(declared("a/b", marks=(mark("cast", child=1),)),))
        assert told(one) == []

    def test_repeated_layers_may_have_been_trained(self) -> None:
        one = case(("a/b",), relation="finetune", declared=(declared("a/b", marks=(mark("repeated"),)),))
        assert told(one) == []

    @pytest.mark.parametrize(
        ("relation", "more", "expected"),
        [
            (None, {}, []),
            ("finetune", {}, []),
            (" FineTune ", {}, []),
            ("merge", {}, [("HD004", "info")]),
            ("distilled", {}, [("HD004", "info")]),
            ("adapter", {}, [("HD004", "info")]),
            ("adapter", {"files": ("sub/adapter_config.json",)}, []),
            ("adapter", {"unread": "only an adapter"}, [("HD016", "info")]),
            ("quantized", {}, []),
        ],
    )
    def test_other_words(self, relation: str | None, more: dict, expected: list) -> None:
        assert told(case(("a/b",), relation=relation, **more)) == expected


class TestMissingParent:
    """HD005."""

    def test_all_of_a_merges_parents_are_asked_for(self) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        one = case(("a/a",), matches=both, mixture=mixture("a/a", "b/b"))
        assert told(one) == [("HD005", "warning")]
        (finding,) = found(one)
        assert "a/a (0.50), b/b (0.50); the card does not name b/b" in finding.message
        assert finding.patch is not None and finding.patch.edits[0].values == ("b/b",)

    def test_it_stands_for_the_undeclared_base(self) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        one = case(matches=both, mixture=mixture("a/a", "b/b"), known_bases=("a/a",))
        assert told(one) == [("HD005", "warning")]

    def test_a_copy_of_a_parent_will_do(self) -> None:
        all_ = (match("a/a"), match("b/b", rank=2), match("b/mirror", rank=2))
        assert told(case(("a/a", "b/mirror"), matches=all_, mixture=mixture("a/a", "b/b"))) == []

    def test_an_open_answer_says_nothing(self) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        assert told(case(("a/a",), matches=both, mixture=mixture("a/a", "b/b", directed=False))) == []

    def test_a_parent_that_is_not_earlier_is_info(self) -> None:
        both = (match("a/a"), match("b/b", "2026-09", rank=2))
        assert told(case(("a/a",), matches=both, mixture=mixture("a/a", "b/b"))) == [("HD005", "info")]

    @pytest.mark.parametrize(
        ("kind", "shares", "severity"),
        [
            ("linear", (0.5, 0.52), "warning"),
            ("linear", (0.2, 0.8), "info"),
            ("layers", (0.0, 1.0), "warning"),
            ("sparse", (0.5, 0.5), "info"),
        ],
    )
    def test_only_a_plain_mixture_is_a_warning(self, kind: str, shares: tuple[float, float], severity: str) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        mixed = mixture("a/a", "b/b", kind=kind)
        mixed = replace(mixed, parents=tuple(replace(m, shares=shares) for m in mixed.parents))
        assert told(case(("a/a",), matches=both, mixture=mixed)) == [("HD005", severity)]

    @pytest.mark.parametrize("base", [False, True])
    def test_a_share_below_nothing_may_be_an_equation_turned_round(self, base: bool) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        mixed = mixture("a/a", "b/b")
        less = replace(mixed.parents[0], share=-0.5)
        mixed = replace(mixed, base=less) if base else replace(mixed, parents=(less, mixed.parents[1]))
        assert told(case(("a/a",), matches=both, mixture=mixed)) == [("HD005", "info")]

    def test_where_it_is_info_the_undeclared_base_is_asked_for(self) -> None:
        both = (match("a/a"), match("b/b", rank=2))
        mixed = mixture("a/a", "b/b", kind="sparse")
        assert told(case(matches=both, mixture=mixed, known_bases=("a/a",))) == [
            ("HD001", "warning"),
            ("HD005", "info"),
        ]


class TestGrandparent:
    """HD006."""

    BASES: ClassVar = {"grand/base": frozenset({"lab/parent", "me/model"})}

    def test_a_certain_mark_is_a_warning(self) -> None:
        one = case(
            ("grand/base",),
            matches=(match("lab/parent"),),
            bases=self.BASES,
            marks={"lab/parent": (mark("quantised"),)},
        )
        assert told(one) == [("HD006", "warning")]

    def test_nearness_is_info(self) -> None:
        nearer = (match("lab/parent", similarity=0.99),)
        assert told(case(("grand/base",), matches=nearer, bases=self.BASES)) == [("HD006", "info")]

    def test_a_sibling_is_not_nearer(self) -> None:
        assert told(case(("grand/base",), matches=(match("lab/parent", similarity=0.8),), bases=self.BASES)) == []

    @pytest.mark.parametrize("created", ["2026-09", None])
    def test_nobody_comes_from_the_future(self, created: str | None) -> None:
        nearer = (match("lab/parent", created, similarity=0.99),)
        assert (
            told(case(("grand/base",), matches=nearer, bases=self.BASES, marks={"lab/parent": (mark("cast"),)})) == []
        )

    def test_both_may_be_named(self) -> None:
        nearer = (match("lab/parent", similarity=0.99),)
        assert told(case(("grand/base", "lab/parent"), matches=nearer, bases=self.BASES)) == []

    def test_a_mark_on_the_declared_base_settles_it(self) -> None:
        tested = (declared("grand/base", similarity=0.99, marks=(mark("cast"),)),)
        one = case(
            ("grand/base",),
            declared=tested,
            matches=(match("lab/parent"),),
            bases=self.BASES,
            marks={"lab/parent": (mark("cast"),)},
        )
        assert told(one) == []


class TestUnfollowableBase:
    """HD007."""

    @pytest.mark.parametrize(
        ("state", "severity"),
        [("itself", "error"), ("no-name", "warning"), ("gone", "warning"), ("gated", "info"), ("renamed", "info")],
    )
    def test_each_state(self, state: str, severity: str) -> None:
        one = case(("a/b",), declared=(Declared("a/b", None, "why", state, "new/b" if state == "renamed" else None),))
        assert ("HD007", severity) in told(one)
        assert ("HD003", "info") not in told(one) or state == "renamed"

    def test_a_new_name_is_offered(self) -> None:
        card = "---\nbase_model: a/b # ours\n---\n"
        one = case(("a/b",), card=card, declared=(replace(declared("a/b"), state="renamed", today="new/b"),))
        patch = found(one)[0].patch
        assert patch is not None and "new/b" in patch.diff

    def test_the_line_is_that_of_the_name(self) -> None:
        claim = Claim(("a/b", "c/d"), line=2, license="mit", base_lines=(3, 4))
        one = case(claim=claim, declared=(declared("a/b"), Declared("c/d", None, "gone", "gone")))
        assert [f.line for f in found(one)] == [4]

    def test_a_circle_is_told_whole(self) -> None:
        one = case(("a/b",), cycle=("a/b", "c/d", "me/model"))
        assert told(one) == [("HD007", "warning")]
        assert "me/model -> a/b -> c/d -> me/model" in found(one)[0].message


class TestScratch:
    """HD010."""

    def test_a_likely_parent_contradicts(self) -> None:
        one = case(card=SCRATCH, matches=(match("big/base"),), known_bases=("big/base",))
        assert told(one) == [("HD010", "warning")]
        assert found(one)[0].line == 5 and "trained from scratch" in found(one)[0].message

    def test_a_possible_shared_seed_is_info(self) -> None:
        one = case(card=SCRATCH, matches=(match("big/base", similarity=0.4),), known_bases=("big/base",))
        assert told(one) == [("HD010", "info")]

    @pytest.mark.parametrize("created", ["2026-09", None])
    def test_only_earlier_models_contradict(self, created: str | None) -> None:
        one = case(card=SCRATCH, matches=(match("big/base", created),), known_bases=("big/base",))
        assert "HD010" not in [rule for rule, _ in told(one)]

    def test_a_foundation_model_may_say_so(self) -> None:
        assert told(case(card=SCRATCH, matches=(match("a/b"),), foundations=frozenset({"me/model"}))) == []

    def test_independent_models_do_not_contradict(self) -> None:
        assert (
            told(case(card=SCRATCH, matches=(match("a/b", origin="no-evidence"), match("c/d", origin="undecided"))))
            == []
        )


class TestComponent:
    """HD011."""

    INSIDE: ClassVar = {"relation": "component", "n_alone": (4, 0), "n_foreign": (4, 0)}

    def test_a_known_base_inside_is_warned_of(self) -> None:
        one = case(("lm/base",), matches=(match("clip/tower", **self.INSIDE),), known_bases=("clip/tower",))
        assert told(one) == [("HD011", "warning")]

    def test_a_part_in_common_is_info(self) -> None:
        part = match("clip/tower", origin="undecided", relation="component")
        assert told(case(("lm/base",), matches=(part,), known_bases=("clip/tower",))) == [("HD011", "info")]

    def test_a_mention_is_enough(self) -> None:
        one = case(("lm/base",), matches=(match("clip/tower", **self.INSIDE),), card=README + "Uses Tower for vision.")
        assert told(one) == []

    def test_a_small_part_is_no_base(self) -> None:
        tower = match("clip/tower", **self.INSIDE)
        assert told(case(matches=(tower,), known_bases=("clip/tower",))) == [("HD011", "warning")]
        named = case(matches=(tower,), known_bases=("clip/tower",), card=README + "Its eyes are clip/tower.")
        assert told(named) == []
        distilled = (declared("lm/base", "no-evidence"),)
        one = case(("lm/base",), matches=(tower,), declared=distilled, known_bases=("clip/tower",))
        assert told(one) == [("HD003", "info"), ("HD011", "warning")]

    def test_the_larger_part_may_be_the_base(self) -> None:
        most = match("lm/base", **(self.INSIDE | {"n_genes": 9}))
        assert ("HD001", "warning") in told(case(matches=(most,), known_bases=("lm/base",)))

    def test_relatives_of_a_named_tower_share_the_tower(self) -> None:
        tests = {"buckets": (bucket(n_axis=256), bucket("gram", 64))}
        tower, child = (match(n, **(self.INSIDE | tests)) for n in ("clip/tower", "other/seer"))
        text = README + "Its eyes are clip/tower."
        assert told(case(("lm/base",), matches=(tower, child), known_bases=("other/seer",), card=text)) == []
        exact = match("other/seer", **(self.INSIDE | tests | {"n_rows_equal": 32}))
        assert told(case(("lm/base",), matches=(tower, exact), known_bases=("other/seer",), card=text)) == [
            ("HD011", "info")
        ]
        words = match("other/words", **(self.INSIDE | {"buckets": (bucket(n_axis=512),)}))
        one = case(("lm/base",), matches=(tower, child, words), known_bases=("other/words",), card=text)
        assert told(one) == [("HD011", "warning")] and "other/words" in found(one)[0].message

    def test_without_a_passed_test_nothing_is_said(self) -> None:
        part = match("clip/tower", origin="undecided", relation="component", log10_p=-8.0)
        assert told(case(("lm/base",), matches=(replace(part, verdict=replace(part.verdict, log10_p=-8.0)),))) == []


def test_what_could_not_be_tested_is_said_once() -> None:
    one = case(("a/b",), declared=(Declared("a/b", None, "not read"),), unread=f"{US}: only an adapter")
    assert told(one) == [("HD016", "info")]
    assert "me/model" not in found(one)[0].message
