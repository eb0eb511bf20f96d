"""One step down a family, and several: what has to hold for all pairs of licences, and single pairs by name."""

import pytest

from hubdna.licences import TABLE, Step, chain, step
from hubdna.records import Claim

STATED = [one for one in TABLE.values() if one.kind != "none"]


def verdict(parent: str, child: str) -> str:
    return step(TABLE[parent], TABLE[child]).verdict


@pytest.mark.parametrize(
    ("parent", "child", "said"),
    [
        ("apache-2.0", "mit", "fine"),
        ("apache-2.0", "cc-by-nc-4.0", "fine"),
        ("mit", "llama3.1", "fine"),
        ("cc0-1.0", "mit", "fine"),
        ("mit", "cc0-1.0", "unclear"),
        ("cc-by-4.0", "cc", "fine"),
        ("cc-by-nc-4.0", "mit", "less-restrictive"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "fine"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "incompatible"),
        ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "fine"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "incompatible"),
        ("cc-by-sa-4.0", "apache-2.0", "incompatible"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", "incompatible"),
        ("gpl-3.0", "agpl-3.0", "fine"),
        ("agpl-3.0", "gpl-3.0", "unclear"),
        ("gpl-2.0", "mit", "unclear"),
        ("llama2", "apache-2.0", "less-restrictive"),
        ("llama3.1", "cc-by-nc-4.0", "unclear"),
        ("llama3.1", "gemma", "unclear"),
        ("gemma", "gpl-3.0", "less-restrictive"),
        ("openrail", "creativeml-openrail-m", "fine"),
        ("bigscience-openrail-m", "bigcode-openrail-m", "unclear"),
        ("qwen-research", "apache-2.0", "unclear"),
        ("tongyi-qianwen", "apache-2.0", "unclear"),
        ("apple-amlr", "mit", "less-restrictive"),
        ("fair-noncommercial-research-license", "cc-by-nc-4.0", "unclear"),
        ("cc", "mit", "unclear"),
        ("unknown", "mit", "unclear"),
        ("mit", "other", "unclear"),
    ],
)
def test_pairs(parent: str, child: str, said: str) -> None:
    assert verdict(parent, child) == said


def test_the_same_licence_is_fine_unless_nothing_may_be_passed_on() -> None:
    for one in STATED:
        if one.kind != "family":
            assert verdict(one.id, one.id) == ("fine" if one.derivatives else "incompatible")


def test_permissive_parents_leave_their_children_free() -> None:
    for parent in (one for one in STATED if one.kind in ("permissive", "public domain")):
        for child in STATED:
            allowed = {"fine", "unclear"} if child.kind == "public domain" else {"fine"}
            assert verdict(parent.id, child.id) in allowed, (parent.id, child.id)


def test_commerce_is_never_fine_below_a_parent_without() -> None:
    for parent in (one for one in STATED if not one.commercial):
        for child in (one for one in STATED if one.commercial):
            assert verdict(parent.id, child.id) != "fine", (parent.id, child.id)


def test_a_doubt_is_never_more_than_unclear() -> None:
    for parent in STATED:
        for child in STATED:
            if parent.doubt or child.unclear:
                assert verdict(parent.id, child.id) in ("fine", "unclear")


def test_every_step_that_is_not_fine_says_why() -> None:
    for parent in TABLE.values():
        for child in TABLE.values():
            found = step(parent, child)
            assert (found.verdict == "fine") == (found.why == "")
            assert not found.why.endswith(".") and "  " not in found.why


def said(*licences: str | None) -> list[Claim | None]:
    return [None if one is None else Claim(license=one) for one in licences]


@pytest.mark.parametrize(
    ("licences", "verdict", "lost_at"),
    [
        (("cc-by-nc-4.0", "cc-by-nc-4.0"), "fine", None),
        (("mit", "cc-by-nc-4.0"), "less-restrictive", 0),
        (("mit", "cc-by-nc-4.0", "cc-by-nc-4.0"), "less-restrictive", 0),
        (("mit", "mit", "cc-by-nc-4.0"), "less-restrictive", 1),
        (("mit", "cc-by-nc-4.0", "mit", "cc-by-nc-4.0"), "less-restrictive", 2),
        (("cc-by-nc-4.0", "mit", "cc-by-nc-4.0"), "fine", 1),
        (("mit", None, "cc-by-nc-4.0"), "less-restrictive", 1),
        (("mit", "acme", "cc-by-nc-4.0"), "less-restrictive", 1),
        (("mit", None), "unclear", 0),
        ((None, "mit"), "unclear", 0),
        (("mit", "acme"), "unclear", 0),
    ],
)
def test_along_a_chain(licences: tuple[str | None, ...], verdict: str, lost_at: int | None) -> None:
    passage = chain(said(*licences))
    assert (passage.step.verdict, passage.lost_at) == (verdict, lost_at)


def test_of_several_licences_the_best_pair_counts() -> None:
    assert chain(said("mit", "mit, cc-by-nc-4.0")).step == Step("fine")
    assert chain(said("mit, llama3.1", "llama3.1")).step == Step("fine")
    found = chain(said("mit", "gemma, cc-by-nc-4.0")).step
    assert found.verdict == "unclear" and "several licences" in found.why
