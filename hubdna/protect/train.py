"""Learning a mask: the authorised domain is spared, the other one spoilt.

    loss = mean over spared pictures of  KL(original(x) || masked(x))
         - weight * mean over others of  min(-log masked(x)[class], bound)
         + trace * distance of spared pictures' statistics from those in the batch norms
         + pull * share of the weights that go

The weight is set by the training itself: it grows while too few pictures are lost and shrinks while enough are, so
that no pair of domains needs a weight of its own, and the authorised one pays no more than it has to.

Scores move by momentum, in units of the gradient's size over all weights. With Adam, which gives every weight steps of
one length, all of them would reach zero together, and the model with them: masks need the few weights that matter most
to go first.

Peng et al. (CVPR 2024) state the loss of their SA-MAP as a divergence that is kept small on the source and driven up,
to a bound, on the target. Ours: the first term compares with the original's answers instead of labels, so that sources
without labels, or made up, are treated alike; the bound is taken for each picture, so that those already lost give
no gradient, and pictures that still work are not forgotten for others that fail well.

Where the two kinds of pictures come from, data, a generator, is all that differs between the paper's three settings
(`hubdna.protect.settings`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from hubdna.errors import MaskError
from hubdna.protect.checkpoint import Place, Scores, Stand, load, save
from hubdna.protect.data import Batch
from hubdna.protect.straight import Masked
from hubdna.protect.traces import Traces

Draw = Callable[[int], tuple[Batch, Batch]]
"""Step -> pictures to spare and pictures to spoil."""
Progress = Callable[[int, float, float], None]
GOAL, WEIGHTS = 0.8, (0.02, 5.0)
"""Share of the bound that pictures of the spoilt domain shall reach on the mean; and limits of their weight."""
MEMORY, TINY = 0.99, 1e-30
"""Of the running size of gradients, and its smallest value."""
EVERY = 50
"""Steps between two checkpoints."""


def quiet(step: int, kept: float, spoilt: float) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a mask is learnt.

    Attributes:
        steps: training steps.
        batch: pictures of either kind, a step.
        rate: learning rate at the start, of gradients in units of their size; it falls to zero along a cosine.
        weight: of the spoilt domain against the spared one at the start (the paper's lambda).
        bound: a picture counts as lost at this -log p (the paper's alpha).
        start: score of a weight at the start; those that reach 0 go.
        trace: of the batch norms' memory: the masked model shall see in spared pictures what the original saw in its
            training, channel by channel, whatever the pictures lack.
        pull: on the share of weights that go: one that does little on either side stays.
        seed: of everything random.
        pixels: lowest and highest value of the model's input; for pictures that are made up.
    """

    steps: int = 400
    batch: int = 64
    rate: float = 0.002
    weight: float = 0.2
    bound: float = 3.0
    start: float = 1.0
    trace: float = 0.3
    pull: float = 1.0
    seed: int = 0
    pixels: tuple[float, float] = (-1.0, 1.0)


def train(
    masked: Masked,
    draw: Draw,
    recipe: Recipe,
    *,
    checkpoint: Place | None = None,
    progress: Progress = quiet,
) -> None:
    """Train a mask's scores, in place; from where `checkpoint` stands, when there is one.

    Raises:
        MaskError: a loss or a gradient is not a number: the model or the data hold some that are not, or overflow.
    """
    scores = masked.scores
    optimizer = torch.optim.SGD(scores.values(), recipe.rate, momentum=0.9)
    stand = (load(checkpoint, scores, optimizer) if checkpoint else None) or Stand(0, recipe.weight, 0.0)
    while stand.step < recipe.steps:
        spared, lost = draw(stand.step)
        kept, trace = spare(masked, spared[0])
        spoilt = spoil(masked, lost, recipe.bound)
        if not bool(torch.isfinite(kept + trace + spoilt)):
            raise MaskError("a loss is no number: model or pictures hold NaN or infinity; nothing is written")
        optimizer.zero_grad()
        loss = kept - stand.weight * spoilt + recipe.trace * trace + recipe.pull * masked.taken()
        loss.backward()  # type: ignore[no-untyped-call]
        size = _size(scores, stand)
        if not math.isfinite(size):  # every score would be NaN, and every weight go
            raise MaskError("a gradient is no number: half-precision overflows, say; nothing is written")
        falling = (1 + math.cos(math.pi * stand.step / recipe.steps)) / 2
        optimizer.param_groups[0]["lr"] = recipe.rate * falling / math.sqrt(max(size, TINY))
        optimizer.step()
        stand = Stand(stand.step + 1, _weighed(stand.weight, float(spoilt.detach()) / recipe.bound), size)
        progress(stand.step, float(kept.detach()), float(spoilt.detach()))
        if checkpoint and stand.step % EVERY == 0:
            save(checkpoint, scores, optimizer, stand)


def _size(scores: Scores, stand: Stand) -> float:
    """Running mean of the squared gradient over all scores."""
    gradients = [score.grad for score in scores.values() if score.grad is not None]
    now = sum(float(g.square().sum()) for g in gradients) / sum(g.numel() for g in gradients)
    share = max(1 - MEMORY, 1 / (stand.step + 1))
    return (1 - share) * stand.size + share * now


def _weighed(weight: float, lost: float) -> float:
    """The next step's weight: by a hundredth more or less at most, as the share that is lost misses the goal."""
    return min(max(weight * math.exp(0.01 * (GOAL - lost) / GOAL), WEIGHTS[0]), WEIGHTS[1])


def spare(masked: Masked, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(divergence from the original's answers, distance from its batch norms' memory), both scalars >= 0."""
    wanted = masked.original(x).log_softmax(1)
    with Traces(masked.model) as traces:
        answers = masked(x).log_softmax(1)
        return functional.kl_div(answers, wanted, reduction="batchmean", log_target=True), traces.take()


def spoil(masked: Masked, batch: Batch, bound: float) -> torch.Tensor:
    """Mean of the bounded -log p of the pictures' classes, in [0, bound]."""
    x, classes = batch
    return functional.nll_loss(masked(x).log_softmax(1), classes, reduction="none").clamp(max=bound).mean()
