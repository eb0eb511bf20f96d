from pathlib import Path

import pytest
from sources_files import NAME, Write

from hubdna.records import TensorInfo
from hubdna.sources.interface import LocalReader
from hubdna.sources.safetensors import read_header


@pytest.fixture
def read(tmp_path: Path) -> Write:
    """Write a file and read its header back through the reader that the product uses."""

    def write(content: bytes) -> list[TensorInfo]:
        (tmp_path / NAME).write_bytes(content)
        return read_header(LocalReader(tmp_path), NAME)

    return write
