"""PyTorch state dicts (`.pth`), read with the unpickler that builds tensors and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from readers.optional import need


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a flat state dict, in either of PyTorch's two containers.

    Raises:
        ValueError: the file holds something other than a flat dict of tensors.
    """
    torch = need("torch", "PyTorch")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{path.name} is not a state dict")
    return {name: tensor.contiguous().numpy() for name, tensor in state.items()}
