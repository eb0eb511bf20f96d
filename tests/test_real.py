"""Real models that other people trained: a handful from one package, through the whole pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BOARD = Path(__file__).parent.parent / "scripts" / "boards" / "real.py"


@pytest.mark.packages
def test_real_finetunes_are_found_and_real_independents_are_not() -> None:
    done = subprocess.run(
        [sys.executable, str(BOARD), "--quick"], capture_output=True, text=True, timeout=300, check=False
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and said["ok"], done.stdout + done.stderr
    assert (said["related"], said["independent"], said["models"]) == (4, 24, 8)
