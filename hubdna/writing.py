"""Files that are there whole or not at all: a temporary one beside them, fsync, rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that is to be at `path` when all of it is on the disk.

    Readers see the old bytes or the new ones; after an error the old ones stay. Two processes do not meet.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data)
