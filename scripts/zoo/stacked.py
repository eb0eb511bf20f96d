"""Many models of one shape trained at once: every tensor has a leading axis of models.

A small matrix leaves a processor idle, and every call costs the same however small it is. A stack of M models turns
each linear map into one batched product and each convolution into one grouped convolution: half the time a model.
Nothing couples the models: the loss is the sum of theirs, and AdamW works on every number alone.

Activations are [M, N, features], or [N, M * channels, height, width] for convolutions.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Stack = dict[str, torch.Tensor]
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def stack(states: Sequence[Stack]) -> Stack:
    """Returns one stack of several models' tensors."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def unstack(p: Stack, i: int) -> Stack:
    """Returns the tensors of model `i`."""
    return {name: tensor[i].detach().clone() for name, tensor in p.items()}


def linear(p: Stack, name: str, x: torch.Tensor) -> torch.Tensor:
    """Applies a linear map to [M, N, in]."""
    weight, bias = p[name + ".weight"], p.get(name + ".bias")
    return x @ weight.mT if bias is None else torch.baddbmm(bias[:, None], x, weight.mT)


def embed(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Looks up ids [M, N] in tables [M, V, D]."""
    first = torch.arange(len(table)).unsqueeze(1) * table.shape[1]
    return functional.embedding(ids + first, table.flatten(0, 1))


def rms_norm(p: Stack, name: str, x: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """RMSNorm over the features of [M, N, D]."""
    return functional.rms_norm(x, x.shape[-1:], eps=eps) * p[name + ".weight"][:, None]


def layer_norm(p: Stack, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    """LayerNorm over the features of [M, N, D]."""
    return torch.addcmul(
        p[name + ".bias"][:, None], functional.layer_norm(x, x.shape[-1:], eps=eps), p[name + ".weight"][:, None]
    )


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """Attention over [M, B, T, heads, width], returned as [M, B * T, heads * width]."""
    m, b, t, heads, width = q.shape
    q, k, v = (z.reshape(m * b, t, heads, width).transpose(1, 2) for z in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return out.transpose(1, 2).reshape(m, b * t, heads * width)


def conv(p: Stack, name: str, x: torch.Tensor, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """Applies a convolution to [N, M * channels, height, width]."""
    weight, bias = p[name + ".weight"], p.get(name + ".bias")
    groups = x.shape[1] // weight.shape[2]
    flat = None if bias is None else bias.flatten()
    return functional.conv2d(x, weight.flatten(0, 1), flat, stride, padding, groups=groups)


def batch_norm(p: Stack, name: str, x: torch.Tensor, training: bool) -> torch.Tensor:
    """BatchNorm over [N, M * channels, height, width]; keeps the running statistics in the stack."""
    mean, var, weight, bias = (p[f"{name}.{n}"].view(-1) for n in ("running_mean", "running_var", "weight", "bias"))
    p[name + ".num_batches_tracked"] += training
    return functional.batch_norm(x, mean, var, weight, bias, training, 0.1, 1e-5)


def side_by_side(x: torch.Tensor) -> torch.Tensor:
    """Turns [M, N, channels, height, width] into the convolutions' [N, M * channels, height, width]."""
    return x.transpose(0, 1).flatten(1, 2)


def per_model_loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy of each model, [M], from scores [M, N, classes] and targets [M, N]."""
    losses = functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view(targets.shape).mean(1)


def train(p: Stack, loss_at: Callable[[Stack, int], torch.Tensor], *, steps: int, lr: float, decay: float) -> None:
    """Trains a stack in place with AdamW: a short climb, then a cosine down to a tenth.

    Args:
        p: the stack.
        loss_at: the loss of each model at a step.
        steps: optimiser steps.
        lr: peak learning rate.
        decay: weight decay of matrices; vectors are not decayed.
    """
    moving = [t.requires_grad_() for name, t in p.items() if not name.endswith(BUFFERS)]
    matrices, vectors = [t for t in moving if t.ndim > 2], [t for t in moving if t.ndim <= 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.98), fused=True)
    climb = max(1, min(20, steps // 10))
    for step in range(steps):
        falling = 0.1 + 0.45 * (1 + math.cos(math.pi * max(0, step - climb) / max(1, steps - climb)))
        for group in optimiser.param_groups:
            group["lr"] = lr * min((step + 1) / climb, falling)
        optimiser.zero_grad(set_to_none=True)
        loss_at(p, step).sum().backward()
        optimiser.step()
    for t in moving:
        t.requires_grad_(False)
