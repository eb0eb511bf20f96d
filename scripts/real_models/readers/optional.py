"""Import a library that only one layout needs."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingLibraryError(Exception):
    """A layout's own library is not installed."""


def need(module: str, layout: str) -> ModuleType:
    """Import a module, or say which one to install for which layout.

    Raises:
        MissingLibraryError: it is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingLibraryError(f"a {layout} file needs `{module}`: pip install {module}") from error
