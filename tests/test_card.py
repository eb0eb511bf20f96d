"""Cards are hostile YAML, and written by hand: what is read is what a person would read, with its line."""

import re
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
            ("base_model: [[a/b]]", ("a/b",), 2),
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

    def test_a_block_of_one_line_is_a_word(self) -> None:
        claim = read_claim(card("license: |\n  apache-2.0\nbase_model_relation: >\n  merge"))
        assert (claim.license, claim.relation) == ("apache-2.0", "merge")

    @pytest.mark.parametrize(
        ("value", "said"), [("3", "3"), ("2026-01-01", "2026-01-01"), ("null", None), ("{}", None)]
    )
    def test_a_relation_that_is_no_text_is_a_wrong_one(self, value: str, said: str | None) -> None:
        assert read_claim(card(f"base_model: a/b\nbase_model_relation: {value}")).relation == said

    def test_the_name_of_another_licence(self) -> None:
        assert read_claim(card("license: other\nlicense_name: acme-1")).license == "acme-1"

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("- mit", "mit"),
            ("[mit, mit]", "mit"),
            ("[mit, bsd]", "mit, bsd"),
            ("- [mit]\n  - null\n  - bsd", "mit, bsd"),
            ("[a, b, c, d, e, f, g]", "a, b, c, d, e"),
            ("[]", None),
            ("- 3", None),
            ('["m\\eit"]', None),
        ],
    )
    def test_several_licences_are_joined(self, value: str, said: str | None) -> None:
        assert read_claim(card(f"license:\n  {value}")).license == said

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("begin", ["", "\n\n", "\ufeff", "  "])
    def test_line_ends_blank_lines_and_byte_order_marks(self, begin: str, end: str) -> None:
        text = begin + card("license: mit\nbase_model: a/b").replace("\n", end)
        claim = read_claim(text)
        assert claim.base_models == ("a/b",)
        assert claim.line is not None
        assert text.split("\n")[claim.line - 1].rstrip() == "base_model: a/b"

    @pytest.mark.parametrize(
        "text", ["", "# A model\n", "text\n---\nbase_model: a/b\n---\n", "---\nA ruler above: prose\n", "\n"]
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

    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("https://huggingface.co/acme/base-7b", "acme/base-7b"),
            ("http://huggingface.co/acme/base-7b/", "acme/base-7b"),
            ("HTTPS://HuggingFace.co/acme/base-7b", "acme/base-7b"),
            ("huggingface.co/acme/base-7b/tree/main", "acme/base-7b"),
            ("https://hf.co/acme/base-7b/blob/main/README.md", "acme/base-7b"),
            ("https://huggingface.co/acme/base-7b?library=transformers", "acme/base-7b"),
            ("https://huggingface.co/acme/base-7b#results", "acme/base-7b"),
            ("https://huggingface.co/acme/base-7b.git", "acme/base-7b"),
            ("https://huggingface.co/gpt2", "gpt2"),
            ("acme/base-7b.git", "acme/base-7b"),
            ("acme/base-7b/", "acme/base-7b"),
            ("'  acme/base-7b  '", "acme/base-7b"),
            ("acme/base-7b   ", "acme/base-7b"),
            ("Acme/Base-7B", "Acme/Base-7B"),
            ("{name: acme/base-7b}", "acme/base-7b"),
            ("[{model: acme/base-7b, revision: main}]", "acme/base-7b"),
            ("[[[acme/base-7b]]]", "acme/base-7b"),
            ("!!str acme/base-7b", "acme/base-7b"),
            ("&b acme/base-7b", "acme/base-7b"),
            ("./checkpoint-500", "./checkpoint-500"),
            ("/home/me/models/base", "/home/me/models/base"),
            ("'C:\\models\\base'", "C:\\models\\base"),
            ("https://github.com/acme/base-7b", "https://github.com/acme/base-7b"),
            ("https://huggingface.co/datasets/acme/words", "https://huggingface.co/datasets/acme/words"),
        ],
    )
    def test_a_name_is_read_as_a_person_reads_it(self, value: str, name: str) -> None:
        claim = read_claim(card(f"base_model: {value}"))
        assert (claim.base_models, claim.base_lines, claim.remarks) == ((name,), (2,), ())

    @pytest.mark.parametrize("mark", ["\u200b", "\u200e", "\u200f", "\u202e", "\u2060", "\ufeff", "\u00ad"])
    @pytest.mark.parametrize("form", ["{}acme/base", "acme/{}base", "acme/base{}"])
    def test_invisible_characters_are_left_out_and_told(self, mark: str, form: str) -> None:
        claim = read_claim(card(f"base_model: '{form.format(mark)}'"))
        assert claim.base_models == ("acme/base",)
        (remark,) = claim.remarks
        assert remark.subject == "README.md:2" and f"U+{ord(mark):04X}" in remark.reason

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ("7", "7 .int"), ("1.5", "1.5 .float"), ("true", "true .bool"), ("2024-01-01", "timestamp"),
            ("{x: y}", "mapping"), ('"a\\x07/b"', "a\N{REPLACEMENT CHARACTER}/b"), ("!odd a/b", "!odd"),
            ("[[[[[[a/b]]]]]]", "sequence"), ("a" * 600, "aaa"), ("{name: {name: 7}}", "7 .int"),
        ],
    )  # fmt: skip
    def test_what_is_no_name_is_told_with_its_line(self, value: str, found: str) -> None:
        claim = read_claim(card(f"license: mit\nbase_model:\n- {value}\n- a/b"))
        assert (claim.base_models, claim.base_lines) == (("a/b",), (5,))
        (remark,) = claim.remarks
        assert remark.subject == "README.md:4"
        assert re.search(f"expected the name of a model, found .*{found}", remark.reason)

    @pytest.mark.parametrize("value", ["", "null", "~", "''", "[]", "[null, ~]", "{}"])
    def test_an_empty_value_claims_nothing(self, value: str) -> None:
        claim = read_claim(card(f"base_model: {value}"))
        assert claim.base_models == ()
        assert bool(claim.remarks) is (value == "{}")

    def test_each_value_has_its_line(self) -> None:
        licence = "license: other\nlicense_name: acme-1\nlicense_link: LICENSE\n\n"
        bases = "base_model:\n# why\n- a/b\n- 'c/d' # and\n-\n  e/f\nbase_model_relation: merge"
        claim = read_claim(card(licence + bases))
        assert (claim.base_models, claim.base_lines, claim.line) == (("a/b", "c/d", "e/f"), (8, 9, 11), 6)
        assert (claim.relation, claim.relation_line) == ("merge", 12)
        assert (claim.license, claim.license_line) == ("acme-1", 2)
        assert (claim.license_name, claim.license_link) == ("acme-1", "LICENSE")

    def test_an_alias_stands_for_its_anchor(self) -> None:
        claim = read_claim(card("tags: [&it a/b, x]\nbase_model:\n- *it\n- c/d"))
        assert (claim.base_models, claim.base_lines) == (("a/b", "c/d"), (4, 5))

    @pytest.mark.parametrize(
        "odd",
        ["a: 2001-99-99", "a: !!bool abc", "a: !!int abc", "a: !!timestamp x", "a: " + "9" * 10_000, "a: .inf", "a:\tb",
         "a: &a {x: 1}\nb:\n  <<: *a", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "? [a, b]\n: c", "a: 0b2", "a: =",
         "a: 'x\x85y'", "a: '\u2028'", "a: |2\n   b\n  c", "? a", "a: \U0001f917"],
    )  # fmt: skip
    def test_an_odd_value_elsewhere_hides_nothing(self, odd: str) -> None:
        assert read_claim(card(f"{odd}\nbase_model: a/b")).base_models == ("a/b",)

    @pytest.mark.parametrize("begin", ["---\n", "---  \n", "\ufeff---\r\n", "\n---\n# c\n"])
    @pytest.mark.parametrize("end", ["", "\n----\n", "\n ---\n", "\n--\n"])
    def test_front_matter_that_is_never_closed_is_refused(self, begin: str, end: str) -> None:
        with pytest.raises(CardError, match=r"opened on line . and never closed; expected a second line ---"):
            read_claim(f"{begin}base_model: a/b\nlicense: mit{end}")

    def test_ten_megabytes_are_refused_unparsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ruamel.yaml

        monkeypatch.setattr(ruamel.yaml.YAML, "parse", lambda *_: pytest.fail("parsed"))
        line = "base_model: a/b # " + "x" * 100 + "\n"
        for text in (card(line * 100_000), "---\n" + line * 100_000):
            with pytest.raises(CardError, match="200000"):
                read_claim(text)


