"""What the root populations learn, fed to whole stacks: next bytes, masked bytes, digits, clothes.

A lesson is made for the data orders of one stack, one seed a model. Equal seeds give equal orders.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import corpora
import images
import torch
from stacked import Stack, per_model_loss
from stacked_text import unmask
from torch.nn import functional

Forward = Callable[..., Any]
CONTEXT = 32  # bytes a decoder sees at once
SPAN = 16  # bytes the encoder sees: with twice as many it needs far longer to leave the frequencies behind
RESERVED = 64  # tokens that never occur, as many vocabularies have them
VOCABULARY = 256 + RESERVED
BERT_VOCABULARY = [
    "[PAD]", *(f"[unused{n}]" for n in range(RESERVED)), "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    *(f"<0x{byte:02X}>" for byte in range(256)),
]  # fmt: skip
FIRST_BYTE = BERT_VOCABULARY.index("<0x00>")
MASK = BERT_VOCABULARY.index("[MASK]")
N_MASKED = 4  # of them are hidden: more than BERT's 15 %, for the same reason
N_HELD_OUT = 256  # windows
N_CLOTHES = 1_000  # held-out pictures that are looked at, of 10 000
SIDE = 12  # pixels of the pictures, for the networks that want more than the 8 of the scans
BALANCE = 0.02  # weight of Mixtral's load-balancing loss, as in its published config


class Lesson(Protocol):
    """One task for a stack of models."""

    unit: str

    def __init__(self, forward: Forward, orders: Sequence[int], batch: int) -> None: ...

    def loss(self, p: Stack, step: int) -> torch.Tensor:
        """Returns the training loss of each model, [M]."""
        ...

    def score(self, p: Stack) -> torch.Tensor:
        """Returns the held-out loss or accuracy of each model, [M]."""
        ...


class Text:
    """Predict the next byte of the standard library's sources."""

    unit = "nats per byte"

    def __init__(self, forward: Forward, orders: Sequence[int], batch: int) -> None:
        self.forward, self.batch = forward, batch
        self.gens = [torch.Generator().manual_seed(order) for order in orders]

    def loss(self, p: Stack, step: int) -> torch.Tensor:
        """Random windows, each model its own; for a mixture of experts plus its balance."""
        tokens, _ = text()
        starts = torch.stack([torch.randint(len(tokens) - CONTEXT, (self.batch, 1), generator=g) for g in self.gens])
        return self._loss(p, tokens[starts + torch.arange(CONTEXT + 1)])

    @torch.no_grad()
    def score(self, p: Stack) -> torch.Tensor:
        """Evenly spaced held-out windows, the same for all."""
        return self._loss(p, held_out().expand(len(self.gens), -1, -1), balance=0.0)

    def _loss(self, p: Stack, ids: torch.Tensor, balance: float = BALANCE) -> torch.Tensor:
        scores = self.forward(p, ids[..., :-1])
        scores, load = scores if isinstance(scores, tuple) else (scores, torch.zeros(len(ids)))
        return per_model_loss(scores, ids[..., 1:].flatten(1)) + balance * load


class Masked:
    """Guess hidden bytes from both sides: four of every 16, by BERT's rule of 80, 10 and 10 percent."""

    unit = "nats per masked byte"

    def __init__(self, forward: Forward, orders: Sequence[int], batch: int) -> None:
        self.forward, self.batch = forward, batch
        self.gens = [torch.Generator().manual_seed(order) for order in orders]

    def loss(self, p: Stack, step: int) -> torch.Tensor:
        """Random windows with random masks, each model its own."""
        tokens, _ = text()
        drawn = [masked_windows(tokens, self.batch, g) for g in self.gens]
        return self._loss(p, *(torch.stack(part) for part in zip(*drawn, strict=True)))

    @torch.no_grad()
    def score(self, p: Stack) -> torch.Tensor:
        """Held-out windows and masks, the same for all."""
        drawn = masked_windows(text()[1], 4 * N_HELD_OUT, torch.Generator().manual_seed(0))
        return self._loss(p, *(part.expand(len(self.gens), *part.shape) for part in drawn))

    def _loss(self, p: Stack, ids: torch.Tensor, places: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        x = self.forward(p, ids)
        rows = (torch.arange(ids.shape[1]).unsqueeze(1) * SPAN + places).flatten(1)
        return per_model_loss(unmask(p, x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[-1]))), truth.flatten(1))


