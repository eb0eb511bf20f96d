"""HD008, HD009, HD015: copies, disguised ones, and old weights under a new name."""

from typing import ClassVar

import pytest
from rule_cases import README, bucket, case, declared, found, match, told

from hubdna.records import ModelRef
from hubdna.rules.hd015 import differ_in_version

SAME = {"origin": "identical", "similarity": None}
HIDDEN = {"disguise": ("hidden units shuffled",)}


class TestIdenticalReupload:
    """HD008."""

    def test_an_earlier_copy_of_somebody_else_is_named(self) -> None:
        one = case(matches=(match("big/base", **SAME),))
        assert told(one) == [("HD008", "warning")]
        (finding,) = found(one)
        assert "bit for bit the same as big/base, published earlier (2026-01)" in finding.message
        assert finding.patch is not None and "+base_model: big/base" in finding.patch.diff

    def test_the_first_of_several_is_the_one(self) -> None:
        copies = tuple(match(n, day, 1, **SAME) for n, day in (("c/c", "2026-03"), ("a/a", "2026-01"), ("n/n", None)))
        assert "as a/a," in found(case(matches=copies))[0].message

    def test_without_dates_it_is_info(self) -> None:
        assert told(case(matches=(match("big/base", None, **SAME),))) == [("HD008", "info")]

    @pytest.mark.parametrize(
        "text",
        [
            "A mirror of big/base.",
            "Weights of BIG/Base",
            "see [it](https://hub/big/base)",
            "本仓库是big/base的镜像。",
            "ｂｉｇ/ｂａｓｅ",
        ],
    )
    def test_credit_in_the_text_is_credit(self, text: str) -> None:
        assert [rule for rule, _ in told(case(matches=(match("big/base", **SAME),), card=README + text))] == ["HD001"]

    @pytest.mark.parametrize(
        "text", ["big/base-v2", "abig/base", "database", "base.en", "big/baseline", "our base model"]
    )
    def test_a_longer_name_is_none(self, text: str) -> None:
        assert told(case(matches=(match("big/base", **SAME),), card=README + text)) == [("HD008", "warning")]

    def test_declaring_any_of_the_copies_is_credit(self) -> None:
        copies = (match("big/base", **SAME), match("mirror/base", "2026-02", **SAME))
        assert told(case(("mirror/base",), matches=copies, declared=(declared("mirror/base", "identical"),))) == []

    def test_another_declared_base_is_no_credit(self) -> None:
        one = case(("grand/base",), matches=(match("big/base", **SAME),))
        assert told(one) == [("HD008", "warning")]
        assert "It declares grand/base instead." in found(one)[0].message

    def test_the_first_one_is_left_alone(self) -> None:
        assert told(case(matches=(match("copy/cat", "2026-09", **SAME),))) == []

    def test_a_copy_that_declares_us_is_no_origin_of_ours(self) -> None:
        bases = {"me/model": frozenset({"copy/cat"})}
        assert told(case(matches=(match("copy/cat", "2026-01", **SAME),), bases=bases)) == []

    def test_a_foundation_model_uploaded_anew_is_left_alone(self) -> None:
        assert told(case(matches=(match("copy/cat", **SAME),), foundations=frozenset({"me/model"}))) == []

    def test_packed_values_are_a_quantised_copy_and_no_reupload(self) -> None:
        packed = match("big/base", relation="quantized", **SAME)
        assert told(case(matches=(packed,), known_bases=("big/base",))) == [("HD001", "warning")]


class TestDisguisedCopy:
    """HD009."""

    def test_a_likely_parent_is_warned_of(self) -> None:
        one = case(matches=(match("big/base", **HIDDEN),), known_bases=("big/base",))
        assert told(one) == [("HD009", "warning")]
        (finding,) = found(one)
        assert "hidden units shuffled" in finding.message and "derived" not in finding.message

    def test_without_a_likely_parent_it_is_info(self) -> None:
        assert told(case(matches=(match("some/model", **HIDDEN),))) == [("HD009", "info")]

    @pytest.mark.parametrize("change", ["gains folded", "experts renumbered", "rows rescaled"])
    def test_what_tools_do_is_info(self, change: str) -> None:
        one = case(matches=(match("big/base", disguise=(change,)),), known_bases=("big/base",))
        assert told(one) == [("HD009", "info")]

    def test_a_declared_base_may_be_rotated(self) -> None:
        tested = (declared("big/base", disguise=("residual stream rotated, permuted or rescaled",)),)
        one = case(("big/base",), matches=(match("big/base", **HIDDEN),), declared=tested, known_bases=("big/base",))
        assert told(one) == []

    def test_a_later_disguised_copy_is_no_fault_of_ours(self) -> None:
        assert told(case(matches=(match("thief/model", "2026-09", **HIDDEN),))) == []


