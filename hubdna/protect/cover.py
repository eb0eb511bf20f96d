"""What of a model a mask may take: weights of linear and convolutional layers. And what a classifier answers.

Biases, norms, embeddings and buffers stay: they are few, and a release whose norms are the original's is still
recognised and still runs in every framework.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hubdna.errors import MaskError

MASKED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def covered(model: nn.Module) -> tuple[str, ...]:
    """Names of the weights that a mask covers, as in `state_dict`; a weight of several names counts once, by its first.

    transformers' `Conv1D` is a linear layer, too. Raises MaskError when there is none.
    """
    names, first = [], {id(weight): name for name, weight in model.named_parameters()}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(module, MASKED) and type(module).__name__ != "Conv1D":
            continue
        if isinstance(weight, nn.Parameter) and weight.is_floating_point() and id(weight) in first:
            names.append(first.pop(id(weight)))
    if not names:
        raise MaskError(f"{type(model).__name__}: no linear or convolutional layer that a mask could cover")
    return tuple(names)


def logits(answer: Any) -> torch.Tensor:
    """float[n, classes], from what a classifier of timm or transformers gives. Raises MaskError for other models."""
    found = getattr(answer, "logits", answer)
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or found.shape[1] < 2:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise MaskError(f"the model is no classifier: expected logits [n, at least 2 classes], found {shape}")
    return found
