"""The Hub of the board of rules: which models it serves, which of them are indexed, and how their weights were made.

The demo's trained models and what can be made of them without training: copies, quantised and masked ones, merges,
disguises, a model inside another. `INDEXED` stand in the index and keep their cards. `AUDITED` do not: their weights
stay, and the board writes one card after the other into them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file, save_file

from hubdna.demo import HERE

Net = dict[str, np.ndarray]
"""Name -> tensor; floats as float32 unless a function says otherwise."""

DEMO = HERE / "models"
LLM, DOCS, LORA = (f"bytewright/pyllama-245k{end}" for end in ("", "-docs", "-lora-merged"))
TWIN, VIT, INVERTED = "northbyte/pyllama-245k-scratch", "pixelworks/vit-digits", "pixelworks/vit-digits-inverted"
VIT_B, RESNET, ODD = "northbyte/vit-digits-b", "convfoundry/resnet-digits", "convfoundry/resnet-odd-even"


def read(repo_id: str) -> Net:
    """The tensors of a demo model, in their own types."""
    net: Net = {}
    for path in sorted((DEMO / repo_id).glob("*.safetensors")):
        net |= load_file(path)  # bfloat16 is known to numpy since ml_dtypes was imported
    return net


def write(folder: Path, net: Net, name: str = "model.safetensors") -> None:
    """Write one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: np.ascontiguousarray(t) for n, t in net.items()}, folder / name, {"format": "pt"})


def wide(net: Net) -> Net:
    """All floats as float32."""
    return {n: t if t.dtype == np.int64 else t.astype(np.float32) for n, t in net.items()}


def cast(net: Net, kind: Any) -> Net:
    """All floats in another type."""
    return {n: t if t.dtype == np.int64 else t.astype(kind) for n, t in net.items()}


def matrices(net: Net, change: Callable[[np.ndarray], np.ndarray]) -> Net:
    """Change the matrices, but not tables of tokens and heads."""
    inner = {n for n, t in net.items() if t.ndim > 1 and not re.search(r"embed|head|token|classifier", n)}
    return {n: change(t.astype(np.float32)) if n in inner else t for n, t in net.items()}


