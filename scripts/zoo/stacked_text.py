"""The language models of the root populations as forwards over stacks, with the tensor names of transformers.

`recipes.py` builds and initialises the same models with transformers itself; `roots.py --check` compares these
forwards with theirs. All take ids [M, B, T] and return scores [M, B * T, vocabulary].
"""

import torch
from stacked import Stack, attention, embed, layer_norm, linear, rms_norm
from torch.nn import functional

HEADS = 4


def decoder(p: Stack, ids: torch.Tensor) -> torch.Tensor:
    """Llama: RMSNorm, rotary positions, SwiGLU, an output matrix of its own."""
    x = embed(p["model.embed_tokens.weight"], ids.flatten(1))
    for layer in _layers(p, "model.layers."):
        x = x + _rotary_attention(p, layer + "self_attn.", rms_norm(p, layer + "input_layernorm", x), ids.shape)
        h, mlp = rms_norm(p, layer + "post_attention_layernorm", x), layer + "mlp."
        gated = functional.silu(linear(p, mlp + "gate_proj", h)) * linear(p, mlp + "up_proj", h)
        x = x + linear(p, mlp + "down_proj", gated)
    return linear(p, "lm_head", rms_norm(p, "model.norm", x))


def moe(p: Stack, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixtral: the scores, and each model's load-balancing loss (1 per layer when the experts share the work)."""
    x, balance = embed(p["model.embed_tokens.weight"], ids.flatten(1)), torch.zeros(len(ids))
    for layer in _layers(p, "model.layers."):
        h = rms_norm(p, layer + "input_layernorm", x)
        x = x + _rotary_attention(p, layer + "self_attn.", h, ids.shape)
        out, load = _experts(p, layer + "block_sparse_moe.", rms_norm(p, layer + "post_attention_layernorm", x))
        x, balance = x + out, balance + load
    return linear(p, "lm_head", rms_norm(p, "model.norm", x)), balance


def encoder(p: Stack, ids: torch.Tensor) -> torch.Tensor:
    """BERT with its masked-language head, whose matrix is the word embedding."""
    m, b, t = ids.shape
    at, eps = "bert.embeddings.", 1e-12
    places = p[at + "position_embeddings.weight"][:, :t] + p[at + "token_type_embeddings.weight"][:, :1]
    x = embed(p[at + "word_embeddings.weight"], ids.flatten(1)) + places.repeat(1, b, 1)
    x = layer_norm(p, at + "LayerNorm", x, eps)
    for layer in _layers(p, "bert.encoder.layer."):
        self = layer + "attention.self."
        q, k, v = (linear(p, self + n, x).view(m, b, t, HEADS, -1) for n in ("query", "key", "value"))
        h = linear(p, layer + "attention.output.dense", attention(q, k, v))
        x = layer_norm(p, layer + "attention.output.LayerNorm", x + h, eps)
        h = linear(p, layer + "output.dense", functional.gelu(linear(p, layer + "intermediate.dense", x)))
        x = layer_norm(p, layer + "output.LayerNorm", x + h, eps)
    return x


def unmask(p: Stack, x: torch.Tensor) -> torch.Tensor:
    """BERT's head: scores of hidden states [M, N, D]."""
    head = "cls.predictions."
    x = layer_norm(p, head + "transform.LayerNorm", functional.gelu(linear(p, head + "transform.dense", x)), 1e-12)
    return torch.baddbmm(p[head + "bias"][:, None], x, p["bert.embeddings.word_embeddings.weight"].mT)


def _layers(p: Stack, prefix: str) -> list[str]:
    """The name prefixes of the layers, in order."""
    numbers = {int(name.removeprefix(prefix).split(".")[0]) for name in p if name.startswith(prefix)}
    return [f"{prefix}{n}." for n in sorted(numbers)]


def _rotary_attention(p: Stack, at: str, x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Causal self-attention with rotary positions (Llama's layout: the two halves of a head turn together)."""
    m, b, t = shape
    q, k, v = (linear(p, f"{at}{n}_proj", x).view(m, b, t, HEADS, -1) for n in "qkv")
    half = q.shape[-1] // 2
    angles = torch.arange(t)[:, None] * 10_000 ** (-torch.arange(half) / half)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def turn(z: torch.Tensor) -> torch.Tensor:
        a, c = z[..., :half], z[..., half:]
        return torch.cat([a * cos - c * sin, c * cos + a * sin], -1)

    return linear(p, at + "o_proj", attention(turn(q), turn(k), v, causal=True))


def _experts(p: Stack, at: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every token through its two best experts. All are computed: at this size that is faster than sorting."""
    share = linear(p, at + "gate", x).softmax(-1)
    best, chosen = share.topk(2, -1)
    weight = torch.zeros_like(share).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
    out = torch.zeros_like(x)
    for expert in range(share.shape[-1]):
        name = f"{at}experts.{expert}."
        gated = functional.silu(linear(p, name + "w1", x)) * linear(p, name + "w3", x)
        out = out + weight[..., expert, None] * linear(p, name + "w2", gated)
    used = (weight > 0).float().mean(1)
    return out, share.shape[-1] * (used * share.mean(1)).sum(-1) / 2
