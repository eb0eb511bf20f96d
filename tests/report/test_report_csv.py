"""One sheet for an organisation that every reader of RFC 4180 reads alike and no spreadsheet runs."""

import csv
import re
from io import StringIO

import pytest
from report_audits import HOSTILE, hostile

from hubdna.records import Audit
from hubdna.report import csv as report


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline=""), strict=True))


def test_there_is_a_row_for_each_finding_each_clean_model_and_each_skip(demo_audits: list[Audit]) -> None:
    found = rows(report.audits(demo_audits))
    expected = []
    for audit in demo_audits:
        expected += [(str(audit.ref), "finding", f.rule_id, str(f.line)) for f in audit.findings]
        expected += [(str(audit.ref), "skipped", "", "") for _ in audit.skipped]
        if not audit.findings and not audit.skipped:
            expected.append((str(audit.ref), "clean", "", ""))
    assert [(r["model"], r["outcome"], r["rule"], r["line"]) for r in found] == expected
    assert {r["outcome"] for r in found} == {"finding", "clean", "skipped"}


def test_every_row_carries_what_it_takes_to_repeat_it(demo_audits: list[Audit]) -> None:
    made = demo_audits[0].provenance
    shas = {str(audit.ref): audit.ref.sha or "" for audit in demo_audits}
    for row in rows(report.audits(demo_audits)):
        assert (row["index_digest"], row["scheme"]) == (made.index_digest, made.scheme)
        assert (row["version"], row["date"], row["sha"]) == (made.version, made.date, shas[row["model"]])


def test_lines_end_as_the_standard_says(demo_audits: list[Audit]) -> None:
    text = report.audits(demo_audits)
    assert text.count("\r\n") == text.count("\n") == len(rows(text)) + 1
    assert text.splitlines()[0] == ",".join(report.COLUMNS)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("separator", [",", ";"])
def test_no_cell_is_a_formula_whatever_the_separator(text: str, separator: str) -> None:
    written = report.audits([hostile(text)])
    for line in csv.reader(StringIO(written, newline=""), delimiter=separator):
        for cell in line:
            assert not re.match("[=+@\t\r\uff1d\uff0b\uff0d\uff20-]", cell.lstrip(' "')), cell
    written.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_stays_in_its_cell(text: str) -> None:
    found = rows(report.audits([hostile(text)]))
    assert [row["outcome"] for row in found] == ["finding", "ignored", "skipped"]
    assert all(None not in row and None not in row.values() for row in found)
    assert all(row["date"] == "2026-11-24" for row in found)
