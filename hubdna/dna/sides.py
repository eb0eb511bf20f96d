"""Hidden layers from two sides: responses of all units of a few layers, for the matchings of `evidence.agreement`.

A full read. A unit's input side is its row of the map out of the residual stream, its output side its column of the
map back (a gated layer has two maps out; these are taken). Multiplied with labelled inputs neither depends on how the
stream was rotated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hubdna.dna import anchors, blocks, plan, roles
from hubdna.dna.anchors import Anchors
from hubdna.records import TensorInfo
from hubdna.sources.interface import ByteReader, Tensor, read_units

N_LAYERS = 4
"""Layers looked at, spread over the depth."""
N_INPUTS = 1024
Sides = tuple[NDArray[np.float32], NDArray[np.float32]]


def layer_sides(reader: ByteReader, tensors: Sequence[Tensor]) -> list[Sides]:
    """Read the responses of a few hidden layers, in the order of their names; empty when a model has none."""
    table = _read_table(reader, tensors)
    if table is None:
        return []
    layers = [pair for pair in _hidden_layers(tensors, table.width).values() if len(pair) == 2]
    found = []
    for first, second in blocks.spread(layers, N_LAYERS):
        sides = [_responses(t.info, next(read_units(reader, [(t, 0, t.n_units)])), table) for t in (first, second)]
        if sides[0].shape[0] == sides[1].shape[0]:
            found.append((sides[0], sides[1]))
    return found


def _read_table(reader: ByteReader, tensors: Sequence[Tensor]) -> Anchors | None:
    found = anchors.find_table([t.info for t in tensors])
    if found is None:
        return None
    tensor = next(t for t in tensors if t.info is found[0])
    if roles.token_table([t.info for t in tensors]) is None:
        return anchors.from_map(tensor.info, next(read_units(reader, [(tensor, 0, tensor.n_units)])), found[1])
    start = plan.anchor_start(tensor.n_units)
    n = min(N_INPUTS, tensor.n_units - start)
    return anchors.from_rows(tensor.info, next(read_units(reader, [(tensor, start, n)])))


def _hidden_layers(tensors: Sequence[Tensor], width: int) -> dict[str, list[Tensor]]:
    """Two maps of each hidden layer, maps out of the stream before maps back."""
    layers: dict[str, list[Tensor]] = defaultdict(list)
    for tensor in sorted(plan.by_name(tensors), key=lambda t: not roles.reads_stream(t.info.name)):
        start = roles.stream_map_at(tensor.info.name)
        able = start is not None and width in tensor.info.shape and len(tensor.info.shape) >= 2
        if able and roles.role_of(tensor.info) != "attention" and len(layers[tensor.info.name[:start]]) < 2:
            layers[tensor.info.name[:start]].append(tensor)
    return dict(sorted(layers.items(), key=lambda item: roles.natural(item[0])))


def _responses(info: TensorInfo, weights: NDArray[np.float32], table: Anchors) -> NDArray[np.float32]:
    """float32 [units, inputs]: the stream's axis multiplied away."""
    stream = [i for i, n in enumerate(weights.shape) if n == table.width]
    axis = stream[0] if len(stream) == 1 else (1 if roles.reads_stream(info.name) else 0)
    inner = 0 if axis else 1
    moved = np.moveaxis(weights, (inner, axis), (0, -1))
    rows = table.codes / np.maximum(np.linalg.norm(table.codes, axis=1, keepdims=True), 1)
    products: NDArray[np.float32] = (moved @ rows.T.astype(np.float32)).reshape(moved.shape[0], -1)
    return products
