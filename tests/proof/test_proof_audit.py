"""An audit of a model with a receipt beside it: who signed what, and that nobody checked it, in every format."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from hubdna.cli import app
from hubdna.localhub import LocalHub
from hubdna.records import ModelRef
from hubdna.sources.choice import choose

REPO = "alice/digits"
NOT_CHECKED = "it was neither replayed nor compared with this model's weights here"


@pytest.fixture
def root(tmp_path: Path, honest: SimpleNamespace) -> Path:
    folder = tmp_path / "hub" / REPO
    shutil.copytree(honest.folder, folder / "receipt")
    save_file(honest.states[-1].weights, folder / "model.safetensors")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Digits\n")
    return tmp_path / "hub"


@pytest.fixture
def hub(root: Path) -> Iterator[LocalHub]:
    with LocalHub(root) as running:
        yield running


def audited(ref: str, format: str, *more: str) -> str:
    done = CliRunner().invoke(app, ["audit", ref, "--format", format, "--no-config", "--quiet", *more])
    assert done.exit_code in (0, 3), done.exception
    return done.stdout


def test_files_of_a_receipt_are_no_models(honest: SimpleNamespace) -> None:
    states = [f"receipt/states/0000{i}.safetensors" for i in range(3)]
    choice = choose(["model.safetensors", "receipt/samples.bin", "receipt/claim.json", *states])
    assert choice.files == ("model.safetensors",)
    assert choose([*states, "receipt/samples.bin"]).kind == "none"


def test_every_format_tells_it(hub: LocalHub, honest: SimpleNamespace) -> None:
    author, root = honest.receipt.claim.author, honest.receipt.root
    for format in ("text", "json", "markdown", "csv", "sarif", "cyclonedx", "html"):
        said = " ".join(audited(REPO, format, "--endpoint", hub.endpoint).replace("`", "").split())
        said = said.replace("&#x27;", "'")
        assert author in said, format
        assert NOT_CHECKED in said, format
        assert "consistent" not in said.replace("inconsistent", ""), format
    (told,) = json.loads(audited(REPO, "json", "--endpoint", hub.endpoint))["audits"]
    assert (told["receipt"]["problem"], told["receipt"]["root"], told["receipt"]["steps"]) == (None, root, 40)


def test_it_takes_four_requests_and_no_state(hub: LocalHub) -> None:
    hub.reset_traffic()
    audited(REPO, "json", "--endpoint", hub.endpoint)
    asked = sorted(r.path.partition("/receipt/")[2] for r in hub.traffic.requests if "/receipt/" in r.path)
    assert asked == ["calibration.json", "chain.jsonl", "claim.json", "signature.json"]


def test_a_folder_on_this_machine_is_looked_at_too(root: Path) -> None:
    said = audited(str(root / REPO), "text")
    assert NOT_CHECKED in " ".join(said.split())


@pytest.mark.parametrize("name", ["claim.json", "chain.jsonl", "signature.json", "calibration.json"])
def test_a_damaged_receipt_is_told_and_costs_the_model_nothing_else(hub: LocalHub, root: Path, name: str) -> None:
    (root / REPO / "receipt" / name).write_text("{}")
    (told,) = json.loads(audited(REPO, "json", "--endpoint", hub.endpoint))["audits"]
    assert told["receipt"]["says"].startswith("a training receipt that cannot be used: ")
    assert told["receipt"]["author"] == ""
    assert not told["skipped"]
    (root / REPO / "receipt" / name).unlink()
    (told,) = json.loads(audited(REPO, "json", "--endpoint", hub.endpoint))["audits"]
    assert (told["receipt"] is None) == (name == "claim.json")
    assert name == "claim.json" or "not looked at" in told["receipt"]["problem"]


def test_the_library_looks_when_it_is_told_to(root: Path) -> None:
    from hubdna import audit
    from hubdna.proof import glance

    ref = ModelRef.of(str(root / REPO))
    assert audit(ref)[0].receipt is None
    (seen,) = audit(ref, glance=glance)
    assert seen.receipt is not None and seen.receipt.problem is None
