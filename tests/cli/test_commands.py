"""Every command: help with an example, the right exit code, a report on stdout and nothing else there."""

import json
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from cli_models import MODELS, Run

import hubdna
import hubdna.report
from hubdna.cli import app
from hubdna.demo import planted

BIN = Path(sysconfig.get_path("scripts"))
PARENT, CHILD = str(MODELS / "bytewright/pyllama-245k"), str(MODELS / "quietlab/doc-writer")
STRANGER = str(MODELS / "northbyte/pyllama-245k-scratch")
FAULTY = next(m["repo_id"] for m in planted() if m.get("fault") == "HD001")
HONEST = "northbyte/pyllama-245k-scratch"


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def loads(text: str) -> dict[str, Any]:
    """Strict JSON whose first key is `schema`."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    body: dict[str, Any] = json.loads(text, parse_constant=refuse)
    assert next(iter(body)) == "schema"
    assert body["schema"].startswith("hubdna.")
    assert text.endswith("}\n")
    return body


class TestHelp:
    @pytest.mark.parametrize("command", list(commands()), ids=" ".join)
    def test_every_command_has_help_with_an_example(self, run: Run, command: tuple[str, ...]) -> None:
        ran = run(*command, "--help")
        assert ran.code == 0
        assert "Example" in ran.out
        assert f"hubdna {' '.join(command)}" in " ".join(ran.out.split())
        assert run(*command, "-h").out == ran.out

    def test_the_list_of_commands_is_that_of_the_help(self, run: Run) -> None:
        ran = run("--help")
        assert ran.code == 0
        assert all(c[0] in ran.out for c in commands())
        assert len(list(commands())) >= 12

    def test_the_version(self, run: Run) -> None:
        assert run("--version").out == f"hubdna {hubdna.__version__}\n"

    @pytest.mark.parametrize("command", [["hubdna"], ["hf-dna"], [sys.executable, "-m", "hubdna"]], ids=" ".join)
    def test_every_way_to_start_it(self, command: list[str]) -> None:
        command = [str(BIN / command[0]) if "/" not in command[0] else command[0], *command[1:]]
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert "Where does a model come from?" in done.stdout


BAD_REFS = ["a/b/c", "a b", "", "a/../b", "org/", "/".join("abc"), "é/b c", "a/b\x1b[31m", "http://x/y"]


class TestExitCodes:
    @pytest.mark.parametrize("ref", BAD_REFS)
    @pytest.mark.parametrize("command", ["dna", "search", "audit", "compare", "lineage"])
    def test_a_malformed_reference_is_a_mistake_of_usage(self, run: Run, index: Path, command: str, ref: str) -> None:
        extra = {"dna": [], "compare": [PARENT]}.get(command, ["--index", str(index)])
        ran = run(command, ref, *extra)
        assert (ran.code, ran.out) == (2, "")
        assert "is not a model" in ran.err
        assert "\x1b" not in ran.err

    @pytest.mark.parametrize(
        "args",
        [
            ["nothing"], ["dna"], ["dna", PARENT, "--read", "huge"], ["dna", PARENT, "--format", "x"],
            ["compare", PARENT],
            ["search", PARENT, "-k", "0"], ["crawl", "--limit", "0"], ["crawl", "--workers", "999"],
            ["audit", PARENT, "--fail-on", "sometimes"], ["localhub", "/nowhere/at/all"], ["index"], ["--nothing"],
            ["dna", PARENT, "--nothing"],
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_a_malformed_request_is_a_mistake_of_usage(self, run: Run, args: list[str]) -> None:
        ran = run(*args)
        assert ran.code == 2
        assert "Traceback" not in ran.err

    @pytest.mark.parametrize("shard", ["0/2", "3/2", "x/y", "1", "1/0", "/", "-1/2", "²/3"])
    def test_a_malformed_shard_is_a_mistake_of_usage(self, run: Run, tmp_path: Path, endpoint: str, shard: str) -> None:
        ran = run("crawl", "--index", tmp_path / "i", "--endpoint", endpoint, "--shard", shard)
        assert ran.code == 2
        assert "--shard" in ran.err

    def test_an_absent_list_is_a_mistake_of_usage(self, run: Run, tmp_path: Path, endpoint: str) -> None:
        ran = run("crawl", "--index", tmp_path / "i", "--endpoint", endpoint, "--list", tmp_path / "none.txt")
        assert ran.code == 2
        assert "none.txt" in ran.err

    @pytest.mark.parametrize(
        "args",
        [["dna", "./no/such/folder"], ["compare", PARENT, "./none"], ["search", PARENT, "--index", "./none"],
         ["index", "info", "./none"], ["index", "verify", "./none"], ["index", "rebuild", "./none"],
         ["index", "remove", "./none", "a/b"], ["dna", str(MODELS)]],
        ids=lambda args: " ".join(args[:2]),
    )  # fmt: skip
    def test_what_is_not_there_cannot_be_finished(
        self, run: Run, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ran = run(*args)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith("hubdna: ")
        assert len(ran.err.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_model_that_the_hub_does_not_have_cannot_be_finished(self, run: Run, endpoint: str) -> None:
        ran = run("dna", "nobody/nothing", "--endpoint", endpoint)
        assert (ran.code, ran.out) == (3, "")
        assert "nobody/nothing" in ran.err

    def test_a_broken_file_cannot_be_finished(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
        ran = run("dna", tmp_path)
        assert (ran.code, ran.out) == (3, "")
        assert "model.safetensors: header" in ran.err

    @pytest.mark.parametrize("command", [["dna", "a/b"], ["crawl", "--index", "i"]])
    def test_an_unreachable_hub_is_given_up_soon(self, tmp_path: Path, command: list[str]) -> None:
        with socket.socket() as bound:  # bound and not listening: connections are refused
            bound.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            done = subprocess.run(
                [BIN / "hubdna", *command, "--endpoint", address],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,  # the Hub client itself tries for 25 s
            )
        assert done.returncode == 3
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert "\nhubdna: " in f"\n{done.stderr}"

    def test_findings_give_one_only_when_asked_for(self, run: Run, endpoint: str, index: Path) -> None:
        args = ["audit", FAULTY, "--index", index, "--endpoint", endpoint, "--format", "json"]
        assert run(*args).code == 0
        assert run(*args, "--fail-on", "warning").code == 1
        assert run(*args, "--fail-on", "error").code == 0
        honest = ["audit", HONEST, "--index", index, "--endpoint", endpoint, "--fail-on", "warning"]
        assert run(*honest).code == 0

    def test_an_audit_that_could_not_read_a_model_is_not_clean(self, run: Run, endpoint: str, index: Path) -> None:
        ran = run("audit", HONEST, "nobody/nothing", "--index", index, "--endpoint", endpoint, "--format", "json")
        assert ran.code == 3
        audits = loads(ran.out)["audits"]
        assert [bool(a["skipped"]) for a in audits] == [False, True]

    def test_a_damaged_index_gives_one(self, run: Run, index: Path, tmp_path: Path) -> None:
        import shutil

        copy = Path(shutil.copytree(index, tmp_path / "copy"))
        assert run("index", "verify", copy).code == 0
        next(copy.glob("dna/*/*.dna")).unlink()
        ran = run("index", "verify", copy, "--format", "json")
        assert ran.code == 1
        assert loads(ran.out)["ok"] is False
        assert run("index", "remove", copy, "no/such").code == 3

    def test_a_dna_file_that_cannot_be_written_is_a_mistake_of_usage(self, run: Run, tmp_path: Path) -> None:
        try:
            ran = run("dna", PARENT, "-o", tmp_path / "no" / "x.dna")
        except OSError as error:
            raise AssertionError from error
        assert ran.code == 2


SCHEMAS = [f"hubdna.{name}/1" for name in ("dna", "compare", "search", "audit", "index", "verify", "rules")]


class TestReports:
    def reports(self, endpoint: str, index: Path) -> dict[str, list[object]]:
        return {
            "hubdna.dna/1": ["dna", PARENT],
            "hubdna.compare/1": ["compare", PARENT, CHILD],
            "hubdna.search/1": ["search", CHILD, "--index", index, "--endpoint", endpoint],
            "hubdna.audit/1": ["audit", FAULTY, HONEST, "--index", index, "--endpoint", endpoint],
            "hubdna.index/1": ["index", "info", index],
            "hubdna.verify/1": ["index", "verify", index],
            "hubdna.rules/1": ["rules"],
        }

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_json_is_all_of_stdout_and_names_its_schema(
        self, run: Run, endpoint: str, index: Path, schema: str
    ) -> None:
        ran = run(*self.reports(endpoint, index)[schema], "--format", "json")
        assert ran.code == 0
        assert loads(ran.out)["schema"] == schema

    @pytest.mark.parametrize("schema", SCHEMAS)
    def test_text_holds_no_escape_sequences_when_it_is_not_for_a_terminal(
        self, run: Run, endpoint: str, index: Path, schema: str
    ) -> None:
        ran = run(*self.reports(endpoint, index)[schema])
        assert ran.code == 0
        assert ran.out.strip()
        assert "\x1b" not in ran.out + ran.err

    def test_progress_and_summary_go_to_stderr_and_quiet_silences_them(
        self, run: Run, endpoint: str, index: Path
    ) -> None:
        args = ["audit", HONEST, "--index", index, "--endpoint", endpoint]
        loud, quiet = run(*args), run(*args, "--quiet")
        assert "Looked in" in loud.err and "Looked in" not in loud.out
        assert quiet.err == ""
        assert quiet.out == loud.out

    @pytest.mark.parametrize("schema", ["hubdna.compare/1", "hubdna.search/1", "hubdna.audit/1"])
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_output_goes_to_the_file_instead(
        self, run: Run, endpoint: str, index: Path, schema: str, form: str, tmp_path: Path
    ) -> None:
        args = [*self.reports(endpoint, index)[schema], "--format", form]
        plain, target = run(*args), tmp_path / "report"
        ran = run(*args, "--output", target)
        assert (ran.code, ran.out) == (0, "")
        written = target.read_text("utf-8")
        if form == "json":
            assert loads(written) == loads(plain.out)
        else:
            assert "\x1b" not in written and written.split()[:3] == plain.out.split()[:3]

    def test_an_output_that_cannot_be_written_is_a_mistake_of_usage(self, run: Run, tmp_path: Path) -> None:
        ran = run("compare", PARENT, CHILD, "--output", tmp_path / "no" / "report")
        assert (ran.code, ran.out) == (2, "")
        assert "--output" in ran.err

    def test_a_comparison_says_what_it_promises(self, run: Run) -> None:
        body = loads(run("compare", CHILD, PARENT, "--format", "json").out)
        expected = {"a", "b", "origin", "relation", "direction", "certainty", "log10_p", "similarity", "disguise",
                    "n_genes", "n_bytes_read", "n_requests", "evidence", "undecided_because"}  # fmt: skip
        assert expected <= body.keys()
        assert body["origin"] == "common" and body["log10_p"] < -14.3
        other = loads(run("compare", CHILD, STRANGER, "--format", "json").out)
        assert other["origin"] == "no-evidence" and other["log10_p"] > -6

    def test_a_search_finds_the_parent(self, run: Run, index: Path, endpoint: str) -> None:
        body = loads(run("search", CHILD, "--index", index, "--endpoint", endpoint, "--format", "json", "-k", 3).out)
        assert 1 <= len(body["matches"]) <= 3
        expected = {"ref", "rank", "origin", "relation", "direction", "certainty", "log10_p", "similarity"}
        assert all(expected <= m.keys() for m in body["matches"])
        assert body["n_models"] == 16

    def test_an_audit_says_what_it_promises(self, run: Run, index: Path, endpoint: str) -> None:
        (audit,) = loads(run("audit", FAULTY, "--index", index, "--endpoint", endpoint, "--format", "json").out)[
            "audits"
        ]
        assert {"ref", "claim", "matches", "findings", "skipped", "provenance"} <= audit.keys()
        finding = next(f for f in audit["findings"] if f["rule"] == "HD001")
        assert {"rule", "severity", "line", "message", "evidence", "patch"} <= finding.keys()
        assert finding["patch"].startswith("--- a/README.md\n+++ b/README.md\n@@ ")

    @pytest.mark.parametrize("form", ["markdown", "csv", "sarif", "cyclonedx", "html"])
    def test_every_form_of_an_audit_is_all_of_stdout_or_of_the_file(
        self, run: Run, endpoint: str, index: Path, form: str, tmp_path: Path
    ) -> None:
        args = ["audit", FAULTY, HONEST, "--index", index, "--endpoint", endpoint, "--format", form]
        plain = run(*args)
        written = run(*args, "--output", tmp_path / "report", "--fail-on", "warning")
        assert (plain.code, written.code, written.out) == (0, 1, "")
        assert (tmp_path / "report").read_bytes().decode() == plain.out
        assert FAULTY.split("/")[1] in plain.out and HONEST.split("/")[1] in plain.out
        starts = {"markdown": "### `", "csv": "model,sha,", "sarif": '{\n  "$schema"', "cyclonedx": '{\n  "components"'}
        starts["html"] = "<!doctype html>\n"
        assert plain.out.startswith(starts[form])
        if form in ("sarif", "cyclonedx"):
            assert json.loads(plain.out) and f"{endpoint}/" in plain.out

    def test_a_pair_is_a_page_too(self, run: Run, endpoint: str) -> None:
        ran = run("compare", CHILD, PARENT, "--endpoint", endpoint, "--format", "html")
        assert ran.code == 0 and ran.out.startswith("<!doctype html>\n")
        assert CHILD in ran.out and "layers match B" in ran.out

    def test_the_forms_of_an_audit_are_not_those_of_other_commands(self, run: Run) -> None:
        assert run("compare", PARENT, CHILD, "--format", "sarif").code == 2

    def test_a_missing_extra_is_said_before_the_work(
        self, run: Run, endpoint: str, index: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "hubdna.report.cyclonedx", raising=False)
        monkeypatch.delattr(hubdna.report, "cyclonedx", raising=False)
        for name in [n for n in sys.modules if n.partition(".")[0] == "cyclonedx"]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr("hubdna.audit.Auditor.audit", lambda *_: pytest.fail("audited before it was said"))
        ran = run("audit", FAULTY, "--index", index, "--endpoint", endpoint, "--format", "cyclonedx")
        assert (ran.code, ran.out) == (3, "")
        assert "hubdna[report]" in ran.err

    def test_a_dna_file_stands_for_its_model(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "x.dna"
        ran = run("dna", PARENT, "-o", file, "--format", "json")
        assert ran.code == 0 and file.stat().st_size > 1000
        assert loads(run("compare", file, PARENT, "--format", "json").out)["origin"] == "identical"

    def test_a_crawl_that_is_repeated_reads_nothing(self, run: Run, index: Path, endpoint: str) -> None:
        ran = run("crawl", "--index", index, "--endpoint", endpoint)
        assert (ran.code, ran.out) == (0, "")
        assert "16 unchanged; 0.00 MB read" in " ".join(ran.err.split())

    def test_a_plan_reads_nothing(self, run: Run, tmp_path: Path, endpoint: str) -> None:
        ran = run("crawl", "--index", tmp_path / "i", "--endpoint", endpoint, "--plan", "--limit", 3)
        assert ran.code == 0
        assert ran.out.startswith("3 models to read")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
sys.argv = ["hubdna", "dna", sys.argv[1]]
from hubdna.cli import main
main()
"""


@pytest.mark.parametrize("name", ["big.dna", "m.safetensors.index.json"])
def test_a_file_of_many_gigabytes_is_refused_unread(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(8 << 30)  # sparse: takes no disk
    (tmp_path / "a.safetensors").write_bytes(b"")
    target = tmp_path / name if name.endswith(".dna") else tmp_path
    done = subprocess.run([sys.executable, "-c", LIMITED, target], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert name in done.stderr
