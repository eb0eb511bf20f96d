"""Two DNAs -> what each layer of the first shows beside the second. It says where; whether, the whole pair says.

The exact test of `fixed_points`, once more for the genes of each layer alone: pairing does not look at the tested
units, so the labels of one layer's units are exchangeable as those of all are, and P(K >= k) <= 1/k! holds for each
layer. Every test of every layer is paid for. Only views of hidden units are asked: a layer that was trained anew on a
residual stream that was kept finds the stream's coordinates in their old order.

Matrices without exchangeable units (attention, tables) have no test. Of these there are exact corners and samples:
how many weights are equal and how they correlate is told, and proves nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hubdna.dna.roles import natural
from hubdna.evidence import fixed_points, pairing
from hubdna.evidence.compare import detectable
from hubdna.evidence.pairing import Pair
from hubdna.evidence.places import Place, align
from hubdna.records import UNIT_VIEWS, Dna, LayerEvidence

_INPUT = re.compile(r"embed|wte|wpe|stem|patch|^tok", re.IGNORECASE)
_OUTPUT = re.compile(r"head|classifier|score|^fc$|final|ln_f|output_layer|^output", re.IGNORECASE)
_MEMBERS = re.compile(r"[._/]experts?(?:[._/]|$)")


def layer_name(tensor: str) -> str:
    """The layer that a tensor belongs to: its name up to the last number in it; experts belong to one layer.

    `model.layers.3.mlp.up_proj.weight` is of `model.layers.3`, `stages.0.blocks.1.conv.weight` of
    `stages.0.blocks.1`, `lm_head.weight` of `lm_head`.
    """
    stem = _MEMBERS.split(tensor, maxsplit=1)[0]
    parts = stem.split(".")
    numbers = [i for i, part in enumerate(parts[:-1] if stem == tensor else parts) if part.isdecimal()]
    if numbers:
        return ".".join(parts[: numbers[-1] + 1])
    return ".".join(parts[:-1]) if stem == tensor and len(parts) > 1 else stem


def layer_names(dna: Dna) -> tuple[str, ...]:
    """All layers of which something was read, from input to output as far as names tell."""
    tensors = [g.tensor for g in dna.genes if g.view in UNIT_VIEWS]
    tensors += [b.tensor for b in dna.blocks + dna.samples]
    return tuple(sorted({layer_name(t) for t in tensors}, key=_depth))


def _depth(layer: str) -> tuple[int, tuple[tuple[int, str], ...]]:
    numbered = any(part.isdecimal() for part in layer.split("."))
    end = 0 if numbered else -1 if _INPUT.search(layer) else 1 if _OUTPUT.search(layer) else 0
    return end, natural(layer)


def by_layer(a: Dna, b: Dna) -> tuple[LayerEvidence, ...]:
    """Test each layer of A against B.

    Args:
        a: the model whose layers are told.
        b: the other one.

    Returns:
        One for each of `layer_names(a)`; p-values are paid for all tests of all layers. All empty under different
        schemes; without tests where rows are not at hand.
    """
    names = layer_names(a)
    if a.scheme != b.scheme:
        return tuple(LayerEvidence(name) for name in names)
    genes: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairing.pair_genes(a, b):
        if pair[0].view in UNIT_VIEWS and all(g.rows is not None for g in pair):
            genes[layer_name(pair[0].tensor)].append(pair)
    places: dict[str, list[Place]] = defaultdict(list)
    for place in align(a, [b]):
        places[layer_name(place.block.tensor)].append(place)
    found = [_weighed(_tested(LayerEvidence(name), genes[name]), places[name]) for name in names]
    return pay(found, sum(one.n_tests for one in found))


def pay(layers: Sequence[LayerEvidence], n_tests: int) -> tuple[LayerEvidence, ...]:
    """The same with p-values paid for a number of tests (Bonferroni)."""
    return tuple(one if one.log10_p is None else replace(one, log10_p=_log10_p(one, n_tests)) for one in layers)


def _log10_p(one: LayerEvidence, n_tests: int) -> float:
    return min(0.0, math.log10(n_tests) - fixed_points.log10_factorial(one.fixed_points))


def _tested(empty: LayerEvidence, pairs: list[Pair]) -> LayerEvidence:
    """Of all tests of the layer's units, the best; its price is asked later."""
    rows = [(x, y) for x, y in pairs if x.view == "rows"]
    if not rows:
        return empty
    buckets = fixed_points.run_tests(pairs)
    told = replace(
        empty,
        other=Counter(layer_name(y.tensor) for _, y in rows).most_common(1)[0][0],
        n_rows=sum(len(x.live) for x, _ in rows),
        n_rows_equal=sum(int((x.hashes[:, 0] == y.hashes[:, 0]).sum()) for x, y in rows),
        similarity=fixed_points.similarity(rows),
    )
    if not buckets:
        return told
    best = max(buckets, key=lambda b: (b.fixed_points, b.view == "rows", b.signed))
    return replace(
        told, view=best.view, n_units=best.n_units, fixed_points=best.fixed_points, n_tests=len(buckets), log10_p=0.0,
        detectable=detectable(buckets),
    )  # fmt: skip


def _weighed(one: LayerEvidence, places: list[Place]) -> LayerEvidence:
    """Add what the exact weights show."""
    if not places:
        return one
    x = np.concatenate([p.values for p in places])
    y = np.concatenate([p.others[0] for p in places])
    u, v = x - x.mean(), y - y.mean()
    norm = float(np.linalg.norm(u) * np.linalg.norm(v))
    length = float(np.linalg.norm(x))
    return replace(
        one,
        other=one.other or Counter(layer_name(p.names[0]) for p in places).most_common(1)[0][0],
        n_weights=len(x),
        n_weights_equal=int((x == y).sum()),
        resemblance=max(-1.0, min(1.0, float(u @ v) / norm)) if norm else None,
        change=float(np.linalg.norm(x - y)) / length if length else None,
    )