class TestHostile:
    @pytest.mark.parametrize(
        ("front", "reason"),
        [
            ("a0: &a0 [x]\n" + "\n".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]" for i in range(60)), "alias unfolds"),
            ("a: &a {x: 1}\n<<: *a", "alias"),
            ("a: &a [*a]", "alias"),
            ("a: *nobody", "alias"),
            ("a: b\n--- # another\nc: d", "several documents"),
            ("a: {b: 1, b: 2}", "duplicate key 'b' on lines 2 and 2"),
            ("a: 1\nx: 2\na: 3", "duplicate key 'a' on lines 2 and 4"),
            ("a:\n\t- b", "not YAML .line 3"),
            ("a:\n  b: 1\n c: 2", "not YAML .line 4"),
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

    @pytest.mark.parametrize(
        "text", ["---\n" * 200_000, " \n" * 400_000, "---\nprose " + "a: b\n" * 200_000, "-" * 10**6]
    )
    def test_long_cards_take_no_time(self, text: str) -> None:
        begin = time.perf_counter()
        assert read_claim(text).base_models == ()
        assert time.perf_counter() - begin < 1

    def test_a_real_front_matter_of_a_thousand_results_is_read(self) -> None:
        result = "  - task: {type: t}\n    metrics:\n    - {type: acc, value: 1.5}\n"
        assert read_claim(card("model-index:\n" + result * 1000 + "base_model: a/b")).line == 3003


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
