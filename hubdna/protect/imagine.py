"""Stand-ins for the authorised domain's pictures, made better while the mask is trained.

Each step the generator learns to please the original model, its traces of the data, and to find where the mask
disagrees with it; earlier pictures are shown again beside new ones, so that no kind of picture is forgotten.
"""

from __future__ import annotations

from collections import deque

import torch
from torch.nn import functional

from hubdna.protect.cover import logits
from hubdna.protect.data import Batch, generator
from hubdna.protect.generator import N_NOISE, Generator
from hubdna.protect.straight import Masked
from hubdna.protect.traces import Traces

SMOOTHING = 0.1
"""Of the labels: a picture that the model is utterly sure of is a caricature of its class."""
ROUGH, APART = 1.0, 0.3
"""Weights of how rough pictures are, and of how far two of one class lie apart."""
MAX_APART = 0.5
"""Disagreement, in nats, beyond which a made-up picture is not driven further."""
WARM = 150
"""Steps before the mask's first."""
RATE = 2e-3
N_KEPT, EVERY = 60, 3
"""Batches that are shown again, and of how many one is kept."""


class Imagined:
    """Made-up pictures of what a masked model was trained on.

    Args:
        masked: the model and its mask; scores are read, never changed.
        shape: (channels, height, width) of its pictures.
        n_classes: that it tells apart.
        batch: pictures a step.
        pixels: their lowest and highest value.
        seed: of everything random.
    """

    def __init__(
        self,
        masked: Masked,
        shape: tuple[int, int, int],
        n_classes: int,
        batch: int,
        pixels: tuple[float, float],
        seed: int,
    ) -> None:
        self.masked, self.n_classes, self.batch, self.seed = masked, n_classes, batch, seed
        self.low, self.high = pixels
        self.device = next(iter(masked.scores.values())).device
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.generator = Generator(n_classes, shape).to(self.device)
        self._optimizer = torch.optim.Adam(self.generator.parameters(), RATE, betas=(0.5, 0.999))
        self._kept: deque[Batch] = deque(maxlen=N_KEPT)
        for step in range(WARM):
            self._keep(step, self._improve(-1 - step, against=False))

    def __call__(self, step: int) -> Batch:
        """Pictures of one step: half of them new."""
        new = self._improve(step, against=True)
        self._keep(step, new)
        old = self._kept[int(torch.randint(len(self._kept), (1,), generator=generator(self.seed + 1, step)))]
        half = self.batch // 2
        return torch.cat([new[0][:half], old[0][half:]]), torch.cat([new[1][:half], old[1][half:]])

    def _improve(self, step: int, against: bool) -> Batch:
        draw = generator(self.seed, step)
        half = torch.randint(self.n_classes, (-(-self.batch // 2),), generator=draw)
        classes = torch.cat([half, half])[: self.batch].to(self.device)  # each twice, to be kept apart
        noise = torch.randn(self.batch, N_NOISE, generator=draw).to(self.device)
        x = (self.generator(noise, classes) + 1) / 2 * (self.high - self.low) + self.low
        with Traces(self.masked.model) as traces:
            seen = logits(self.masked.model(x))
            loss = functional.cross_entropy(seen, classes, label_smoothing=SMOOTHING) + traces.take()
        loss = loss + ROUGH * roughness(x) / (self.high - self.low) - APART * _twins_apart(x, noise)
        if against:
            gap = functional.kl_div(self.masked(x).log_softmax(1), seen.softmax(1), reduction="none").sum(1)
            loss = loss - gap.clamp(max=MAX_APART).mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # the mask's scores get gradients, too; its trainer clears them
        self._optimizer.step()
        return x.detach(), classes

    def _keep(self, step: int, batch: Batch) -> None:
        if step % EVERY == 0:
            self._kept.append(batch)


def roughness(x: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels (total variation)."""
    return (x[:, :, 1:] - x[:, :, :-1]).abs().mean() + (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean()


def _twins_apart(x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """How far pictures of one class lie apart, by how far their noise does.

    A generator that has one picture for each class gives 0 (Mao et al., https://arxiv.org/abs/1903.05628).
    """
    half = len(x) // 2
    gap = (x[:half] - x[-half:]).abs().mean((1, 2, 3))
    return (gap / (noise[:half] - noise[-half:]).abs().mean(1)).mean()
