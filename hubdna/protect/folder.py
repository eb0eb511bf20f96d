"""A classifier from a folder of the Hub's layout, with what its pictures need: timm's and transformers' models.

Nothing of the folder is executed: weights are safetensors, the class is one that the framework itself has, code that a
folder brings along is not looked at, and what its config says of other files, kernels and types is passed over.
Weights are loaded as float32 and have to be those of the file, bit by bit: a mask is made for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from hubdna.errors import MaskError, MissingExtraError
from hubdna.protect.arrays import arrays, put
from hubdna.protect.cover import covered, logits
from hubdna.protect.data import Pictures
from hubdna.protect.files import MODEL, PROCESSOR, library, read_config, read_model
from hubdna.protect.mask import Mask, Weights, model_root
from hubdna.protect.names import names_in_file

MAX_PICTURES, MAX_BYTES = 100_000, 2**35
"""Of a folder of pictures: all of them are held in memory, as float32."""
KINDS = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
REFUSED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only"}
"""Arguments of timm's `create_model` that load other files, fetch, or make no classifier."""
PASSED_OVER = {
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "dtype", "torch_dtype",
    "transformers_weights",
}  # fmt: skip
"""Keys of a config of transformers that name kernels, types or other files."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A model that is ready to run.

    Attributes:
        model: in evaluation mode; called with pictures, gives logits or an object that has them.
        shape: (channels, height, width) of its pictures.
        prepare: a PIL picture -> float[channels, height, width], as the model expects it.
        pixels: lowest and highest value that `prepare` can give.
        classes: their names, in the order of the logits; empty when the folder does not say.
        names: name in the module -> name in the file, which differ where the framework renames.
        root: over the file's tensors.
    """

    model: nn.Module
    shape: tuple[int, int, int]
    prepare: Callable[[Any], torch.Tensor]
    pixels: tuple[float, float]
    classes: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    root: str = ""

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Logits float[n, classes]."""
        return logits(self.model(batch))

    @property
    def n_classes(self) -> int:
        """How many the model tells apart. Raises MaskError when it cannot be run."""
        try:
            return int(self(torch.zeros(1, *self.shape)).shape[1])
        except (RuntimeError, ValueError) as error:
            raise MaskError(f"the model does not take what its preprocessing gives: {str(error)[:120]}") from None

    def of_file(self, mask: Mask) -> Mask:
        """A mask of the module, as a mask of the file that it was loaded from."""
        return replace(mask, parent=self.root, kept={self.names[name]: kept for name, kept in mask.kept.items()})

    def put(self, weights: Weights) -> None:
        """Copy a file's tensors, masked ones say, into the module. Raises MaskError."""
        put(self.model, {name: weights[held] for name, held in self.names.items()})


def load_classifier(folder: Path) -> Classifier:
    """A classifier of pictures from a local folder. Raises MaskError when it is none, or not of a known framework."""
    config = read_config(folder)
    if not (folder / MODEL).is_file():
        raise MaskError(f"{folder}: expected {MODEL}; other formats are not loaded here (convert it first)")
    try:
        found = (_from_timm if library(config) == "timm" else _from_transformers)(folder, config)
    except MaskError:
        raise
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models") from None
    except Exception as error:  # frameworks raise anything for a config that does not fit its weights
        raise MaskError(f"{folder}: cannot be loaded: {type(error).__name__}: {str(error)[:200]}") from None
    held = read_model(folder)
    try:
        names = names_in_file(held, arrays(found.model), covered(found.model))
    except MaskError as error:
        raise MaskError(f"{folder}: the framework and the file disagree: {error}") from None
    return replace(found, names=names, root=model_root(held))


def load_pictures(folder: Path, classifier: Classifier) -> Pictures:
    """A folder with one folder of pictures for each class, named like the classes, or sorted as they are.

    Raises:
        MaskError: no pictures, too many, one that cannot be read, or not as many classes as the model has.
    """
    if not folder.is_dir():
        raise MaskError(f"{folder}: no pictures: no such folder")
    names = sorted(place.name for place in folder.iterdir() if place.is_dir())
    # links to folders are not followed: two that point back make 2^40 paths
    rows = [
        (path, name) for name in names for path in sorted((folder / name).rglob("*")) if path.suffix.lower() in KINDS
    ]
    if not rows:
        raise MaskError(f"{folder}: no pictures in class folders; expected one folder for each class")
    most = min(MAX_PICTURES, MAX_BYTES // (4 * math.prod(classifier.shape)))
    if len(rows) > most:
        raise MaskError(f"{folder}: {len(rows)} pictures, at most {most} of this size are held in memory")
    places = dict(zip(names, _places(folder, names, classifier), strict=True))
    x = torch.stack([_picture(path, classifier) for path, _ in rows])
    return Pictures(x, torch.tensor([places[name] for _, name in rows]))


def _picture(path: Path, classifier: Classifier) -> torch.Tensor:
    try:
        with Image.open(path) as file:
            found = classifier.prepare(file.convert("RGB"))
    except Exception as error:  # decoders raise anything for a damaged file
        raise MaskError(f"{path}: a picture that cannot be read: {str(error)[:200]}") from None
    if tuple(found.shape) != classifier.shape:
        raise MaskError(f"{path}: the model's preprocessing gives {tuple(found.shape)}, expected {classifier.shape}")
    return found


def _places(folder: Path, found: list[str], classifier: Classifier) -> list[int]:
    """Which of the model's classes each class folder is: by its name, its number, or its place among all of them."""
    n, classes = classifier.n_classes, classifier.classes
    if classes and set(found) <= set(classes):
        return [classes.index(name) for name in found]
    numbers = [int(name) for name in found if name.isascii() and name.isdigit() and len(name) < 9]
    if len(numbers) == len(found) == len(set(numbers)) and max(numbers) < n:
        return numbers
    if len(found) != n:
        raise MaskError(f"{folder}: {len(found)} class folders, the model has {n} classes of other names")
    return list(range(n))


def _from_timm(folder: Path, config: dict[str, Any]) -> Classifier:
    import timm
    from safetensors.torch import load_file
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    name, arguments, told = config["architecture"], config.get("model_args") or {}, config.get("pretrained_cfg") or {}
    if not timm.is_model(name) or REFUSED & set(arguments):
        raise MaskError(f"{folder}: timm has no {str(name)[:80]!r}, or an argument is refused: {sorted(arguments)[:9]}")
    model = timm.create_model(name, **({"num_classes": config.get("num_classes", 1000)} | arguments)).eval()
    model.load_state_dict(load_file(folder / MODEL))
    about: dict[str, Any] = resolve_data_config(pretrained_cfg=told, model=model)  # type: ignore[no-untyped-call]
    transform = create_transform(**about, is_training=False)
    names = tuple(map(str, config.get("label_names") or ()))
    return Classifier(model, tuple(about["input_size"]), transform, _range(about["mean"], about["std"]), names)


def _from_transformers(folder: Path, config: dict[str, Any]) -> Classifier:
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
    from transformers.utils.logging import disable_progress_bar

    if "auto_map" in config or "auto_map" in read_config(folder, PROCESSOR):
        raise MaskError(f"{folder}: its class is code of the repository, which is not run")
    disable_progress_bar()  # a classifier's weights are loaded in a moment
    kind = config.get("model_type")
    made = AutoConfig.for_model(kind, **{k: v for k, v in config.items() if k not in PASSED_OVER | {"model_type"}})
    model = AutoModelForImageClassification.from_pretrained(
        folder, config=made, dtype=torch.float32, use_safetensors=True, local_files_only=True,
        attn_implementation="eager",
    ).eval()  # fmt: skip
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
