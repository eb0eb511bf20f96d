"""A module's tensors as arrays, and back: the masks' side knows arrays only."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import torch
from numpy.typing import NDArray
from torch import nn

from hubdna.errors import MaskError
from hubdna.protect.mask import Weights


def arrays(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Copies of a module's tensors by name, a tensor of several names under the first, as safetensors files hold them.

    Copies, so that an original that was taken stays what it is when a masked model is `put` into the module.
    """
    found, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen and tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        found[name] = _array(tensor.detach().cpu().clone())
    return found


def put(model: nn.Module, weights: Weights) -> None:
    """Copy arrays into a module's tensors of the same names. Raises MaskError when one does not fit."""
    own = model.state_dict()
    for name, array in weights.items():
        if name not in own or tuple(own[name].shape) != array.shape:
            raise MaskError(f"{name[:80]}: the model has no tensor of shape {array.shape} by this name")
        own[name].copy_(_tensor(array))


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())
