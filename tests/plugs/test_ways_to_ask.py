"""`hf dna audit` and the Action's script against `hubdna audit`: the same findings, exit codes as documented."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
import plug_ways
from hubdna.crawl import crawl
from hubdna.demo import planted
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.store import IndexDir

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FAULTY = "quietlab/doc-writer"
HONEST = "northbyte/pyllama-245k-scratch"
MODELS = [FAULTY, HONEST, "opticlab/vit-strokes"]


@pytest.fixture(scope="module")
def hub(demo_models: Path) -> Iterator[LocalHub]:
    with LocalHub(demo_models) as hub:
        yield hub


@pytest.fixture(scope="module")
def index(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ways") / "index"
    with IndexDir(path, create=True) as store:
        list(crawl(Hub(hub.endpoint), store, Hub(hub.endpoint).models()))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    plug_ways.lay_out(home)
    return home


@pytest.fixture(scope="module")
def own(hub: LocalHub, index: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, plug_ways.Answer]:
    """What the program answers in each case."""
    folder, more = tmp_path_factory.mktemp("own"), ["--index", str(index), "--endpoint", hub.endpoint]
    return {case: plug_ways.program(refs, [*options, *more], folder) for case, (refs, options, _) in CASES.items()}


CASES = {
    "clean": ([HONEST], ["--fail-on", "warning"], 0),
    "findings, not asked to fail": (MODELS, [], 0),
    "findings": (MODELS, ["--fail-on", "warning"], 1),
    "misused": (["a/b/c"], [], 2),
    "a model that is not there": ([HONEST, "nobody/nothing"], ["--fail-on", "warning"], 3),
}


class TestExtension:
    @pytest.mark.parametrize("case", CASES)
    def test_it_gives_the_findings_and_the_exit_code_of_the_program(
        self, hub: LocalHub, index: Path, home: Path, own: dict[str, plug_ways.Answer], tmp_path: Path, case: str
    ) -> None:
        refs, options, code = CASES[case]
        options = [*options, "--index", str(index), "--endpoint", hub.endpoint]
        theirs = plug_ways.extension(refs, options, tmp_path, home)
        assert (own[case].code, theirs.code) == (code, code), theirs.err
        assert theirs.findings == own[case].findings
        assert bool(own[case].findings) == case.startswith("findings")

    def test_the_hub_cli_lists_it(self, home: Path, tmp_path: Path) -> None:
        done = plug_ways.run([str(plug_ways.BIN / "hf"), "--help"], tmp_path, {"HOME": str(home), "COLUMNS": "200"})
        assert re.search(r"^ *dna +hf dna: where does a model come from\?", done.stdout, re.MULTILINE), done.stdout

    def test_its_environment_holds_what_the_index_needs(self, home: Path) -> None:
        """The Hub CLI installs no extras: the extension's package has to ask for them."""
        (python,) = home.glob(".local/share/hf/extensions/hf-dna/venv/bin/python")
        code = "from importlib.metadata import requires; print(*requires('hf-dna'))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("hubdna[cpu,report]")


def test_nothing_at_the_root_looks_like_a_binary_extension() -> None:
    assert not (ROOT / "hf-dna").exists()


