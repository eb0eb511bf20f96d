"""Masks and models in files. A mask is a safetensors file with one bit a weight; a model is read whole.

    mask.safetensors         uint8, for each covered tensor: the bits of its mask in C order, first bit highest
                             metadata: format, the parent's root, the tensors' shapes, the root of the bits
    complement.safetensors   the weights that were taken away; whoever has it and the release has the original

Files come from strangers: sizes are checked before anything is read, and nothing that the mask says of itself is
believed before it fits its bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import MaskError
from hubdna.protect.mask import Mask, Weights
from hubdna.roots import array_digest, canonical, is_hex, merkle_root
from hubdna.writing import whole

FORMAT = "hubdna.mask/1"
MAX_FACT = 500
MAX_MASK = 2**34
"""Bytes of a mask file: one bit for each of 10^11 weights."""
MAX_AXES = 8
"""Of a tensor of a mask: no layer that is covered has more than 5."""
MAX_CONFIG = 1_000_000
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
MASK, COMPLEMENT, MODEL = "mask.safetensors", "complement.safetensors", "model.safetensors"


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask; the file is complete or not there at all."""
    bits = {name: np.packbits(kept.reshape(-1)) for name, kept in mask.kept.items()}
    shapes = {name: list(kept.shape) for name, kept in mask.kept.items()}
    about = {
        "format": FORMAT, "parent": mask.parent, "shapes": canonical(shapes).decode(), "bits": _bits_root(bits, shapes),
        **{f"fact.{key}": str(value)[:MAX_FACT] for key, value in mask.facts.items()},
    }  # fmt: skip
    write(path, bits, about)


def read_mask(path: Path) -> Mask:
    """Read a mask. Raises MaskError for anything that `write_mask` would not have written."""
    bits, about = _load(path, MAX_MASK)
    if about.get("format") != FORMAT or not is_hex(about.get("parent")):
        raise MaskError(f"{path}: not a mask: expected format {FORMAT} and the parent's root in the metadata")
    shapes = _shapes(path, about.get("shapes", ""))
    if shapes.keys() != bits.keys():
        raise MaskError(f"{path}: shapes are given of other tensors than those that it holds")
    kept = {name: _unpack(path, name, bits[name], shape) for name, shape in shapes.items()}
    if about.get("bits") != _bits_root(bits, shapes):
        raise MaskError(f"{path}: its bits are not those that it was written with")
    facts = {key[5:]: value for key, value in about.items() if key.startswith("fact.")}
    return Mask(about["parent"], kept, facts)


def read_model(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a model: a safetensors file, or a folder with one or several. Raises MaskError."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    files = [file for file in files if file.name not in {MASK, COMPLEMENT}]
    if not files:
        raise MaskError(f"{path}: no safetensors file here")
    found: dict[str, NDArray[Any]] = {}
    for file in files:
        part, _ = _load(file)
        if twice := part.keys() & found.keys():
            raise MaskError(f"{file}: {min(twice)[:80]!r} lies in another file of this model, too")
        found |= part
    return found


def read_complement(path: Path) -> dict[str, NDArray[Any]]:
    """The weights that were taken away, by tensor. Raises MaskError."""
    return _load(path)[0]


def read_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """A model's config.json, or another such file. Raises MaskError."""
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise MaskError(f"{path}: expected a file")
        if path.stat().st_size > MAX_CONFIG:
            raise MaskError(f"{path}: over {MAX_CONFIG} bytes: not read")
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MaskError(f"{path}: cannot be read: {str(error)[:120]}") from None
    if not isinstance(found, dict):
        raise MaskError(f"{path}: expected an object")
    return found


def library(config: Mapping[str, Any]) -> str:
    """Which framework a model's config is for: `timm` or `transformers`."""
    return "timm" if "architecture" in config else "transformers"


def write(path: Path, weights: Weights, about: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file through a temporary one: it is complete or not there at all."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(array, order="C") for name, array in weights.items()}
    with whole(path) as temporary:
        save_file(arrays, temporary, dict(about or {}) or None)


def _load(path: Path, most: int | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    import ml_dtypes  # noqa: F401  # teaches numpy bfloat16 and float8
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise MaskError(f"{path}: no such file")
        if most is not None and path.stat().st_size > most:
            raise MaskError(f"{path}: {path.stat().st_size} bytes, at most {most} can be right: not read")
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise MaskError(f"{path}: not a sound safetensors file: {str(error)[:120]}") from None


def _shapes(path: Path, text: str) -> dict[str, tuple[int, ...]]:
    try:
        found = json.loads(text)
        shapes = {str(name): tuple(shape) for name, shape in found.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise MaskError(f"{path}: its shapes cannot be read") from None
    if not all(len(shape) <= MAX_AXES for shape in shapes.values()):
        raise MaskError(f"{path}: a shape has more than {MAX_AXES} axes")
    if not all(type(n) is int and 0 < n < 2**40 for shape in shapes.values() for n in shape):
        raise MaskError(f"{path}: a shape is not made of positive whole numbers")
    return shapes


def _unpack(path: Path, name: str, bits: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    n = 1
    for side in shape:
        n *= side
    if bits.dtype != np.uint8 or bits.shape != (-(-n // 8),):
        raise MaskError(f"{path}: {name[:80]}: {n} weights need {-(-n // 8)} bytes, found {bits.dtype} {bits.shape}")
    flat = np.unpackbits(bits).view(bool)  # each 0 or 1; not copied
    if flat[n:].any():
        raise MaskError(f"{path}: {name[:80]}: bits behind the last weight are set")
    return flat[:n].reshape(shape)


def _bits_root(bits: Weights, shapes: Mapping[str, Any]) -> str:
    return merkle_root(
        [array_digest(name, "bits", list(shapes[name]), bits[name].tobytes()) for name in sorted(bits)]
    ).hex()
