"""What a model remembers of its training data: mean and variance of every channel, in its batch norms.

Made-up pictures are held against it (`hubdna.protect.imagine`), and so is what a masked model makes of them
(`hubdna.protect.train`). A model without batch norms remembers nothing that way.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Traces:
    """How far a batch's statistics lie from what a model's batch norms remember; used as a context.

    `take()` gives the sum over all norms of the squared difference of means, by the variance, and of deviations, by the
    deviation, since it was last taken: a scalar tensor, 0 for a model without batch norms.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._found = model, [torch.zeros(())]
        self._hooks: list[Any] = []

    def __enter__(self) -> Traces:
        norms = [module for module in self._model.modules() if isinstance(module, NORMS)]
        self._hooks = [norm.register_forward_pre_hook(self._look) for norm in norms if norm.running_mean is not None]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def take(self) -> torch.Tensor:
        """The distance since the last time."""
        found, self._found = torch.stack([f.to(self._found[-1]) for f in self._found]).sum(), [torch.zeros(())]
        return found

    def _look(self, norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        mean, variance = inputs[0].mean(axes), inputs[0].var(axes, unbiased=False)
        old_mean, old = norm.running_mean, norm.running_var + norm.eps
        spread = ((variance + norm.eps) / old).sqrt()
        self._found.append(((mean - old_mean) ** 2 / old).mean() + (spread - 1).square().mean())
