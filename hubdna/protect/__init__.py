"""MAP mask pruning: release a model that works in its authorised domain only.

What lineage detects after the fact, a mask prevents: the owner keeps the original, publishes the model with some of its
weights set to zero, and hubdna recognises the release as `mask-of` its parent, bit for bit. The method is of Peng et
al., *MAP: MAsk Pruning for Source-Free Model Intellectual Property Protection* (CVPR 2024,
https://arxiv.org/abs/2403.04149); no code of theirs is public, so every choice of ours is written where it is made.

    mask = train_mask(model, source=Pictures(x, y), target=Pictures(other_x, other_y))
    release = apply(mask, weights)

    mask, files              arrays and bits: no torch
    cover, straight, train   a mask that is learnt
    generator, imagine, neighbours, settings   where its pictures come from
    measure, watermark       what a release does, and whose it is

Nothing is imported before it is used: torch least of all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubdna.errors import MissingExtraError

if TYPE_CHECKING:
    from hubdna.protect.data import Pictures
    from hubdna.protect.files import read_mask, read_model, write_mask
    from hubdna.protect.mask import Mask, apply, complement, model_root, remove
    from hubdna.protect.measure import Protection, Score, score, st_d
    from hubdna.protect.settings import train_mask
    from hubdna.protect.train import Recipe
    from hubdna.protect.watermark import verify

_HOMES = {
    "Mask": "mask", "Pictures": "data", "Protection": "measure", "Recipe": "train", "Score": "measure",
    "apply": "mask", "complement": "mask", "model_root": "mask", "read_mask": "files", "read_model": "files",
    "remove": "mask", "score": "measure", "st_d": "measure", "train_mask": "settings", "verify": "watermark",
    "write_mask": "files",
}  # fmt: skip

__all__ = [
    "Mask",
    "Pictures",
    "Protection",
    "Recipe",
    "Score",
    "apply",
    "complement",
    "model_root",
    "read_mask",
    "read_model",
    "remove",
    "score",
    "st_d",
    "train_mask",
    "verify",
    "write_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubdna.protect' has no attribute {name!r}")
    try:
        return getattr(import_module(f"hubdna.protect.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models") from None
