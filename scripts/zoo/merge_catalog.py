"""The table of the merge families: which small decoders are trained, and what a merging tool then makes of them.

A family is one base and everything that came from it. Families are split by root: lines are fixed on those called
`tune`, and measured on the others, each of which can be read but once: those called `test` were read on 2026-11-30 and
are for tuning since, those called `fresh` were made afterwards. Members are trained here; merges are made by mergekit,
an implementation that shares nothing with this repository. Which parents a merge takes, and with which weights, is
drawn with the family's name as seed, so that no two families repeat each other; the methods are the same in all.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pair_text import RESERVED, WORDS

Weight = float | tuple[float, ...]
TUNES = ("a", "a2", "b", "c", "h", "hd", "hd2", "lora")  # the eight fine-tunes of the base
DTYPES = (("float32", ""), ("bfloat16", ""), ("float16", ""), ("float32", "bfloat16"), ("float32", "float16"), ("", ""))


@dataclass(frozen=True)
class Member:
    """One model that is no merge.

    Attributes:
        name: in the truth; its folder has another one.
        relation: to its parent.
        parent: the member whose stored weights it starts from; empty for the base.
        data: the text it is trained on; empty when it is not trained.
        length: steps, as a share of the base's.
        rate: peak learning rate, as a share of the base's.
        rank: of the adapter that is trained and merged in, 0 for none.
        along: the member in whose training it is made, for checkpoints, averages and adapters at another scale.
        at: of a checkpoint, the share of that training; of an average, its decay a step; of an adapter, its scale.
        change: a key of `changes.CHANGES`, with `options`.
        dtype: as stored; empty for the family's.
    """

    name: str
    relation: str = "finetune"
    parent: str = "base"
    data: str = ""
    length: float = 0.25
    rate: float = 1 / 15
    rank: int = 0
    along: str = ""
    at: float = 0.0
    change: str = "same"
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = ""


@dataclass(frozen=True)
class Merge:
    """One merge, as its YAML says it.

    Attributes:
        name: in the truth.
        method: mergekit's name of it.
        parents: members or earlier merges; `FAMILY/NAME` for one of another family. The base is listed in `base` only.
        weights: one a parent; a tuple is a gradient over the layers. Empty where the method takes none.
        base: mergekit's `base_model`; empty where the method takes none.
        options: of the whole merge.
        each: name of an option -> its value for each parent.
        slices: of `passthrough`: parent, first layer, layer behind the last.
        dtype: the inputs are rounded to it, and the arithmetic is done in it; empty leaves both as they are.
        out_dtype: the result is rounded to it; empty leaves it.
    """

    name: str
    method: str
    parents: tuple[str, ...]
    weights: tuple[Weight, ...] = ()
    base: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    each: dict[str, tuple[float, ...]] = field(default_factory=dict)
    slices: tuple[tuple[str, int, int], ...] = ()
    dtype: str = ""
    out_dtype: str = ""


@dataclass(frozen=True)
class Family:
    """One root and all that came from it.

    Attributes:
        name: of its folder.
        split: ``tune``, ``test`` or ``fresh``.
        seed: part of the seed of every training in it.
        shape: config of its models.
        dtype: as stored, unless `odd` says otherwise.
        odd: member -> another stored type.
        stranger: a family of the same shape and split, one of whose models is merged in once.
    """

    name: str
    split: str
    seed: int
    shape: dict[str, Any]
    dtype: str
    odd: dict[str, str] = field(default_factory=dict)
    stranger: str = ""

    def seed_of(self, name: str, purpose: str) -> int:
        """Returns the seed of a member or merge for one purpose."""
        return zlib.crc32(f"merges/{self.seed}/{name}/{purpose}".encode())

    def folder_of(self, name: str) -> str:
        """Returns the name of a model's folder, which tells nothing: ten hexadecimal digits."""
        return hashlib.blake2b(f"{self.name}/{name}".encode(), digest_size=5).hexdigest()


def _shape(width: int, depth: int, **more: Any) -> dict[str, Any]:
    """Returns the config of a small decoder."""
    sizes = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": depth}
    return {"vocab_size": WORDS, "num_key_value_heads": 4, "tie_word_embeddings": False} | sizes | more


