"""Models in numpy, and changes of their weights that leave the function alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from evidence_bench import Tensors, weights
from safetensors.numpy import save_file

from hubdna.compare import compare_models
from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel, Verdict

D, H, N_LAYERS, N_TOKENS, N_RESERVED = 128, 320, 3, 700, 48
HEAD = 16
READS, WRITES = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"), ("o_proj", "down_proj")


def llama(rng: np.random.Generator, n_keys: int = D // HEAD) -> Tensors:
    """Gated feed-forward layers and attention behind norms; the last 48 tokens are reserved.

    `n_keys` heads of keys and values serve 8 heads of queries.
    """
    rows = {"q": D, "k": n_keys * HEAD, "v": n_keys * HEAD, "o": D}
    model = {"model.embed_tokens.weight": weights(rng, N_TOKENS, D), "lm_head.weight": weights(rng, N_TOKENS, D)}
    for i in range(N_LAYERS):
        layer = f"model.layers.{i}"
        model |= {f"{layer}.self_attn.{p}_proj.weight": weights(rng, n, D) for p, n in rows.items()}
        model |= {f"{layer}.mlp.{p}_proj.weight": weights(rng, H, D) for p in ("gate", "up")}
        model[f"{layer}.mlp.down_proj.weight"] = weights(rng, D, H)
        model[f"{layer}.input_layernorm.weight"] = gains(rng)
        model[f"{layer}.post_attention_layernorm.weight"] = gains(rng)
    return model | {"model.norm.weight": gains(rng)}


def gains(rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.normal(0, 0.3, D)).astype(np.float32)


def logits(model: Tensors, tokens: np.ndarray) -> np.ndarray:
    """What a llama computes; no positions."""
    x = model["model.embed_tokens.weight"][tokens].astype(np.float64)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True)) * model[name]

    for i in range(N_LAYERS):
        layer = f"model.layers.{i}"
        q, k, v, o = (model[f"{layer}.self_attn.{p}_proj.weight"] for p in "qkvo")
        gate, up, down = (model[f"{layer}.mlp.{p}_proj.weight"] for p in ("gate", "up", "down"))
        h = norm(x, f"{layer}.input_layernorm.weight")
        queries, keys, values = ((h @ w.T).reshape(len(x), -1, HEAD).transpose(1, 0, 2) for w in (q, k, v))
        keys, values = (np.repeat(w, len(queries) // len(w), axis=0) for w in (keys, values))
        scores = np.exp(queries @ keys.transpose(0, 2, 1) / np.sqrt(HEAD))
        heads = scores / scores.sum(axis=-1, keepdims=True) @ values
        x = x + heads.transpose(1, 0, 2).reshape(len(x), -1) @ o.T
        h = norm(x, f"{layer}.post_attention_layernorm.weight")
        a = h @ gate.T
        x = x + (a / (1 + np.exp(-a)) * (h @ up.T)) @ down.T
    return norm(x, "model.norm.weight") @ model["lm_head.weight"].T


def units_changed(model: Tensors, change: Any) -> Tensors:
    """`change(rng-free layer number, gate, up, down)` of every layer."""
    new = dict(model)
    for i in range(N_LAYERS):
        names = [f"model.layers.{i}.mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
        new |= dict(zip(names, change(*(model[n] for n in names)), strict=True))
    return new


def shuffled(model: Tensors, rng: np.random.Generator) -> Tensors:
    def change(gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, ...]:
        order = rng.permutation(H)
        return gate[order], up[order], down[:, order]

    return units_changed(model, change)


def heads_moved(model: Tensors, rng: np.random.Generator, first: int = 0) -> Tensors:
    """Heads of keys and values in another order, from number `first` on; those of queries in their groups likewise."""
    new = dict(model)
    for i in range(N_LAYERS):
        q, k, v, o = (f"model.layers.{i}.self_attn.{p}_proj.weight" for p in "qkvo")
        n_keys = len(model[k]) // HEAD
        order = np.concatenate([np.arange(first), first + rng.permutation(n_keys - first)])
        groups = np.arange(D // HEAD).reshape(n_keys, -1)[order]
        queries = rng.permuted(groups, axis=1).reshape(-1)
        by_key, by_query = ((o[:, None] * HEAD + np.arange(HEAD)).reshape(-1) for o in (order, queries))
        new |= {k: model[k][by_key], v: model[v][by_key], q: model[q][by_query], o: model[o][:, by_query]}
    return new


def scaled(model: Tensors, factors: Any) -> Tensors:
    """The value path is linear: what a unit's input side gains its output side loses."""

    def change(gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, ...]:
        s = factors().astype(np.float32)
        return gate, up * s[:, None], down / s

    return units_changed(model, change)


