from collections.abc import Iterator
from pathlib import Path

import pytest

from hubdna.store import IndexDir


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexDir]:
    """An empty index."""
    with IndexDir(tmp_path / "index", create=True) as opened:
        yield opened
