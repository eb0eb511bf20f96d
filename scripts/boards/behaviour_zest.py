"""Zest beside the network, for classifiers of pictures (Jia et al., *A Zest of LIME*, ICLR 2022), from its description.

A model is what LIME says of it: for each of some pictures, squares of it are greyed at random, and a linear map from
squares to the answers is fitted; all maps together are the model's vector, compared by cosine. Ours: 32 probes (the
drawn things, every fourth one), a grid of 4 x 4 squares, 32 greyed copies each, log-probabilities, least squares with a
small ridge. Two models of unlike numbers of answers do not compare: 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from behaviour_plain import TUNED_ON, row
from behaviour_score import best_line
from behaviour_seen import Model
from hubdna.behaviour.opening import open_subject

GRID, COPIES, CHOSEN, RIDGE = 4, 32, slice(64, 192, 4), 1e-2


def explained(model: Model) -> NDArray[np.float32]:
    """The linear maps of one model, [pictures * squares * answers]."""
    subject = open_subject(model.folder)
    kept = torch.tensor(np.random.default_rng(0).integers(0, 2, (COPIES, GRID * GRID)), dtype=torch.float32)
    design = torch.cat([kept, torch.ones(COPIES, 1)], 1)
    solve = torch.linalg.solve(design.T @ design + RIDGE * torch.eye(design.shape[1]), design.T)
    maps = []
    with torch.inference_mode():
        for picture in subject.inputs[CHOSEN]:
            squares = kept.view(COPIES, 1, GRID, GRID)
            shown = torch.nn.functional.interpolate(squares, picture.shape[1:], mode="nearest")
            _, answer = subject.look(picture * shown + picture.mean((1, 2), keepdim=True) * (1 - shown))
            maps.append((solve @ answer.log_softmax(-1))[:-1])
    return torch.stack(maps).flatten().numpy()


def measured(
    models: Sequence[Model], pairs: NDArray[Any], related: NDArray[Any], families: NDArray[Any], dna: NDArray[Any]
) -> dict[str, Any]:
    """Zest on the board's own pairs."""
    import zoo_sketches

    own = zoo_sketches.models("vision", TUNED_ON)
    zoo = zoo_sketches.made(own, lambda behaviour: np.zeros((4, 1), np.float32))
    own_pairs, own_related = zoo.pairs()
    line = best_line(_scores(own, own_pairs), own_related)
    return row(_scores(models, pairs), related, families, dna, line)


def _scores(models: Sequence[Model], pairs: NDArray[Any]) -> NDArray[np.float64]:
    held = {int(i): explained(models[i]) for i in np.unique(pairs)}
    return np.array([_cosine(held[int(a)], held[int(b)]) for a, b in pairs])


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) if a.shape == b.shape else 0.0
