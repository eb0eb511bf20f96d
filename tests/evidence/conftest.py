"""One bench for each test: writes models to files and compares the files."""

from pathlib import Path

import pytest
from evidence_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
