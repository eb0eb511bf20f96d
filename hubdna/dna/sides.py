"""Hidden layers from two sides: responses of all units of a few layers, for the matchings of `evidence.agreement`.

A full read. A unit's input side is its row of the map out of the residual stream, its output side its column of the
map back (a gated layer has two maps out; these are taken). Multiplied with labelled inputs neither depends on how the
stream was rotated.
"""

from __future__ import annotations

import re
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
_EXPERT = re.compile(r"experts[._]\d+[._]?")
_CONVOLUTIONS = re.compile(r"layer\d+\.\d+\.")
"""Blocks whose maps are told by the block's name and their own: it belongs to what comes before a map."""
Sides = tuple[NDArray[np.float32], NDArray[np.float32]]


def layer_sides(reader: ByteReader, tensors: Sequence[Tensor]) -> list[Sides]:
    """Read the responses of a few hidden layers, in the order of their names; empty when a model has none.

    Experts of one layer count as one hidden layer, since they can be renumbered like units.
    """
    table = _read_table(reader, tensors)
    if table is None:
        return []
    found = []
    for pairs in blocks.spread(list(_hidden_layers(tensors, table.width).values()), N_LAYERS):
        first, second = (np.concatenate([_read(reader, pair[i], table) for pair in pairs]) for i in (0, 1))
        if len(first) == len(second):
            found.append((first, second))
    return found


def _read(reader: ByteReader, tensor: Tensor, table: Anchors) -> NDArray[np.float32]:
    return _responses(tensor.info, next(read_units(reader, [(tensor, 0, tensor.n_units)])), table)


def _read_table(reader: ByteReader, tensors: Sequence[Tensor]) -> Anchors | None:
    places = anchors.find_tables([t.info for t in tensors])
    chosen = [next(t for t in tensors if t.info is info) for info, _ in places]
    if not chosen:
        return None
    if roles.token_table([t.info for t in tensors]) is None:
        return anchors.from_tables(places, list(read_units(reader, [(t, 0, t.n_units) for t in chosen])))
    tensor = chosen[0]
    wanted = plan.choose_anchors(tensor, plan.BUDGETS["full"])
    return wanted and anchors.from_rows(tensor.info, next(read_units(reader, [wanted])), wanted[1])


def _hidden_layers(tensors: Sequence[Tensor], width: int) -> dict[str, list[list[Tensor]]]:
    """By layer: two maps of each of its blocks (one, or all experts), maps out of the stream before maps back."""
    maps: dict[str, list[Tensor]] = defaultdict(list)
    for tensor in sorted(plan.by_name(tensors), key=lambda t: not roles.reads_stream(t.info.name)):
        start = _end_of_block(tensor.info.name)
        able = start is not None and width in tensor.info.shape and len(tensor.info.shape) >= 2
        if able and roles.role_of(tensor.info) != "attention" and len(maps[tensor.info.name[:start]]) < 2:
            maps[tensor.info.name[:start]].append(tensor)
    layers: dict[str, list[list[Tensor]]] = defaultdict(list)
    for prefix in sorted(maps, key=roles.natural):
        if len(maps[prefix]) == 2:
            layers[_EXPERT.sub("", prefix)].append(maps[prefix])
    return layers


def _end_of_block(name: str) -> int | None:
    start = roles.stream_map_at(name)
    block = None if start is None else _CONVOLUTIONS.match(name, start)
    return block.end() if block else start


def _responses(info: TensorInfo, weights: NDArray[np.float32], table: Anchors) -> NDArray[np.float32]:
    """float32 [units, inputs]: the stream's axis multiplied away."""
    stream = [i for i, n in enumerate(weights.shape) if n == table.width]
    axis = stream[0] if len(stream) == 1 else (1 if roles.reads_stream(info.name) else 0)
    inner = 0 if axis else 1
    moved = np.moveaxis(weights, (inner, axis), (0, -1))
    rows = table.codes / np.maximum(np.linalg.norm(table.codes, axis=1, keepdims=True), 1)
    products: NDArray[np.float32] = (moved @ rows.T.astype(np.float32)).reshape(moved.shape[0], -1)
    return products
