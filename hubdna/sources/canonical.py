"""One form for one model, whichever way its maps were packed: experts apart, fused projections split.

The same weights are stored as one tensor or as several: `gate_up_proj` for gate and up, `qkv` for three maps, one stack
[experts, a, b] for all experts of a layer. Here every such tensor becomes the several, named as where they were never
fused (`mlp.gate_proj.weight`, `self_attn.q_proj.weight`, `experts.7.down_proj.weight`) and read by ranges (`views.py`).

A name only proposes a split; shapes and config.json have to agree, else the tensor stays as it is:

    experts       a stack of matrices, no more of them than one has rows or columns
    gate and up   twice as long as the axis that the map back (`down_proj`) reads. The answer of any layer counts for
                  all that look alike, so that it does not matter which shard that map lies in
    q, k, v       as long as config.json says, or three times the other axis

What the order is was read in transformers 5.24. Gate comes before up; row by row in turns (gate 0, up 0, gate 1, ...)
in gpt_oss only. q, k and v come one after the other, or so for every head (gpt_neox, bloom, persimmon, gpt_bigcode
without multi-query) or every group of heads that share a key (falcon). `query_key_value` of other models, internlm2's
`wqkv` and what `_UNSURE` lists are left alone.

Maps stored as [in, out] (Conv1D) are left so: comparison does not mind. Tied embeddings need nothing: readers leave
out a second name of the same values, and safetensors has none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hubdna.sources.interface import Tensor
from hubdna.sources.safetensors import FLOATS
from hubdna.sources.views import Cut, columns, units

MAX_TENSORS = 200_000
"""After all splits; the largest mixtures of experts have about 100,000."""
MAX_NAME = 1_000
"""Characters of a name that is looked at."""

_STACKS = (
    (re.compile(r"((?:.*[./])?experts)[./](\w*[a-z]\w*(?:\.weight|\.bias)?)"), "."),
    (re.compile(r"(blk\.\d+\.ffn)_(\w+_exps\.(?:weight|bias))"), "."),
    (re.compile(r"((?:.*[./])?block_sparse_moe)[./]((?:in|out)put_linear\.weight)"), ".experts."),
)
"""Names of stacks (transformers; GGUF; granitemoe): what stands before the number of the expert and after it."""
_GLU = {
    "gate_up_proj": ("down_proj", "gate_proj", "up_proj"),
    "gate_up": ("down", "gate", "up"),
    "ffn_up": ("ffn_down", "ffn_gate", "ffn_up"),
    "w12": ("w3", "w1", "w2"),
    "Wi": ("Wo", "gate_proj", "up_proj"),
    "weights_in": ("weights_out", "gate_proj", "up_proj"),
    "input_linear": ("output_linear", "gate_proj", "up_proj"),
    "dense_h_to_4h": ("dense_4h_to_h", "gate_proj", "up_proj"),
}
"""Fused map -> the map back, the half that is activated, the half it is multiplied with. `fc1` is missing: in timm and
moonshine the halves may stand the other way round, and nothing in the file tells."""
_QKV = {
    **dict.fromkeys(("qkv_proj", "Wqkv", "c_attn", "qkv", "W_pack", "query_key_value", "in_proj"), "{}_proj"),
    "attn_qkv": "attn_{}",
}
_GLU_NAME = re.compile(rf"((?:.*[./])?)({'|'.join(_GLU)})((?:_exps|_shexp)?(?:[./].*)?)")
_QKV_NAME = re.compile(rf"((?:.*[./])?)({'|'.join(_QKV)})((?:_weight|[./].*)?)")
_UNSURE = re.compile(
    r"(.*[./])?feed_forward_(in|out)[./]gate_up_proj.*"  # the audio part of phi4_multimodal: up before gate
    r"|(.*[./])?h[./]\d+[./]attn[./]qkv_proj.*"  # codegen: q, v, k in four groups
    r"|(.*[./])?stages[./].*[./]qkv[./].*"  # timm's MaxViT and CoAtNet: a group a head; others not
)
_PER_HEAD = ("gpt_neox", "gpt_neox_japanese", "bloom", "persimmon")


@dataclass(frozen=True, slots=True)
class Hint:
    """What config.json says of attention; 0 and "" for what it does not say.

    Attributes:
        model: its model_type.
        hidden: length of the residual stream.
        sizes: rows of q, k and v.
        n_groups: in how many groups q, k and v alternate.
    """

    model: str
    hidden: int
    sizes: tuple[int, int, int]
    n_groups: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Hint:
        """Read the config of any model; nothing about it is trusted."""
        nested = [config.get(key) for key in ("text_config", "llm_config", "attn_config")]
        said = [*(c for c in nested if isinstance(c, dict)), config]

        def value(*keys: str) -> Any:
            return next((c[key] for key in keys for c in said if c.get(key) is not None), None)

        def number(*keys: str) -> int:
            n = value(*keys)
            return n if type(n) is int and 0 < n < 2**31 else 0

        model = value("model_type")
        model = model if isinstance(model, str) else ""
        hidden = number("hidden_size", "n_embd", "n_embed", "d_model")
        heads = number("num_attention_heads", "n_head", "n_heads")
        kv_heads = number("num_key_value_heads", "num_kv_heads", "kv_n_heads") or heads
        if model == "gpt_bigcode" or (model == "falcon" and not value("new_decoder_architecture")):
            kv_heads = heads if value("multi_query") is False else 1
        size = number("head_dim") or (hidden // heads if heads else 0)
        n_groups = kv_heads if model in (*_PER_HEAD, "falcon", "gpt_bigcode") else 1
        return cls(model, hidden, (heads * size, kv_heads * size, kv_heads * size), n_groups)


def canonical(tensors: Sequence[Tensor], config: Mapping[str, Any] | None = None) -> list[Tensor]:
    """Split what was fused.

    Args:
        tensors: of all files of the model that were opened.
        config: config.json, a hint.

    Returns:
        The tensors, parts in the place of the whole. What does not fit exactly or would take a name that there is
        already stays as it is, and so does everything when more than `MAX_TENSORS` would come of it.
    """
    stacks = [t for t in tensors if _stack_name(t)]
    if len(tensors) + sum(t.n_units for t in stacks) <= MAX_TENSORS:
        tensors = _replaced(tensors, {t.info.name: list(_experts(t)) for t in stacks})
    hint, by_name = Hint.of(config or {}), {t.info.name: t for t in tensors if _is_weight(t)}
    parts = {**_gates(by_name, hint), **_projections(by_name, hint)}
    fits = len(tensors) + sum(map(len, parts.values())) <= MAX_TENSORS
    return _replaced(tensors, parts) if fits else list(tensors)


def _replaced(tensors: Sequence[Tensor], parts: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
    """Put parts in the place of their whole, as long as all names stay different."""
    counts = Counter(t.info.name for t in tensors)
    replaced: list[Tensor] = []
    for tensor in tensors:
        own = parts.get(tensor.info.name, ())
        names = {part.info.name for part in own} - {tensor.info.name}
        fits = own and counts[tensor.info.name] == 1 and counts.keys().isdisjoint(names)
        counts.update(names if fits else ())
        replaced += own if fits else [tensor]
    return replaced


def _is_weight(tensor: Tensor) -> bool:
    readable = tensor.quantised or tensor.info.dtype in FLOATS
    return readable and len(tensor.info.name) <= MAX_NAME and min(tensor.info.shape, default=0) > 0


def _stack_name(tensor: Tensor) -> tuple[str, str] | None:
    """What the names of a stack's experts have before and after their number; None if this is no stack."""
    shape = tensor.info.shape
    if tensor.merged is None or not 2 <= len(shape) <= 3 or not _is_weight(tensor) or shape[0] > min(shape[1:]):
        return None
    for pattern, between in _STACKS:
        if found := pattern.fullmatch(tensor.info.name):
            after, _, kind = re.sub(r"[._](weight|bias)$", r"|\1", found[2]).partition("|")
            is_bias = kind == "bias"
            return (found[1] + between, f".{after}.{kind or 'weight'}") if is_bias == (len(shape) == 2) else None
    return None