def rescaled(model: Tensors, rng: np.random.Generator) -> Tensors:
    return scaled(model, lambda: np.exp(rng.normal(0, 0.7, H)))


def flipped(model: Tensors, rng: np.random.Generator) -> Tensors:
    return scaled(model, lambda: rng.choice([-1.0, 1.0], H))


def folded(model: Tensors, rng: np.random.Generator | None = None) -> Tensors:
    """Gains of the norms go into the maps that read behind them."""
    new = dict(model)
    for i in range(N_LAYERS):
        for norm, maps in (("input_layernorm", ("q", "k", "v")), ("post_attention_layernorm", ("gate", "up"))):
            gain = new[f"model.layers.{i}.{norm}.weight"]
            for p in maps:
                name = f"model.layers.{i}.{'mlp' if len(p) > 1 else 'self_attn'}.{p}_proj.weight"
                new[name] = new[name] * gain
            new[f"model.layers.{i}.{norm}.weight"] = np.ones_like(gain)
    new["lm_head.weight"] = new["lm_head.weight"] * new["model.norm.weight"]
    return new | {"model.norm.weight": np.ones(D, np.float32)}


def turned(model: Tensors, Q: np.ndarray) -> Tensors:
    """The residual stream in other coordinates: x -> x Q."""
    new = {}
    for name, w in model.items():
        part = name.split(".")[-2]
        reads = part in READS or part in ("embed_tokens", "lm_head")
        new[name] = (w @ Q if reads else Q.T @ w if part in WRITES else w).astype(np.float32)
    return new


def rotated(model: Tensors, rng: np.random.Generator) -> Tensors:
    return turned(folded(model), np.linalg.qr(rng.standard_normal((D, D)))[0])


def permuted(model: Tensors, rng: np.random.Generator) -> Tensors:
    order = rng.permutation(D)
    new = turned(model, np.eye(D)[:, order])
    return new | {name: w[order] for name, w in model.items() if w.ndim == 1}


def all_at_once(model: Tensors, rng: np.random.Generator) -> Tensors:
    return rotated(flipped(rescaled(shuffled(model, rng), rng), rng), rng)


def write(folder: Path, model: Tensors, *, reserved: bool = False, config: dict[str, Any] | None = None) -> ModelRef:
    """A folder with weights, and a tokenizer that names the last tokens as reserved."""
    folder.mkdir(parents=True)
    save_file({name: np.ascontiguousarray(w) for name, w in model.items()}, folder / "model.safetensors")
    names = [f"<|reserved_special_token_{i}|>" for i in range(N_RESERVED)] if reserved else []
    tokens = {str(N_TOKENS - N_RESERVED + i): {"content": name} for i, name in enumerate(names)}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": tokens}))
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return ModelRef(str(folder))


def judged(folder: Path, a: Tensors, b: Tensors, *, reserved: bool = False, level: ReadLevel = "full") -> Verdict:
    refs = [write(folder / str(len(list(folder.iterdir()))), m, reserved=reserved) for m in (a, b)]
    return compare_models(refs[0], refs[1], Loader(level=level)).verdict


RESNET = ((64, 64), (64, 64), (64, 128), (128, 128))


