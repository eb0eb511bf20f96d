"""Keras models saved as HDF5: every weight is a dataset, named by its path in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from readers.optional import need


def read(path: Path) -> dict[str, np.ndarray]:
    """All numeric datasets below `model_weights` (the optimizer's state lies elsewhere)."""
    h5py = need("h5py", "Keras HDF5")
    tensors: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            tensors[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file["model_weights"].visititems(visit)
    return tensors
