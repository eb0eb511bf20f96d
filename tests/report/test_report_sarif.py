"""SARIF that the standard's schema and another project's reader accept, with fixes that do what the patches do."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_audits import HOSTILE, hostile
from sarif.loader import load_sarif_file

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
from hubdna.card import patch_base_model
from hubdna.demo import HERE
from hubdna.records import Audit, CardPatch
from hubdna.report import sarif
from hubdna.report.patches import replacements
from hubdna.rules import RULES, stories
from report_checks import SARIF, SARIF_SCHEMA


def run(audits: list[Audit], **more: str) -> dict[str, Any]:
    log = json.loads(sarif.audits(audits, stories(), **more))
    SARIF.validate(log)
    (one,) = log["runs"]
    return one


def test_the_schema_is_the_standards_and_refuses_what_is_not_sarif(demo_audits: list[Audit]) -> None:
    assert SARIF_SCHEMA["title"] == "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"
    log = json.loads(sarif.audits(demo_audits, stories()))
    log["runs"][0]["results"][0]["level"] = "info"
    with pytest.raises(jsonschema.ValidationError):
        SARIF.validate(log)


def test_every_finding_is_a_result_at_its_line(demo_audits: list[Audit]) -> None:
    found = run(demo_audits)
    findings = [f for audit in demo_audits for f in audit.findings]
    assert len(found["results"]) == len(findings) > 4
    for result, finding in zip(found["results"], findings, strict=True):
        (where,) = result["locations"]
        assert where["physicalLocation"]["artifactLocation"] == {
            "uri": f"{finding.ref.repo_id}/blob/main/README.md", "uriBaseId": "HUB"
        }  # fmt: skip
        assert where["physicalLocation"]["region"] == {"startLine": finding.line}
        assert where["logicalLocations"][0]["fullyQualifiedName"] == finding.ref.repo_id
        assert result["message"]["text"] == finding.message
        assert result["level"] == {"error": "error", "warning": "warning", "info": "note"}[finding.severity]
        assert found["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule_id


def test_all_rules_are_listed_and_have_an_address_where_pages_are_published(demo_audits: list[Audit]) -> None:
    rules = run(demo_audits)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert not any("helpUri" in rule for rule in rules)
    published = run(demo_audits, pages="https://docs.example/rules/")["tool"]["driver"]["rules"]
    assert [rule["helpUri"] for rule in published] == [f"https://docs.example/rules/{r}.md" for r in RULES]


def test_what_was_not_read_is_a_notification(demo_audits: list[Audit]) -> None:
    (invocation,) = run(demo_audits)["invocations"]
    (said,) = invocation["toolExecutionNotifications"]
    assert invocation["executionSuccessful"] is False
    assert "no such model" in said["message"]["text"] and said["level"] == "error"
    assert run(demo_audits[:3])["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_another_reader_opens_it(demo_audits: list[Audit], tmp_path: Path) -> None:
    path = tmp_path / "audit.sarif"
    path.write_text(sarif.audits(demo_audits, stories()), "utf-8")
    read = load_sarif_file(str(path))
    assert read.get_distinct_tool_names() == ["hubdna"]
    findings = [f for audit in demo_audits for f in audit.findings]
    assert read.get_result_count() == len(findings)
    records = read.get_records()
    assert sorted(r["Line"] for r in records) == sorted(f.line for f in findings)
    assert {r["Severity"] for r in records} == {"warning", "note"}
    assert all(any(f.message in r["Description"] for f in findings) for r in records)


def test_provenance_and_commits_are_in_it_and_the_folder_of_the_index_is_not(demo_audits: list[Audit]) -> None:
    found, made = run(demo_audits), demo_audits[0].provenance
    (kept,) = found["properties"]["provenance"]
    assert (kept["index_digest"], kept["scheme"]) == (made.index_digest, made.scheme)
    assert (kept["version"], kept["date"]) == (made.version, made.date)
    commits = {c["repositoryUri"].removeprefix("https://huggingface.co/"): c["revisionId"]
               for c in found["versionControlProvenance"]}  # fmt: skip
    assert commits == {audit.ref.repo_id: audit.ref.sha for audit in demo_audits if audit.ref.sha}
    assert made.index_location not in json.dumps(found)


def test_a_password_in_an_endpoint_stays_private(demo_audits: list[Audit]) -> None:
    text = sarif.audits(demo_audits, stories(), "http://me:secret@hub.example:8080/")
    assert "secret" not in text and "http://hub.example:8080/" in text


def test_fingerprints_tell_findings_apart_and_outlive_a_new_wording(demo_audits: list[Audit]) -> None:
    marks = [result["partialFingerprints"]["hubdnaFinding/v1"] for result in run(demo_audits)["results"]]
    assert len(set(marks)) == len(marks)
    assert marks == [r["partialFingerprints"]["hubdnaFinding/v1"] for r in run(list(demo_audits))["results"]]
    audit = next(a for a in demo_audits if a.findings and a.matches)
    (finding,) = audit.findings
    moved = replace(finding, message=f"{finding.message} (p <= 1e-3)", line=99, severity="info", evidence=())
    assert sarif.fingerprint(audit, moved) == sarif.fingerprint(audit, finding)
    other = replace(finding, message="It shares its origin with another/model.")
    assert sarif.fingerprint(audit, other) != sarif.fingerprint(audit, finding)


def applied(card: str, fix: dict[str, Any]) -> str:
    """A card with a fix carried out as the standard says: regions refer to the old text."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", card)
    (change,) = fix["artifactChanges"]
    for one in reversed(change["replacements"]):
        region = one["deletedRegion"]
        assert region["startColumn"] == region["endColumn"] == 1
        lines[region["startLine"] - 1 : region["endLine"] - 1] = [one["insertedContent"]["text"]]
    return "".join(lines)


