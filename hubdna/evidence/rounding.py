"""What storing a number in a float type costs: the step of its grid, and the energy of the rounding.

A weight that was computed and then stored lies within half a step of what was computed. That makes a residual
readable: at the floor of rounding nothing is left to explain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_MANTISSA = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7}
_SMALLEST = {"F64": -1074, "F32": -149, "F16": -24, "BF16": -133}
"""Exponent of the smallest step, that of the subnormal numbers."""


def step(values: Values, dtype: str) -> Values:
    """Distance between neighbouring numbers of a type, at each value.

    Args:
        values: float64, any shape.
        dtype: in safetensors' words; a packed type counts as float32, since its values are unpacked to that.

    Returns:
        float64 of the same shape, positive.
    """
    kind = dtype if dtype in _MANTISSA else "F32"
    exponent = np.frexp(values)[1] - 1
    width: Values = np.ldexp(1.0, np.maximum(exponent - _MANTISSA[kind], _SMALLEST[kind]))
    return width


def energy(values: Values, dtype: str) -> float:
    """Expected energy of the rounding of some values: a uniform error of half a step to either side."""
    return float((step(values, dtype) ** 2).sum() / 12)


def stored(values: Values, dtype: str) -> Values:
    """The numbers of a type that are nearest to some values, ties to even.

    Args:
        values: float64, any shape, within the type's range.
        dtype: as in `step`.

    Returns:
        float64 of the same shape.
    """
    width = step(values, dtype)
    return np.rint(values / width) * width
