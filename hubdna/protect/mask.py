"""A mask says which weights of one model stay. Put on, removed again, and bound to the model that it was made for.

*MAP: MAsk Pruning* (Peng et al., CVPR 2024, https://arxiv.org/abs/2403.04149) freezes a trained model and learns which
of its weights may stay, so that it works in its authorised domain and nowhere else. What is published is the masked
model: every weight is the original's, bit for bit, or zero. The owner keeps the *complement*, the weights that were
taken away; release + complement = original.

Here are arrays only: no torch, no training. A model is a mapping of names to arrays, as safetensors gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import MaskError
from hubdna.roots import array_digest, merkle_root

Weights = Mapping[str, NDArray[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Which weights of a model stay.

    Attributes:
        parent: root over all tensors of the model that it was made for (`model_root`), 64 hexadecimal digits.
        kept: for each covered tensor, bool of its shape: True where the weight stays. Tensors that are not named stay.
        facts: how it was made (setting, seed, ...), as text; nothing depends on them.
    """

    parent: str
    kept: Mapping[str, Bools]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_weights(self) -> int:
        """Covered weights."""
        return sum(kept.size for kept in self.kept.values())

    @property
    def sparsity(self) -> float:
        """Share of the covered weights that go, in [0, 1]."""
        return 1 - sum(int(kept.sum()) for kept in self.kept.values()) / max(self.n_weights, 1)


def model_root(weights: Weights) -> str:
    """Root over names, types, shapes and all bytes of a model's tensors: the same in whatever files they lie.

    It is the root that training receipts have for a model's weights, so that both can speak of the same model.
    """
    leaves = [
        array_digest(name, array.dtype.name, array.shape, _bytes(array)) for name, array in sorted(weights.items())
    ]
    return merkle_root(leaves).hex()


def apply(mask: Mask, weights: Weights) -> dict[str, NDArray[Any]]:
    """The model with its masked weights set to zero. Raises MaskError when the mask is of another model."""
    check(mask, weights)
    return dict(weights) | {name: _zeroed(weights[name], ~kept) for name, kept in mask.kept.items()}


def complement(mask: Mask, weights: Weights) -> dict[str, NDArray[Any]]:
    """What the owner keeps: for each covered tensor the weights that go, one after another in C order."""
    check(mask, weights)
    return {name: weights[name][~kept] for name, kept in mask.kept.items()}


def remove(mask: Mask, release: Weights, taken: Weights) -> dict[str, NDArray[Any]]:
    """The original: the taken weights put back into a release.

    Raises:
        MaskError: the parts are not those of one model, or the result is not the original bit for bit (the release
            was trained further, say).
    """
    restored = dict(release)
    for name, kept in mask.kept.items():
        array, values = _covered(release, name, kept), taken.get(name)
        n = kept.size - int(kept.sum())
        if values is None or values.shape != (n,) or values.dtype != array.dtype:
            found = "nothing" if values is None else f"{values.dtype.name} {values.shape}"
            raise MaskError(f"complement: {name[:80]}: expected {n} values of {array.dtype.name}, found {found}")
        restored[name] = array.copy()
        restored[name][~kept] = values
    if taken.keys() - mask.kept.keys():
        raise MaskError(f"complement: {min(taken.keys() - mask.kept.keys())[:80]!r} is not covered by the mask")
    if model_root(restored) != mask.parent:
        raise MaskError(
            "release + complement is not the model that the mask was made for: "
            "one of the three is another's, or was changed (trained further, cast to another type)"
        )
    return restored


def check(mask: Mask, weights: Weights) -> None:
    """Raises MaskError unless the mask was made for exactly these weights."""
    for name, kept in mask.kept.items():
        _covered(weights, name, kept)
    if (found := model_root(weights)) != mask.parent:
        raise MaskError(
            f"the mask was made for the model with root {mask.parent[:16]}..., this one has {found[:16]}..."
        )


def _covered(weights: Weights, name: str, kept: Bools) -> NDArray[Any]:
    array = weights.get(name)
    if array is None or array.shape != kept.shape:
        found = "no such tensor" if array is None else f"shape {array.shape}"
        raise MaskError(f"{name[:80]}: the mask expects shape {kept.shape}, found {found}: a mask of another model")
    return array


def _zeroed(array: NDArray[Any], gone: Bools) -> NDArray[Any]:
    made = array.copy()
    made[gone] = 0
    return made


def _bytes(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()