class Digits:
    """Name the digit on a scan of scikit-learn's digits."""

    unit = "accuracy"

    def __init__(self, forward: Forward, orders: Sequence[int], batch: int) -> None:
        self.forward, self.batch = forward, batch
        self.gens = [torch.Generator().manual_seed(order) for order in orders]
        self.side = 8 if forward.__name__ in ("mlp", "convnext") else SIDE
        self.rows = torch.empty(len(orders), 0, dtype=torch.long)

    def pictures(self) -> images.Split:
        """What is learned and what is held out."""
        return digits(self.side)

    def loss(self, p: Stack, step: int) -> torch.Tensor:
        """The next pictures of every model's own order; what does not fill a batch is left out of an epoch."""
        x, y, _, _ = self.pictures()
        step %= len(x) // self.batch
        if step == 0:
            self.rows = torch.stack([torch.randperm(len(x), generator=g) for g in self.gens])
        rows = self.rows[:, step * self.batch : (step + 1) * self.batch]
        return per_model_loss(self.forward(p, x[rows], True), y[rows])

    @torch.no_grad()
    def score(self, p: Stack) -> torch.Tensor:
        """Share of the held-out pictures."""
        _, _, x, y = self.pictures()
        return (self.forward(p, x.expand(len(self.gens), *x.shape)).argmax(-1) == y).float().mean(1)


class Clothes(Digits):
    """Name the kind of clothing on a picture of Fashion-MNIST, made smaller."""

    def __init__(self, forward: Forward, orders: Sequence[int], batch: int) -> None:
        super().__init__(forward, orders, batch)
        self.side = SIDE

    def pictures(self) -> images.Split:
        """All 60,000 to learn from, the first 1,000 of those held out."""
        return clothes(self.side)


@functools.cache
def text() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the bytes to train on and those held out."""
    return corpora.load("code")


def held_out() -> torch.Tensor:
    """Returns evenly spaced held-out windows with their next byte."""
    tokens = text()[1]
    starts = torch.linspace(0, len(tokens) - CONTEXT - 1, N_HELD_OUT).long().unsqueeze(1)
    return tokens[starts + torch.arange(CONTEXT + 1)]


@functools.cache
def digits(side: int) -> images.Split:
    """Returns the digits scaled to [-1, 1] and to a size."""
    x, y, x_test, y_test = images.digits()
    x, x_test = (functional.interpolate(z, (side, side), mode="bilinear") * 2 - 1 for z in (x, x_test))
    return x, y, x_test, y_test


@functools.cache
def clothes(side: int) -> images.Split:
    """Returns Fashion-MNIST scaled to [-1, 1] and averaged down to a size."""
    x, y, x_test, y_test = images.fashion()
    x, x_test = (functional.adaptive_avg_pool2d(z, side) * 2 - 1 for z in (x, x_test[:N_CLOTHES]))
    return x, y, x_test, y_test[:N_CLOTHES]


def masked_windows(tokens: torch.Tensor, n: int, gen: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Returns n windows with masks, the masked places and the bytes that were there."""
    starts = torch.randint(len(tokens) - SPAN, (n, 1), generator=gen)
    ids = tokens[starts + torch.arange(SPAN)] + FIRST_BYTE
    places = torch.rand(n, SPAN, generator=gen).topk(N_MASKED).indices
    truth, fate = ids.gather(1, places), torch.rand(n, N_MASKED, generator=gen)
    other = torch.randint(FIRST_BYTE, FIRST_BYTE + 128, truth.shape, generator=gen)
    shown = torch.where(fate < 0.8, MASK, torch.where(fate < 0.9, other, truth))
    return ids.scatter(1, places, shown), places, truth