class TestLeftOpen:
    """HD009 where the coordinates match and the hidden units do not: only a full read can tell what that is."""

    TESTS = (bucket("gram", 64), bucket("residual", 64), bucket("rows", log10_p=0.0))
    OPEN: ClassVar = {"origin": "undecided", "relation": "component", "buckets": TESTS}

    def test_it_is_told_as_undecided_and_not_as_a_part(self) -> None:
        one = case(matches=(match("big/base", **self.OPEN),), known_bases=("big/base",))
        assert told(one) == [("HD009", "info")]
        (finding,) = found(one)
        assert finding.message.startswith("Undecided: ") and "--read full" in finding.message
        assert finding.patch is None

    def test_the_likely_parent_is_named_first(self) -> None:
        both = (match("other/child", "2026-02", 1, **self.OPEN), match("big/base", "2026-01", 2, **self.OPEN))
        assert "of big/base " in found(case(matches=both, known_bases=("big/base",)))[0].message

    def test_a_card_that_names_the_model_hears_nothing(self) -> None:
        matches = (match("other/child", "2026-02", 1, **self.OPEN), match("big/base", "2026-01", 2, **self.OPEN))
        assert told(case(matches=matches, card=README + "Made from big/base.")) == []
        tested = (declared("big/base", "undecided", undecided_because="needs --read full"),)
        assert told(case(("big/base",), matches=matches, declared=tested)) == [("HD003", "info")]

    @pytest.mark.parametrize("more", [{"agreement": (0.9,)}, {"buckets": (*TESTS, bucket("response"))}])
    def test_what_was_settled_is_not_open(self, more: dict) -> None:
        assert "HD009" not in [rule for rule, _ in told(case(matches=(match("big/base", **(self.OPEN | more)),)))]

    def test_a_later_model_is_no_fault_of_ours(self) -> None:
        assert told(case(matches=(match("big/base", "2026-09", **self.OPEN),))) == []


class TestOldWeights:
    """HD015."""

    def test_a_new_version_with_old_weights_is_warned_of(self) -> None:
        one = case(matches=(match("me/model-v1", **SAME),), ref=ModelRef("me/model-v2"))
        assert told(one) == [("HD015", "warning")]

    def test_a_move_is_info(self) -> None:
        assert told(case(matches=(match("me/old-name", **SAME),))) == [("HD015", "info")]

    def test_a_card_that_says_so_is_clean_of_it(self) -> None:
        one = case(matches=(match("me/old-name", **SAME),), card=README + "Formerly old-name.")
        assert [rule for rule, _ in told(one)] == ["HD001"]

    def test_the_parent_of_the_old_model_is_still_asked_for(self) -> None:
        both = (match("me/old-name", **SAME), match("big/base", "2025-01", 2))
        assert told(case(matches=both, known_bases=("big/base",))) == [("HD001", "warning"), ("HD015", "info")]

    def test_somebody_elses_earlier_copy_comes_first(self) -> None:
        both = (match("me/old-name", "2026-02", **SAME), match("big/base", "2026-01", **SAME))
        assert told(case(matches=both)) == [("HD008", "warning")]

    @pytest.mark.parametrize(
        ("a", "b", "yes"),
        [
            ("me/m-v1", "me/m-v2", True),
            ("me/m-1.0", "me/m-1.5", True),
            ("me/M-0711", "me/m-0825", True),
            ("me/m-7b", "me/m-13b", False),
            ("me/m-4bit", "me/m-8bit", False),
            ("me/m", "me/m-v2", False),
            ("me/m-v1", "me/m-v1", False),
        ],
    )
    def test_what_a_version_is(self, a: str, b: str, yes: bool) -> None:
        assert differ_in_version(a, b) is yes
