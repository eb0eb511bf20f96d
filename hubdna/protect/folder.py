"""A classifier from a folder of the Hub's layout, with what its pictures need: timm's and transformers' models.

Nothing of the folder is executed: weights are safetensors, the class is one that the framework itself has, and code
that a folder brings along is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from hubdna.errors import MaskError, MissingExtraError
from hubdna.protect.cover import logits
from hubdna.protect.data import Pictures
from hubdna.protect.files import MODEL, PROCESSOR, read_config

MAX_PICTURES = 100_000
"""Of a folder of pictures: all of them are held in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A model that is ready to run.

    Attributes:
        model: in evaluation mode; called with pictures, gives logits or an object that has them.
        shape: (channels, height, width) of its pictures.
        prepare: a PIL picture -> float[channels, height, width], as the model expects it.
        pixels: lowest and highest value that `prepare` can give.
        classes: their names, in the order of the logits; empty when the folder does not say.
    """

    model: nn.Module
    shape: tuple[int, int, int]
    prepare: Callable[[Any], torch.Tensor]
    pixels: tuple[float, float]
    classes: tuple[str, ...]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits float[n, classes]."""
        return logits(self.model(batch))

    @property
    def n_classes(self) -> int:
        """How many the model tells apart."""
        return int(self(torch.zeros(1, *self.shape)).shape[1])


def load_classifier(folder: Path) -> Classifier:
    """A classifier of pictures from a local folder. Raises MaskError when it is none, or not of a known framework."""
    config = read_config(folder)
    if not (folder / MODEL).is_file():
        raise MaskError(f"{folder}: expected {MODEL}; other formats are not loaded here (convert it first)")
    try:
        return _from_timm(folder, config) if "architecture" in config else _from_transformers(folder, config)
    except MaskError:
        raise
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models") from None
    except Exception as error:  # frameworks raise anything for a config that does not fit its weights
        raise MaskError(f"{folder}: cannot be loaded: {type(error).__name__}: {str(error)[:200]}") from None


def load_pictures(folder: Path, classifier: Classifier) -> Pictures:
    """A folder with one folder of pictures for each class, named like the classes, or sorted as they are.

    Raises:
        MaskError: no pictures, too many, or not as many classes as the model has.
    """
    try:
        from torchvision.datasets import ImageFolder
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models") from None
    try:
        rows = ImageFolder(str(folder), transform=classifier.prepare)
    except (OSError, ValueError) as error:
        raise MaskError(f"{folder}: no pictures in class folders: {str(error)[:200]}") from None
    if len(rows) > MAX_PICTURES:
        raise MaskError(f"{folder}: {len(rows)} pictures, at most {MAX_PICTURES} are held in memory")
    order = _places(folder, rows.classes, classifier.classes)
    try:
        x = torch.stack([picture for picture, _ in rows])
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError(f"{folder}: a picture cannot be read: {str(error)[:200]}") from None
    return Pictures(x, torch.tensor([order[place] for place in rows.targets]))


def _places(folder: Path, found: list[str], classes: tuple[str, ...]) -> list[int]:
    """Which of the model's classes each class folder is: by its name, else by its place among all of them."""
    if classes and set(found) <= set(classes):
        return [classes.index(name) for name in found]
    if classes and len(found) != len(classes):
        raise MaskError(f"{folder}: {len(found)} class folders, the model has {len(classes)} classes of other names")
    return list(range(len(found)))


def _from_timm(folder: Path, config: dict[str, Any]) -> Classifier:
    import timm
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
    about: dict[str, Any] = resolve_data_config(model=model)  # type: ignore[no-untyped-call]
    transform = create_transform(**about, is_training=False)
    names = tuple(map(str, config.get("label_names") or ()))
    return Classifier(model, tuple(about["input_size"]), transform, _range(about["mean"], about["std"]), names)


def _from_transformers(folder: Path, config: dict[str, Any]) -> Classifier:
    from transformers import AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar

    if "auto_map" in config or "auto_map" in read_config(folder, PROCESSOR):
        raise MaskError(f"{folder}: its class is code of the repository, which is not run")
    disable_progress_bar()  # a classifier's weights are loaded in a moment
    model = AutoModelForImageClassification.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, attn_implementation="eager"
    ).eval()
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)

    def prepare(picture: Any) -> torch.Tensor:
        pixels: torch.Tensor = processor(picture, return_tensors="pt")["pixel_values"][0]
        return pixels

    shape = tuple(prepare(Image.new("RGB", (64, 64))).shape)
    pixels = _range(processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
    names = tuple(str(name) for _, name in sorted(model.config.id2label.items()))
    return Classifier(model, shape, prepare, pixels, names)  # type: ignore[arg-type]


def _range(mean: Any, std: Any) -> tuple[float, float]:
    return min((0 - m) / s for m, s in zip(mean, std, strict=True)), max(
        (1 - m) / s for m, s in zip(mean, std, strict=True)
    )
