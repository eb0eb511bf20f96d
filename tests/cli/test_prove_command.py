"""`hubdna prove`: exit codes, reports, a killed training that goes on, and what is not imported."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hubdna.cli import app, main
from hubdna.proof import open_receipt

SETTINGS = ["--steps", "400", "--every", "10", "--lr", "0.05", "--seed", "4"]


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["prove", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit | typer.Exit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was killed by the system while it wrote, and then went on."""
    folder = tmp_path_factory.mktemp("prove")
    command = ["prove", "record", "digits-mlp", str(folder / "receipt"), "--key", str(folder / "key.pem"), *SETTINGS]
    child = subprocess.Popen([sys.executable, "-m", "hubdna", *command], env=os.environ | {"OMP_NUM_THREADS": "1"})
    chain = folder / "receipt" / "chain.jsonl"
    for _ in range(12_000):
        if child.poll() is not None or (chain.exists() and chain.read_bytes().count(b"\n") >= 4):
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL, "it was to be killed before its end"
    done = len(open_receipt_mended(folder / "receipt"))
    assert 4 <= done < 41
    code, _ = run(*command[1:])
    assert code == 0
    return folder


def open_receipt_mended(folder: Path) -> list[bytes]:
    return [line for line in (folder / "chain.jsonl").read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_a_killed_training_ends_in_a_consistent_receipt(killed: Path) -> None:
    code, said = run("verify", killed / "receipt", "--budget", "20%", "--top-q", 0, "--quiet")
    assert code == 0, said
    assert said.startswith("receipt: consistent\n")
    assert "8 of 40 intervals, 20.0% of the steps" in said


def test_json_says_the_same(killed: Path) -> None:
    code, said = run(
        "verify", killed / "receipt", "--budget", "0.05", "--challenge", 7, "--top-q", 0, "--format", "json", "--quiet"
    )
    found = json.loads(said)
    assert code == 0 and found["schema"] == "hubdna.prove.verify/1" and found["verdict"] == "consistent"
    assert found["coverage"]["challenge"] == 7 and len(found["coverage"]["replayed"]) == 2
    assert found["author"] == open_receipt(killed / "receipt").claim.author


def test_a_rejected_receipt_is_exit_code_1(killed: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(killed / "receipt", tmp_path / "copy")
    with (copy / "states" / "00007.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x00")
    code, said = run("verify", copy, "--quiet")
    assert code == 1 and "receipt: inconsistent" in said and "00007" in said


def test_what_cannot_be_checked_is_exit_code_3(killed: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(killed / "receipt", tmp_path / "copy")
    (copy / "signature.json").unlink()
    code, said = run("verify", copy, "--quiet")
    assert code == 3 and "receipt: not-checkable" in said and "not finished" in said


@pytest.mark.parametrize("budget", ["0%", "101%", "much", "nan"])
def test_a_budget_without_sense_is_a_usage_error(budget: str, killed: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["hubdna", "prove", "verify", str(killed / "receipt"), "--budget", budget])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and "budget" in capsys.readouterr().err


def test_inspecting_tells_what_the_receipt_says(killed: Path) -> None:
    code, said = run("inspect", killed / "receipt")
    assert code == 0
    assert "signed       yes" in said and "400 steps of 64 samples" in said and "from an initialiser" in said


def test_neither_help_nor_inspecting_imports_torch(killed: Path) -> None:
    code = (
        "import sys\nfrom hubdna.cli import main\n"
        "for words in (['--help'], ['prove', 'verify', '--help'], ['prove', 'inspect', sys.argv[1]]):\n"
        "    sys.argv = ['hubdna', *words]\n    try: main()\n    except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'sklearn', 'scipy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code, killed / "receipt"], check=True, stdout=subprocess.DEVNULL, timeout=120)
