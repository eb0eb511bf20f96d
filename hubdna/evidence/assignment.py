"""SciPy's assignment solver without the rest of `scipy.optimize`.

`import scipy.optimize` takes a third of a second, about as long as everything else that a comparison of two small
models does: it brings linear algebra, transforms and special functions along. `linear_sum_assignment` is one compiled
file that needs none of them, so that file is loaded alone. A SciPy that keeps it elsewhere is imported as usual; the
function is the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

Solver = Callable[..., tuple[Any, Any]]
FILE = "_lsap"
"""Below scipy/optimize, since SciPy 1.10."""


@lru_cache(maxsize=1)
def solver() -> Solver:
    """`scipy.optimize.linear_sum_assignment`."""
    import scipy

    spec = PathFinder.find_spec(FILE, [f"{folder}/optimize" for folder in scipy.__path__])
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        if hasattr(module, "linear_sum_assignment"):
            return module.linear_sum_assignment  # type: ignore[no-any-return]
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment  # type: ignore[no-any-return]
