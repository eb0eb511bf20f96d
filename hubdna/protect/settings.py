"""The paper's three settings: what is at hand decides where pictures come from.

    SA-MAP     source and target data     spared: source       spoilt: target
    SF-MAP     target data only           spared: made up      spoilt: target, its classes as the original sees them
    DF-MAP     nothing but the model      spared: made up      spoilt: neighbours of what is made up
    (ours)     source data only           spared: source       spoilt: neighbours of the source

*Source* is the authorised domain. With an owner's key, spared pictures under the key's pattern are spoilt as well, and
those under patterns of other keys are spared (`hubdna.protect.watermark`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from hubdna.errors import MaskError
from hubdna.protect.arrays import arrays
from hubdna.protect.checkpoint import Place
from hubdna.protect.data import Batch, Pictures, generator
from hubdna.protect.imagine import Imagined
from hubdna.protect.mask import Mask, model_root
from hubdna.protect.neighbours import neighbours, shaken
from hubdna.protect.straight import Masked
from hubdna.protect.train import Draw, Progress, Recipe, quiet, train
from hubdna.protect.watermark import commitment, decoys, marked
from hubdna.roots import canonical, digest

Shape = tuple[int, int, int]
SETTINGS = {(True, True): "SA-MAP", (False, True): "SF-MAP", (False, False): "DF-MAP", (True, False): "source only"}
"""By whether source and target data are at hand."""


def train_mask(
    model: nn.Module,
    *,
    source: Pictures | None = None,
    target: Pictures | None = None,
    shape: Shape | None = None,
    key: bytes | None = None,
    recipe: Recipe | None = None,
    checkpoint: Path | None = None,
    progress: Progress = quiet,
) -> Mask:
    """Learn a mask under which a classifier works in its authorised domain and fails elsewhere.

    Args:
        model: a classifier of pictures, from timm, transformers or elsewhere; frozen from here on.
        source: pictures of the authorised domain.
        target: pictures of another one.
        shape: (channels, height, width) of the model's pictures; needed where neither source nor target is given.
        key: an owner's secret, at least 16 random bytes, to be shown later.
        recipe: how it is learnt.
        checkpoint: a file to go on from after an interruption; another training's is refused.
        progress: called after each step with (step, divergence on what is spared, bounded -log p on what is spoilt).

    Raises:
        MaskError: the model is no classifier, has nothing to mask, or the data do not fit it.
    """
    recipe = recipe or Recipe()
    facts = {"setting": SETTINGS[source is not None, target is not None], "seed": str(recipe.seed)}
    facts |= {"owner": commitment(key)} if key is not None else {}
    parent = model_root(arrays(model))
    masked = Masked(model, recipe.start)
    draw = _draw(masked, source, target, *_form(masked, source, target, shape), recipe)
    if key is not None:
        draw = _with_mark(draw, key, recipe.seed)
    place = Place(checkpoint, _training(parent, source, target, recipe, facts)) if checkpoint else None
    train(masked, draw, recipe, checkpoint=place, progress=progress)
    return Mask(parent, masked.kept(), facts)


def _form(masked: Masked, source: Pictures | None, target: Pictures | None, shape: Shape | None) -> tuple[Shape, int]:
    """Shape of the pictures, number of classes. Raises MaskError for data that do not fit each other or the model."""
    known = [pictures for pictures in (source, target) if pictures]
    shapes: set[Shape | None] = {pictures.shape for pictures in known} or {shape}
    if len(shapes) > 1:
        raise MaskError(f"source and target: expected pictures of one shape, found {sorted(map(str, shapes))}")
    if (found := shapes.pop()) is None:
        raise MaskError("shape: without source and target data, say (channels, height, width) of the model's pictures")
    try:
        n_classes = masked.original(torch.zeros(1, *found).to(next(iter(masked.scores.values())))).shape[1]
    except (RuntimeError, ValueError) as error:
        raise MaskError(f"the model does not take pictures of shape {found}: {str(error)[:200]}") from None
    for pictures in known:
        low, high = int(pictures.y.min()), int(pictures.y.max())
        if low < 0 or high >= n_classes:
            raise MaskError(f"pictures: the model has classes 0 to {n_classes - 1}, found {low} to {high}")
    return found, n_classes


def _training(
    parent: str, source: Pictures | None, target: Pictures | None, recipe: Recipe, facts: Mapping[str, str]
) -> str:
    """What a training follows from, as one digest: two trainings do not share a checkpoint."""
    data = {
        f"{name}.{part}": getattr(pictures, part).cpu().numpy()
        for name, pictures in (("source", source), ("target", target)) if pictures for part in ("x", "y")
    }  # fmt: skip
    told = canonical([parent, asdict(recipe), dict(facts)])
    return digest("mask training", told, bytes.fromhex(model_root(data))).hex()


def _draw(
    masked: Masked, source: Pictures | None, target: Pictures | None, shape: Shape, n_classes: int, recipe: Recipe
) -> Draw:
    made_up = None if source else Imagined(masked, shape, n_classes, recipe.batch, recipe.pixels, recipe.seed)
    seen = target and Pictures(target.x, masked.answers(target.x)) if made_up else target

    def draw(step: int) -> tuple[Batch, Batch]:
        random = generator(recipe.seed + 2, step)
        x, y = source.batch(recipe.batch, recipe.seed, step) if source else made_up(step)  # type: ignore[misc]
        other, classes = seen.batch(recipe.batch, recipe.seed + 3, step) if seen else (neighbours(x, random), y)
        if step % 2:
            x, other = shaken(x, random), shaken(other, random)
        return (x, y), (other, classes)

    return draw


def _with_mark(draw: Draw, key: bytes, seed: int) -> Draw:
    """Half of what is spoilt are spared pictures under the key's pattern; a quarter of those spared have another's."""

    def both(step: int) -> tuple[Batch, Batch]:
        (x, y), (other, classes) = draw(step)
        half, quarter = len(x) // 2, len(x) // 4
        spared = torch.cat([x[:-quarter], decoys(x[-quarter:], generator(seed + 4, step))])
        spoilt = torch.cat([other[:half], marked(x[half:], key)])
        return (spared, y), (spoilt, torch.cat([classes[:half], y[half:]]))

    return both
