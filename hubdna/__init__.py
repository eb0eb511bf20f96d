"""hubdna: where does a model come from?

Reads a few MB of a model's weights, computes its *weight DNA*, finds its nearest relatives in a FAISS index, and
decides by a test with a finite-sample p-value whether two models share an origin.

    from hubdna import audit, compare, search

    compare("org/a", "org/b").verdict.origin
    search("org/a")[0].ref
    audit("org/a")[0].findings

Nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # each is a module, too, which runs this function when it is called
    from hubdna.audit import audit
    from hubdna.compare import compare
    from hubdna.search import search

__version__ = "0.1.0"
__all__ = ["audit", "compare", "search"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"hubdna.{name}")
    raise AttributeError(f"module 'hubdna' has no attribute {name!r}")
