"""The words of the recipe table (`pair_catalog`): what a row says, and short forms for rows that recur."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

TEXT = {"base": "code", "a": "docs", "b": "reference", "c": "tests", "far": "algebra"}
PICTURES = {"base": "plain", "a": "inverted", "b": "strokes", "c": "street", "far": "street"}


@dataclass(frozen=True)
class Recipe:
    """One model.

    Attributes:
        name: of its folder.
        relation: to `against`, in the words of this table's README.
        parent: the model whose weights it starts from; empty for a fresh initialisation.
        how: a key of `changes.CHANGES`.
        options: of the change.
        others: further models that the change takes.
        data: what it is trained on afterwards, a key of `TEXT` and `PICTURES`; empty when it is not trained.
        length: steps, as a share of the root's.
        rate: learning rate, as a share of the root's.
        against: the model it is paired with: the parent unless given, `-` for none.
        related: whether weights of `against` went into it.
        detail: facts of the relation: bits, rank.
        init_as: the model whose initialisation it shares.
        order_as: the model whose order of the data it shares.
        shape: ``base`` or ``wide``, for fresh ones.
        kind: the architecture, where it is not the set's.
        teacher: the model it learns to imitate.
        rank: of the adapter that is trained in its place, 0 for none.
        sparse: whether zeros stay zero in training.
        layout: of the folder, see `pair_files`.
        dtype: of the tensors in the file.
        claims: the base_model that its card names.
        note: for readers.
    """

    name: str
    relation: str
    parent: str = "base"
    how: str = "same"
    options: dict[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    data: str = ""
    length: float = 0.25
    rate: float = 1 / 15
    against: str = ""
    related: bool = True
    detail: dict[str, Any] = field(default_factory=dict)
    init_as: str = ""
    order_as: str = ""
    shape: str = "base"
    kind: str = ""
    teacher: str = ""
    rank: int = 0
    sparse: bool = False
    layout: str = "plain"
    dtype: str = "F32"
    claims: str = ""
    note: str = ""

    @property
    def source(self) -> str:
        """The model it is paired with, or an empty string."""
        return "" if self.against == "-" else self.against or self.parent


@dataclass(frozen=True)
class PairSet:
    """One set: an architecture at one size and seed.

    Attributes:
        kind: a key of `pair_kinds.KINDS`.
        seed: part of the seed of every model in it.
        base: config of its models.
        wide: what is different in the model of other width.
        steps: of the root's training.
        lr: of the root's training.
        recipes: the table.
        extra: pairs that no row gives: target, source, relation, related.
    """

    kind: str
    seed: int
    base: dict[str, Any]
    wide: dict[str, Any]
    steps: int
    lr: float
    recipes: list[Recipe]
    extra: list[tuple[str, str, str, bool]]

    def seed_of(self, name: str, purpose: str) -> int:
        """Returns a model's seed for one purpose (``init``, ``order`` or ``change``)."""
        return zlib.crc32(f"{self.seed}/{name}/{purpose}".encode())


def root(name: str, **more: Any) -> Recipe:
    """A model trained from its own initialisation; related to nothing unless `more` says so."""
    given = {"against": "base", "related": False} | more
    return Recipe(name, given.pop("relation", "independent"), "", "fresh", data="base", length=1, rate=1, **given)


def tune(name: str, data: str, relation: str = "finetune", **more: Any) -> Recipe:
    """A fine-tune of all weights."""
    return Recipe(name, relation, data=data, **more)


def surgery(name: str, relation: str, how: str, options: dict[str, Any] | None = None, **more: Any) -> Recipe:
    """A change of structure with a short fine-tune after it."""
    return Recipe(name, relation, how=how, options=options or {}, data="a", **({"length": 1 / 6} | more))


def masked(name: str, *ways: str, parent: str = "base", **more: Any) -> Recipe:
    """A model in disguise; paired with the base, whatever it was made from."""
    relation = more.pop("relation", "copy" if parent == "base" else "finetune")
    return Recipe(name, relation, parent, "disguised", {"ways": ways}, against="base", **more)


def disguises(all_ways: tuple[str, ...], singles: dict[str, tuple[str, ...]]) -> list[Recipe]:
    """Each disguise alone on the base, all on the base, on a fine-tune and on an independent model."""
    return [
        *(masked(name, *ways) for name, ways in singles.items()),
        masked("all_ways", *all_ways),
        masked("ft_all_ways", *all_ways, parent="ft_a"),
        masked("indep_all_ways", *all_ways, parent="indep", relation="independent", related=False),
    ]


def layers(drop: tuple[int, ...], repeat: tuple[int, ...], reorder: tuple[int, ...] = ()) -> list[Recipe]:
    """Depth changes."""
    made = [
        surgery("pruned_depth", "depth", "relayered", {"order": drop}, note="layers dropped"),
        surgery("depth_up", "depth", "relayered", {"order": repeat}, note="layers repeated"),
    ]
    if reorder:
        made.append(surgery("reordered", "depth", "relayered", {"order": reorder}, note="layers in another order"))
    return made


def lora(rank: int = 8) -> list[Recipe]:
    """An adapter, and the model with it merged in."""
    return [
        Recipe(
            "lora_adapter", "adapter", data="c", length=0.5, rate=2, rank=rank, layout="adapter", detail={"rank": rank}
        ),
        Recipe("lora_merged", "adapter-merged", "base", "adapted", {}, ("lora_adapter",), detail={"rank": rank}),
    ]
