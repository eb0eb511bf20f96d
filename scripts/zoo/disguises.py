"""Disguises: other weights, the same function.

Each takes a net in double precision and gives one that computes the same. What may be done to an architecture stands
in `pair_axes`; nothing here knows one, apart from the batch norms. Whether the function really is the same is checked
by `make_pairs` on the module that a reader would load.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from pair_axes import FLIPS, NORMS, SCALES, Axis, axes
from pair_kinds import Net, State

EPS = 1e-5  # of timm's batch norms
BATCH_NORMS = [
    (r"(.*)\.bn(\d)", r"\1.conv\2"),
    (r"bn1", "conv1"),
    (r"(.*downsample)\.1", r"\1.0"),
]


def disguise(kind: str, net: Net, gen: torch.Generator, ways: list[str]) -> Net:
    """Returns the net with several disguises on, one over the other."""
    for way in ways:
        net = WAYS[way](kind, net, gen)
    return net


def permute(kind: str, net: Net, gen: torch.Generator, what: str) -> Net:
    """Returns the net with one sort of axis shuffled: ``units``, ``heads`` (whole heads) or ``res``."""
    state = dict(net.state)
    for label, places in axes(kind, net).items():
        if label.split(".")[0] != what:
            continue
        size = places[0].size
        block = size // _heads(net.config) if what == "heads" else 1
        order = torch.randperm(size // block, generator=gen)
        rows = (order[:, None] * block + torch.arange(block)).flatten()
        for place in places:
            index = torch.cat([rows + part * size for part in range(place.parts)])
            state[place.tensor] = state[place.tensor].index_select(place.dim, index)
    return Net(net.config, state)


def permute_experts(kind: str, net: Net, gen: torch.Generator) -> Net:
    """Returns a mixture whose experts are shuffled in every layer, with the rows of the router."""
    state = dict(net.state)
    for gate in [name for name in state if name.endswith("block_sparse_moe.gate.weight")]:
        prefix, order = gate.removesuffix("gate.weight"), torch.randperm(len(state[gate]), generator=gen)
        state[gate] = net.state[gate][order]
        for new, old in enumerate(order.tolist()):
            for matrix in ("w1", "w2", "w3"):
                state[f"{prefix}experts.{new}.{matrix}.weight"] = net.state[f"{prefix}experts.{old}.{matrix}.weight"]
    return Net(net.config, state)


def rescale(kind: str, net: Net, gen: torch.Generator) -> Net:
    """Returns the net with channels multiplied on one side and divided on the other."""
    net = _scale(kind, net, SCALES[kind], lambda size: torch.exp(torch.randn(size, generator=gen)))
    return _scale_batch_norms(net, gen) if kind == "resnet" else net


def flip_signs(kind: str, net: Net, gen: torch.Generator) -> Net:
    """Returns the net with the signs of random channels turned on both sides."""
    return _scale(kind, net, FLIPS[kind], lambda size: torch.randint(0, 2, (size,), generator=gen) * 2.0 - 1)


def fold(kind: str, net: Net, gen: torch.Generator | None = None) -> Net:
    """Returns the net with the gains and shifts of its norms moved into the matrices behind (or before) them."""
    if kind == "resnet":
        return _fold_batch_norms(net)
    state = dict(net.state)
    for norm in [name.removesuffix(".weight") for name in net.state if name.endswith(".weight")]:
        matches = [(re.fullmatch(pattern, norm), target) for pattern, target in NORMS[kind]]
        targets = [match.expand(target) for match, target in matches if match]
        if targets:
            _fold_one(state, norm, re.compile(rf"(?:{'|'.join(targets)})\.weight"))
    return Net(net.config, state)


def rotate(kind: str, net: Net, gen: torch.Generator) -> Net:
    """Returns the net with norms folded in and its residual stream turned by a random orthogonal matrix.

    A layer norm takes the mean away, so there the mean's direction stays where it is.
    """
    net = fold(kind, net)
    places = axes(kind, net)["res"]
    turn = _orthogonal(places[0].size, gen, keep_mean=kind == "vit")
    state = dict(net.state)
    for place in places:
        if not re.search(r"norm\d?\.(weight|bias)$", place.tensor):
            state[place.tensor] = (state[place.tensor].movedim(place.dim, -1) @ turn).movedim(-1, place.dim)
    return Net(net.config, state)


def _heads(config: dict[str, Any]) -> int:
    """Returns how many heads a transformer has."""
    return config.get("num_attention_heads") or config["model_args"]["num_heads"]


def _orthogonal(size: int, gen: torch.Generator, keep_mean: bool) -> torch.Tensor:
    """Returns a random orthogonal matrix; one that leaves the all-ones direction alone if asked."""
    free = size - keep_mean
    turn = torch.linalg.qr(torch.randn(free, free, generator=gen, dtype=torch.float64))[0]
    if not keep_mean:
        return turn
    first = torch.cat([torch.ones(size, 1, dtype=torch.float64), torch.eye(size, dtype=torch.float64)[:, 1:]], 1)
    basis = torch.linalg.qr(first)[0]  # its first column is the direction of the mean
    return basis @ torch.block_diag(torch.ones(1, 1, dtype=torch.float64), turn) @ basis.T


def _scale(kind: str, net: Net, rules: list[tuple[str, str, str]], draw: Callable[[int], torch.Tensor]) -> Net:
    """Returns the net with the rules' tensors multiplied and divided by drawn factors, label by label."""
    state = dict(net.state)
    for what, multiplied, divided in rules:
        for label, places in axes(kind, net).items():
            if label.split(".")[0] != what:
                continue
            factors = draw(places[0].size).double()
            for place in places:
                if re.fullmatch(multiplied, place.tensor) and _own_axis(place):
                    state[place.tensor] = state[place.tensor] * _spread(factors, place, state)
                elif re.fullmatch(divided, place.tensor):
                    state[place.tensor] = state[place.tensor] / _spread(factors, place, state)
    return Net(net.config, state)


