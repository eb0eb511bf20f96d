"""`hubdna demo`: every planted fault is found, no honest card is accused, and it ends with what to type next."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hubdna.demo import check, planted


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "hubdna", "demo", "--keep", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False), folder


def test_the_demo_ends_well(told: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = told
    assert done.returncode == 0, done.stderr
    assert "16 models audited" in done.stdout and str(folder / "report.json") in done.stdout
    assert done.stdout.count("\n  hubdna ") == 3, "the three commands a user would type next"


def test_the_report_names_every_planted_fault_and_accuses_nobody_else(told) -> None:
    audits = {a["ref"]: a for a in json.loads((told[1] / "report.json").read_text())["audits"]}
    truth = {m["repo_id"]: m for m in planted()}
    assert audits.keys() == truth.keys() and len(truth) == 16
    faults = {name: m["fault"] for name, m in truth.items() if "fault" in m}
    assert sorted(faults.values()) == ["HD001", "HD001", "HD002", "HD002", "HD007", "HD008"]
    for name, audit in audits.items():
        found = {f["rule"] for f in audit["findings"]}
        assert found == ({faults[name]} if name in faults else set()), name
        for finding in audit["findings"]:
            card = (Path(__file__).parent.parent / "hubdna/demo/models" / name / "README.md").read_text().splitlines()
            assert 1 <= finding["line"] <= len(card)
            assert truth[name].get("expected_other", "") in finding["message"]
            assert "derived" not in finding["message"], "origin has no direction"


def test_the_independent_twin_is_nobodys_relative(told) -> None:
    audits = {a["ref"]: a for a in json.loads((told[1] / "report.json").read_text())["audits"]}
    related = {m["ref"] for m in audits["northbyte/pyllama-245k-scratch"]["matches"]}
    assert related == {"quietlab/code-poet"}


def test_every_relative_in_the_index_is_of_the_same_family(told) -> None:
    root = {m["repo_id"]: m["root"] for m in planted()}
    audits = json.loads((told[1] / "report.json").read_text())["audits"]
    for audit in audits:
        family = {name for name, r in root.items() if r == root[audit["ref"]]} - {audit["ref"]}
        assert {name for m in audit["matches"] for name in (m["ref"], *m["copies"])} == family


def test_the_demos_own_check_can_fail(told) -> None:
    from hubdna.records import Audit, Claim, Finding, ModelRef

    clean = [Audit(ModelRef(m["repo_id"]), Claim(), (), (), None) for m in planted()]
    assert sum("not found" in w for w in check(clean)) == 6
    accusation = Finding("HD001", "warning", clean[0].ref, 1, "accused")
    assert any("accused" in w for w in check([replace(clean[0], findings=(accusation,)), *clean[1:]]))
    assert any("not audited" in w for w in check(clean[1:]))
