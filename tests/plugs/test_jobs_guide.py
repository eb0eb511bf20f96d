"""The guide to Jobs: the installed `hf` understands every command, and the Jobs' own scripts do what the page says."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubdna.localhub import LocalHub

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
from plug_ways import BIN, OFFLINE, ROOT

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "jobs.md").read_text()
RECORD = """#!{python}
import json, sys
print(json.dumps(sys.argv[1:]), file=open({file!r}, "a"))
"""
Words = list[str]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Words]]:
    """Every `hf` and `hubdna` command of the page, as the shell splits it into words."""
    folder = tmp_path_factory.mktemp("commands")
    for program in ("hf", "hubdna"):
        (folder / program).write_text(RECORD.format(python=sys.executable, file=str(folder / f"{program}.jsonl")))
        (folder / program).chmod(0o755)
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["bash", "-euc", block], env=env, check=True, timeout=60)
    return {p: [json.loads(x) for x in (folder / f"{p}.jsonl").read_text().splitlines()] for p in ("hf", "hubdna")}


def hf(words: Words, endpoint: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
    env = os.environ | OFFLINE | {"HF_TOKEN": "hf_x", "HF_ENDPOINT": endpoint, "COLUMNS": "500", "NO_COLOR": "1"}
    return subprocess.run([BIN / "hf", *words], env=env, capture_output=True, text=True, timeout=120)


def jobs(commands: dict[str, list[Words]]) -> list[Words]:
    return [words for words in commands["hf"] if words[0] == "jobs"]


def test_the_hub_cli_resolves_every_job(commands: dict[str, list[Words]]) -> None:
    assert len(jobs(commands)) == 2
    for words in jobs(commands):
        verb = words.index("run") + 1
        done = hf([*words[:verb], "--dry-run", *words[verb:]])
        assert done.returncode == 0, done.stderr
        assert "Job not submitted" in done.stdout + done.stderr
        assert "python:3.12" in done.stdout and "card-audit" in done.stdout


def test_the_hub_cli_knows_the_other_commands(commands: dict[str, list[Words]], demo_hub: LocalHub) -> None:
    others = [words for words in commands["hf"] if words[0] != "jobs"]
    assert [words[0] for words in others] == ["buckets", "sync", "webhooks"]
    for words in others:
        known = hf([*words, "--help"]).stdout  # what was typed before it is read first
        options = [word for word in words if word.startswith("--")]
        assert "Usage: hf " + " ".join(w for w in words[:2] if w in ("buckets", "create", "sync", "webhooks")) in known
        assert all(re.search(rf"{option}\b", known) for option in options), words
        assert hf([*words, "--nothing-of-this-name"]).returncode == 2
        assert hf(words).returncode != 2, "it is misused"


def test_the_program_knows_its_own(commands: dict[str, list[Words]]) -> None:
    from typer.testing import CliRunner

    from hubdna.cli import app

    (words,) = commands["hubdna"]
    assert CliRunner().invoke(app, [*words[:1], "--help", *words[1:]]).exit_code == 0
    assert words[:2] == ["crawl", "--index"]


class Job:
    """A Job's script in a folder that stands for its machine, with the demo's Hub; `pip` has nothing to do."""

    def __init__(self, folder: Path, endpoint: str, script: str) -> None:
        self.folder, self.bucket = folder, folder / "dna"
        self.script = script.replace("/dna", str(self.bucket)).replace("/tmp/index", str(folder / "index"))
        self.script = self.script.replace("your-org", "quietlab")
        bins = folder / "bin"
        bins.mkdir()
        (bins / "pip").write_text("#!/bin/sh\n")
        (bins / "pip").chmod(0o755)
        path = os.pathsep.join([str(bins), str(BIN), os.environ["PATH"]])
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "WEBHOOK_"))}
        self.env = inherited | OFFLINE | {"HF_ENDPOINT": endpoint, "PATH": path, "HOME": str(folder)}

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-ec", self.script]
        return subprocess.run(
            command, cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=300, check=False
        )


@pytest.fixture
def job(commands: dict[str, list[Words]], demo_hub: LocalHub, tmp_path: Path) -> Iterator[object]:
    """Makes the Job of a name, with a bucket that holds an index of the demo."""
    from hubdna.crawl import crawl
    from hubdna.hub import Hub
    from hubdna.store import IndexDir

    def make(name: str) -> Job:
        (words,) = [w for w in jobs(commands) if w[w.index("--name") + 1] == name]
        made = Job(tmp_path, demo_hub.endpoint, words[-1])
        made.bucket.mkdir()
        with IndexDir(made.bucket / "index", create=True) as index:
            list(crawl(Hub(demo_hub.endpoint), index, Hub(demo_hub.endpoint).models()))
        return made

    yield make


def test_the_weekly_job_writes_the_sheet_and_fails_on_findings(job) -> None:
    weekly = job("card-audit")
    done = weekly.run()
    assert done.returncode == 1, done.stderr
    rows = list(csv.DictReader((weekly.bucket / "audit.csv").read_text().splitlines()))
    assert {row["model"] for row in rows} == {"quietlab/code-poet", "quietlab/doc-writer"}
    assert {"HD001", "HD002"} <= {row["rule"] for row in rows}


def test_the_job_of_the_webhook_audits_what_was_pushed_and_nothing_else(job) -> None:
    pushed = job("card-audit-on-push")
    nothing = pushed.run()
    assert (nothing.returncode, nothing.stdout) == (0, "")
    other = pushed.run(WEBHOOK_REPO_TYPE="dataset", WEBHOOK_REPO_ID="quietlab/doc-writer")
    assert (other.returncode, other.stdout) == (0, "")
    found = pushed.run(WEBHOOK_REPO_TYPE="model", WEBHOOK_REPO_ID="quietlab/doc-writer")
    assert found.returncode == 1 and "HD001 warning" in found.stdout
    hostile = pushed.run(WEBHOOK_REPO_TYPE="model", WEBHOOK_REPO_ID="--fix $(touch owned)")
    assert hostile.returncode == 2 and not (pushed.folder / "owned").exists()
