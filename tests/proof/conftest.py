"""One honest receipt for all tests of forgeries, and one thread: the machine's others have work of their own."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import proof_bench as bench
import pytest
import torch

from hubdna.proof import open_receipt


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def honest(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An MLP on digits, SGD with momentum: folder, key, receipt, states. Do not write into it."""
    folder, key = bench.record(tmp_path_factory.mktemp("honest"))
    receipt = open_receipt(folder)
    return SimpleNamespace(folder=folder, key=key, receipt=receipt, states=bench.states_of(receipt))


@pytest.fixture
def copy(honest: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the honest receipt, to be harmed."""
    import shutil

    return shutil.copytree(honest.folder, tmp_path / "copy")
