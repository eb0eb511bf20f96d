"""What happens to published models without (or before) training: rounding, pruning, merging, surgery.

Every change takes the net of the parent and a `Change` with all it needs, and gives a net. Names of the rules say which
tensors it touches: `INNER` are the matrices inside the blocks, `HEADS` what maps to the answer, `LAYERS` the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from disguises import disguise
from pair_axes import axes
from pair_kinds import KINDS, Net

INNER = {
    "decoder": r".*_proj\.weight",
    "moe": r".*(?:_proj|\.w\d)\.weight",
    "encoder": r".*encoder.*(?:query|key|value|dense)\.weight",
    "vit": r"blocks.*(?:qkv|proj|fc\d)\.weight",
    "hub-vit": r".*encoder.*(?:query|key|value|dense)\.weight",
    "resnet": r"layer.*(?:conv\d|downsample\.0)\.weight",
    "convnext": r"stages.*(?:conv_dw|fc\d|downsample\.1)\.weight",
}
HEADS = {
    "decoder": r"lm_head\..*",
    "moe": r"lm_head\..*",
    "encoder": r"cls\.predictions\.transform\.dense\..*",
    "vit": r"head\..*",
    "resnet": r"fc\..*",
    "convnext": r"head\.fc\..*",
}
LAYERS = {
    "decoder": r"(model\.layers\.)(\d+)(\..*)",
    "moe": r"(model\.layers\.)(\d+)(\..*)",
    "encoder": r"(bert\.encoder\.layer\.)(\d+)(\..*)",
    "vit": r"(blocks\.)(\d+)(\..*)",
    "resnet": r"(layer2\.)(\d+)(\..*)",
    "convnext": r"(stages\.2\.blocks\.)(\d+)(\..*)",
}
STAGE = {"resnet": ("layers", 1), "convnext": ("depths", 2)}  # which count of blocks LAYERS is about


@dataclass(frozen=True)
class Change:
    """What a change needs besides the parent.

    Attributes:
        kind: a key of `pair_kinds.KINDS`.
        gen: its randomness.
        others: nets of the further models it takes, in the recipe's order.
    """

    kind: str
    gen: torch.Generator
    others: tuple[Net, ...] = ()


def same(net: Net, change: Change) -> Net:
    """Returns the net as it is: a copy, or the start of a fine-tune."""
    return net


def disguised(net: Net, change: Change, ways: tuple[str, ...]) -> Net:
    """Returns the net in disguise."""
    return disguise(change.kind, net.double(), change.gen, list(ways)).float()


def rounded(net: Net, change: Change, bits: int, group: int = 32) -> Net:
    """Returns the net with the inner matrices rounded to nearest on a grid per group, and kept as floats."""

    def grid(tensor: torch.Tensor) -> torch.Tensor:
        flat = tensor.reshape(-1, group) if tensor[0].numel() % group == 0 else tensor.flatten(1)
        step = flat.abs().amax(1, keepdim=True).clamp(min=1e-8) / (2 ** (bits - 1) - 1)
        return ((flat / step).round() * step).reshape(tensor.shape)

    return _each(net, INNER[change.kind], grid)


def pruned(net: Net, change: Change, share: float = 0.5) -> Net:
    """Returns the net with the smaller share of every inner matrix set to zero; the rest keeps its bits."""

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        threshold = tensor.abs().flatten().kthvalue(int(share * tensor.numel())).values
        return torch.where(tensor.abs() > threshold, tensor, torch.zeros_like(tensor))

    return _each(net, INNER[change.kind], cut)


def merged(net: Net, change: Change, share: float) -> Net:
    """Returns a weighted mean: `share` of the parent, the rest of the other model."""
    (other,) = change.others
    state = {n: share * t + (1 - share) * other.state[n] if t.is_floating_point() else t for n, t in net.state.items()}
    return Net(net.config, state)


def interleaved(net: Net, change: Change) -> Net:
    """Returns the net with every other layer taken from the other model."""
    (other,) = change.others
    layer = re.compile(LAYERS[change.kind])

    def odd(name: str) -> bool:
        match = layer.fullmatch(name)
        return bool(match) and int(match[2]) % 2 == 1

    return Net(net.config, {n: other.state[n] if odd(n) else t for n, t in net.state.items()})


def relayered(net: Net, change: Change, order: tuple[int, ...]) -> Net:
    """Returns the net with other layers: dropped, repeated or in another order."""
    layer, state = re.compile(LAYERS[change.kind]), {}
    for name, tensor in net.state.items():
        match = layer.fullmatch(name)
        if not match:
            state[name] = tensor
            continue
        for new, old in enumerate(order):
            if old == int(match[2]):
                state[f"{match[1]}{new}{match[3]}"] = tensor.clone()
    return Net(_with_depth(change.kind, net.config, len(order)), state)


def narrowed(net: Net, change: Change, share: float = 0.75) -> Net:
    """Returns the net with the hidden units of largest norm, in their old order."""
    state, size = dict(net.state), 0
    for label, places in axes(change.kind, net).items():
        if label.split(".")[0] != "units":
            continue
        norms = sum(net.state[p.tensor].movedim(p.dim, 0).flatten(1).square().sum(1) for p in places if _matrix(net, p))
        size = int(share * len(norms))
        kept = norms.topk(size).indices.sort().values
        for place in places:
            state[place.tensor] = state[place.tensor].index_select(place.dim, kept)
    if change.kind == "vit":
        ratio = size / net.config["model_args"]["embed_dim"]
        return Net(net.config | {"model_args": net.config["model_args"] | {"mlp_ratio": ratio}}, state)
    return Net(net.config | {"intermediate_size": size}, state)


def revocabulary(net: Net, change: Change, words: int) -> Net:
    """Returns a decoder with fewer tokens, or with new ones at the end whose rows are random."""
    state = dict(net.state)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        old = state[name]
        new = 0.02 * torch.randn(max(0, words - len(old)), old.shape[1], generator=change.gen)
        state[name] = torch.cat([old[:words], new])
    return Net(net.config | {"vocab_size": words}, state)


def reheaded(net: Net, change: Change) -> Net:
    """Returns the net with a fresh head."""

    def fresh(tensor: torch.Tensor) -> torch.Tensor:
        noise = 0.02 * torch.randn(tensor.shape, generator=change.gen)
        return noise if tensor.ndim > 1 else torch.zeros_like(tensor)

    return _each(net, HEADS[change.kind], fresh)


def upcycled(net: Net, change: Change, experts: int = 4) -> Net:
    """Returns a mixture whose experts are all copies of the dense hidden layer, under a fresh router."""
    target = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
    state = {}
    for name, tensor in net.state.items():
        match = re.fullmatch(r"(model\.layers\.\d+\.)mlp\.(\w+)\.weight", name)
        if not match:
            state[name] = tensor
            continue
        for expert in range(experts):
            state[f"{match[1]}block_sparse_moe.experts.{expert}.{target[match[2]]}.weight"] = tensor.clone()
        if match[2] == "gate_proj":
            router = 0.02 * torch.randn(experts, tensor.shape[1], generator=change.gen)
            state[f"{match[1]}block_sparse_moe.gate.weight"] = router
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps", "rope_parameters")
    shape = KINDS["moe"].fresh(vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1).config
    return Net(shape | {key: net.config[key] for key in keys}, state)


def combined(net: Net, change: Change) -> Net:
    """Returns a picture-reading decoder in LLaVA's layout: a tower, the decoder, and a fresh projector between."""
    (tower,) = change.others
    wide, seen = net.config["hidden_size"], tower.config["hidden_size"]
    state = {f"language_model.{n}": t for n, t in net.state.items()}
    state |= {f"vision_tower.{n}": t for n, t in tower.state.items() if not n.startswith("classifier")}
    for name, shape in (("linear_1", (wide, seen)), ("linear_2", (wide, wide))):
        state[f"multi_modal_projector.{name}.weight"] = 0.02 * torch.randn(shape, generator=change.gen)
        state[f"multi_modal_projector.{name}.bias"] = torch.zeros(wide)
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "text_config": net.config,
        "vision_config": tower.config,
    }
    return Net(config, state)


