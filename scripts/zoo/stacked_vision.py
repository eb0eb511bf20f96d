"""The classifiers of the root populations as forwards over stacks, with the tensor names of torch and timm.

`recipes.py` builds and initialises the same models with timm itself; `roots.py --check` compares these forwards with
theirs. All take pictures [M, N, 1, side, side] and return scores [M, N, 10].
"""

import torch
from stacked import Stack, attention, batch_norm, conv, layer_norm, linear, side_by_side
from torch.nn import functional

HEADS = 4


def mlp(p: Stack, x: torch.Tensor, training: bool = False) -> torch.Tensor:
    """Hidden layers fc1, fc2, ... with ReLU, then the head."""
    x = x.flatten(2)
    for n in range(1, len(p) // 2):
        x = linear(p, f"fc{n}", x).relu()
    return linear(p, "head", x)


def vit(p: Stack, x: torch.Tensor, training: bool = False) -> torch.Tensor:
    """Timm's VisionTransformer: class token, pre-norm blocks, fused q/k/v."""
    m, n = x.shape[:2]
    patch = p["patch_embed.proj.weight"].shape[-1]
    x = x.unfold(3, patch, patch).unfold(4, patch, patch).reshape(m, -1, patch * patch)
    weight = p["patch_embed.proj.weight"].flatten(2)
    x = torch.baddbmm(p["patch_embed.proj.bias"][:, None], x, weight.mT).view(m, n, -1, weight.shape[1])
    x = torch.cat([p["cls_token"][:, None, 0].expand(m, n, 1, -1), x], 2) + p["pos_embed"]
    t, x = x.shape[2], x.flatten(1, 2)
    for block in range(sum(name.endswith("attn.qkv.weight") for name in p)):
        at = f"blocks.{block}."
        qkv = linear(p, at + "attn.qkv", layer_norm(p, at + "norm1", x, 1e-6)).view(m, n, t, 3, HEADS, -1)
        x = x + linear(p, at + "attn.proj", attention(*qkv.unbind(3)))
        h = functional.gelu(linear(p, at + "mlp.fc1", layer_norm(p, at + "norm2", x, 1e-6)))
        x = x + linear(p, at + "mlp.fc2", h)
    x = layer_norm(p, "norm", x.view(m, n, t, -1)[:, :, 0], 1e-6)
    return linear(p, "head", x)


def resnet(p: Stack, x: torch.Tensor, training: bool = False) -> torch.Tensor:
    """Timm's ResNet of basic blocks, one a stage."""
    m, x = len(x), side_by_side(x)
    x = batch_norm(p, "bn1", conv(p, "conv1", x, stride=2, padding=3), training).relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 1 + sum(name.endswith("0.conv1.weight") for name in p)):
        at, stride = f"layer{stage}.0.", 1 + (stage > 1)
        h = batch_norm(p, at + "bn1", conv(p, at + "conv1", x, stride, 1), training).relu()
        h = batch_norm(p, at + "bn2", conv(p, at + "conv2", h, 1, 1), training)
        if at + "downsample.0.weight" in p:
            x = batch_norm(p, at + "downsample.1", conv(p, at + "downsample.0", x, stride), training)
        x = (x + h).relu()
    return linear(p, "fc", x.mean((2, 3)).view(len(x), m, -1).transpose(0, 1))


def convnext(p: Stack, x: torch.Tensor, training: bool = False) -> torch.Tensor:
    """Timm's ConvNeXt: depthwise convolution, LayerNorm, a widening MLP scaled by gamma."""
    m, n = x.shape[:2]
    x, side = _patches(p, "stem.0", x.flatten(0, 2).unsqueeze(-1), m)
    x = layer_norm(p, "stem.1", x, 1e-6)
    for stage in range(1 + max(int(name.split(".")[1]) for name in p if name.startswith("stages."))):
        at = f"stages.{stage}."
        if at + "downsample.0.weight" in p:
            x = layer_norm(p, at + "downsample.0", x, 1e-6).view(m * n, side, side, -1)
            x, side = _patches(p, at + "downsample.1", x, m)
        for block in range(sum(name.startswith(at) and name.endswith("conv_dw.weight") for name in p)):
            x = x + _inverted(p, f"{at}blocks.{block}.", x, side)
    pooled = x.view(m, n, side * side, -1).mean(2)
    return linear(p, "head.fc", layer_norm(p, "head.norm", pooled, 1e-6))


def _inverted(p: Stack, at: str, x: torch.Tensor, side: int) -> torch.Tensor:
    """The branch of one ConvNeXt block over pixels [M, N * side * side, C]."""
    h = layer_norm(p, at + "norm", _depthwise(p, at + "conv_dw", x, side), 1e-6)
    return linear(p, at + "mlp.fc2", functional.gelu(linear(p, at + "mlp.fc1", h))) * p[at + "gamma"][:, None]


def _patches(p: Stack, name: str, x: torch.Tensor, m: int) -> tuple[torch.Tensor, int]:
    """A convolution of patches that do not overlap, over [M * N, side, side, C]: pixels [M, ..., C'] and their side."""
    weight = p[name + ".weight"]
    size, side = weight.shape[-1], x.shape[1] // weight.shape[-1]
    x = x.unfold(1, size, size).unfold(2, size, size).reshape(m, -1, weight[0, 0].numel())
    return torch.baddbmm(p[name + ".bias"][:, None], x, weight.flatten(2).mT), side


def _depthwise(p: Stack, name: str, x: torch.Tensor, side: int) -> torch.Tensor:
    """A depthwise convolution over pixels, written as one small matrix a channel: far faster on pictures this small."""
    weight = p[name + ".weight"].flatten(2)  # [M, C, k * k]
    size = p[name + ".weight"].shape[-1]
    at = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    step = at[None] - at[:, None] + size // 2  # from each output pixel to each input pixel
    inside = ((step >= 0) & (step < size)).all(-1)
    places = torch.where(inside, step[..., 0] * size + step[..., 1], 0).flatten()
    maps = weight.index_select(2, places).view(*weight.shape[:2], len(at), len(at)) * inside
    m, c = weight.shape[:2]
    out = x.view(m, -1, len(at), c).permute(0, 3, 1, 2) @ maps.mT
    return out.permute(0, 2, 3, 1).reshape(x.shape) + p[name + ".bias"][:, None]
