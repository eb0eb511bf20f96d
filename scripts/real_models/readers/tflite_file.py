"""TFLite models: a flatbuffer whose constant tensors are the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from readers.optional import need

# numbers of the TensorType enum in TFLite's schema
DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 9: "i1"}


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a `.tflite` file that have data, activations thus left out.

    Raises:
        ValueError: two tensors share a name, or one is of a kind not read here (sparse, text).
    """
    tflite = need("tflite", "TFLite")
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    tensors: dict[str, np.ndarray] = {}
    for tensor, data in _constants(model):
        name = tensor.Name().decode()
        if name in tensors:
            raise ValueError(f"{path.name}: two tensors are called {name}")
        tensors[name] = _array(name, tensor, data)
    return tensors


def _constants(model: Any) -> Iterator[tuple[Any, bytes]]:
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            if buffer is not None and buffer.DataLength():
                yield tensor, buffer.DataAsNumpy().tobytes()


def _array(name: str, tensor: Any, data: bytes) -> np.ndarray:
    if tensor.Type() not in DTYPES:
        raise ValueError(f"{name} has TFLite type {tensor.Type()}, which is not read here")
    shape = [int(n) for n in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []
    array = np.frombuffer(data, DTYPES[tensor.Type()])
    if array.size != math.prod(shape):
        raise ValueError(f"{name} has {array.size} values for shape {shape}: sparse tensors are not read here")
    return array.reshape(shape)