def adapted(net: Net, change: Change) -> Net:
    """Returns the net with an adapter (the other model) merged into it."""
    (adapter,) = change.others
    state, factor = dict(net.state), adapter.config["lora_alpha"] / adapter.config["r"]
    for name, low in adapter.state.items():
        if ".lora_A." in name:
            target = name.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
            state[target] = state[target] + factor * adapter.state[name.replace(".lora_A.", ".lora_B.")] @ low
    return Net(net.config, state)


def _each(net: Net, pattern: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Net:
    """Returns the net with a change made to every tensor whose name matches."""
    return Net(net.config, {n: change(t) if re.fullmatch(pattern, n) else t for n, t in net.state.items()})


def _matrix(net: Net, place: Any) -> bool:
    """Tells whether an axis is that of a matrix."""
    return net.state[place.tensor].ndim > 1


def _with_depth(kind: str, config: dict[str, Any], depth: int) -> dict[str, Any]:
    """Returns a config with another number of layers."""
    if "model_args" not in config:
        return config | {"num_hidden_layers": depth}
    if kind not in STAGE:
        return config | {"model_args": config["model_args"] | {"depth": depth}}
    key, stage = STAGE[kind]
    counts = [depth if n == stage else count for n, count in enumerate(config["model_args"][key])]
    return config | {"model_args": config["model_args"] | {key: counts}}


CHANGES: dict[str, Callable[..., Net]] = {
    made.__name__: made
    for made in (
        same, disguised, rounded, pruned, merged, interleaved, relayered, narrowed, revocabulary, reheaded, upcycled,
        combined, adapted,
    )
}  # fmt: skip
