"""Which configuration a command goes by."""

from __future__ import annotations

from pathlib import Path

from hubdna.config import Config, find_config, read_config
from hubdna.errors import UsageError


def configured(path: Path | None, none: bool) -> Config:
    """The configuration asked for, else that of the working directory, else an empty one. Raises UsageError."""
    if path is not None and none:
        raise UsageError("--config and --no-config exclude each other: expected one of them")
    found = None if none else path or find_config(Path())
    return Config() if found is None else read_config(found)