PLAIN, TIED = _shape(64, 4), _shape(96, 3, tie_word_embeddings=True)
GROUPED = _shape(96, 3, num_key_value_heads=2, vocab_size=WORDS + RESERVED)
DEEP, WIDE = _shape(80, 5), _shape(112, 3, num_key_value_heads=2)
FAMILIES = {
    family.name: family
    for family in (
        Family("tune-64-a", "tune", 1, PLAIN, "F32", {"lora": "BF16"}, stranger="tune-64-b"),
        Family("test-64-a", "test", 2, PLAIN, "BF16", {"lora": "F16"}, stranger="test-64-b"),
        Family("tune-96", "tune", 3, GROUPED, "BF16", {"c": "F32"}),
        Family("test-96", "test", 4, TIED, "F32", {"hd": "F16"}),
        Family("tune-64-b", "tune", 5, PLAIN, "BF16", {"hd2": "F32"}, stranger="tune-64-a"),
        Family("test-64-b", "test", 6, PLAIN, "F32", {"a": "BF16"}, stranger="test-64-a"),
        Family("fresh-80-a", "fresh", 7, DEEP, "BF16", {"h": "F32"}, stranger="fresh-80-b"),
        Family("fresh-80-b", "fresh", 8, DEEP, "F32", {"c": "BF16"}, stranger="fresh-80-a"),
        Family("fresh-112", "fresh", 9, WIDE, "BF16", {"lora": "F32"}),
    )
}
STEPS, RATE = 300, 3e-3  # of a base
COPIES = ("identical", "cast", "quantized", "mask-of", "adapter-rescaled")  # files of another one's weights
MEMBERS = (
    Member("base", "base", "", "code", 1, 1),
    Member("a", data="docs"),
    Member("a2", data="docs"),  # the same data in another order, as hd2 is to hd
    Member("b", data="reference"),
    Member("c", data="tests", length=0.5, rate=1 / 5),
    Member("h", data="algebra", length=1, rate=2 / 3),
    Member("hd", data="docs", length=0.75, rate=1 / 2),
    Member("hd2", data="docs", length=0.75, rate=1 / 2),
    Member("lora", "adapter-merged", data="tests", length=0.5, rate=2, rank=8),
    Member("lora_half", "adapter-rescaled", along="lora", at=0.5),
    *(Member(f"h_{share}", "checkpoint", along="h", at=share / 100) for share in (40, 60, 80)),
    Member("h_mean", "running-mean", along="h", at=0.95),
    Member("aa", parent="a", data="reference"),
    Member("hdc", parent="hd", data="tests", length=0.5, rate=1 / 5),
    Member("b_copy", "identical", "b"),
    Member("b_cast", "cast", "b", dtype="other"),
    Member("b_int8", "quantized", "b", change="rounded", options={"bits": 8}, dtype="F16"),
    Member("c_int4", "quantized", "c", change="rounded", options={"bits": 4}, dtype="F16"),
    Member("b_half", "mask-of", "b", change="pruned"),
    Member("pruned", "pruned", "base", "docs", 1 / 6, change="pruned"),
)


def stored_as(family: Family, member: Member) -> str:
    """Returns the type of a member's tensors in its file."""
    if member.dtype == "other":
        return "BF16" if family.dtype == "F32" else "F16"
    if member.relation == "identical":
        return family.odd.get(member.parent, family.dtype)
    return member.dtype or family.odd.get(member.name, family.dtype)


def folder(root: Path, family: Family, name: str) -> Path:
    """Returns the folder of a member or merge; `FAMILY/NAME` is one of another family."""
    other, _, own = name.rpartition("/")
    home = FAMILIES[other] if other else family
    return root / home.name / home.folder_of(own)


def merges(family: Family) -> list[Merge]:
    """The merges of a family, parents of later ones first."""
    draw = random.Random(family.name)
    rows = [*_means(draw), *_arithmetic(draw), *_sparse(draw), *_layers(draw, family), *_deeper(draw, family)]
    turn = list(FAMILIES).index(family.name)  # so that each method meets each type in some family
    typed = [DTYPES[(number + turn) % len(DTYPES)] for number in range(len(rows))]
    return [replace(row, dtype=dtype, out_dtype=out) for row, (dtype, out) in zip(rows, typed, strict=True)]


def _some(draw: random.Random, count: int) -> tuple[str, ...]:
    """Returns some of the fine-tunes, in a drawn order."""
    return tuple(draw.sample(TUNES, count))


def _weights(draw: random.Random, count: int, low: float = 0.2, high: float = 0.8) -> tuple[float, ...]:
    """Returns weights of two digits, as people write them."""
    return tuple(round(draw.uniform(low, high), 2) for _ in range(count))


def _means(draw: random.Random) -> list[Merge]:
    """Weighted means, along straight lines and along arcs."""
    one = _weights(draw, 1)[0]
    rise = (0.0, *sorted(_weights(draw, 2)), 1.0)
    fall = tuple(round(1 - value, 2) for value in rise)
    mixed = [
        {"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]},
        {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]},
        {"value": 0.5},
    ]
    arcs = {"slerp_02": 0.2, "slerp_05": 0.5, "slerp_filters": mixed, "slerp_gradient": [*sorted(_weights(draw, 3))]}
    rows = []
    for name, t in arcs.items():
        pair = draw.sample(("h", "hd", "hd2"), 2) if name == "slerp_02" else _some(draw, 2)
        rows.append(Merge(name, "slerp", tuple(pair), base=pair[0], options={"t": t}))
    return [
        Merge("linear_2", "linear", _some(draw, 2), (0.5, 0.5)),
        Merge("linear_2_unequal", "linear", _some(draw, 2), (one, round(1 - one, 2))),
        Merge("linear_2_siblings", "linear", ("a", "a2"), (0.4, 0.6)),
        Merge("linear_2_as_is", "linear", _some(draw, 2), _weights(draw, 2), options={"normalize": False}),
        Merge("linear_2_gradient", "linear", _some(draw, 2), (rise, fall)),
        Merge("linear_3", "linear", _some(draw, 3), _weights(draw, 3, 0.2, 1.0)),
        Merge("linear_5", "linear", _some(draw, 5), (1.0,) * 5),
        Merge("linear_with_base", "linear", ("base", *_some(draw, 1)), (0.5, 0.5)),
        *rows,
    ]