def resnet(rng: np.random.Generator) -> Tensors:
    """Blocks of two convolutions in two stages, batch norms without bias."""
    model = {"conv1.weight": weights(rng, 64, 3, 7, 7), "fc.weight": weights(rng, 10, 128)}
    model |= norms(rng, "bn1", 64)
    for n, (n_in, n_out) in enumerate(RESNET):
        block = f"layer{n // 2 + 1}.{n % 2}"
        model[f"{block}.conv1.weight"] = weights(rng, n_out, n_in, 3, 3)
        model[f"{block}.conv2.weight"] = weights(rng, n_out, n_out, 3, 3)
        model |= norms(rng, f"{block}.bn1", n_out) | norms(rng, f"{block}.bn2", n_out)
        if n_in != n_out:
            model[f"{block}.downsample.0.weight"] = weights(rng, n_out, n_in, 1, 1)
            model |= norms(rng, f"{block}.downsample.1", n_out)
    return model


def norms(rng: np.random.Generator, name: str, n: int) -> Tensors:
    values = {"weight": rng.uniform(0.5, 1.5, n), "bias": rng.normal(0, 0.1, n), "running_mean": rng.normal(0, 0.1, n),
              "running_var": rng.uniform(0.5, 1.5, n)}  # fmt: skip
    return {f"{name}.{key}": value.astype(np.float32) for key, value in values.items()}


def resnet_shuffled(model: Tensors, rng: np.random.Generator) -> Tensors:
    new = dict(model)
    for n, (_, n_out) in enumerate(RESNET):
        block, order = f"layer{n // 2 + 1}.{n % 2}", rng.permutation(n_out)
        new |= {k: w[order] for k, w in model.items() if k.startswith((f"{block}.conv1", f"{block}.bn1"))}
        new[f"{block}.conv2.weight"] = model[f"{block}.conv2.weight"][:, order]
    return new


def resnet_permuted(model: Tensors, rng: np.random.Generator) -> Tensors:
    new = dict(model)
    orders = {0: rng.permutation(64), 1: rng.permutation(128)}
    for name, w in model.items():
        stage = 0 if name.startswith(("layer1", "conv1", "bn1")) else 1
        part, first = name.split(".")[-2:][0] if not name.startswith("layer") else name.split(".")[2], name[:8]
        into = orders[0] if first == "layer2.0" else orders[stage]
        if name == "fc.weight":
            new[name] = w[:, orders[1]]
        elif name.startswith(("conv1", "bn1")) or part in ("conv2", "bn2"):
            new[name] = w[orders[stage]]
        elif part == "downsample":
            new[name] = w[orders[1]][:, orders[0]] if w.ndim == 4 else w[orders[1]]
        elif part == "conv1":
            new[name] = w[:, into]
    return new


def resnet_signs(model: Tensors, rng: np.random.Generator) -> Tensors:
    """A batch norm takes back the sign of the filter before it."""
    new = dict(model)
    for n, (_, n_out) in enumerate(RESNET):
        block, s = f"layer{n // 2 + 1}.{n % 2}", rng.choice([-1.0, 1.0], n_out).astype(np.float32)
        new[f"{block}.conv1.weight"] = model[f"{block}.conv1.weight"] * s[:, None, None, None]
        for key in ("weight", "running_mean"):
            new[f"{block}.bn1.{key}"] = model[f"{block}.bn1.{key}"] * s
    return new


def resnet_output(model: Tensors, picture: np.ndarray) -> np.ndarray:
    """What the net computes of a picture [3, n, n]."""

    def conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        k = w.shape[-1]
        padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
        return np.einsum("cijkl,ockl->oij", windows, w, optimize=True)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        g, b, m, v = (model[f"{name}.{k}"][:, None, None] for k in ("weight", "bias", "running_mean", "running_var"))
        return (x - m) / np.sqrt(v) * g + b

    x = np.maximum(norm(conv(picture, model["conv1.weight"]), "bn1"), 0)
    for n in range(len(RESNET)):
        block = f"layer{n // 2 + 1}.{n % 2}"
        y = np.maximum(norm(conv(x, model[f"{block}.conv1.weight"]), f"{block}.bn1"), 0)
        y = norm(conv(y, model[f"{block}.conv2.weight"]), f"{block}.bn2")
        if f"{block}.downsample.0.weight" in model:
            x = norm(conv(x, model[f"{block}.downsample.0.weight"]), f"{block}.downsample.1")
        x = np.maximum(x + y, 0)
    return model["fc.weight"] @ x.mean(axis=(1, 2))