def _own_axis(place: Axis) -> bool:
    """Tells whether a dimension is what the tensor makes (its rows), not what it reads."""
    return place.dim == 0


def _spread(factors: torch.Tensor, place: Axis, state: State) -> torch.Tensor:
    """Returns factors in the shape that multiplies along a place; of three parts (qkv) the last is meant."""
    ones = torch.ones(place.size * (place.parts - 1), dtype=factors.dtype)
    shape = [-1 if dim == place.dim else 1 for dim in range(state[place.tensor].ndim)]
    return torch.cat([ones, factors]).reshape(shape)


def _fold_one(state: State, norm: str, targets: re.Pattern[str]) -> None:
    """Moves one norm's gain and shift into the matrices whose names match."""
    gain, shift = state[f"{norm}.weight"], state.get(f"{norm}.bias")
    for name in [name for name in state if targets.fullmatch(name)]:
        matrix = state[name]
        if shift is not None:
            bias = name.removesuffix("weight") + "bias"
            summed = matrix.flatten(2).sum(2) if matrix.ndim > 2 else matrix
            state[bias] = state[bias] + summed @ shift
        state[name] = matrix * gain.reshape([-1 if dim == 1 else 1 for dim in range(matrix.ndim)])
    state[f"{norm}.weight"] = torch.ones_like(gain)
    if shift is not None:
        state[f"{norm}.bias"] = torch.zeros_like(shift)


def _batch_norms(state: State) -> list[tuple[str, str]]:
    """Returns (norm, the convolution before it) for every batch norm."""
    found = []
    for name in state:
        norm = name.removesuffix(".running_mean")
        for pattern, target in BATCH_NORMS:
            match = re.fullmatch(pattern, norm) if norm != name else None
            if match:
                found.append((norm, match.expand(target)))
                break
    return found


def _scale_batch_norms(net: Net, gen: torch.Generator) -> Net:
    """Returns the net with the rows of every convolution scaled, and the statistics of its norm with them."""
    state = dict(net.state)
    for norm, conv in _batch_norms(state):
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        factors = torch.exp(0.5 * torch.randn(len(mean), generator=gen)).double()
        factors = factors.clamp(min=torch.sqrt(2 * EPS / (variance + EPS)))  # the variance stays positive
        state[f"{conv}.weight"] = state[f"{conv}.weight"] * factors[:, None, None, None]
        state[f"{norm}.running_mean"] = mean * factors
        state[f"{norm}.running_var"] = (variance + EPS) * factors**2 - EPS
    return Net(net.config, state)


def _fold_batch_norms(net: Net) -> Net:
    """Returns the net with its batch norms in the convolutions, as inference engines do; the norms only shift."""
    state = dict(net.state)
    for norm, conv in _batch_norms(state):
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        gain = state[f"{norm}.weight"] / torch.sqrt(variance + EPS)
        state[f"{conv}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        state[f"{norm}.bias"] = state[f"{norm}.bias"] - mean * gain
        state[f"{norm}.weight"] = torch.full_like(gain, (1 + EPS) ** 0.5)
        state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = torch.zeros_like(mean), torch.ones_like(variance)
    return Net(net.config, state)


WAYS: dict[str, Callable[[str, Net, torch.Generator], Net]] = {
    "units": lambda kind, net, gen: permute(kind, net, gen, "units"),
    "heads": lambda kind, net, gen: permute(kind, net, gen, "heads"),
    "residual": lambda kind, net, gen: permute(kind, net, gen, "res"),
    "experts": permute_experts,
    "rotation": rotate,
    "scales": rescale,
    "signs": flip_signs,
    "norms": fold,
}
