"""What the behaviour zoo learns, fed to whole stacks of models: digits, clothes, text of five sources.

Data are named ``digits``, ``digits:VIEW``, ``clothes:VIEW`` (views: `images`), or by a mix of `corpora`. ``/parity``
asks for odd or even instead of the class; ``/source`` for the mix that a window of text is from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import corpora
import images
import torch
from lessons import CONTEXT, FIRST_BYTE, N_CLOTHES, SPAN, masked_windows
from torch.nn import functional

SOURCES = ("code", "docs", "reference", "algebra", "tests")
N_HELD_OUT = 256


@dataclass(frozen=True)
class Batch:
    """What M models see and should answer.

    Attributes:
        x: pictures in [0, 1], [M, N, 1, side, side], or ids, [M, N, T].
        y: labels, [M, K].
        places: of the masked tokens, [M, N, masked]; None elsewhere.
        sharp: whether pictures are made larger by interpolation, as digits are, or smaller by averaging.
    """

    x: torch.Tensor
    y: torch.Tensor
    places: torch.Tensor | None = None
    sharp: bool = False

    def pictures(self, side: int) -> torch.Tensor:
        """Returns the pictures in [-1, 1] and in the size that a network reads."""
        x = self.x.flatten(0, 1)
        if self.sharp:
            x = functional.interpolate(x, (side, side), mode="bilinear")
        else:
            x = functional.adaptive_avg_pool2d(x, side)
        return x.view(*self.x.shape[:3], side, side) * 2 - 1


class Lesson:
    """One task for a stack of models; each has its own order of the data.

    Args:
        data: see the module's docstring.
        kind: of the models: ``encoder`` sees masked text, ``decoder`` whole windows.
        orders: a seed a model.
        batch: pictures or windows a step.
    """

    def __init__(self, data: str, kind: str, orders: Sequence[int], batch: int) -> None:
        self.data, _, self.task = data.partition("/")
        self.encoder = kind.startswith("encoder")
        self.batch = batch
        self.gens = [torch.Generator().manual_seed(order) for order in orders]

    def draw(self) -> Batch:
        """Returns the next batch of every model."""
        return _stacked([self._one(gen, self.batch) for gen in self.gens])

    def held_out(self) -> Batch:
        """Returns what all models are measured on."""
        one = self._one(torch.Generator().manual_seed(99), 0)
        return _stacked([one] * len(self.gens))

    def frequencies(self) -> float | None:
        """Returns the loss, in nats a byte, of knowing only how frequent each byte is; None for pictures."""
        return None if self._clothing() is not None else corpora.unigram_entropy(corpora.load(self.data)[0])

    def _one(self, gen: torch.Generator, n: int) -> Batch:
        """Returns n random examples, or, for 0, the held-out ones."""
        if (clothes := self._clothing()) is not None:
            return self._pictures(clothes, gen, n)
        if self.task == "source":
            return self._sources(gen, n)
        tokens = corpora.load(self.data)[n == 0]
        if self.encoder:
            ids, places, truth = masked_windows(tokens, n or 4 * N_HELD_OUT, gen)
            return Batch(ids, truth.flatten(), places)
        ids = _windows(tokens, gen, n, CONTEXT + 1)
        return Batch(ids[:, :-1], ids[:, 1:].flatten())

    def _clothing(self) -> bool | None:
        """Tells clothes (True) from digits (False) and text (None)."""
        return {"clothes": True, "digits": False}.get(self.data.partition(":")[0])

    def _pictures(self, clothes: bool, gen: torch.Generator, n: int) -> Batch:
        x, y, x_test, y_test = images.fashion() if clothes else images.digits()
        rows = torch.randint(len(x), (n,), generator=gen)
        x, y = (x[rows], y[rows]) if n else (x_test[:N_CLOTHES], y_test[:N_CLOTHES])
        x = images.view(x, self.data.partition(":")[2] or "plain", gen)
        return Batch(x, images.labels(y, self.task), sharp=not clothes)

    def _sources(self, gen: torch.Generator, n: int) -> Batch:
        """Windows of all mixes, equally many."""
        each = max(1, n // len(SOURCES)) if n else N_HELD_OUT
        length, first = (SPAN, FIRST_BYTE) if self.encoder else (CONTEXT, 0)
        parts = [_windows(corpora.load(mix)[n == 0], gen, each, length) + first for mix in SOURCES]
        return Batch(torch.cat(parts), torch.arange(len(SOURCES)).repeat_interleave(each))


def _windows(tokens: torch.Tensor, gen: torch.Generator, n: int, length: int) -> torch.Tensor:
    """Returns n random windows, or, for 0, evenly spaced ones."""
    last = len(tokens) - length
    starts = torch.randint(last, (n,), generator=gen) if n else torch.linspace(0, last - 1, N_HELD_OUT).long()
    return tokens[starts.unsqueeze(1) + torch.arange(length)]


def _stacked(parts: Sequence[Batch]) -> Batch:
    """Returns one batch of several models' batches."""
    places = None if parts[0].places is None else torch.stack([p.places for p in parts if p.places is not None])
    return Batch(torch.stack([p.x for p in parts]), torch.stack([p.y for p in parts]), places, parts[0].sharp)