def test_a_fix_does_what_the_patch_does(demo_audits: list[Audit]) -> None:
    results = iter(run(demo_audits)["results"])
    n_fixes = 0
    for audit in demo_audits:
        card = HERE / "models" / audit.ref.repo_id / "README.md"
        for finding, result in zip(audit.findings, results, strict=False):
            assert ("fixes" in result) == (finding.patch is not None)
            if finding.patch is not None:
                n_fixes += 1
                added = [line[1:] for line in finding.patch.diff.splitlines() if re.match(r"\+[^+]", line)]
                fixed = applied(card.read_text(), result["fixes"][0])
                patched = patch_base_model(card.read_text(), (added[0].removeprefix("base_model: "),), "")
                assert patched is not None and patched.diff == finding.patch.diff
                assert patch_base_model(fixed, ("a/b",), "").diff.count(f"-{added[0]}\n") == 1
                assert len(fixed.splitlines()) - len(card.read_text().splitlines()) in (0, 1)
    assert n_fixes >= 3


CARDS = ["", "Hello\n", "---\nlicense: mit\n---\n", "---\nlicense: mit\nbase_model:\n- a/a\n- b/b\ntags: []\n---\nx\n",
         "---\r\nbase_model: a/a\r\n---\r\nx\r\n", "---\n---\n", "---\nbase_model: a/a\n---",
         "---\nbase_model: a/a # my own\n---\n"]  # fmt: skip


@pytest.mark.parametrize("bases", [("org/name",), ("org/a", "org/b")], ids=len)
@pytest.mark.parametrize("card", CARDS, ids=ascii)
def test_replacements_lead_to_the_card_that_says_so(card: str, bases: tuple[str, ...]) -> None:
    from hubdna.card import read_claim

    patch = patch_base_model(card, bases, "")
    assert patch is not None
    lines = re.findall(r"[^\n]*\n|[^\n]+", card)
    for first, last, text in reversed(list(replacements(patch.diff))):
        lines[first - 1 : last - 1] = [text]
    assert read_claim("".join(lines)).base_models == bases
    kept = [line for line in re.findall(r"[^\n]*\n|[^\n]+", card) if "base_model" not in line and "- " not in line]
    assert [line for line in re.findall(r"[^\n]*\n|[^\n]+", "".join(lines)) if line in kept] == kept


def test_a_diff_that_takes_the_end_of_a_file_has_no_fix() -> None:
    diff = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n"
    assert list(replacements(diff)) == []


@pytest.mark.parametrize("text", ["\ufffd", "\udcff"], ids=ascii)
def test_a_line_that_was_not_read_byte_by_byte_has_no_fix(text: str) -> None:
    audit = hostile("x")
    diff = audit.findings[0].patch.diff + f"+# {text}\n"
    finding = replace(audit.findings[0], patch=CardPatch("", diff))
    (result,) = run([replace(audit, findings=(finding,), ignored=())])["results"]
    assert "fixes" not in result


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_neither_a_link_nor_a_placeholder(text: str) -> None:
    audit = hostile(text)
    found, ignored = run([audit])["results"]
    said = [result["message"]["text"] for result in (found, ignored)]
    said += [fix["description"]["text"] for fix in found.get("fixes", [])]
    for one in said:
        literal = re.sub(r"\\[\\\[\]]|\{\{|\}\}", "", one)
        assert not set("[]{}\\") & set(literal), one
    sarif.audits([audit], stories()).encode()


def test_a_local_folder_has_the_address_of_its_card(demo_audits: list[Audit], tmp_path: Path) -> None:
    audit = next(a for a in demo_audits if a.findings)
    for path, uri in (("./my model", "my%20model/README.md"), (str(tmp_path), (tmp_path / "README.md").as_uri())):
        ref = replace(audit.ref, repo_id=path)
        local = replace(audit, ref=ref, findings=(replace(audit.findings[0], ref=ref),))
        (result,) = run([local])["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": uri}


def test_the_same_audits_give_the_same_bytes(demo_audits: list[Audit]) -> None:
    assert sarif.audits(demo_audits, stories()) == sarif.audits(iter(demo_audits), stories())
