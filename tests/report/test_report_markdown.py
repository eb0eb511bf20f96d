"""Nothing of other people's text is Markdown in a Markdown report: checked with a parser that links everything."""

import re
from html import unescape

import pytest
from markdown_it import MarkdownIt
from report_audits import HOSTILE, hostile

from hubdna.records import Audit
from hubdna.report import markdown

PARSERS = [
    MarkdownIt("gfm-like", {"html": True, "linkify": True}),
    MarkdownIt("commonmark", {"html": True}),
]
ALLOWED = {"h3", "p", "strong", "code", "pre", "ul", "li"}


def tags(html: str) -> set[str]:
    return set(re.findall(r"<(\w+)", html))


def outside_code(html: str) -> str:
    """The text that a site looks through for mentions and references."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"<code[^>]*>.*?</code>", " ", html, flags=re.DOTALL))


@pytest.mark.parametrize("parser", PARSERS, ids=["gfm", "commonmark"])
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_text(text: str, parser: MarkdownIt) -> None:
    html = parser.render(markdown.audits([hostile(text)]))
    assert tags(html) <= ALLOWED, html
    plain = outside_code(html)
    assert not re.search(r"@\w|#\d|GH-\d|https?:|www\.|&lt;(?!=)|\[|\x1b|\u202e|\x00", plain), plain
    html.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_can_still_be_read(text: str) -> None:
    """Defused, not dropped: every letter and digit of it is shown, in order."""
    shown = unescape(re.sub(r"<[^>]*>", "", PARSERS[0].render(markdown.prose(f"The base {text} is"))))
    assert re.findall(r"\w", shown) == re.findall(r"\w", f"The base {text} is")


def test_a_patch_cannot_leave_its_block() -> None:
    text = "````\n</pre><b>out</b>"
    audit = hostile("x")
    finding = audit.findings[0]
    diff = finding.patch.diff + f" {text.replace(chr(10), chr(10) + ' ')}\n"
    changed = type(finding)(*(getattr(finding, name) for name in finding.__slots__[:-1]), type(finding.patch)("", diff))
    html = PARSERS[0].render(markdown.audits([Audit(audit.ref, audit.claim, (), (changed,), None)]))
    assert tags(html) <= ALLOWED


def test_a_report_says_what_the_findings_say(demo_audits: list[Audit]) -> None:
    report = markdown.audits(demo_audits)
    shown = PARSERS[0].render(report).replace("<code>", "").replace("</code>", "")
    findings = [finding for audit in demo_audits for finding in audit.findings]
    assert {f.rule_id for f in findings} == {"HD001", "HD002", "HD007", "HD008"}
    for finding in findings:
        assert f"line {finding.line} of README.md" in shown
        for line in (finding.message, *finding.evidence):
            assert line.replace("<", "&lt;") in shown
    for audit in demo_audits:
        assert f"### `{audit.ref}`\n" in report
        assert audit.ref.sha is None or f"Read at commit `{audit.ref.sha}`" in report
    made = demo_audits[0].provenance
    assert all(str(part) in report for part in (made.index_digest, made.scheme, made.version, made.date))
    assert "Skipped: `nobody/nothing`: no such model" in report
    assert "17 models audited" in report


def test_a_public_comment_names_no_folder_of_this_machine(demo_audits: list[Audit]) -> None:
    assert demo_audits[0].provenance.index_location not in markdown.audits(demo_audits)


def test_a_report_never_says_derived(demo_audits: list[Audit]) -> None:
    assert not re.search(r"derived|made from that|A from B", markdown.audits(demo_audits))
