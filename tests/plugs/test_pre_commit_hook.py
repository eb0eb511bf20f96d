"""The hook for a model's repository, run by the real pre-commit on a real git repository of a demo model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hubdna.localhub import LocalHub

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
from plug_ways import BIN, OFFLINE, ROOT

pytestmark = pytest.mark.slow
FAULTY = "quietlab/doc-writer"
(HOOK,) = YAML(typ="safe", pure=True).load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.fixture(scope="module")
def pre_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, in an environment of its own."""
    folder = tmp_path_factory.mktemp("pre-commit") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-input", "pre-commit>=4"], check=True, timeout=300)
    return folder / "bin" / "pre-commit"


class Repository:
    """A git repository of one demo model whose hook is ours, in an environment that has hubdna already."""

    def __init__(self, folder: Path, pre_commit: Path, endpoint: str, **changes: object) -> None:
        self.folder, self.pre_commit = folder, pre_commit
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GIT_"))}
        self.env = inherited | OFFLINE | {"HF_ENDPOINT": endpoint, "HOME": str(folder.parent), "XDG_DATA_HOME": "/none"}
        self.env["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        here = {key: value for key, value in HOOK.items() if key != "additional_dependencies"}
        config = {"repos": [{"repo": "local", "hooks": [here | {"language": "system"} | changes]}]}
        with (folder / ".pre-commit-config.yaml").open("w") as file:
            YAML().dump(config, file)
        self.git("init", "--quiet")
        self.git("add", ".")

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.folder, env=self.env, check=True, timeout=60)

    def run(self, *args: str) -> tuple[int, str]:
        command = [self.pre_commit, "run", "--color", "never", *(args or ["--all-files"])]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout


@pytest.fixture
def model(demo_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_models / FAULTY, tmp_path / "model"))


def test_the_manifest_is_one(pre_commit: Path) -> None:
    command = [pre_commit, "validate-manifest", ROOT / ".pre-commit-hooks.yaml"]
    subprocess.run(command, check=True, timeout=60)
    assert HOOK["id"] == "hubdna-audit" and HOOK["additional_dependencies"] == [".[cpu]"]


def test_findings_are_shown_and_stop_a_commit_from_the_severity_that_is_asked_for(
    pre_commit: Path, model: Path, demo_hub: LocalHub, tmp_path: Path
) -> None:
    from hubdna.crawl import crawl
    from hubdna.hub import Hub
    from hubdna.store import IndexDir

    with IndexDir(tmp_path / "index", create=True) as index:
        list(crawl(Hub(demo_hub.endpoint), index, Hub(demo_hub.endpoint).models()))
    (model / "hubdna.toml").write_text('index = "../index"')
    code, said = Repository(model, pre_commit, demo_hub.endpoint).run()
    assert code == 0 and "HD001 info  README.md:" in said and "Passed" in said
    code, said = Repository(model, pre_commit, demo_hub.endpoint, args=["--fail-on", "info"]).run()
    assert code == 1 and "HD001 info  README.md:" in said and "exit code: 1" in said


def test_other_files_do_not_start_it(pre_commit: Path, model: Path, demo_hub: LocalHub) -> None:
    (model / "notes.txt").write_text("nothing")
    repository = Repository(model, pre_commit, demo_hub.endpoint)
    code, said = repository.run("--files", "notes.txt", "config.json")
    assert code == 0 and "no files to check" in said


def test_a_wrong_configuration_stops_a_commit(pre_commit: Path, model: Path, demo_hub: LocalHub) -> None:
    (model / "hubdna.toml").write_text("[rules]\nHD0001 = false")
    code, said = Repository(model, pre_commit, demo_hub.endpoint).run("--files", "README.md")
    assert code == 1 and "did you mean HD001?" in said
