"""Rules HD012 to HD014 on labelled cards: who is spoken to, how loudly, and who is left alone."""

import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hubdna.card import apply, read_claim
from hubdna.licences import find, step
from hubdna.records import Mark, ModelRef
from hubdna.rules import RULES, Case
from hubdna.rules.case import Ancestor

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))

from licence_cards import build, expected, load

ROWS = load()
OURS = ("HD012", "HD013", "HD014")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['rule']} {row['says']}")
def test_labelled_cards(row: dict) -> None:
    case = build(row)
    findings = list(RULES[row["rule"]](case))
    assert [f.severity for f in findings] == expected(row), [f.message for f in findings]
    if "words" in row:
        assert any(row["words"] in f.message for f in findings)
    if "patch" in row:
        _check_patch(case, findings[0].patch, row["patch"])
    for finding in findings:
        assert finding.rule_id == row["rule"] and finding.ref == case.ref
        assert re.fullmatch(r"[A-Z].*\.", finding.message) and "  " not in finding.message


def _check_patch(case: Case, patch, licence: str) -> None:
    if not licence:
        assert patch is None
        return
    after = read_claim(apply(case.card, patch))
    assert after.license == licence
    assert after == replace(case.claim, license=licence, license_line=after.license_line, line=after.line)


def test_every_rule_has_twenty_cards_each_way() -> None:
    for rule in OURS:
        ways = Counter("none" not in row["expect"] for row in ROWS if row["rule"] == rule)
        assert ways[True] >= 20 and ways[False] >= 20, (rule, ways)
    assert len({(row["rule"], row["says"]) for row in ROWS}) == len(ROWS)


def test_no_rule_says_error_on_any_card() -> None:
    said = {f.severity for row in ROWS for rule in OURS for f in RULES[rule](build(row))}
    assert said == {"warning", "info"}


@pytest.mark.parametrize("row", [r for r in ROWS if r["expect"] == "warning"], ids=lambda r: f"{r['rule']} {r['says']}")
def test_a_warning_needs_a_confirmed_ancestor(row: dict) -> None:
    case = build(row)
    for support in ("declared", "likely"):
        milder = replace(case, ancestry=tuple(replace(a, support=support) for a in case.ancestry))
        assert all(f.severity == "info" for rule in OURS for f in RULES[rule](milder))


@pytest.mark.parametrize("row", [r for r in ROWS if r["expect"] == "warning"], ids=lambda r: f"{r['rule']} {r['says']}")
def test_two_models_that_name_each_other_are_not_warned(row: dict) -> None:
    case = replace(build(row), cycle=("big/base", "me/my-model"))
    assert all(f.severity == "info" for rule in OURS for f in RULES[rule](case))


def test_a_parent_that_bears_the_marks_of_a_child_gives_no_warning() -> None:
    case = build({"card": "license: mit", "above": [["big/base", "license: cc-by-nc-4.0", "confirmed"]]})
    assert [f.severity for f in RULES["HD013"](case)] == ["warning"]
    for child, severity in ((0, "warning"), (1, "info")):
        marked = replace(case, marks={"big/base": (Mark("rounded", child, "every weight is rounded"),)})
        assert [f.severity for f in RULES["HD013"](marked)] == [severity]


def test_a_local_folder_has_no_owner_and_no_name() -> None:
    row = {"card": "license: mit", "above": [["./base", "license: llama3.1", "confirmed"]], "text": "Built with Llama"}
    case = replace(build(row), ref=ModelRef("./model"), files=())
    assert [f.severity for f in RULES["HD013"](case)] == ["warning"]
    assert list(RULES["HD014"](case)) == []


def test_a_finding_names_both_sources_and_the_way_out() -> None:
    case = build({"card": "license: mit", "above": [["big/base", "license: cc-by-nc-4.0", "confirmed"]]})
    (finding,) = RULES["HD013"](case)
    assert finding.line == 2
    assert any("https://creativecommons.org/licenses/by-nc/4.0" in line for line in finding.evidence)
    assert any("https://opensource.org/license/mit" in line for line in finding.evidence)
    assert any("permission" in line for line in finding.evidence)
    assert "violat" not in finding.message and "breach" not in finding.message and "illegal" not in finding.message


@pytest.mark.parametrize(
    "said", ["x" * 5000, "\u202emit", "mit\u200b", "<script>", "a" * 90 + ", b", "[[[[[", "許可", "-", "+++", "…" * 50]
)
def test_hostile_words_are_never_more_than_info(said: str) -> None:
    case = build({"card": f"license: {said!r}", "above": [["big/base", f"license: {said!r}", "confirmed"]]})
    findings = [f for rule in OURS for f in RULES[rule](case)]
    assert all(f.severity == "info" and len(f.message) < 400 and f.message.isprintable() for f in findings)


def test_a_long_card_and_many_ancestors_are_read_in_time() -> None:
    above = tuple(
        Ancestor(
            f"o{i}/m", read_claim("---\nlicense: llama3.1\n---\n"), tuple(f"o{j}/m" for j in range(i)), "confirmed"
        )
        for i in range(30)
    )
    text = "llama 3 . 1 " * 20_000 + "#" * 50_000 + "=\n" * 20_000
    case = replace(build({"card": "license: mit", "text": text}), ancestry=above)
    assert [f.rule_id for rule in OURS for f in RULES[rule](case)] == ["HD013", "HD014"]


PAGES = Path(__file__).parents[2] / "docs" / "rules"


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("HD013", {"card": "license: apache-2.0", "above": [["big/base", "license: cc-by-nc-4.0", "confirmed"]]}),
        (
            "HD014",
            {
                "model": "me/Poet-8B",
                "card": "license: llama3.1",
                "text": "Built with Llama",
                "files": ["NOTICE"],
                "above": [["meta-llama/Llama-3.1-8B", "license: llama3.1", "confirmed"]],
            },
        ),
    ],
)
def test_the_examples_of_the_pages_are_what_the_rules_say(page: str, row: dict) -> None:
    (finding,) = RULES[page](build(row))
    assert f"```text\n{finding.message}\n```" in (PAGES / f"{page}.md").read_text()


def test_the_table_of_the_page_is_what_the_steps_say() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| ([a-z ]+)[:|]?", (PAGES / "HD013.md").read_text(), re.MULTILINE)
    assert len(rows) >= 6
    for parent, child, said in rows:
        assert step(find(parent), find(child)).verdict == said.strip().replace("less restrictive", "less-restrictive")
