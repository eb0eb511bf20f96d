"""TensorFlow.js models: a `model.json` whose manifest lists the tensors of the binary shards beside it.

A tensor may be stored narrower than it is: as float16, or as unsigned integers with a scale and a minimum.
It is widened here to the float32 that TensorFlow.js itself would compute with.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {"float32": "<f4", "int32": "<i4", "bool": "?", "uint8": "u1"}
STORED = {"float16": "<f2", "uint8": "u1", "uint16": "<u2"}


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors named in the manifest of a `model.json`."""
    tensors: dict[str, np.ndarray] = {}
    for group in json.loads(path.read_text(encoding="utf-8"))["weightsManifest"]:
        data = b"".join(_shard(path.parent, name) for name in group["paths"])
        offset = 0
        for entry in group["weights"]:
            tensors[entry["name"]], used = _tensor(entry, data, offset)
            offset += used
        if offset != len(data):
            raise ValueError(f"{path.name}: {len(data) - offset} bytes belong to no tensor")
    return tensors


def _shard(folder: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise ValueError(f"shard {name!r} lies outside the model's folder")
    return (folder / name).read_bytes()


def _tensor(entry: dict[str, Any], data: bytes, offset: int) -> tuple[np.ndarray, int]:
    """One tensor, and the bytes it took."""
    how = entry.get("quantization")
    dtype = np.dtype(STORED[how["dtype"]] if how else DTYPES[entry["dtype"]])
    array = np.frombuffer(data, dtype, math.prod(entry["shape"]), offset).reshape(entry["shape"])
    used = array.nbytes
    if how:
        array = array.astype(np.float32)
        if how["dtype"] != "float16":
            array = array * np.float32(how["scale"]) + np.float32(how["min"])
    return array, used