def _experts(stack: Tensor) -> Iterator[Tensor]:
    """One tensor for each expert, readable by its own rows."""
    name, shape = _stack_name(stack), stack.info.shape
    assert name is not None
    assert stack.merged is not None
    base = stack.merged()
    base = replace(base, info=replace(base.info, dtype=stack.info.dtype))
    for i in range(shape[0]):
        yield units(base, f"{name[0]}{i}{name[1]}", Cut(1, shape[0] * shape[1], i * shape[1], shape[1]))


def _gates(tensors: Mapping[str, Tensor], hint: Hint) -> dict[str, list[Tensor]]:
    """Parts of fused gates and ups, by the name of the whole."""
    found = {name: m for name, t in tensors.items() if len(t.info.shape) == 2 and (m := _GLU_NAME.fullmatch(name))}
    axes: defaultdict[tuple[Any, ...], set[int]] = defaultdict(set)
    for name, (path, word, rest) in ((name, m.groups()) for name, m in found.items()):
        back, shape = tensors.get(path + _GLU[word][0] + rest), tensors[name].info.shape
        if back and len(back.info.shape) == 2:
            a, b = back.info.shape
            axes[word, rest, shape] |= {axis for axis, of in ((0, (2 * b, a)), (1, (b, 2 * a))) if shape == of}
    parts: dict[str, list[Tensor]] = {}
    for name, (path, word, rest) in ((name, m.groups()) for name, m in found.items()):
        shape = tensors[name].info.shape
        in_turns = "experts." in path and hint.model == "gpt_oss"
        unclear = not hint.model and "experts." in path and _bias_of(name) in tensors  # gpt_oss or llama4-like
        if len(axes[word, rest, shape]) == 1 and not unclear and not _UNSURE.fullmatch(name):
            (axis,) = axes[word, rest, shape]
            half = shape[axis] // 2
            cuts = {
                path + part + rest: Cut(half, 2, i, 1) if in_turns else Cut(1, 2 * half, i * half, half)
                for i, part in enumerate(_GLU[word][1:])
            }
            parts |= _split(tensors, name, axis, cuts)
    return parts


