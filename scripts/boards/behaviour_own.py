"""Students on their teacher's own data: what the paper's setting, in which the source's data are at hand, would add.

The shipped probes are nobody's data, and a student of another architecture follows its teacher only where both were
trained. So teachers, students and controls are shown 256 held-out pictures of the teacher's data instead, and their
answers alone are compared: whitened, sketched, what a recipe has in common taken away (learned from the roots that are
not fresh), without similarity loss. AUC on the fresh roots, over all four recipes together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))

import images
import numpy as np
import torch
import zoo_sketches
from learn import Options, Zoo, network_of, pair_cosines
from numpy.typing import NDArray

from behaviour_score import auc
from behaviour_seen import Model
from hubdna.behaviour.fragments import BUCKETS, STRENGTHS, whitened
from hubdna.behaviour.opening import open_subject

N, KEYS = 256, ("root", "distilled", "distilled-other", "alone", "alone-other")


def measured() -> dict[str, float]:
    """AUC of students on their teacher's data, by architecture."""
    models = [m for m in zoo_sketches.models("vision") if m.key in KEYS]
    zoo = Zoo(
        np.stack([_sketch(model) for model in models]), np.array([m.recipe for m in models]),
        np.array([zoo_sketches.root_of(m) for m in models]), np.array([m.key for m in models]),
    )  # fmt: skip
    old = [n for n in np.unique(zoo.root).tolist() if n not in zoo_sketches.FRESH]
    network, test = network_of(zoo.roots(old), Options(size=512, steps=0)), zoo.roots(zoo_sketches.FRESH)
    found = {}
    for key in ("distilled", "distilled-other"):
        pairs, related = test.pairs((key,))
        found[key] = auc(pair_cosines(test, network, pairs)[:, 0], related)
        for recipe in np.unique(test.recipe).tolist():
            own = test.of(test.recipe == recipe)
            pairs, related = own.pairs((key,))
            found[f"{key}, {recipe}"] = auc(pair_cosines(own, network, pairs)[:, 0], related)
    return found


def _sketch(model: Model) -> NDArray[np.float32]:
    """The answers of a model on the data of its family, as a sketch of one block."""
    subject = open_subject(model.folder)
    x = _pictures(model.recipe.endswith("clothes"), subject.inputs.shape[-1])
    with torch.inference_mode():
        answer = subject.look(x)[1].log_softmax(-1).double()
    answer = answer - answer.mean(0)
    relations = (answer @ answer.T / answer.square().sum(1).mean()).float().numpy()
    upper = np.triu_indices(N, 1)
    values = np.concatenate([whitened(relations, by)[upper] for by in STRENGTHS])
    random = np.random.RandomState(5)
    bucket, sign = random.randint(0, BUCKETS, len(values)), random.choice([-1.0, 1.0], len(values))
    return np.bincount(bucket, sign * values, BUCKETS)[None].astype(np.float32)


def _pictures(clothes: bool, side: int) -> torch.Tensor:
    """Held-out pictures as the models of the zoo were trained on them, [N, 1, side, side] in [-1, 1]."""
    *_, x, _ = images.fashion() if clothes else images.digits()
    x = torch.as_tensor(x)[:N].float()
    if clothes:
        made = torch.nn.functional.adaptive_avg_pool2d(x, side)
    else:
        made = torch.nn.functional.interpolate(x, (side, side), mode="bilinear")
    return made * 2 - 1


def rows(found: dict[str, Any]) -> list[list[str]]:
    """For a table."""
    return [[name, f"{value:.3f}"] for name, value in found.items()]
