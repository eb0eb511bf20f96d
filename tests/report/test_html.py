"""An HTML report is one file in which nothing of others is anything but text, and anyone can repeat it."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from html_models import MADE, Page, Shelf, net, tuned
from report_audits import HOSTILE, hostile, verdict
from report_families import family as family_of

from hubdna.records import (
    Audit,
    Claim,
    Comparison,
    Edge,
    LayerEvidence,
    Match,
    ModelRef,
    Painted,
    Painting,
    Skipped,
)
from hubdna.report import html

TAGS = set(
    "html head meta link title style body header footer section nav h1 h2 h3 p ul li a bdi b code pre div span dl dt "
    "dd table thead tbody tr th td details summary svg defs pattern rect path circle text g marker script".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name rel href id class width height aria-hidden aria-label role tabindex title "
    "scope open viewbox patternunits d cx cy r x y rx fill textlength lengthadjust marker-end markerunits markerwidth "
    "markerheight refx refy orient".split()
)
MORE_HOSTILE = [
    "]]>",
    "<svg/onload=alert(1)>",
    "'\"><script>alert(1)</script>",
    "</style></title><script>",
    "\u200f\u202e",
]


def painted(text: str) -> Painting:
    """A painting with a family in which every name is `text`."""
    ref, other = ModelRef(f"./{text}"), ModelRef(text)
    layer = LayerEvidence(text, text, 32, 3, 0.9, "rows", 32, 30, 2, -30.0, 0.05, 256, 3, 0.9, 0.2)
    edge = Edge(other, ref, "certain", 1.0, text, (text,))
    beside = Painted(other, verdict(), (layer, layer), ("shared", "same"), (None, None))
    return Painting(ref, (text, f"{text}.1"), (beside,), (0, 0), 4, 1, family_of(edge), None, (text,))


def report(text: str) -> str:
    audit = hostile(text)
    return html.audits([(audit, painted(text)), (replace(audit, skipped=()), Painting(audit.ref, note=text))])


@pytest.mark.parametrize("text", [*HOSTILE, *MORE_HOSTILE])
def test_text_of_others_is_nothing_but_text(text: str) -> None:
    plain, nasty = Page(report("word")), Page(report(text))
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in nasty.tags] == [sorted(attributes) for _, attributes in plain.tags]
    assert {tag for tag, _ in nasty.tags} <= TAGS
    assert {name for _, attributes in nasty.tags for name in attributes} <= ATTRIBUTES
    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x1b\ud800-\udfff]", report(text))


@pytest.mark.parametrize("text", [*HOSTILE, *MORE_HOSTILE])
def test_a_hostile_pair_is_nothing_but_text_either(text: str) -> None:
    def pair(word: str) -> Page:
        told = verdict("undecided", undecided_because=word)
        result = Comparison(ModelRef(f"./{word}", sha=word), ModelRef(word, sha=word), told, 1, 1)
        return Page(html.comparison(result, painted(word), "scheme", "0.1.0", "2026-11-24"))

    assert [(tag, sorted(a)) for tag, a in pair(text).tags] == [(tag, sorted(a)) for tag, a in pair("word").tags]


def test_no_address_leads_out_of_the_page() -> None:
    page = Page(report("https://evil.example/x"))
    assert all(address == "data:," or address.startswith("#") for address in page.all("href"))
    assert not list(page.all("src")) and not list(page.all("style"))
    assert "url(" not in "".join(v for _, a in page.tags for v in a.values() if v and "url(#" not in v)


def test_every_link_has_a_goal_and_every_id_is_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put("lab/base", net(1))
    page = Page(html.audits([shelf.audit(tuned(net(1), i, 0.1), f"./{i}") for i in (2, 3)]))
    shelf.index.close()
    ids = list(page.all("id"))
    assert len(set(ids)) == len(ids)
    assert {a[1:] for a in page.all("href") if a != "data:,"} <= set(ids) and "m1-r0" in ids


def test_the_policy_names_the_hashes_of_what_stands_there_and_allows_nothing_else() -> None:
    text = report("word")
    (policy,) = [a["content"] or "" for t, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.keys() == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        found = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{found}'"


def test_a_report_says_what_it_takes_to_repeat_it_and_not_where_the_index_lies() -> None:
    audit = Audit(ModelRef("org/model", sha="c0ffee"), Claim(), (), (), MADE)
    text = Page(html.audits([(audit, Painting(audit.ref))])).text
    for word in (MADE.index_digest, "3 models", MADE.scheme, MADE.version, MADE.date, "c0ffee", "main"):
        assert word in text
    assert "secret" not in text


def test_a_skipped_model_says_why_and_has_no_picture() -> None:
    ref = ModelRef("org/model")
    audit = Audit(ref, Claim(), (), (), MADE, (Skipped(str(ref), "no weights"),))
    page = Page(html.audits([(audit, Painting(ref, note="the model was not read"))]))
    assert "Skipped: org/model: no weights" in page.text
    assert "painting" not in page.text.lower()


def test_a_match_is_an_origin_in_common_and_no_descent() -> None:
    told = verdict("common", undecided_because=None)
    audit = Audit(ModelRef("./m"), Claim(), (Match(ModelRef("lab/base"), 1, told),), (), MADE)
    page = html.audits([(audit, Painting(audit.ref, ("layers.0",), owners=(None,)))])
    assert "derived" not in page and "common origin" in page
    assert "undirected: the weights do not show which came first" in page
