"""Cards are hostile YAML on the way in; on the way out a patch changes `base_model` and nothing else."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubdna.card import MAX_BASES, MAX_DEPTH, MAX_EVENTS, MAX_FRONT_MATTER, claim_of_data, patch_base_model, read_claim
from hubdna.errors import CardError

BASE = ("acme/base-7b",)


def card(front: str, body: str = "# A model\n") -> str:
    return f"---\n{front}\n---\n{body}"


def applied(text: str, diff: str) -> str:
    """Apply a unified diff as strictly as it is written: every context line must stand where it says."""
    old, new, position = re.findall(r"[^\n]*\n|[^\n]+", text), [], 0
    rows = re.findall(r"[^\n]*\n", diff)
    assert [r.split()[:2] for r in rows[:2]] == [["---", "a/README.md"], ["+++", "b/README.md"]]
    for row, following in zip(rows[2:], [*rows[3:], ""], strict=True):
        if row.startswith("\\"):
            continue
        line = row[1:-1] if following.startswith("\\") else row[1:]
        if hunk := re.match(r"@@ -(\d+)", row):
            begin = max(int(hunk[1]) - 1, 0)
            new += old[position:begin]
            position = begin
        elif row[0] in " -":
            assert old[position] == line
            position += 1
            new += [line] if row[0] == " " else []
        else:
            assert row[0] == "+"
            new.append(line)
    return "".join(new + old[position:])


def patched(text: str, bases: tuple[str, ...] = BASE) -> str:
    patch = patch_base_model(text, bases, "because")
    assert patch is not None
    assert patch.reason == "because"
    result = applied(text, patch.diff)
    assert read_claim(result).base_models == bases
    return result


class TestReading:
    @pytest.mark.parametrize(
        ("front", "bases", "line"),
        [
            ("license: mit\nbase_model: a/b", ("a/b",), 3),
            ("base_model: [a/b, c/d]\nlicense: mit", ("a/b", "c/d"), 2),
            ("# a comment\n\nlanguage:\n- en\nbase_model:\n- a/b\n- c/d\nlicense: mit", ("a/b", "c/d"), 6),
            ("base_model:\n  - a/b # why\n  # and\n  - c/d", ("a/b", "c/d"), 2),
            ("base_model: a/b@main", ("a/b@main",), 2),
            ("base_model: >-\n  a/b\nx: y", ("a/b",), 2),
            ("'base_model': \"a/b\"", ("a/b",), 2),
            ("base_model: 组织/模型", ("组织/模型",), 2),
            ("base_model: [a/b, a/b, ' a/b ']", ("a/b",), 2),
            ("  license: mit\n  base_model: a/b", ("a/b",), 3),
            ("base_model:", (), 2),
            ("base_model: null", (), 2),
            ("base_model: 7", (), 2),
            ("base_model: {a: b}", (), 2),
            ("base_model: [[a/b]]", (), 2),
            ("base_model: [1, null, a/b, {c: d}]", ("a/b",), 2),
            ("base_model: ''", (), 2),
            ('base_model: "a/\\u001b[31mb"', (), 2),
            ("base_model: |\n  a/b\n  c/d", (), 2),
            ("license: mit", (), 3),
            ("license: mit\nx: 1", (), 4),
            ("Base_Model: a/b", (), 3),
            ("nested:\n  base_model: a/b", (), 4),
            ("a: '\u2028'\nbase_model: a/b", ("a/b",), 3),
            ("a: 'x\x85y'\nbase_model: a/b", ("a/b",), 3),
        ],
    )
    def test_bases_and_their_line(self, front: str, bases: tuple[str, ...], line: int) -> None:
        claim = read_claim(card(front))
        assert (claim.base_models, claim.line) == (bases, line)
        assert card(front).split("\n")[line - 1].strip().startswith(("---", "base_model", "'base_model", "Base"))

    def test_relation_and_licence(self) -> None:
        claim = read_claim(card("license: apache-2.0\nbase_model: a/b\nbase_model_relation: quantized"))
        assert (claim.license, claim.relation) == ("apache-2.0", "quantized")

    def test_the_name_of_another_licence(self) -> None:
        assert read_claim(card("license: other\nlicense_name: acme-1")).license == "acme-1"

    @pytest.mark.parametrize("value", ["[mit, bsd]", "- mit"])
    def test_the_first_of_several_licences(self, value: str) -> None:
        assert read_claim(card(f"license:\n  {value}")).license == "mit"

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("begin", ["", "\n\n", "\ufeff", "  "])
    def test_line_ends_blank_lines_and_byte_order_marks(self, begin: str, end: str) -> None:
        text = begin + card("license: mit\nbase_model: a/b").replace("\n", end)
        claim = read_claim(text)
        assert claim.base_models == ("a/b",)
        assert claim.line is not None
        assert text.split("\n")[claim.line - 1].rstrip() == "base_model: a/b"

    @pytest.mark.parametrize(
        "text", ["", "# A model\n", "text\n---\nbase_model: a/b\n---\n", "---\nbase_model: a/b\n", "\n"]
    )
    def test_a_card_without_front_matter_claims_nothing(self, text: str) -> None:
        claim = read_claim(text)
        assert (claim.base_models, claim.line) == ((), 1)

    def test_empty_front_matter_claims_nothing(self) -> None:
        assert read_claim("---\n---\n# x\n").line == 2

    def test_front_matter_that_ends_with_the_file(self) -> None:
        assert read_claim("---\nbase_model: a/b\n---").base_models == ("a/b",)

    @pytest.mark.parametrize("data", [None, {}, {"base_model": None}, {"base_model": {"x": 1}}, {"base_model": [None]}])
    def test_odd_values_of_a_listing_claim_nothing(self, data: Any) -> None:
        assert claim_of_data(data).base_models == ()

    def test_a_hundred_thousand_bases_of_a_listing_are_cut(self) -> None:
        assert len(claim_of_data({"base_model": [f"a/{i}" for i in range(100_000)]}).base_models) == MAX_BASES

    def test_a_name_of_a_million_characters_is_no_base(self) -> None:
        assert claim_of_data({"base_model": ["a" * 1_000_000, "a/b"]}).base_models == ("a/b",)


class TestHostile:
    @pytest.mark.parametrize(
        ("front", "reason"),
        [
            ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "alias"),
            ("a: &a {x: 1}\nb:\n  <<: *a", "alias"),
            ("a: &a [*a]", "alias"),
            ("a: " + "[" * 25 + "]" * 25, f"deeper than {MAX_DEPTH}"),
            ("a: " + "[" * 90_000, f"deeper than {MAX_DEPTH}"),
            ("- " * 90_000, f"deeper than {MAX_DEPTH}"),
            ("? " * 90_000, f"deeper than {MAX_DEPTH}"),
            ("a: " + "x" * MAX_FRONT_MATTER, "at most 200000 are read"),
            ("base_model:\n" + "- a/b\n" * 100_000, "at most 200000 are read"),
            ("base_model: [" + "x," * 99_000 + "x]", f"more than {MAX_EVENTS} YAML events"),
            ("\n".join(f"k{i}: 1" for i in range(20_100)), f"more than {MAX_EVENTS} YAML events"),
            ("base_model: a/b\nbase_model: c/d", "duplicate key"),
            ("- base_model: a/b", "not a mapping"),
            ("just text", "not a mapping"),
            ("5", "not a mapping"),
            ("base_model:\ta/b\n\tc", "not YAML"),
            ("base_model: [a/b", "not YAML"),
            ("a: 'b", "not YAML"),
            ("a: b: c", "not YAML"),
            ("a: 2001-99-99", "not YAML"),
            ("a: !!bool abc", "not YAML"),
            ("a: !!int abc", "not YAML"),
            ("a: !!timestamp x", "not YAML"),
            ("a: " + "9" * 10_000, "not YAML"),
            ("a: b\n...\nc: d", "not YAML"),
            ("%YAML 9.9", "not"),
            ("a: \0", "not YAML"),
            ("a: \ud800", "not YAML"),
        ],
        ids=lambda text: text[:30],
    )  # fmt: skip
    def test_it_is_refused_with_its_reason_and_soon(self, front: str, reason: str) -> None:
        begin = time.perf_counter()
        with pytest.raises(CardError, match=f"^README.md: .*{reason}") as caught:
            read_claim(card(front))
        assert len(str(caught.value)) < 300
        assert time.perf_counter() - begin < 10
        assert patch_base_model(card(front), BASE, "x") is None

    @pytest.mark.parametrize(
        "tag",
        ["!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system ''", "!!python/module:os ''",
         "!!python/object/new:subprocess.Popen [['touch', 'pwned']]", "!ruby/object:Gem::Installer {i: x}",
         "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!foo bar"],
    )  # fmt: skip
    def test_tags_construct_nothing(self, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert read_claim(card(f"x: {tag}\nbase_model: a/b")).base_models == ("a/b",)
        read_claim(card(f"base_model: {tag}"))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("text", ["---\n" * 200_000, " \n" * 400_000, "---\n" + "a: b\n" * 200_000, "-" * 10**6])
    def test_long_cards_take_no_time(self, text: str) -> None:
        begin = time.perf_counter()
        assert read_claim(text).base_models == ()
        assert time.perf_counter() - begin < 1

    def test_a_real_front_matter_of_a_thousand_results_is_read(self) -> None:
        result = "  - task: {type: t}\n    metrics:\n    - {type: acc, value: 1.5}\n"
        assert read_claim(card("model-index:\n" + result * 1000 + "base_model: a/b")).line == 3003


FRONTS = [
    "license: mit\nbase_model: old/base\ntags:\n- x",
    "base_model: old/base",
    "# first\nbase_model:\n- old/a\n- old/b # kept?\n\n# a comment that stays\nlicense: mit # why",
    "base_model:\n- old/a\n\n- old/b\nlicense: mit",
    "base_model:\n- old/a\n# between\n- old/b\nlicense: mit",
    "base_model:\n  -\n    old/a\nlicense: mit",
    "base_model: [\n  old/a,\n  old/b\n]\nlicense: mit",
    "base_model:   >-\n   old/a\n\n\nlicense: mit",
    "base_model:\nlicense: mit",
    "base_model: null\nlicense: mit",
    "base_model: {a: b}\nlicense: mit",
    "'base_model' : old/base\nlicense: mit",
    '"base_model": old/base\nlicense: mit',
    "license: mit # keeps its comment",
    "license: mit\n# the last line is a comment",
    "license: mit\n\n",
    "tags: [a,   b]   \nlicense:    mit\nlist:\n    -   odd indentation",
    "  license: mit\n  base_model: old/base\n  x: 1",
    "widget:\n- text: 'a\u2028b\x85c'\nbase_model: old/base\nlicense: mit",
    "title: 模型 🤗\nbase_model: 组织/模型",
    "widget:\n- text: |\n    base_model: trap\n    ---x\nbase_model: old/base",
    "nested:\n  base_model: stays\nbase_model: old/base",
]


class TestPatches:
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("front", FRONTS)
    def test_a_patch_changes_base_model_and_no_other_line(self, front: str, end: str) -> None:
        text = card(front, "# A model\n\nbase_model: in the text\n").replace("\n", end)
        result = patched(text)
        kept = [line for line in result.split("\n") if "base_model: acme/base-7b" not in line]
        assert result.count("base_model: acme/base-7b") == 1
        old = text.split("\n")
        begin = next(i for i, (a, b) in enumerate(zip(old, result.split("\n"), strict=False)) if a != b)
        gone = len(old) - len(kept)
        assert kept == old[:begin] + old[begin + gone :]
        assert "license" not in "".join(old[begin : begin + gone])
        assert read_claim(result).license == read_claim(text).license

    @pytest.mark.parametrize("front", FRONTS)
    def test_git_applies_the_patch(self, front: str, tmp_path: Path) -> None:
        text = card(front)
        patch = patch_base_model(text, BASE, "because")
        assert patch is not None
        (tmp_path / "README.md").write_bytes(text.encode())
        subprocess.run(["git", "apply", "--unsafe-paths", "-"], cwd=tmp_path, input=patch.diff.encode(), check=True)
        assert (tmp_path / "README.md").read_bytes().decode() == applied(text, patch.diff)

    def test_the_text_of_a_patch(self) -> None:
        patch = patch_base_model("---\nlicense: mit # c\nbase_model: old/base\n---\n# x\n", BASE, "why")
        assert patch is not None
        assert patch.diff == (
            "--- a/README.md\n+++ b/README.md\n@@ -1,5 +1,5 @@\n ---\n license: mit # c\n-base_model: old/base\n"
            "+base_model: acme/base-7b\n ---\n # x\n"
        )

    @pytest.mark.parametrize(
        "text", ["", "# A model\n", "# A model", "\r\n# A\r\n", "---\nnot closed\n", "---", "\n\n"]
    )
    def test_a_card_without_front_matter_gets_one(self, text: str) -> None:
        result = patched(text)
        end = "\r\n" if "\r" in text else "\n"
        assert result == f"---{end}base_model: acme/base-7b{end}---{end}" + text

    def test_a_card_without_a_last_line_end_keeps_it_so(self) -> None:
        assert patched("---\nlicense: mit\n---") == "---\nlicense: mit\nbase_model: acme/base-7b\n---"

    def test_several_bases_become_a_list(self) -> None:
        assert "base_model:\n- a/b\n- c/d\n" in patched(card("license: mit"), ("a/b", "c/d"))

    @pytest.mark.parametrize(
        "name", ["null", "123", "1e5", "yes", "2001-01-01", "~", "a: b", "a #b", "-", "[x", "gpt2"]
    )
    def test_names_that_yaml_would_misread_are_quoted(self, name: str) -> None:
        patched(card("license: mit"), (name,))
        patched(card("license: mit"), (name, "a/b"))

    @pytest.mark.parametrize(
        "front",
        [
            "{license: mit, base_model: a/b}",
            "{license: mit}",
            "a: *b",
            "- a",
            "base_model: a\nbase_model: b",
            "? x\n: y",
        ],
    )
    def test_where_no_patch_is_safe_there_is_none(self, front: str) -> None:
        assert patch_base_model(card(front), BASE, "because") is None

    @pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[0m", "a" * 1000])
    def test_a_base_that_is_no_name_is_not_suggested(self, name: str) -> None:
        assert patch_base_model(card("license: mit"), (name,), "because") is None

    def test_patching_twice_changes_nothing_more(self) -> None:
        once = patched(card("license: mit"))
        patch = patch_base_model(once, BASE, "because")
        assert patch is not None
        assert patch.diff == ""


KEYS = st.sampled_from(["license", "tags", "base_model", "x", "'base_model'", "model-index"])
VALUES = st.sampled_from(
    ["mit", "", "[a, b]", "{a: b}", "\n- a\n- b", "\n  - a\n\n  - b", " # c", ">\n  text\n\n  more",
     "|\n  base_model: x",
     '"a\\nb"', "null", "1.5", "'it''s'", "&a b", "*a", "[", "\n", "\n# c\n- a", "\t", "🤗", "a\u2028b"]
)  # fmt: skip
LINES = st.lists(
    st.tuples(KEYS, VALUES).map(lambda kv: f"{kv[0]}: {kv[1]}") | st.sampled_from(["", "# c", "  # d", "---"])
)


@settings(deadline=None, max_examples=300)
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "# x\n", "# no end"]))
def test_a_patch_applies_and_is_read_back_or_there_is_none(lines: list[str], end: str, body: str) -> None:
    text = card("\n".join(lines), body).replace("\n", end)
    patch = patch_base_model(text, BASE, "because")
    if patch is not None:
        result = applied(text, patch.diff)
        assert read_claim(result).base_models == BASE
        assert result.endswith(body.replace("\n", end))
    else:
        try:
            claim = read_claim(text)
        except CardError:
            return
        raise AssertionError(f"a sound block mapping got no patch: {claim}")


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=()), max_size=80) | st.text("-:{}[]*&!|>'\"# \n\tab", max_size=80))
def test_any_text_raises_nothing_but_card_errors(front: str) -> None:
    for text in (front, card(front)):
        try:
            claim = read_claim(text)
        except CardError as error:
            assert str(error).startswith("README.md: ")
        else:
            assert claim.line is not None and 1 <= claim.line <= text.count("\n") + 1
        patch_base_model(text, BASE, "because")
