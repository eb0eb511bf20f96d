"""Pictures of a domain that nobody has any more, made up from the model that was trained on it.

A trained classifier keeps traces of its data: it answers with confidence where it was trained, and its batch norms keep
mean and variance of every channel. A small generator learns to make pictures that look the same to the model (the way
of data-free distillation; Yin et al., *DeepInversion*, https://arxiv.org/abs/1912.08795), and, while a mask is trained,
looks for such pictures where masked and original model disagree (Micaelli and Storkey,
https://arxiv.org/abs/1905.09768): what the mask breaks by accident is found and put right.

The paper has a generator G(z, y), too; how it is trained could not be read, so this is ours. A model without batch
norms (a ViT) keeps fewer traces; what that costs is on the board.
"""

from __future__ import annotations

import torch
from torch import nn

N_NOISE, WIDTH = 64, 24


class Generator(nn.Module):
    """Noise and class -> picture [n, channels, height, width] in [-1, 1].

    Args:
        n_classes: of the classifier.
        shape: (channels, height, width) of its pictures.
    """

    def __init__(self, n_classes: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.small, self.size = (-(-height // 4), -(-width // 4)), (height, width)
        self.names = nn.Embedding(n_classes, N_NOISE)
        self.spread = nn.Linear(2 * N_NOISE, WIDTH * self.small[0] * self.small[1])
        self.paint = nn.Sequential(
            nn.BatchNorm2d(WIDTH), nn.Upsample(scale_factor=2),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH // 2, 3, padding=1), nn.BatchNorm2d(WIDTH // 2),
            nn.LeakyReLU(0.2), nn.Conv2d(WIDTH // 2, channels, 3, padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Pictures of classes int64[n], from noise float[n, N_NOISE]."""
        first = self.spread(torch.cat([noise, self.names(classes)], 1))
        painted = self.paint(first.view(len(noise), WIDTH, *self.small))
        cut: torch.Tensor = painted[:, :, : self.size[0], : self.size[1]]
        return cut
