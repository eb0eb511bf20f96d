"""Three ways to ask for an audit, each as its user has it: the program, the Hub CLI's `hf dna`, the GitHub Action.

The extension is laid out in a home of its own, as `hf extensions install` does it: a virtual environment with the
checkout and `scripts/extension` installed by pip, and the manifest that the Hub CLI's own class writes. The Action's
script is the text that `action.yml` holds, run by the shell that it names.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(sysconfig.get_path("scripts"))
OFFLINE = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
Finding = tuple[str, str, str, int | None, str]
"""Model, rule, level, line of the card, message."""


@dataclass(frozen=True)
class Answer:
    """What one way gave: exit code, findings in the order of the report, what it printed."""

    code: int
    findings: tuple[Finding, ...] | None
    out: str
    err: str


def findings(sarif: str) -> tuple[Finding, ...] | None:
    """The findings in a SARIF file; None where there is none."""
    if not sarif:
        return None
    (run,) = json.loads(sarif)["runs"]
    return tuple(_finding(result) for result in run["results"])


def _finding(result: dict[str, Any]) -> Finding:
    (where,) = result["locations"]
    line = where["physicalLocation"].get("region", {}).get("startLine")
    model = where["logicalLocations"][0]["fullyQualifiedName"]
    return model, result["ruleId"], result["level"], line, result["message"]["text"]


def program(refs: Sequence[str], options: Sequence[str], folder: Path, **env: str) -> Answer:
    """`hubdna audit`."""
    return _asked([str(BIN / "hubdna"), "audit", *options, "--format", "sarif", "--", *refs], folder, env)


def extension(refs: Sequence[str], options: Sequence[str], folder: Path, home: Path, **env: str) -> Answer:
    """`hf dna audit`, by an extension that `lay_out` put into a home."""
    command = [str(BIN / "hf"), "dna", "audit", *options, "--format", "sarif", "--", *refs]
    return _asked(command, folder, {**env, "HOME": str(home)})


def _asked(command: list[str], folder: Path, env: dict[str, str]) -> Answer:
    done = run(command, folder, env)
    return Answer(done.returncode, findings(done.stdout), done.stdout, done.stderr)


def run(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command in a folder, without what the caller's environment says of the Hub."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GITHUB_", "RUNNER_"))}
    return subprocess.run(
        command, cwd=folder, env=inherited | OFFLINE | env, capture_output=True, text=True, timeout=300, check=False
    )


def lay_out(home: Path) -> Path:
    """Install the extension into a home as the Hub CLI does, dependencies borrowed from here; its executable."""
    from huggingface_hub.cli.extensions import ExtensionManifest

    folder = home / ".local" / "share" / "hf" / "extensions" / "hf-dna"
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "--disable-pip-version-check", "--quiet"]
    command = [*pip, "install", "--no-input", "--force-reinstall", "--no-deps", ROOT, ROOT / "scripts" / "extension"]
    subprocess.run(command, check=True, timeout=300)
    (packages,) = venv.glob("lib/python3.*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    executable = venv / "bin" / "hf-dna"
    ExtensionManifest(
        owner="hubdna", repo="hf-dna", repo_id="hubdna/hf-dna", short_name="dna", executable_path=str(executable),
        type="python", installed_at=datetime.now(UTC), description="hf dna: where does a model come from?",
        commit_sha="0" * 40,
    ).save(folder)  # fmt: skip
    return executable


def action() -> dict[str, Any]:
    """`action.yml`, read as YAML."""
    from ruamel.yaml import YAML

    read: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "action.yml").read_text("utf-8"))
    return read


def step(name: str) -> dict[str, Any]:
    """One step of the Action by its name."""
    (found,) = (one for one in action()["runs"]["steps"] if one["name"] == name)
    return found


def action_audit(inputs: dict[str, str], folder: Path, **env: str) -> tuple[Answer, dict[str, str]]:
    """The Action's step `Audit`: its answer and its outputs. Inputs that are not given are at their defaults."""
    given = {name: str(one.get("default", "")) for name, one in action()["inputs"].items()} | inputs
    one = step("Audit")
    variables = {name: given[_input(value)] for name, value in one["env"].items()}
    script, outputs = folder / "step.sh", folder / "outputs"
    script.write_text(one["run"], "utf-8")
    outputs.write_text("")
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]  # what `shell: bash` stands for
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = run(shell, folder, {**env, **variables, "GITHUB_OUTPUT": str(outputs), "PATH": path})
    values = _outputs(outputs.read_text("utf-8"))
    sarif = values.get("sarif-file", "")
    text = (folder / sarif).read_text("utf-8") if sarif else ""
    return Answer(done.returncode, findings(text), done.stdout, done.stderr), values


def _input(value: str) -> str:
    """`read` of `${{ inputs.read }}`."""
    return value.removeprefix("${{ inputs.").removesuffix(" }}")


def _outputs(text: str) -> dict[str, str]:
    """The outputs of a step, as the runner reads its file: `name=value`, or `name<<END`, lines, `END`."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if "<<" in line:
            name, end = line.split("<<", 1)
            found[name] = "\n".join(iter(lambda: next(lines), end))
        else:
            name, _, value = line.partition("=")
            found[name] = value
    return found
