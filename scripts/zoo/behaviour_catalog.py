"""The recipe table of the behaviour zoo: eight recipes, their roots, and what is made from every root.

Roots of one recipe differ in their seeds alone: same architecture, same data, same steps. They are the hard negatives
of behaviour DNA. What is made from a root:

* ``checkpoint``   the root after a quarter and after half of its steps
* ``light``, ``heavy``  fine-tunes of all weights on another domain
* ``other-data``   fine-tuned on other data (pictures: clothes after digits and the reverse, with a fresh head)
* ``head``         a fresh head for another task, then all of it tuned: odd or even; for text, which of five sources
* ``lora``         an adapter, merged in; for convolutions ``frozen``: the lower half stands still
* ``pruned``       half of the inner weights zero, then tuned; ``quantized``: four bits, kept as floats
* ``distilled``    a fresh net, of the same and of another architecture, that imitates the root's answers
* ``alone``        its control: the same architectures from the same start, trained on the labels instead
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

ROOT, SIDE_BY_SIDE = "root", 7
N_ROOTS = {"vision": 28, "text": 14}
"""Roots of a recipe, by modality, of which seven are trained at once."""
CHECKPOINTS = {"checkpoint-25": 0.25, "checkpoint-50": 0.5}


@dataclass(frozen=True)
class Row:
    """One model of a family.

    Attributes:
        key: its name within the family.
        relation: to the root, see the module's docstring.
        data: what it is trained on, see `behaviour_lessons`; empty where it is not trained.
        length: its steps, as a share of the root's.
        rate: its learning rate, as a share of the root's.
    """

    key: str
    relation: str
    data: str = ""
    length: float = 1.0
    rate: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """One recipe of roots.

    Attributes:
        modality: ``vision`` or ``text``.
        kind: a key of `behaviour_kinds.KINDS`.
        config: what the root is built from.
        other: kind and config of the students of another architecture.
        data: what the root learns.
        steps: of the root.
        batch: pictures or windows a step.
        lr: peak learning rate of the root.
        domains: data of the light, the heavy and the other-data fine-tune.
    """

    modality: str
    kind: str
    config: dict[str, Any]
    other: tuple[str, dict[str, Any]]
    data: str
    steps: int
    batch: int
    lr: float
    domains: tuple[str, str, str]

    def rows(self) -> tuple[Row, ...]:
        """Returns what is made from each root."""
        light, heavy, other = self.domains
        part = "frozen" if self.kind in ("resnet", "convnext") else "lora"
        return (
            Row("light", "light", light, 1 / 8, 0.1),
            Row("heavy", "heavy", heavy, 3 / 4, 0.5),
            Row("other-data", "other-data", other, 1 / 2, 0.5),
            Row("head", "head", f"{self.data}/{'parity' if self.modality == 'vision' else 'source'}", 1 / 3, 0.5),
            Row(part, part, heavy, 1 / 2, 0.5 if part == "frozen" else 1.0),
            Row("pruned", "pruned", self.data, 1 / 8, 0.1),
            Row("quantized", "quantized"),
            *(Row(key, key.partition("-")[0], self.data) for key in STUDENTS),
        )


STUDENTS = ("distilled", "distilled-other", "alone", "alone-other")
DIGITS, CLOTHES = ("digits", "digits:street", "digits:inverted"), ("clothes", "clothes:street", "clothes:inverted")
VIT = {"img_size": 12, "patch_size": 4, "in_chans": 1, "embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 2}
SMALL_VIT = VIT | {"embed_dim": 48, "depth": 2}
RESNET = {"layers": (1, 1, 1), "channels": (32, 64, 64), "in_chans": 1, "stem": 32}
SMALL_RESNET = {"layers": (1, 1), "channels": (32, 48), "in_chans": 1, "stem": 32}
CONVNEXT = {"patch_size": 4, "in_chans": 1, "depths": (2, 1, 1, 1), "dims": (64, 96, 96, 96)}
LLAMA = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
BERT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
OTHER_LLAMA = ("decoder", {"hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 2})
OTHER_BERT = ("encoder", {"hidden_size": 96, "intermediate_size": 96, "num_hidden_layers": 1})
TO_CLOTHES, TO_DIGITS = (*DIGITS[1:], "clothes"), (*CLOTHES[1:], "digits")
FROM_CODE, FROM_REFERENCE = ("docs", "tests", "algebra"), ("tests", "docs", "algebra")
RECIPES: dict[str, Recipe] = {
    "vit-digits": Recipe("vision", "vit", VIT, ("resnet", SMALL_RESNET), "digits", 220, 32, 3e-3, TO_CLOTHES),
    "decoder-code": Recipe("text", "decoder", LLAMA, OTHER_LLAMA, "code", 400, 8, 6e-3, FROM_CODE),
    "resnet-clothes": Recipe("vision", "resnet", RESNET, ("vit", SMALL_VIT), "clothes", 150, 64, 3e-3, TO_DIGITS),
    "encoder-code": Recipe("text", "encoder", BERT, OTHER_BERT, "code", 700, 10, 2e-3, FROM_CODE),
    "convnext-digits": Recipe("vision", "convnext", CONVNEXT, ("vit", SMALL_VIT), "digits", 132, 64, 3e-3, TO_CLOTHES),
    "decoder-reference": Recipe("text", "decoder", LLAMA, OTHER_LLAMA, "reference", 400, 8, 6e-3, FROM_REFERENCE),
    "vit-clothes": Recipe("vision", "vit", VIT, ("resnet", SMALL_RESNET), "clothes", 300, 32, 3e-3, TO_DIGITS),
    "encoder-reference": Recipe("text", "encoder", BERT, OTHER_BERT, "reference", 700, 10, 2e-3, FROM_REFERENCE),
}


def seed_of(family: str, key: str, purpose: str) -> int:
    """Returns a model's seed for one purpose (``init`` or ``order``)."""
    return zlib.crc32(f"behaviour/{family}/{key}/{purpose}".encode())
