"""TorchScript archives (`.jit`), without running them.

`torch.jit.load` compiles and may run the code inside the archive, and `weights_only=True` refuses such
files. But the weights only need the archive's `data.pkl`: a tree of module objects whose leaves are tensors
over the raw `data/<N>` members. This reader walks that tree with an unpickler that knows how to build
tensors, ordered dicts and inert stand-ins for the archive's own classes. Any other name in the pickle is an
error.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Module:
    """Stand-in for a class of the archive: holds its attributes, does nothing."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


def read(path: Path) -> dict[str, np.ndarray]:
    """All non-empty tensors of the module tree, named as in a state dict."""
    with zipfile.ZipFile(path) as bundle:
        (index,) = (n for n in bundle.namelist() if n.count("/") == 1 and n.endswith("/data.pkl"))
        with bundle.open(index) as stream:
            root = _Unpickler(stream, bundle, index.removesuffix(".pkl")).load()
    return {name: array for name, array in _walk(root, "") if array.size}


def _walk(item: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(item, np.ndarray):
        yield name, item
    attributes = getattr(item, "attributes", None) if isinstance(item, _Module) else item
    if isinstance(attributes, dict):
        for key, value in attributes.items():
            yield from _walk(value, f"{name}.{key}" if name else str(key))


class _Unpickler(pickle.Unpickler):
    """Builds numpy arrays from a TorchScript pickle; every class it meets is on a list."""

    def __init__(self, stream: Any, bundle: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._bundle = bundle
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("torch.jit._pickle", "build_intlist"):
            return list
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._bundle.read(f"{self._folder}/{int(key)}"), dtype)


def _rebuild(storage: np.ndarray, offset: int, shape: Any, stride: Any, *_: Any) -> np.ndarray:
    """A tensor over a storage, as `torch._utils._rebuild_tensor_v2` makes it."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if 0 in shape:
        return np.empty(tuple(shape), storage.dtype)
    if offset < 0 or min(stride, default=0) < 0 or last >= storage.size:
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    steps = [step * storage.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage[offset:], tuple(shape), steps, writeable=False)
    return np.ascontiguousarray(view).reshape(tuple(shape))
