"""Training loops: short, seeded, and the same for a root and for its fine-tunes.

One learning-rate shape serves all: a short climb, then a cosine down to a tenth. What differs between a root
and a fine-tune is where the weights start and how long and how hard they are pushed.
"""

import math
from collections.abc import Callable

import images
import torch
from families import CONTEXT, SIDE, logits
from torch import nn
from torch.nn import functional

Masks = dict[str, torch.Tensor]


def train_text(model: nn.Module, tokens: torch.Tensor, *, steps: int, lr: float, seed: int, batch: int = 32) -> None:
    """Trains a decoder on random windows of the text.

    Args:
        model: a causal language model; only the parameters that ask for gradients move.
        tokens: the training bytes.
        steps: optimiser steps.
        lr: peak learning rate.
        seed: of the windows' order.
        batch: windows per step.
    """
    gen = torch.Generator().manual_seed(seed)

    def loss_of() -> torch.Tensor:
        start = torch.randint(0, len(tokens) - CONTEXT, (batch, 1), generator=gen)
        window = tokens[start + torch.arange(CONTEXT)]
        return model(input_ids=window, labels=window).loss

    train(model, loss_of, steps=steps, lr=lr)


def train(
    model: nn.Module,
    loss_of: Callable[[], torch.Tensor],
    *,
    steps: int,
    lr: float,
    masks: Masks | None = None,
    decay: float = 0.05,
) -> None:
    """Trains any model on any loss.

    Args:
        model: only the parameters that ask for gradients move.
        loss_of: draws a batch and gives the loss on it.
        steps: optimiser steps.
        lr: peak learning rate.
        masks: for a pruned model, the weights that stay zero.
        decay: weight decay.
    """
    optimiser, schedule = _optimiser(model, lr, steps, decay)
    model.train()
    for step in range(steps):
        loss = loss_of()
        _step(model, loss, optimiser, schedule)
        if masks:
            apply_masks(model, masks)
        _progress(step, steps, loss)


@torch.no_grad()
def text_loss(model: nn.Module, tokens: torch.Tensor, windows: int = 512) -> float:
    """Returns the mean loss in nats per byte on evenly spaced held-out windows."""
    model.eval()
    start = torch.linspace(0, len(tokens) - CONTEXT, windows).long().unsqueeze(1)
    table = tokens[start + torch.arange(CONTEXT)]
    losses = [model(input_ids=part, labels=part).loss for part in table.split(64)]
    return float(torch.stack(losses).mean())


def train_images(
    model: nn.Module,
    family: str,
    *,
    view: str,
    task: str,
    epochs: int,
    lr: float,
    seed: int,
    masks: Masks | None = None,
) -> None:
    """Trains a classifier on the digits.

    Args:
        model: the classifier.
        family: ``vit`` or ``cnn``, which sets the size of the pictures.
        view: the domain, see ``images``.
        task: ``digit`` or ``parity``.
        epochs: passes over the training pictures.
        lr: peak learning rate.
        seed: of order and augmentation.
        masks: for a pruned model, the weights that stay zero.
    """
    x, y, _, _ = images.digits()
    y = images.labels(y, task)
    gen = torch.Generator().manual_seed(seed)
    steps = epochs * math.ceil(len(x) / 64)
    optimiser, schedule = _optimiser(model, lr, steps)
    model.train()
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=gen).split(64):
            seen = images.prepare(x[rows], view, SIDE[family], gen, augment=True)
            loss = functional.cross_entropy(logits(model, seen), y[rows])
            _step(model, loss, optimiser, schedule)
            if masks:
                apply_masks(model, masks)
            _progress(step, steps, loss)
            step += 1


@torch.no_grad()
def accuracy(model: nn.Module, family: str, view: str, task: str) -> float:
    """Returns the share of held-out digits that the classifier gets right."""
    model.eval()
    _, _, x, y = images.digits()
    seen = images.prepare(x, view, SIDE[family], torch.Generator().manual_seed(99))
    return float((logits(model, seen).argmax(1) == images.labels(y, task)).float().mean())


def magnitude_masks(model: nn.Module, share: float) -> Masks:
    """Returns masks that keep the larger weights of every matrix inside the blocks.

    Args:
        model: the model to prune.
        share: of the weights of each matrix to drop.
    """
    masks = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("blocks.") and tensor.ndim >= 2:
            threshold = tensor.abs().flatten().kthvalue(int(share * tensor.numel())).values
            masks[name] = tensor.abs() > threshold
    return masks


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Sets the dropped weights to zero."""
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameters[name].mul_(mask)


def _optimiser(
    model: nn.Module, lr: float, steps: int, decay: float = 0.05
) -> tuple[torch.optim.Optimizer, Callable[[], None]]:
    """Returns AdamW and the call that moves its learning rate on by one step."""
    moving = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=lr, betas=(0.9, 0.98), weight_decay=decay)
    climb = max(1, min(40, steps // 10))

    def shape(step: int) -> float:
        if step < climb:
            return (step + 1) / climb
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - climb) / max(1, steps - climb)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, shape).step


def _step(model: nn.Module, loss: torch.Tensor, optimiser: torch.optim.Optimizer, schedule: Callable[[], None]) -> None:
    """Takes one optimiser step with clipped gradients."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule()


def _progress(step: int, steps: int, loss: torch.Tensor) -> None:
    """Prints the loss about five times in a training."""
    if (step + 1) % max(1, steps // 5) == 0:
        print(f"    step {step + 1:5d}/{steps}  loss {loss.item():.3f}", flush=True)
