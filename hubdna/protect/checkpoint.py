"""Where a training of a mask stands: scores and their momentum, as tensors in a safetensors file, no pickle.

Batches follow from seed and step (`hubdna.protect.data`), so no generator's state is kept. Where pictures are made up,
their generator is trained anew: the training goes on, with other pictures than without the interruption.

A checkpoint belongs to one training, of one model, data, recipe and key: another one's is refused, not gone on with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hubdna.errors import MaskError
from hubdna.writing import whole

Scores = Mapping[str, torch.Tensor]
MOMENTUM = "momentum_buffer"


@dataclass(frozen=True, slots=True)
class Stand:
    """The next step, the weight of the spoilt domain there, and the running size of gradients."""

    step: int
    weight: float
    size: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training's checkpoint lies.

    Attributes:
        path: of the file.
        training: digest of everything that the training follows from, hexadecimal.
    """

    path: Path
    training: str


def save(place: Place, scores: Scores, optimizer: torch.optim.SGD, stand: Stand) -> None:
    """Write; a crash leaves the file before or the file after."""
    found = {f"score.{name}": score.detach() for name, score in scores.items()}
    found |= {f"{MOMENTUM}.{name}": optimizer.state[score][MOMENTUM] for name, score in scores.items()}
    about = {name: repr(value) for name, value in asdict(stand).items()}
    with whole(place.path) as temporary:
        save_file(found, temporary, about | {"training": place.training})


def load(place: Place, scores: Scores, optimizer: torch.optim.SGD) -> Stand | None:
    """Go on from a file, None without one. Raises MaskError when it is another training's."""
    path = place.path
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("training") != place.training:
                raise ValueError("it is of another model, other pictures, another recipe or key")
            stand = Stand(int(about.get("step", "")), float(about.get("weight", "")), float(about.get("size", "")))
            for name, score in scores.items():
                with torch.no_grad():
                    score.copy_(_fitting(file.get_tensor(f"score.{name}"), score))
                optimizer.state[score] = {MOMENTUM: _fitting(file.get_tensor(f"{MOMENTUM}.{name}"), score).clone()}
    except (SafetensorError, ValueError, OSError) as error:
        raise MaskError(f"{path}: not the checkpoint of this training: {str(error)[:120]}; delete it") from None
    if not (0 < stand.step and 0 < stand.weight < math.inf and 0 <= stand.size < math.inf):
        raise MaskError(f"{path}: not where a training can stand: {stand}; delete it")
    return stand


def _fitting(found: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    if found.shape != score.shape or not torch.isfinite(found).all():
        raise ValueError(f"expected finite numbers of shape {tuple(score.shape)}, found {tuple(found.shape)}")
    return found.to(score)
