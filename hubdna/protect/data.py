"""Pictures of one domain, as a classifier takes them; and batches that can be drawn again.

A batch follows from seed and step alone, so a training that was interrupted goes on with the batches that it would
have had, and no state of a generator is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hubdna.errors import MaskError

Batch = tuple[torch.Tensor, torch.Tensor]
"""Pictures [n, channels, height, width] and their classes [n]."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A domain.

    Attributes:
        x: float[n, channels, height, width], as the model expects them (normalised, if it was trained so).
        y: int64[n], their classes.
    """

    x: torch.Tensor
    y: torch.Tensor

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.y.shape != self.x.shape[:1] or not len(self.y):
            raise MaskError(
                f"pictures: expected x [n, channels, height, width] and y [n], n > 0, "
                f"found {tuple(self.x.shape)} and {tuple(self.y.shape)}"
            )
        if self.y.is_floating_point() or not torch.isfinite(self.x).all():
            raise MaskError("pictures: expected finite pixels and whole numbers as classes")
        if int(self.y.min()) == int(self.y.max()):
            raise MaskError(f"pictures: all {len(self.y)} are of one class, so nothing can be told apart")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    def batch(self, n: int, seed: int, step: int) -> Batch:
        """`n` of them, drawn with replacement: the same ones for the same seed and step."""
        chosen = torch.randint(len(self.y), (n,), generator=generator(seed, step))
        return self.x[chosen], self.y[chosen]


def generator(seed: int, step: int) -> torch.Generator:
    """Randomness that follows from two numbers, on the CPU whatever the device."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
