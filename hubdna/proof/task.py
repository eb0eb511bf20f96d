"""What a verifier must bring along: the model's class, the data, the loss. A receipt only names them.

Nothing of a receipt is code, so replaying one needs a `Task`: one of `hubdna.proof.examples`, or an object of the
verifier's own with these methods. `sample` must give the same tensors for the same index every time (augmentation
belongs into `loss`, which runs under a seeded generator of torch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Batch = Mapping[str, "torch.Tensor"]


class Task(Protocol):
    """Model, data and loss of one kind of training."""

    name: str
    """As the receipt names it; a check compares the two."""

    def __len__(self) -> int:
        """Number of samples."""

    def sample(self, index: int) -> Batch:
        """One sample, of equal shapes for all: it is hashed, and stacked into batches."""

    def build_model(self, config: Mapping[str, Any]) -> torch.nn.Module:
        """A fresh model, initialised from torch's generator. `config` may be hostile: bound its numbers."""

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The scalar to minimise, of a batch (the samples' tensors with one more axis in front)."""


def collate(task: Task, indices: Sequence[int], device: str) -> dict[str, torch.Tensor]:
    """A batch: the samples' tensors, stacked."""
    import torch

    samples = [task.sample(int(index)) for index in indices]
    return {name: torch.stack([sample[name] for sample in samples]).to(device) for name in samples[0]}
