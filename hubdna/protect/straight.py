"""A frozen model under a mask that can be trained: the weights stand still, one score a weight decides.

A weight stays where its score is above zero. That step has no gradient, so the gradient of the mask is handed to the
score as it is (*straight-through*; Bengio et al., https://arxiv.org/abs/1308.3432, used by the paper). The model is
always in evaluation mode: running statistics of norms are part of the original, and stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from hubdna.protect.cover import covered, logits
from hubdna.protect.mask import Bools
from hubdna.protect.measure import CHUNK


class _Step(torch.autograd.Function):
    """1 above zero, else 0; backwards the identity."""

    @staticmethod
    def forward(ctx: Any, score: torch.Tensor) -> torch.Tensor:
        """The mask of a score."""
        return (score > 0).to(score.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of the score: that of the mask."""
        return gradient


class Masked:
    """A classifier under a mask that is being trained.

    Args:
        model: frozen from here on, and in evaluation mode; its weights are never changed.
        start: score of every weight before training, > 0: all stay. The larger, the longer until one can go.
    """

    def __init__(self, model: nn.Module, start: float = 1.0) -> None:
        self.model = model.eval().requires_grad_(False)
        self.names = covered(model)
        weights = dict(model.named_parameters(remove_duplicate=False))
        self._weights = {name: weights[name] for name in self.names}
        self.scores = {
            name: torch.full_like(weight, start, dtype=torch.float32).requires_grad_()
            for name, weight in self._weights.items()
        }

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits float[n, classes] of the masked model, differentiable in the scores."""
        masked = {
            name: weight * _Step.apply(self.scores[name]).to(weight.dtype) for name, weight in self._weights.items()
        }
        return logits(functional_call(self.model, masked, (batch,), tie_weights=True))

    def original(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits float[n, classes] of the model without its mask."""
        with torch.no_grad():
            return logits(self.model(batch))

    def answers(self, x: torch.Tensor) -> torch.Tensor:
        """Classes int64[n] that the model without its mask sees in pictures."""
        return torch.cat([self.original(part).argmax(1) for part in torch.split(x, CHUNK)])

    def taken(self) -> torch.Tensor:
        """Share of the covered weights that go, in [0, 1], differentiable in the scores."""
        gone = [(1 - _Step.apply(score)).sum() for score in self.scores.values()]
        return torch.stack(gone).sum() / sum(score.numel() for score in self.scores.values())

    def kept(self) -> dict[str, Bools]:
        """The mask as it stands."""
        return {name: (score > 0).cpu().numpy().astype(np.bool_) for name, score in self.scores.items()}