def grid(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rounding to nearest on a symmetric grid of so many bits for each row."""

    def rounded(tensor: np.ndarray) -> np.ndarray:
        flat = tensor.reshape(len(tensor), -1)
        step = np.maximum(np.abs(flat).max(1, keepdims=True), 1e-8) / (2 ** (bits - 1) - 1)
        return (np.round(flat / step) * step).reshape(tensor.shape).astype(np.float32)

    return rounded


def masked(tensor: np.ndarray) -> np.ndarray:
    """Half of the weights, the smaller ones, set to zero; the rest keeps its bits."""
    return np.where(np.abs(tensor) > np.median(np.abs(tensor)), tensor, 0).astype(ml_dtypes.bfloat16)


def trained(net: Net, seed: int, share: float = 0.02) -> Net:
    """Noise on all floats, as a stand-in for a little training; float32."""
    rng = np.random.default_rng(seed)
    noisy = {}
    for name, tensor in wide(net).items():
        scale = share * float(tensor.std()) if tensor.size > 1 else 0.0
        noisy[name] = (tensor + scale * rng.standard_normal(tensor.shape)).astype(tensor.dtype)
    return noisy


def mixed(*parts: tuple[float, Net]) -> Net:
    """A weighted sum of models; float32."""
    names = parts[0][1]
    return {n: sum(share * net[n].astype(np.float32) for share, net in parts).astype(np.float32) for n in names}


def interleaved(a: Net, b: Net) -> Net:
    """Every other layer of a decoder from b."""
    return {n: b[n] if re.search(r"layers\.[13]\.", n) else t for n, t in a.items()}


def shuffled(net: Net, seed: int = 5) -> Net:
    """A decoder, or a ViT, with its hidden units in another order."""
    rng, state = np.random.default_rng(seed), dict(net)
    places = (("gate_proj.weight", 0), ("up_proj.weight", 0), ("down_proj.weight", 1))
    places += (("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1))
    for layer in range(4):
        order = rng.permutation(256 if "blocks.0.mlp.fc1.weight" in net else 192)
        for name in [n for n in net if f".{layer}.mlp." in n]:
            axis = next(axis for end, axis in [*places, ("fc2.bias", None)] if name.endswith(end))
            state[name] = net[name] if axis is None else np.take(net[name], order, axis)
    return state


def turned(net: Net, turn: np.ndarray) -> Net:
    """A decoder with its norms folded into the matrices behind them and its residual stream multiplied by `turn`."""
    state = wide(net)
    for norm in [n for n in state if n.endswith("norm.weight")]:
        behind = r"model\.norm" if norm == "model.norm.weight" else re.escape(norm.rsplit(".", 2)[0])
        part = {"input_layernorm": r"\.self_attn\.[qkv]_proj", "post_attention_layernorm": r"\.mlp\.(gate|up)_proj"}
        target = behind + part[norm.split(".")[-2]] if norm != "model.norm.weight" else "lm_head"
        for name in [n for n in state if re.match(target, n)]:
            state[name] = state[name] * state[norm]
        state[norm] = np.ones_like(state[norm])
    for name, tensor in state.items():
        if re.search(r"embed_tokens|lm_head|[qkv]_proj|gate_proj|up_proj", name):
            state[name] = (tensor @ turn).astype(np.float32)
        elif re.search(r"[od](own)?_proj", name):
            state[name] = (turn.T @ tensor).astype(np.float32)
    return state


def rotation(size: int = 64, seed: int = 7) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def permutation(size: int = 64, seed: int = 8) -> np.ndarray:
    """A random permutation, as a matrix."""
    return np.eye(size)[np.random.default_rng(seed).permutation(size)]


def rescaled(net: Net, seed: int = 9) -> Net:
    """A decoder whose hidden channels are multiplied on one side and divided on the other."""
    rng, state = np.random.default_rng(seed), wide(net)
    for layer in range(4):
        factors = np.exp(rng.standard_normal(192)).astype(np.float32)
        state[f"model.layers.{layer}.mlp.up_proj.weight"] *= factors[:, None]
        state[f"model.layers.{layer}.mlp.down_proj.weight"] /= factors
    return state


def fresh(net: Net, seed: int) -> Net:
    """Random weights in the shapes of a model: nobody's relative."""
    rng = np.random.default_rng(seed)
    return {n: (0.05 * rng.standard_normal(t.shape)).astype(np.float32) for n, t in net.items()}


def inside(language: Net, tower: Net) -> Net:
    """A picture-reading model: a decoder, and a tower for its eyes."""
    both = {f"language_model.{n}": t for n, t in wide(language).items()}
    both |= {f"vision_tower.{n}": t for n, t in wide(tower).items() if "head" not in n and "classifier" not in n}
    return both | {"projector.weight": fresh({"w": np.zeros((64, 64))}, 3)["w"]}


# --- what is served -------------------------------------------------------------------------------------------------

CARDS = {
    LLM: ("apache-2.0", None), DOCS: ("apache-2.0", LLM), LORA: ("apache-2.0", LLM), TWIN: ("apache-2.0", None),
    VIT: ("cc-by-nc-4.0", None), INVERTED: ("cc-by-nc-4.0", VIT), VIT_B: ("apache-2.0", None),
    RESNET: ("llama3.1", None), ODD: ("llama3.1", RESNET),
    "solidlab/vit-wide": ("cc-by-nc-4.0", VIT), "northbyte/tutor-v1": ("mit", None),
}  # fmt: skip
"""What stands in the index: (licence, declared base)."""
DATES = {"solidlab/vit-wide": "2026-04-11T08:00:00Z", "northbyte/tutor-v1": "2026-03-20T08:00:00Z"}
BESIDE = {
    "wordlab/words-only": ("", {}),
    "gatedlab/closed": ("---\nlicense: mit\n---\n", {"gated": "manual"}),
    "gatedlab/asks": ("---\nlicense: mit\n---\n", {"gated": "auto"}),
    "hidden/model": ("", {"private": True}),
    "loop/alpha": ("---\nbase_model: loop/beta\n---\n", {}),
    "loop/beta": ("---\nbase_model:\n- opticlab/vit-strokes\n- streetvision/edge-ocr\n---\n", {}),
    "loop/gamma": ("---\nbase_model: streetvision/edge-ocr\n---\n", {}),
}
"""Served, not indexed: (card, settings). None holds weights but the gated ones."""


def made(name: str) -> Net:
    """The weights of an audited model, by its short name."""
    return MAKERS[name]()


MAKERS: dict[str, Callable[[], Net]] = {
    "quant8": lambda: matrices(read(LLM), grid(8)),
    "quant4": lambda: matrices(read(LLM), grid(4)),
    "quant8-docs": lambda: matrices(read(DOCS), grid(8)),
    "quant4-inverted": lambda: matrices(read(INVERTED), grid(4)),
    "masked-docs": lambda: matrices(read(DOCS), masked),
    "masked-vit": lambda: matrices(read(VIT), masked),
    "near-docs": lambda: trained(read(DOCS), 21),
    "near-inverted": lambda: trained(read(INVERTED), 22),
    "cast": lambda: cast(trained(read(INVERTED), 23), ml_dtypes.bfloat16),
    "shuffled": lambda: shuffled(read(LLM)),
    "shuffled-vit": lambda: shuffled(read(VIT)),
    "rotated": lambda: turned(read(LLM), rotation()),
    "permuted": lambda: turned(read(LLM), permutation()),
    "rescaled": lambda: rescaled(read(LLM)),
    "mean": lambda: mixed((0.5, read(DOCS)), (0.5, read(LORA))),
    "tasks": lambda: mixed((-0.2, read(LLM)), (0.6, read(DOCS)), (0.6, read(LORA))),
    "layers": lambda: interleaved(read(DOCS), read(LORA)),
    "mean-vit": lambda: mixed((0.6, read(INVERTED)), (0.4, trained(read(INVERTED), 23))),
    "eyes": lambda: inside(fresh(read(LLM), 31), read(VIT)),
    "eyes-resnet": lambda: inside(fresh(read(LLM), 32), read(RESNET)),
    "eyes-b": lambda: inside(fresh(read(LLM), 33), read(VIT_B)),
}
AUDITED: dict[str, tuple[str, str]] = {
    "child": ("quietlab/doc-writer", "quietlab/doc-writer"),
    "orphan": ("quietlab/code-poet", "quietlab/code-poet"),
    "strokes": ("opticlab/vit-strokes", "opticlab/vit-strokes"),
    "ocr": ("streetvision/tiny-ocr", "streetvision/tiny-ocr"),
    "solo": ("streetvision/edge-ocr", "streetvision/edge-ocr"),
    "pruned": ("opticlab/vit-digits-pruned", "opticlab/vit-digits-pruned"),
    "copy": ("mirrorhub/fast-code-lm", LLM),
    "copy-vit": ("mirrorhub/digit-reader", VIT),
    "copy-resnet": ("mirrorhub/Llama-eye", RESNET),
    "copy-docs": ("mirrorhub/manual-lm", DOCS),
    "own-llm": ("bytewright/code-speaker", LLM),
    "own-vit": ("pixelworks/vit-digits-v2", VIT),
    "own-resnet": ("convfoundry/digits-2026", RESNET),
    "own-tutor": ("northbyte/tutor-v2", "northbyte/tutor-v1"),
    "quant8": ("shrinkers/pyllama-int8", "quant8"),
    "quant4": ("shrinkers/pyllama-int4", "quant4"),
    "quant8-docs": ("shrinkers/docs-int8", "quant8-docs"),
    "quant4-inverted": ("shrinkers/inverted-int4", "quant4-inverted"),
    "masked-docs": ("shrinkers/docs-sparse", "masked-docs"),
    "masked-vit": ("shrinkers/digits-sparse", "masked-vit"),
    "near-docs": ("writers/manual-poet", "near-docs"),
    "near-inverted": ("writers/film-digits", "near-inverted"),
    "cast": ("shrinkers/vit-wide-bf16", "cast"),
    "shuffled": ("newlab/fresh-lm", "shuffled"),
    "shuffled-vit": ("newlab/fresh-vit", "shuffled-vit"),
    "rotated": ("newlab/turned-lm", "rotated"),
    "permuted": ("newlab/other-lm", "permuted"),
    "rescaled": ("newlab/scaled-lm", "rescaled"),
    "mean": ("mixers/soup", "mean"),
    "tasks": ("mixers/arithmetic", "tasks"),
    "layers": ("mixers/layer-cake", "layers"),
    "mean-vit": ("mixers/eye-soup", "mean-vit"),
    "eyes": ("seers/tiny-vlm", "eyes"),
    "eyes-resnet": ("seers/res-vlm", "eyes-resnet"),
    "eyes-b": ("seers/b-vlm", "eyes-b"),
}
"""Short name -> (repository, whose or which weights)."""
BARE: dict[str, tuple[str, dict[str, bytes]]] = {
    "adapter": ("loras/pyllama-lora", {"adapter_config.json": b'{"peft_type": "LORA", "r": 8}'}),
    "words": ("wordlab/nothing-yet", {}),
    "damaged": ("wordlab/damaged", {"model.safetensors": b"\x10\0\0\0\0\0\0\0{not json at all"}),
    "cut": ("wordlab/cut-short", {"model.safetensors": b"\xff\xff\0\0\0\0\0\0{}"}),
    "pickle": ("wordlab/old-pickle", {"pytorch_model.bin": b"not a zip file"}),
    "keras": ("wordlab/keras", {"tf_model.h5": b"\x89HDF\r\n\x1a\n"}),
    "code": ("wordlab/code-only", {"train.py": b"print('hello')\n", "config.json": b"{}"}),
}  # fmt: skip
"""Audited, without weights that can be tested: (repository, files)."""
SMALL = {"constant": "wordlab/constants", "few": "wordlab/few-units", "scalars": "wordlab/scalars"}
"""Audited; their weights are sound, and no evidence."""
CREATED = "2026-06-20T12:00:00Z"
"""Of all audited models: after everything in the index."""


def repo_of(weights: str) -> str:
    """The repository of a short name."""
    if weights in AUDITED:
        return AUDITED[weights][0]
    return SMALL[weights] if weights in SMALL else BARE[weights][0]


def serve(root: Path, audited: Iterable[str] | None = None) -> None:
    """Write all repositories under `root`.

    Args:
        root: an empty folder.
        audited: short names of the audited models; None for all.
    """
    for repo_id, (licence, base) in CARDS.items():
        net = _indexed(repo_id)
        write(root / repo_id, net)
        declared = f"base_model: {base}\n" if base else ""
        _card(root / repo_id, f"---\nlicense: {licence}\n{declared}---\n# {repo_id}\n", _date(repo_id))
    for repo_id, (card, settings) in BESIDE.items():
        if settings.get("gated"):
            write(root / repo_id, trained(read(VIT), 40))
        (root / repo_id).mkdir(parents=True, exist_ok=True)
        _card(root / repo_id, card, "2026-01-10T00:00:00Z", **settings)
    for short in (*AUDITED, *BARE, *SMALL) if audited is None else audited:
        _audited(root, short)


def _indexed(repo_id: str) -> Net:
    if repo_id == "solidlab/vit-wide":
        return trained(read(INVERTED), 23)
    return trained(read(VIT_B), 24) if repo_id == "northbyte/tutor-v1" else read(repo_id)


def _audited(root: Path, short: str) -> None:
    folder = root / repo_of(short)
    if short in AUDITED:
        source = AUDITED[short][1]
        write(folder, made(source) if source in MAKERS else _indexed(source))
    elif short in SMALL:
        write(folder, _no_evidence(short))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in BARE[short][1].items() if short in BARE else ():
        (folder / name).write_bytes(content)
    if short == "adapter":
        low = fresh({"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": np.zeros((8, 64))}, 50)
        write(folder, low, "adapter_model.safetensors")
    _card(folder, "", CREATED)


def _no_evidence(short: str) -> Net:
    if short == "constant":
        return {f"layer.{n}.weight": np.ones((64, 64), np.float32) for n in range(4)}
    if short == "few":
        return fresh({f"layer.{n}.weight": np.zeros((3, 5)) for n in range(4)}, 51)
    return fresh({f"scale.{n}": np.zeros(1) for n in range(9)}, 52)


def _card(folder: Path, card: str, created: str, **settings: Any) -> None:
    (folder / "README.md").write_bytes(card.encode())
    (folder / ".hub.json").write_text(json.dumps({"created_at": created, **settings}))


def _date(repo_id: str) -> str:
    if repo_id in DATES:
        return DATES[repo_id]
    date: str = json.loads((DEMO / repo_id / ".hub.json").read_text())["created_at"]
    return date
