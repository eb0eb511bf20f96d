"""More probes than are shipped: 1,024 of the same makers, shown to the zoo once more, for board `behaviour`.

    python scripts/boards/behaviour_many.py text|vision     # resumable; some 40 minutes of one core each

Pictures are drawn by `make_probes` with another seed; texts are windows of the shipped text at 1,024 places. Of each
model two sketches are kept, of every second probe and of all. Roots 7 to 13 of each recipe, to bound the hours.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "behaviour"))

import numpy as np
import torch
import zoo_sketches
from learn import Zoo
from make_probes import draw_all
from numpy.typing import NDArray

from behaviour_plain import thinned
from behaviour_seen import ZOO, Model
from hubdna.behaviour import probes
from hubdna.behaviour.fragments import sketch
from hubdna.behaviour.opening import open_subject
from hubdna.behaviour.relations import look
from hubdna.records import Behaviour
from hubdna.writing import whole

N = 1024
HELD = ZOO / "behaviour-many"


def shown(modality: str) -> probes.Probes:
    """1,024 probes."""
    if modality == "vision":
        drawn = draw_all(np.random.default_rng(1024), -(-N // 3))
        return probes.Probes(drawn[np.linspace(0, len(drawn) - 1, N).round().astype(int)], None)
    return probes.Probes(None, probes.windows(N))


def file(model: Model) -> Path:
    """Where a model's two sketches lie, float32 [2, 4, 2048]."""
    return HELD / f"{model.family}.{model.key}.npy"


def missing(modality: str) -> list[Model]:
    """Models not seen yet."""
    return [model for model in zoo_sketches.models(modality, zoo_sketches.FRESH) if not file(model).exists()]


def zoo(modality: str, n: int) -> Zoo:
    """The zoo's sketches on 512 or 1,024 probes. Raises FileNotFoundError while some are missing."""
    chosen = zoo_sketches.models(modality, zoo_sketches.FRESH)
    rows = np.stack([np.load(file(model))[n // N] for model in chosen])
    roots = np.array([zoo_sketches.root_of(m) for m in chosen])
    return Zoo(rows, np.array([m.recipe for m in chosen]), roots, np.array([m.key for m in chosen]))


def sketches(model: Model, given: probes.Probes) -> NDArray[np.float32]:
    """A model on every second probe, and on all."""
    subject = open_subject(model.folder, given)
    seen = Behaviour("", subject.modality, subject.loader, *look(subject, 64))
    return np.stack([sketch(thinned(seen, N // 2)), sketch(seen)])


def main() -> None:
    """Sees whatever is missing."""
    torch.set_num_threads(1)
    HELD.mkdir(exist_ok=True)
    given = shown(sys.argv[1])
    todo = missing(sys.argv[1])
    for n, model in enumerate(todo):
        made = sketches(model, given)
        with whole(file(model)) as path, path.open("wb") as out:
            np.save(out, made)
        print(f"{n + 1} of {len(todo)}", file=sys.stderr, end="\r")


if __name__ == "__main__":
    main()