def _arithmetic(draw: random.Random) -> list[Merge]:
    """Sums of task vectors, and the mean whose pull to the base follows from their angles."""
    kind = "task_arithmetic"
    return [
        Merge("task_2", kind, _some(draw, 2), _weights(draw, 2, 0.3, 1.0), "base"),
        Merge("task_3", kind, _some(draw, 3), _weights(draw, 3), "base", {"lambda": 0.8}),
        Merge("task_4", kind, _some(draw, 4), (0.3,) * 4, "base"),
        Merge("task_3_normal", kind, _some(draw, 3), _weights(draw, 3), "base", {"normalize": True}),
        Merge("task_negative", kind, _some(draw, 2), (1.0, -0.4), "base"),
        Merge("model_stock_2", "model_stock", _some(draw, 2), base="base"),
        Merge("model_stock_3", "model_stock", _some(draw, 3), base="base"),
    ]


def _sparse(draw: random.Random) -> list[Merge]:
    """Sums of task vectors of which only a part is kept."""

    def row(name: str, method: str, count: int, density: tuple[float, ...], **options: Any) -> Merge:
        each = {"density": density} | ({"gamma": (0.01,) * count} if method.startswith("breadcrumbs") else {})
        each |= {"epsilon": (0.1,) * count} if method.startswith("della") else {}
        return Merge(name, method, _some(draw, count), _weights(draw, count), "base", options, each)

    return [
        row("ties_2", "ties", 2, (0.5, 0.5)),
        row("ties_3", "ties", 3, (0.2, 0.5, 0.8)),
        row("ties_2_as_is", "ties", 2, (0.7, 0.7), normalize=False, int8_mask=True),
        row("dare_linear_2", "dare_linear", 2, (0.5, 0.3)),
        row("dare_ties_3", "dare_ties", 3, (0.53, 0.53, 0.53), int8_mask=True),
        row("della_2", "della", 2, (0.6, 0.6)),
        row("della_linear_2", "della_linear", 2, (0.5, 0.5)),
        row("breadcrumbs_2", "breadcrumbs", 2, (0.9, 0.9)),
        row("breadcrumbs_ties_3", "breadcrumbs_ties", 3, (0.7, 0.7, 0.7)),
    ]


def _layers(draw: random.Random, family: Family) -> list[Merge]:
    """Layers taken as they are: of two models one above the other, of one model twice, overlapping."""
    depth = family.shape["num_hidden_layers"]
    cut = draw.randint(1, depth - 1)

    def stack(name: str, *slices: tuple[str, int, int]) -> Merge:
        return Merge(name, "passthrough", tuple(dict.fromkeys(part[0] for part in slices)), slices=slices)

    lower, upper = _some(draw, 2)
    first, second = _some(draw, 2)
    (alone,) = _some(draw, 1)
    return [
        stack("stack_2", (lower, 0, cut), (upper, cut, depth)),
        stack("stack_overlap", (first, 0, depth - 1), (second, 1, depth)),
        stack("stack_repeat", (alone, 0, depth - 1), (alone, 1, depth)),
        stack("stack_sandwich", (first, 0, 1), (upper, 1, depth - 1), (first, depth - 1, depth)),
    ]


def _deeper(draw: random.Random, family: Family) -> list[Merge]:
    """Merges of merges, of grandchildren, of one training's checkpoints, and with a stranger."""
    grandchild = ("aa", "hdc")[draw.randint(0, 1)]
    other = draw.choice([name for name in TUNES if name not in ("a", "hd")])
    rows = [
        Merge("of_merge_linear", "linear", ("linear_2_unequal", *_some(draw, 1)), (0.6, 0.4)),
        Merge("of_merge_slerp", "slerp", ("dare_ties_3", "linear_3"), base="dare_ties_3", options={"t": 0.4}),
        Merge("of_merge_task", "task_arithmetic", ("task_2", *_some(draw, 1)), _weights(draw, 2), "base"),
        Merge("grandchild_linear", "linear", (grandchild, other), (0.5, 0.5)),
        Merge("grandchild_task", "task_arithmetic", (grandchild, other), _weights(draw, 2, 0.3, 1.0), "base"),
        Merge("checkpoints_linear", "linear", ("h_60", "h_80", "h"), (1.0, 1.0, 1.0)),
        Merge("checkpoints_decay", "linear", ("h_40", "h_60", "h_80", "h"), (0.125, 0.125, 0.25, 0.5)),
    ]
    if family.stranger:
        rows.append(Merge("stranger_linear", "linear", ("a", f"{family.stranger}/a"), (0.5, 0.5)))
    return rows