class TestAction:
    @pytest.mark.parametrize("case", CASES)
    def test_its_script_gives_the_findings_and_the_exit_code_of_the_program(
        self, hub: LocalHub, index: Path, own: dict[str, plug_ways.Answer], tmp_path: Path, case: str
    ) -> None:
        refs, options, code = CASES[case]
        inputs = {"models": "\n".join(refs), "index": str(index), "fail-on": "".join(options[1:])}
        theirs, outputs = plug_ways.action_audit(inputs, tmp_path, HF_ENDPOINT=hub.endpoint)
        assert (theirs.code, outputs["exit-code"]) == (code, str(code)), theirs.out + theirs.err
        assert theirs.findings == own[case].findings
        assert outputs["upload"] == "false" and (outputs["sarif-file"] != "") is (code != 2)

    def test_its_log_says_what_was_found(self, hub: LocalHub, index: Path, tmp_path: Path) -> None:
        inputs = {"models": f"{FAULTY} {HONEST}", "index": str(index)}
        answer, _ = plug_ways.action_audit(inputs, tmp_path, HF_ENDPOINT=hub.endpoint)
        assert f"{FAULTY}: HD001 warning: " in answer.out and "2 models audited: " in answer.out

    def test_a_folder_is_uploaded(self, hub: LocalHub, index: Path, demo_models: Path, tmp_path: Path) -> None:
        shutil.copytree(demo_models / FAULTY, tmp_path / "model")
        inputs = {"models": "./model", "index": str(index), "fail-on": "info", "sarif-file": "out file.sarif"}
        answer, outputs = plug_ways.action_audit(inputs, tmp_path, HF_ENDPOINT=hub.endpoint)
        assert outputs == {"exit-code": "1", "upload": "true", "sarif-file": "out file.sarif"}
        assert "HD001" in {rule for _, rule, *_ in answer.findings or ()}

    @pytest.mark.parametrize(
        "inputs",
        [{"models": "--fix"}, {"models": "$(touch owned)"}, {"models": '"; touch owned; "'}, {"models": "*"},
         {"models": "a/b", "fail-on": "warning; touch owned"}, {"models": "a/b", "read": "`touch owned`"},
         {"models": "a/b", "index": "$(touch owned)"}, {"models": "a/b", "config": "--fix"}, {"models": ""},
         {"models": "a/b", "sarif-file": "$(touch owned)"}],
        ids=str,
    )  # fmt: skip
    def test_no_input_is_shell_code_or_an_option(self, tmp_path: Path, inputs: dict[str, str]) -> None:
        answer, outputs = plug_ways.action_audit(inputs, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
        assert answer.code in (2, 3) and outputs["exit-code"] == str(answer.code)
        assert not (tmp_path / "owned").exists()

    def test_a_name_cannot_give_the_runner_orders(self, tmp_path: Path) -> None:
        inputs = {"models": "::set-output::x ##[add-path]/evil", "sarif-file": "::a"}
        answer, _ = plug_ways.action_audit(inputs, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
        first, *_, last = answer.out.splitlines()
        guard = first.removeprefix("::stop-commands::")
        assert re.fullmatch("[0-9a-f]{32}", guard) and last == f"::{guard}::" and answer.err == ""

    def test_an_old_report_is_not_taken_for_a_new_one(self, tmp_path: Path) -> None:
        (tmp_path / "hubdna.sarif").write_text("{}")
        _, outputs = plug_ways.action_audit({"models": "a/b/c"}, tmp_path)
        assert outputs["sarif-file"] == "" and outputs["upload"] == "false"

    def test_scripts_hold_no_expressions_and_every_input_is_used(self) -> None:
        text, action = (ROOT / "action.yml").read_text(), plug_ways.action()
        assert action["runs"]["using"] == "composite"
        scripts = [step["run"] for step in action["runs"]["steps"] if "run" in step]
        assert len(scripts) == 2 and not any("${{" in script for script in scripts)
        assert all(f"inputs.{name} " in text for name in action["inputs"])
        assert all(one["description"] for one in (*action["inputs"].values(), *action["outputs"].values()))

    def test_it_is_installed_with_faiss_from_its_own_checkout(self) -> None:
        install = plug_ways.step("Install hubdna")
        assert install["env"] == {"SOURCE": "${{ github.action_path }}"} and '"$SOURCE[cpu]"' in install["run"]

    def test_the_upload_waits_for_folders_and_runs_after_findings(self) -> None:
        upload = plug_ways.step("Upload to code scanning")
        assert upload["uses"].startswith("github/codeql-action/upload-sarif@v")
        assert "!cancelled()" in upload["if"] and "steps.audit.outputs.upload == 'true'" in upload["if"]
        assert upload["with"]["sarif_file"] == "${{ steps.audit.outputs.sarif-file }}"


def test_the_cases_cover_all_exit_codes() -> None:
    assert {code for *_, code in CASES.values()} == {0, 1, 2, 3}
    assert {m["repo_id"] for m in planted()} >= set(MODELS)
