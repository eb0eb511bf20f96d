"""A 7B-shaped sharded repository of sparse files: real headers and sizes, noise where a reader looks, else holes."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np

D, FFN, LAYERS, VOCAB = 4096, 11008, 32, 32000
NOISY_ROWS = {"mlp": 64, "embed_tokens": 3100}
"""Leading rows that hold noise; everything a small or standard read takes."""
ITEM = 2

Shapes = dict[str, tuple[int, ...]]


def shapes() -> Shapes:
    """Tensors of Llama 2 7B in the order the usual writer saves them."""
    out: Shapes = {"model.embed_tokens.weight": (VOCAB, D)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        out |= {f"{prefix}self_attn.{p}_proj.weight": (D, D) for p in "qkvo"}
        out |= {f"{prefix}mlp.{p}_proj.weight": (FFN, D) for p in ("gate", "up")}
        out |= {f"{prefix}mlp.down_proj.weight": (D, FFN)}
        out |= {f"{prefix}{n}_layernorm.weight": (D,) for n in ("input", "post_attention")}
    return out | {"model.norm.weight": (D,), "lm_head.weight": (VOCAB, D)}


def split(tensors: Shapes, n_shards: int = 3) -> list[Shapes]:
    """Cut into shards of about equal size, in order."""
    sizes = [int(np.prod(s)) for s in tensors.values()]
    limit, shards, filled = sum(sizes) / n_shards, [{}], 0
    for (name, shape), size in zip(tensors.items(), sizes, strict=True):
        if filled + size > limit * 1.001 and len(shards) < n_shards:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    return shards


def write_repository(folder: Path, seed: int = 0) -> int:
    """Write the repository; the bytes it claims (the disk holds a few dozen MB). Returns the sum of file sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shards = split(shapes())
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    for name, tensors in zip(names, shards, strict=True):
        _write_shard(folder / name, tensors, rng)
    weight_map = {t: name for name, tensors in zip(names, shards, strict=True) for t in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llama", "hidden_size": D, "num_hidden_layers": LAYERS})
    )
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nNoise in the shape of a 7B model.\n")
    made_up = {name: f"{seed:08x}{i:056x}" for i, name in enumerate(names)}  # hashing 13.5 GB of holes proves nothing
    about = {"created_at": "2026-01-01T00:00:00.000Z", "sha": f"{seed + 1:040x}", "lfs_sha256": made_up}
    (folder / ".hub.json").write_text(json.dumps(about))
    return sum((folder / n).stat().st_size for n in names)


def _write_shard(path: Path, tensors: Shapes, rng: np.random.Generator) -> None:
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = int(np.prod(shape)) * ITEM
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for name, entry in header.items():
            if rows := next((n for word, n in NOISY_ROWS.items() if word in name), 0):
                file.seek(8 + len(raw) + entry["data_offsets"][0])
                noise = rng.standard_normal((min(rows, entry["shape"][0]), entry["shape"][1]), np.float32)
                file.write((noise * 0.02).astype(ml_dtypes.bfloat16).tobytes())
        file.truncate(8 + len(raw) + offset)
