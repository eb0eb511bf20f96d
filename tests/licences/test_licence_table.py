"""The table of licences: complete, sourced, free of contradictions; spellings are read as a person reads them."""

import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import licence_page

from hubdna.licences import KINDS, TABLE, Licence, begins_with, find, has_words, licence, licences, mentions
from hubdna.licences.table import MAX_SPELLING, _licence, key
from hubdna.records import Claim

HUB = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0
artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0
epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1 openrail++ osl-3.0
postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license
llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown other
""".split()
"""The ids that the Hub takes in a card, November 2026."""


def test_the_table_has_every_id_of_the_hub() -> None:
    assert {name for name, one in TABLE.items() if one.hub} == set(HUB) and len(HUB) == len(set(HUB))


@pytest.mark.parametrize("one", TABLE.values(), ids=lambda one: one.id)
def test_every_row_is_sourced_and_consistent(one: Licence) -> None:
    assert one.kind in KINDS and one.name
    assert re.fullmatch(r"https?://[\w.-]+\.[a-z]+(/\S*)?", one.source)
    assert one.read is None or re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", one.read)
    assert all(other in TABLE and other != one.id for other in one.accepts)
    assert one.commercial or not one.is_open
    assert not one.share_alike or one.derivatives
    assert not one.use_restrictions or one.passes_on
    assert not (one.name_begins or one.display) or one.passes_on
    if one.kind in ("non-commercial", "research only"):
        assert not one.commercial
    if one.kind == "no derivatives":
        assert not one.derivatives
    if one.kind in ("permissive", "public domain"):
        assert not one.binds


@pytest.mark.parametrize("one", TABLE.values(), ids=lambda one: one.id)
def test_makers_own_licences_are_unclear_unless_their_text_was_read(one: Licence) -> None:
    if one.kind in ("community", "research only") or not one.hub:
        assert one.doubt is not None or one.read is not None


@pytest.mark.parametrize("one", TABLE.values(), ids=lambda one: one.id)
def test_every_spelling_leads_back(one: Licence) -> None:
    for spelling in (one.id, one.name, one.id.upper(), f"  {one.id} ", f"{one.name} ", one.id.replace("-", "_")):
        assert find(spelling) is one, spelling


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Apache 2.0", "apache-2.0"),
        ("Apache-2.0 License", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("apache license v2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("The MIT Licence", "mit"),
        ("ＭＩＴ", "mit"),
        ("llama-3.1", "llama3.1"),
        ("Llama 3.1 Community License", "llama3.1"),
        ("cc-by-nc-4.0 ", "cc-by-nc-4.0"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("CC_BY_SA_4.0", "cc-by-sa-4.0"),
        ("GPLv3", "gpl-3.0"),
        ("GPL v3", "gpl-3.0"),
        ("gpl-3", "gpl-3.0"),
        ("BSD 3 Clause", "bsd-3-clause"),
        ("OpenRAIL++", "openrail++"),
        ("Gemma Terms of Use", "gemma"),
        ("cc-by-nc", None),
        ("cc-by", None),
        ("apache-1.0", None),
        ("gpl-3.0-or-later", None),
        ("llama", None),
        ("llama3.5", None),
        ("mit-0", None),
        ("not mit", None),
        ("mit or apache-2.0", None),
        ("bsl-1.1", None),
        ("", None),
        ("license", None),
        ("the", None),
        ("-", None),
        ("https://huggingface.co/spaces/bigscience/license", "bigscience-bloom-rail-1.0"),
        ("http://www.apache.org/licenses/LICENSE-2.0/", "apache-2.0"),
        ("https://www.gnu.org/licenses/", None),
        ("https://acme.example/license/mit", None),
        ("://", None),
    ],
)
def test_spellings(spelling: str, name: str | None) -> None:
    found = find(spelling)
    assert (found.id if found else None) == name


@given(st.text(max_size=3 * MAX_SPELLING))
def test_any_text_is_looked_up_without_harm(text: str) -> None:
    found = find(text)
    assert found is None or found in TABLE.values()
    assert len(key(text)) <= 20 * MAX_SPELLING


def test_unknown_keys_of_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[x\].*found colour"):
        _licence("x", {"name": "X", "kind": "permissive", "source": "https://x.org", "colour": "red"})


def test_the_table_is_read_as_it_is_written() -> None:
    rows = tomllib.loads(files("hubdna.licences").joinpath("table.toml").read_text("utf-8"))
    assert list(rows) == list(TABLE)


def test_the_licence_of_a_claim() -> None:
    assert licence(Claim(license="Apache 2.0")) is TABLE["apache-2.0"]
    for said in (None, "unknown", "other", "acme", "mit, apache-2.0", "mit, acme", "mit, other"):
        assert licence(Claim(license=said)) is None
    assert licences(Claim(license="mit, apache-2.0")) == (TABLE["mit"], TABLE["apache-2.0"])
    assert licences(Claim(license="mit, MIT")) == (TABLE["mit"],)
    assert licences(Claim(license="mit, acme")) == ()
    assert licences(Claim(license="Apache License, Version 2.0")) == (TABLE["apache-2.0"],)


def test_the_link_counts_where_the_name_says_nothing() -> None:
    link = "https://ai.google.dev/gemma/terms/"
    for said in (None, "acme"):
        assert licence(Claim(license=said, license_link=link)) is TABLE["gemma"]
    assert licence(Claim(license="mit", license_link=link)) is TABLE["mit"]
    for other in ("LICENSE", "https://acme.example", "", "https://www.gnu.org/licenses/"):
        assert licence(Claim(license_link=other)) is None


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("under the Llama 3.1 Community License", "llama3.1", True),
        ("the llama3.1 license applies", "llama3.1", True),
        ("https://ai.google.dev/gemma/terms", "gemma", True),
        ("Licence: CC BY-NC 4.0", "cc-by-nc-4.0", True),
        ("基于 llama3.1 许可", "llama3.1", True),
        ("finetuned from Llama-3.1-8B", "llama3.1", False),
        ("under the Llama 3 Community License", "llama3.1", False),
        ("under the Llama 3.1 Community License", "llama3", False),
        ("licensed under Apache 2.0", "cc-by-nc-4.0", False),
        ("we like gemma" + " very much" * 20 + " and this licence", "gemma", False),
        ("", "mit", False),
        ("I admit that there is no license", "mit", False),
    ],
)
def test_mentions(text: str, name: str, said: bool) -> None:
    assert mentions(text, TABLE[name]) is said


@pytest.mark.parametrize(
    ("name", "words", "begins"),
    [
        ("Llama-3-8B-mine", "Llama 3", True),
        ("llama3_mine", "Llama 3", True),
        ("LLaMA-3.1-x", "Llama", True),
        ("Meta-Llama-3-8B", "Llama 3", True),
        ("Llama-2-7b", "Llama 3", False),
        ("my-Llama-3", "Llama 3", False),
        ("LLaVA", "Llama", False),
        ("", "Llama", False),
    ],
)
def test_how_names_begin(name: str, words: str, begins: bool) -> None:
    assert begins_with(name, words) is begins


def test_words_are_found_through_marks_but_not_through_words() -> None:
    assert has_words("**Built** with *Llama*", "Built with Llama")
    assert has_words("built-with-LLAMA", "Built with Llama")
    assert not has_words("Built with love and Llama", "Built with Llama")
    assert not has_words("Built with Llamas", "Built with Llama")


def test_the_page_is_the_tables() -> None:
    assert licence_page.PAGE.read_text("utf-8") == licence_page.page(), "run scripts/licence_page.py"
