"""Do two matchings of the hidden units agree? The last resort against copies that were disguised in every way.

Units that were shuffled have no labels left to test. But a unit has an input side and an output side (or a gate and
a value), and each of them can be matched between two models by its response to labelled inputs, which no rotation
changes. In a copy both matchings are the same permutation. In independent models they agree by chance only, or where
both learned one feature, so the count has no exact law: the lines in `hubdna.verdict` are calibrated.

Arrays may be of any library of the array API standard; on a GPU pass torch tensors.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

MIN_UNITS = 48
"""Units of a layer from which a share says something. Chance gives half a unit at any width, as a Poisson variable:
20 % of 48 units once in 6e9 layers, of 32 once in a million, of 16 once in 600."""
Sides = tuple[Any, Any]
"""Responses of the units of one hidden layer, [units, inputs] each: of one side and of another."""


@lru_cache(maxsize=1)
def calibration() -> str:
    """What the lines were drawn on, in words: pairs of independent trainings and the most that they reached."""
    from importlib.resources import files

    found = json.loads((files("hubdna.evidence") / "agreement.json").read_text())["architectures"]
    n, most = sum(a["pairs"] for a in found.values()), max(a["largest_layer"] for a in found.values())
    return f"{n} independent pairs of {len(found)} architectures reached {most:.1%} of a layer"


def agreement(a: Sides, b: Sides) -> float:
    """Share of A's hidden units that both sides match to the same unit of B, and B's back to them.

    Args:
        a: responses of A's units, float [n, k] twice.
        b: responses of B's units, float [n', k] twice.

    Returns:
        0 to 1; about 1 / n for independent models.
    """
    import array_api_compat

    xp = array_api_compat.array_namespace(*a, *b)
    first, back = _nearest(xp, a[0], b[0])
    second, _ = _nearest(xp, a[1], b[1])
    mutual = xp.take(back, first) == xp.arange(first.shape[0], dtype=first.dtype, device=array_api_compat.device(first))
    return float(xp.mean(xp.astype(mutual & (first == second), xp.float32)))


def _nearest(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """For each row of x the nearest of y by absolute cosine, and the reverse."""
    similar = xp.abs(_unit(xp, x) @ xp.matrix_transpose(_unit(xp, y)))
    return xp.argmax(similar, axis=1), xp.argmax(similar, axis=0)


def _unit(xp: Any, x: Any) -> Any:
    """Rows centred over inputs and over units, scaled to length one."""
    x = x - xp.mean(x, axis=1, keepdims=True)
    norm = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    x = x / xp.where(norm == 0, xp.ones_like(norm), norm)
    x = x - xp.mean(x, axis=0, keepdims=True)
    norm = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
    return x / xp.where(norm == 0, xp.ones_like(norm), norm)
