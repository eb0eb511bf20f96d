"""What the user's configuration ignores is in every report, with its reason, and beside what was found."""

import csv
import json
import sys
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
import report_checks
from hubdna.config import Config, Ignore
from hubdna.painting import Painting
from hubdna.records import Audit, Finding
from hubdna.report import csv as sheet
from hubdna.report import cyclonedx, html, markdown, sarif, text
from hubdna.report import json as report
from hubdna.rules import severities, stories

CONFIG = Config(
    levels={"HD003": "off", "HD002": "info"},
    ignores=(Ignore("HD001", "*", "the card [is] being rewritten", date(2099, 1, 31)),),
)


@pytest.fixture(scope="module")
def audits(demo_audits: list[Audit]) -> list[Audit]:
    """The demo's audits as a user wants them who accepts HD001."""
    made = replace(demo_audits[0].provenance, configuration=CONFIG.changes)
    return [replace(CONFIG.apply(audit, date(2026, 11, 30)), provenance=made) for audit in demo_audits]


@pytest.fixture(scope="module")
def aside(demo_audits: list[Audit]) -> list[Finding]:
    """The findings that are ignored."""
    found = [finding for audit in demo_audits for finding in audit.findings if finding.rule_id == "HD001"]
    assert found
    return found


def test_no_finding_is_graver_than_its_rule_says(demo_audits: list[Audit]) -> None:
    found = {(finding.rule_id, finding.severity) for audit in demo_audits for finding in audit.findings}
    assert found and all(severity in severities()[rule] for rule, severity in found)


def test_the_demo_has_findings_of_every_kind(audits: list[Audit], aside: list[Finding]) -> None:
    kept = [finding for audit in audits for finding in audit.findings]
    assert {f.severity for f in kept if f.rule_id == "HD002"} == {"info"}
    assert not {"HD001", "HD003"} & {f.rule_id for f in kept}
    assert [one.finding for audit in audits for one in audit.ignored] == aside


def test_text(audits: list[Audit], aside: list[Finding]) -> None:
    console = Console(record=True, width=400, file=StringIO())
    console.print(text.audits(audits))
    said = console.export_text()
    for finding in aside:
        line = (
            f"  ignored: HD001 {finding.severity} at README.md:{finding.line}: {finding.message} (the card [is] being"
        )
        assert line in said
    assert f"{len(aside)} ignored" in said.splitlines()[-1] and "until 2099-01-31" in said


def test_json_is_what_its_schema_says(audits: list[Audit], aside: list[Finding]) -> None:
    assert report_checks.json_faults(report.audits(audits)) == []
    body = json.loads(report.audits(audits))
    found = [one for audit in body["audits"] for one in audit["ignored"]]
    assert [one["message"] for one in found] == [finding.message for finding in aside]
    assert {(one["reason"], one["until"]) for one in found} == {("the card [is] being rewritten", "2099-01-31")}
    assert body["audits"][0]["provenance"]["configuration"] == ["HD002=info", "HD003=off"]
    found[0]["until"] = "soon"
    assert report_checks.json_faults(json.dumps(body)) != []


def test_markdown(audits: list[Audit], aside: list[Finding]) -> None:
    said = markdown.audits(audits)
    assert report_checks.markdown_faults(said) == []
    assert said.count("\nIgnored: `HD001`") == len(aside)
    assert f", {len(aside)} ignored**" in said and "`[is]`" in said
    assert "Configured: `HD002=info, HD003=off`." in said


def test_csv(audits: list[Audit], aside: list[Finding]) -> None:
    rows = list(csv.DictReader(StringIO(sheet.audits(audits), newline=""), strict=True))
    found = [row for row in rows if row["outcome"] == "ignored"]
    assert report_checks.csv_faults(sheet.audits(audits)) == []
    assert [row["message"] for row in found] == [finding.message for finding in aside]
    assert {row["ignored_because"] for row in found} == {"the card [is] being rewritten"}
    assert {row["ignored_until"] for row in found} == {"2099-01-31"}
    assert {row["configuration"] for row in rows} == {"HD002=info; HD003=off"}
    ignored = {row["model"] for row in found}
    assert not ignored & {row["model"] for row in rows if row["outcome"] == "clean"}


def test_sarif_has_suppressed_results_for_its_schema_and_for_another_reader(
    audits: list[Audit], aside: list[Finding]
) -> None:
    written = sarif.audits(audits, stories())
    (run,) = json.loads(written)["runs"]
    assert report_checks.sarif_faults(sarif.audits(audits, stories(), pages="https://docs.example")) == []
    suppressed = [result for result in run["results"] if result["suppressions"]]
    assert [result["message"]["text"] for result in suppressed] == [finding.message for finding in aside]
    for result in suppressed:
        (why,) = result["suppressions"]
        assert (why["kind"], why["status"]) == ("external", "accepted")
        assert (why["justification"], why["properties"]) == (
            "the card [is] being rewritten", {"until": "2099-01-31"}
        )  # fmt: skip
    assert all(result["suppressions"] == [] for result in run["results"] if result not in suppressed)
    (off,) = run["invocations"][0]["ruleConfigurationOverrides"]
    assert off["descriptor"]["id"] == "HD003" and off["configuration"] == {"enabled": False}
    assert run["tool"]["driver"]["rules"][off["descriptor"]["index"]]["id"] == "HD003"


def test_sarif_says_nothing_of_suppressions_where_there_are_none(demo_audits: list[Audit]) -> None:
    (run,) = json.loads(sarif.audits(demo_audits, stories()))["runs"]
    assert run["results"] and not any("suppressions" in result for result in run["results"])
    assert "ruleConfigurationOverrides" not in run["invocations"][0]


def test_cyclonedx(audits: list[Audit], aside: list[Finding]) -> None:
    written = cyclonedx.audits(audits)
    assert report_checks.cyclonedx_faults(written) == []
    body = json.loads(written)
    values = [(p["name"], p["value"]) for c in body["components"] for p in c.get("properties", [])]
    assert [v for n, v in values if n == "hubdna:ignored:1:reason"] == ["the card [is] being rewritten"] * len(aside)
    assert not any(n.startswith("hubdna:finding:") and v == "HD001" for n, v in values)
    configured = [p["value"] for p in body["metadata"]["properties"] if p["name"] == "hubdna:configured"]
    assert configured == ["HD002=info", "HD003=off"]


def test_html(audits: list[Audit], aside: list[Finding]) -> None:
    page = html.audits((audit, Painting(audit.ref, (), (), None)) for audit in audits)
    assert page.count("Ignored: HD001 ") == len(aside)
    assert "No finding but what is ignored." in page and f", {len(aside)} ignored</p>" in page
    assert "<code>HD002=info, HD003=off</code>" in page
