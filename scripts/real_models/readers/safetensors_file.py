"""Weights that were shipped as safetensors already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a `.safetensors` file."""
    return load_file(path)
