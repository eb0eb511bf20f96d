"""`hubdna audit` and `hubdna rules` with a configuration, on the demo's Hub."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_models import Ran, Run

from hubdna.rules import RULES

FAULTY = "quietlab/doc-writer"
IGNORE = f'[[ignore]]\nrule = "HD001"\nrepo = "{FAULTY}"\nreason = "known to us"\n'


@pytest.fixture
def audit(run: Run, endpoint: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Audit the faulty model from a folder in which a configuration may stand."""
    monkeypatch.chdir(tmp_path)

    def call(text: str, *args: object, index: Path | None = index) -> Ran:
        (tmp_path / "hubdna.toml").write_text(text)
        where = [] if index is None else ["--index", index]
        return run("audit", FAULTY, *where, "--endpoint", endpoint, "--fail-on", "warning", *args)

    return call


def body(ran: Ran) -> dict[str, Any]:
    (one,) = json.loads(ran.out)["audits"]
    return one


def test_an_ignored_finding_does_not_fail_and_stays_in_sight(audit) -> None:
    before, after = audit(""), audit(IGNORE)
    assert (before.code, after.code) == (1, 0)
    assert "ignored" not in before.out
    assert "  ignored: HD001 warning at README.md:" in after.out and "(known to us)" in after.out
    assert after.out.rstrip().endswith(" info, 1 ignored")
    assert "nothing to report" not in after.out
    assert "Configured by hubdna.toml." in after.err


def test_an_entry_that_has_expired_ignores_nothing_and_is_named(audit) -> None:
    ran = audit(IGNORE + "until = 2020-01-31")
    assert ran.code == 1 and "ignored" not in ran.out
    assert f"No longer ignored, since 2020-01-31 is over: HD001 for {FAULTY} (known to us)." in ran.err


def test_json_has_what_is_ignored_and_what_was_configured(audit) -> None:
    found = body(audit(IGNORE + "until = 2099-01-31\n[rules]\nHD003 = false", "--format", "json"))
    assert "HD001" not in [f["rule"] for f in found["findings"]]
    (ignored,) = found["ignored"]
    assert (ignored["rule"], ignored["severity"]) == ("HD001", "warning")
    assert (ignored["reason"], ignored["until"]) == ("known to us", "2099-01-31")
    assert found["provenance"]["configuration"] == ["HD003=off"]


@pytest.mark.parametrize(("level", "code"), [("true", 1), ('"error"', 1), ('"info"', 0), ("false", 0)])
def test_levels_count_for_the_exit_code(audit, level: str, code: int) -> None:
    assert audit(f"[rules]\nHD001 = {level}").code == code


def test_no_configuration_raises_a_severity(audit) -> None:
    ran = audit('[rules]\nHD001 = "error"', "--format", "json")
    assert [f["severity"] for f in body(ran)["findings"] if f["rule"] == "HD001"] == ["warning"]
    assert audit('[rules]\nHD001 = "error"', "--fail-on", "error").code == 0


def test_a_configuration_is_left_unread_on_request(audit) -> None:
    ran = audit("this is no TOML", "--no-config")
    assert ran.code == 1 and "Configured by" not in ran.err
    assert audit(IGNORE, "--no-config").code == 1


def test_another_configuration_can_be_named(audit, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.toml").write_text(IGNORE)
    ran = audit("this is no TOML", "--config", "sub/mine.toml")
    assert ran.code == 0 and "Configured by sub/mine.toml." in ran.err


def test_the_file_names_the_index_and_the_command_line_goes_before_it(audit, index: Path, tmp_path: Path) -> None:
    (tmp_path / "dna").symlink_to(index)
    named = audit('index = "dna"', "--format", "json", index=None)
    assert (named.code, body(named)["provenance"]["index_location"]) == (1, "dna")
    absent = audit('index = "not/there"', index=None)
    assert absent.code == 3 and "not/there" in absent.err
    assert audit('index = "not/there"').code == 1


@pytest.mark.parametrize(
    "args", [["--config", "hubdna.toml", "--no-config"], ["--config", "none.toml"], []], ids=lambda a: " ".join(a)
)
def test_mistakes_are_found_before_the_hub_is_asked(run: Run, tmp_path: Path, monkeypatch, args: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hubdna.toml").write_text("[rules]\nHD0001 = false")
    ran = run("audit", FAULTY, "--endpoint", "http://127.0.0.1:9", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("hubdna: ") and len(ran.err.splitlines()) == 1


def test_a_hostile_name_in_a_configuration_reaches_no_terminal(audit) -> None:
    ran = audit('"\\u001b[31m" = 1')
    assert ran.code == 2 and "\x1b" not in ran.err


def test_fix_leaves_what_is_ignored(run: Run, endpoint: str, index: Path, tmp_path: Path, monkeypatch) -> None:
    import shutil

    from cli_models import MODELS

    shutil.copytree(MODELS / FAULTY, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hubdna.toml").write_text(IGNORE.replace(FAULTY, "./model"))
    command = ["audit", "./model", "--index", index, "--endpoint", endpoint, "--fix"]
    assert run(*command).out == "" and (tmp_path / "model" / "README.md").read_bytes() == card
    assert "+base_model: " in run(*command, "--no-config").out


def test_rules_lists_what_each_may_say_and_what_is_configured(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = json.loads(run("rules", "--format", "json").out)
    assert plain["configuration"] is None and [r["rule"] for r in plain["rows"]] == list(RULES)
    assert all(r["configured"] is None and r["severities"] and r["page"] for r in plain["rows"])
    (tmp_path / "hubdna.toml").write_text(f'{IGNORE}\n[rules]\nHD002 = "info"\nHD003 = false')
    rows = json.loads(run("rules", "--format", "json").out)["rows"]
    said = {row["rule"]: (row["configured"], row["n_ignored"]) for row in rows if row["configured"] or row["n_ignored"]}
    assert said == {"HD001": (None, 1), "HD002": ("info", 0), "HD003": ("off", 0)}
    text = run("rules").out
    assert "Configured by hubdna.toml." in text and "configured: at most info" in text and "switched off" in text
    assert "Configured" not in run("rules", "--no-config").out


def test_sarif_names_the_pages_of_the_rules(run: Run, endpoint: str, index: Path) -> None:
    from hubdna.cli.reports import rule_pages

    ran = run("audit", FAULTY, "--index", index, "--endpoint", endpoint, "--no-config", "--format", "sarif")
    rules = json.loads(ran.out)["runs"][0]["tool"]["driver"]["rules"]
    pages = rule_pages()
    assert pages is not None and pages.startswith("https://") and pages.endswith("/docs/rules")
    assert {rule["id"]: rule["helpUri"] for rule in rules} == {rule: f"{pages}/{rule}.md" for rule in RULES}


def test_a_report_in_a_file_leaves_its_findings_on_stderr(run: Run, endpoint: str, index: Path, tmp_path: Path) -> None:
    command = ["audit", FAULTY, "nobody/nothing", "--index", index, "--endpoint", endpoint, "--no-config"]
    ran = run(*command, "--format", "sarif", "--output", tmp_path / "audit.sarif")
    assert (ran.code, ran.out) == (3, "")
    assert f"{FAULTY}: HD001 warning: " in ran.err and "nobody/nothing: skipped: " in ran.err
    assert "2 models audited: 0 error, " in ran.err
    assert run(*command, "--quiet", "--output", tmp_path / "audit.txt").err == ""
