"""`from hubdna import audit, compare, search`: modules that hold the parts, and answer their one question when called.

A module and a function of the same name cannot both be the attribute of a package: which one it is would depend on who
was imported first. So the module itself is callable, by the way that Python has for it (a class of one's own,
https://docs.python.org/3/reference/datamodel.html#customizing-module-attribute-access).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """`compare(...)` is `compare.compare(...)`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.__dict__[self.__name__.rpartition(".")[2]](*args, **options)


def make_callable(name: str) -> None:
    """Let a module be called: what runs is its function of the same name."""
    sys.modules[name].__class__ = _CallableModule