def _projections(tensors: Mapping[str, Tensor], hint: Hint) -> dict[str, list[Tensor]]:
    """Parts of fused q, k and v, by the name of the whole."""
    parts: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        found = _QKV_NAME.fullmatch(name) if len(tensor.info.shape) == 2 else None
        if not found or _UNSURE.fullmatch(name):
            continue
        path, word, rest = found.groups()
        if (word == "in_proj") != (rest == "_weight"):
            continue
        n_groups = hint.n_groups if word in ("query_key_value", "c_attn") else 1
        if word == "query_key_value" and hint.model not in (*_PER_HEAD, "falcon"):
            continue
        layouts = [(axis, sizes) for axis in (0, 1) if (sizes := _sizes(tensor.info.shape, axis, hint))]
        if len(layouts) == 1 and n_groups and all(size % n_groups == 0 for size in layouts[0][1]):
            (axis, sizes), cuts, at = layouts[0], {}, 0
            rest = rest.replace("_weight", ".weight") if word == "in_proj" else rest
            for letter, size in zip("qkv", (size // n_groups for size in sizes), strict=True):
                cuts[path + _QKV[word].format(letter) + rest] = Cut(n_groups, sum(sizes) // n_groups, at, size)
                at += size
            parts |= _split(tensors, name, axis, cuts)
    return parts


def _sizes(shape: tuple[int, ...], axis: int, hint: Hint) -> tuple[int, int, int] | None:
    """How many of an axis belong to q, k and v; None if it is not theirs."""
    n_out, n_in = shape[axis], shape[1 - axis]
    if n_in == hint.hidden and n_out == sum(hint.sizes):
        return hint.sizes
    return (n_in, n_in, n_in) if n_out == 3 * n_in else None


def _bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _split(tensors: Mapping[str, Tensor], name: str, axis: int, cuts: Mapping[str, Cut]) -> dict[str, list[Tensor]]:
    """Parts of a matrix along an axis, and of its bias, by the name of the whole."""
    view = columns if axis else units
    parts = {name: [view(tensors[name], part, cut) for part, cut in cuts.items()]}
    bias = tensors.get(_bias_of(name))
    if bias and bias.info.shape == (tensors[name].info.shape[axis],):
        parts[bias.info.name] = [units(bias, _bias_of(part), cut) for part, cut in cuts.items()]
    return parts
