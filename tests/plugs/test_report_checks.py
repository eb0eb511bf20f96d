"""The checks of reports that the boards use: what is sound has no faults, and each fault is seen."""

import json
import sys
from pathlib import Path

import pytest

from hubdna.records import Audit, Claim, Finding, ModelRef, Provenance
from hubdna.report import csv, cyclonedx, html, markdown, sarif
from hubdna.report import json as report
from hubdna.rules import stories

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
import chromium
import report_checks

REF = ModelRef("org/name", sha="ab" * 20)
MADE = Provenance("ab" * 32, "index", 3, "weight-2/m=32", "0.1.0", "2026-11-30")
AUDIT = Audit(REF, Claim(line=3), (), (Finding("HD001", "warning", REF, 3, "It shares its origin."),), MADE)
SOUND = {
    "json": report.audits([AUDIT]),
    "sarif": sarif.audits([AUDIT], stories(), pages="https://docs.example"),
    "cyclonedx": cyclonedx.audits([AUDIT]),
    "csv": csv.audits([AUDIT]),
    "markdown": markdown.audits([AUDIT]),
}
BROKEN = {
    "a severity that is none": ("json", '"warning"', '"bad"'),
    "an address that is missing": ("sarif", '"helpUri"', '"help2"'),
    "a level that is none": ("sarif", '"level": "warning"', '"level": "bad"'),
    "a component that is none": ("cyclonedx", "machine-learning-model", "model"),
    "a space": ("cyclonedx", '"version": ', '"version":  '),
    "a cell too many": ("csv", "HD001,", "HD001,,"),
    "a formula": ("csv", "It shares", "=It shares"),
    "an end of line": ("csv", "\r\n", "\n"),
    "an element": ("markdown", "It shares", "<b>It</b> shares"),
    "a link": ("markdown", "It shares", "https://evil.example"),
}


@pytest.mark.parametrize("form", SOUND)
def test_what_is_sound_has_no_faults(form: str) -> None:
    assert report_checks.CHECKS[form](SOUND[form]) == []


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_is_seen(name: str) -> None:
    form, old, new = BROKEN[name]
    assert old in SOUND[form]
    assert report_checks.CHECKS[form](SOUND[form].replace(old, new)) != []


def test_results_that_another_reader_does_not_find_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from sarif.sarif_file import SarifFile

    monkeypatch.setattr(SarifFile, "get_result_count", lambda self: 7)
    assert report_checks.sarif_faults(SOUND["sarif"]) == ["sarif-tools reads 7 of 1 results"]


@pytest.mark.skipif(not (chromium.PROGRAM and chromium.DRIVER), reason="needs Chromium and its driver")
def test_a_page_that_asks_for_something_is_a_fault() -> None:
    from hubdna.records import Painting

    page = html.audits([(AUDIT, Painting(REF))])
    assert report_checks.html_faults(page) == []
    head = page.index("<meta http-equiv"), page.index("<meta name")
    free = (page[: head[0]] + page[head[1] :]).replace("</body>", '<img src="http://127.0.0.1:9/x.png"></body>')
    assert any("asked for http://127.0.0.1:9/x.png" in fault for fault in report_checks.html_faults(free))


def test_every_format_for_programs_and_people_is_checked() -> None:
    from hubdna.cli.options import AuditFormat

    assert report_checks.CHECKS.keys() == {form.value for form in AuditFormat} - {"text"}
    assert json.loads(SOUND["json"])["schema"] == "hubdna.audit/1"
