"""What may be relabelled in each architecture: the label of every axis, and which tensors undo each other.

`AXES` gives every tensor a label per dimension. Dimensions with one label are the same axis of the network: `units.3`
are the hidden units of block 3, `heads.3` the attention channels, `res` the residual stream. `{0}` stands for the
first number in the tensor's name, `{prev}` for the one before it. `heads.3*3` is a dimension that holds the axis
three times (query, key and value in one matrix). Shuffling an axis everywhere changes nothing.

`SCALES` lists (axis, tensors multiplied, tensors divided), `FLIPS` the same for signs, `NORMS` the norms whose gain
(and shift) may be moved into the matrices behind them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pair_kinds import Net

Rule = tuple[str, str]
ATTENTION: list[Rule] = [
    (r"model\.embed_tokens\.weight|lm_head\.weight", "vocabulary res"),
    (r"model\.layers\.(\d+)\.self_attn\.[qkv]_proj\.weight", "heads.{0} res"),
    (r"model\.layers\.(\d+)\.self_attn\.o_proj\.weight", "res heads.{0}"),
    (r"model\.norm\.weight|model\.layers\.(\d+)\.\w+layernorm\.weight", "res"),
]
AXES: dict[str, list[Rule]] = {
    "decoder": [
        *ATTENTION,
        (r"model\.layers\.(\d+)\.mlp\.(?:gate|up)_proj\.weight", "units.{0} res"),
        (r"model\.layers\.(\d+)\.mlp\.down_proj\.weight", "res units.{0}"),
    ],
    "moe": [
        *ATTENTION,
        (r"model\.layers\.(\d+)\.block_sparse_moe\.gate\.weight", "experts.{0} res"),
        (r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.w[13]\.weight", "units.{0}.{1} res"),
        (r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.w2\.weight", "res units.{0}.{1}"),
    ],
    "encoder": [
        (r"bert\.embeddings\.\w+_embeddings\.weight", "rows res"),
        (r".*LayerNorm\.(?:weight|bias)|cls\.predictions\.transform\.dense\.bias", "res"),
        (r".*layer\.(\d+)\.attention\.self\.(?:query|key|value)\.weight", "heads.{0} res"),
        (r".*layer\.(\d+)\.attention\.self\.(?:query|key|value)\.bias", "heads.{0}"),
        (r".*layer\.(\d+)\.attention\.output\.dense\.weight", "res heads.{0}"),
        (r".*layer\.(\d+)\.intermediate\.dense\.weight", "units.{0} res"),
        (r".*layer\.(\d+)\.intermediate\.dense\.bias", "units.{0}"),
        (r".*layer\.(\d+)\.output\.dense\.weight", "res units.{0}"),
        (r".*layer\.(\d+)\.(?:attention\.)?output\.dense\.bias", "res"),
        (r"cls\.predictions\.transform\.dense\.weight", "res res"),
        (r"cls\.predictions\.bias", "vocabulary"),
    ],
    "vit": [
        (r"cls_token|pos_embed", "one place res"),
        (r"patch_embed\.proj\.weight", "res channel x y"),
        (r"blocks\.(\d+)\.attn\.qkv\.weight", "heads.{0}*3 res"),
        (r"blocks\.(\d+)\.attn\.qkv\.bias", "heads.{0}*3"),
        (r"blocks\.(\d+)\.attn\.proj\.weight", "res heads.{0}"),
        (r"blocks\.(\d+)\.mlp\.fc1\.weight", "units.{0} res"),
        (r"blocks\.(\d+)\.mlp\.fc1\.bias", "units.{0}"),
        (r"blocks\.(\d+)\.mlp\.fc2\.weight", "res units.{0}"),
        (r".*(?:norm\d?\.\w+|proj\.bias|fc2\.bias)", "res"),
        (r"head\.weight", "classes res"),
        (r"head\.bias", "classes"),
    ],
    "resnet": [
        (r"conv1\.weight", "res.0 channel x y"),
        (r"bn1\.(?:weight|bias|running_\w+)", "res.0"),
        (r"layer(\d+)\.0\.conv1\.weight", "units.{0}.0 res.{prev} x y"),
        (r"layer(\d+)\.(\d+)\.conv1\.weight", "units.{0}.{1} res.{0} x y"),
        (r"layer(\d+)\.(\d+)\.bn1\.(?:weight|bias|running_\w+)", "units.{0}.{1}"),
        (r"layer(\d+)\.(\d+)\.conv2\.weight", "res.{0} units.{0}.{1} x y"),
        (r"layer(\d+)\.(?:\d+\.bn2|0\.downsample\.1)\.(?:weight|bias|running_\w+)", "res.{0}"),
        (r"layer(\d+)\.0\.downsample\.0\.weight", "res.{0} res.{prev} x y"),
        (r"fc\.weight", "classes res.4"),
        (r"fc\.bias", "classes"),
        (r".*num_batches_tracked", ""),
    ],
    "convnext": [
        (r"stem\.0\.weight", "res.0 channel x y"),
        (r"stem\.\d\.(?:weight|bias)", "res.0"),
        (r"stages\.(\d+)\.downsample\.0\.(?:weight|bias)", "res.{prev}"),
        (r"stages\.(\d+)\.downsample\.1\.weight", "res.{0} res.{prev} x y"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw\.weight", "res.{0} channel x y"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.weight", "units.{0}.{1} res.{0} x y"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.bias", "units.{0}.{1}"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.weight", "res.{0} units.{0}.{1} x y"),
        (r"stages\.(\d+)\..*(?:gamma|bias|norm\.weight)", "res.{0}"),
        (r"head\.norm\.(?:weight|bias)", "res.3"),
        (r"head\.fc\.weight", "classes res.3"),
        (r"head\.fc\.bias", "classes"),
    ],
}
VALUES = ("heads", r".*v_proj\.weight", r".*o_proj\.weight")
SCALES: dict[str, list[tuple[str, str, str]]] = {
    "decoder": [("units", r".*up_proj\.weight", r".*down_proj\.weight"), VALUES],
    "moe": [("units", r".*\.w3\.weight", r".*\.w2\.weight"), VALUES],
    "encoder": [
        ("heads", r".*self\.value\.\w+", r".*attention\.output\.dense\.weight"),
        ("heads", r".*self\.query\.\w+", r".*self\.key\.\w+"),
    ],
    "vit": [("heads", r".*attn\.qkv\.\w+", r".*attn\.proj\.weight")],  # the last third of qkv: the values
    "resnet": [("units", r".*\.bn1\.(?:weight|bias)", r".*\.conv2\.weight")],  # ReLU: positive factors only
    "convnext": [("res", r".*blocks.*fc2\.\w+", r".*gamma")],
}
FLIPS = SCALES | {
    "resnet": [
        ("units", r".*\.(?:conv1\.weight|bn1\.(?:weight|running_mean))", ""),
        ("res", r".*\.(?:conv2\.weight|bn2\.(?:weight|running_mean))", ""),
    ]
}
LLAMA_NORMS = [
    (r"(model\.layers\.\d+)\.input_layernorm", r"\1\.self_attn\.[qkv]_proj"),
    (r"(model\.layers\.\d+)\.post_attention_layernorm", r"\1\.mlp\.(?:gate|up)_proj"),
    (r"(model\.layers\.\d+)\.post_attention_layernorm", r"\1\.block_sparse_moe\..*(?:gate|w1|w3)"),
    (r"model\.norm", "lm_head"),
]  # fmt: skip
NORMS: dict[str, list[tuple[str, str]]] = {
    "decoder": LLAMA_NORMS,
    "moe": LLAMA_NORMS,
    "vit": [
        (r"(blocks\.\d+)\.norm1", r"\1\.attn\.qkv"),
        (r"(blocks\.\d+)\.norm2", r"\1\.mlp\.fc1"),
        (r"norm", "head"),
    ],
    "convnext": [
        (r"(stages\.\d+\.blocks\.\d+)\.norm", r"\1\.mlp\.fc1"),
        (r"(stages\.\d+\.downsample)\.0", r"\1\.1"),
        (r"head\.norm", r"head\.fc"),
    ],
}
ROTATED = ("decoder", "moe", "vit")  # a stream that only linear maps and a final-gain-free norm touch


@dataclass(frozen=True)
class Axis:
    """One dimension of one tensor.

    Attributes:
        tensor: its name.
        dim: which dimension.
        parts: how often the axis stands in it.
        size: length of the axis.
    """

    tensor: str
    dim: int
    parts: int
    size: int


def axes(kind: str, net: Net) -> dict[str, list[Axis]]:
    """Returns every labelled axis of a net with the dimensions that it is found in."""
    found: dict[str, list[Axis]] = {}
    for name, tensor in net.state.items():
        labels = _labels(kind, name)
        if len(labels) != tensor.ndim:
            raise ValueError(f"{kind}: {name} has {tensor.ndim} dimensions, its rule names {len(labels)}")
        for dim, label in enumerate(labels):
            label, _, parts = label.partition("*")
            count = int(parts or 1)
            found.setdefault(label, []).append(Axis(name, dim, count, tensor.shape[dim] // count))
    return found


def _labels(kind: str, name: str) -> list[str]:
    """Returns the labels of a tensor's dimensions."""
    for pattern, labels in AXES[kind]:
        match = re.fullmatch(pattern, name)
        if match:
            numbers = [part or "" for part in match.groups()]
            previous = int(numbers[0]) - 1 if numbers and numbers[0] else None
            return labels.format(*numbers, prev=previous).split()
    raise ValueError(f"{kind}: no rule for the tensor {name}")
