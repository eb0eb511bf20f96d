"""The behaviour zoo as sketches: what the network learns from, and what the board measures it on.

Roots 7 to 13 of every recipe are fresh: nothing was chosen by looking at them, and no network that is shipped learned
from them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "boards"))

from learn import Zoo

import behaviour_seen as seen
from hubdna.behaviour import probes
from hubdna.behaviour.fragments import BUCKETS, STRENGTHS, sketch
from hubdna.records import Behaviour
from hubdna.writing import whole

FRESH = tuple(range(7, 14))
KEPT = seen.ZOO / "behaviour-sketches"


def models(modality: str, roots: Sequence[int] | None = None) -> list[seen.Model]:
    """The zoo's models of one modality, of some roots or all."""
    text = ("decoder", "encoder")
    chosen = [m for m in seen.models() if m.recipe.startswith(text) == (modality == "text")]
    return [m for m in chosen if roots is None or root_of(m) in roots]


def root_of(model: seen.Model) -> int:
    """The number of a model's root within its recipe."""
    return int(model.family.rpartition("-")[2])


def made(chosen: Sequence[seen.Model], make: Callable[[Behaviour], NDArray[np.float32]]) -> Zoo:
    """A zoo of sketches that `make` makes. Raises FileNotFoundError if a model was not seen."""
    rows = []
    for model in chosen:
        behaviour = seen.seen(model)
        if behaviour is None:
            raise FileNotFoundError(f"{model.family}/{model.key} was not seen: run scripts/boards/behaviour_seen.py")
        rows.append(make(behaviour))
    return Zoo(
        np.stack(rows), np.array([m.recipe for m in chosen]), np.array([root_of(m) for m in chosen]),
        np.array([m.key for m in chosen]),
    )  # fmt: skip


def load(modality: str) -> Zoo:
    """All models of a modality as sketches; kept beside the zoo."""
    chosen = models(modality)
    name = f"{probes.scheme(modality).replace('/', ' ')} {STRENGTHS} {BUCKETS} {len(chosen)}.npy"
    if not (KEPT / name).exists():
        KEPT.mkdir(exist_ok=True)
        zoo = made(chosen, sketch)
        with whole(KEPT / name) as path, path.open("wb") as file:
            np.save(file, zoo.sketches)
    rows = np.load(KEPT / name)
    return Zoo(
        rows, np.array([m.recipe for m in chosen]), np.array([root_of(m) for m in chosen]),
        np.array([m.key for m in chosen]),
    )  # fmt: skip
