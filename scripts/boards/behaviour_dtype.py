"""What bfloat16 moves: all models of the fresh roots, seen once more in it, and judged beside float32.

A GPU would do this in bfloat16 with the same rounding of weights and of what a layer gives, and sums in another order.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np
import zoo_sketches

from behaviour_seen import Model, seen
from hubdna.behaviour import Limits, Observer, fingerprint, judge
from hubdna.records import Behaviour

Pair = tuple[Model, Model]


def moved(modality: str) -> dict[str, Any]:
    """Cosines between the two types, and pairs whose verdict differs: a root and what was made from it, two roots."""
    families = _families(modality)
    kin = [(root, child) for root, *children in families for child in children]
    strangers = [(a[0], b[0]) for a, b in combinations(families, 2) if a[0].recipe == b[0].recipe]
    single = {m.file: behaviour for family in families for m in family if (behaviour := seen(m))}
    with Observer(Limits(dtype="bfloat16", device="cpu")) as observer:
        half = {m.file: observer.observe(m.folder) for family in families for m in family}
    cosines = {m.file: _cosine(single[m.file], half[m.file]) for family in families for m in family}
    ripe = [cosines[m.file] for family in families for m in family if m.relation != "checkpoint"]
    return {
        "models": len(cosines), "mean": float(np.mean([*cosines.values()])), "least": float(min(cosines.values())),
        "trained": len(ripe), "least of the trained": float(min(ripe)),
        "pairs": {"root and made from it": _changed(kin, single, half), "two roots": _changed(strangers, single, half)},
    }  # fmt: skip


def _families(modality: str) -> list[list[Model]]:
    """Roots of each recipe with what was made from them, root first."""
    by_root: dict[str, list[Model]] = defaultdict(list)
    for model in zoo_sketches.models(modality, zoo_sketches.FRESH):
        by_root[model.family].append(model)
    found = []
    for family in by_root.values():
        root = next(m for m in family if m.key == "root")
        found.append([root, *(m for m in family if m is not root and m.relation != "alone")])
    return sorted(found, key=lambda family: (family[0].recipe, family[0].family))


def _cosine(a: Behaviour, b: Behaviour) -> float:
    x, y = (fingerprint(seen).vector.ravel().astype(float) for seen in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def _changed(pairs: list[Pair], single: dict[Any, Behaviour], half: dict[Any, Behaviour]) -> dict[str, Any]:
    """Pairs, how many are judged otherwise, and by how much their similarity moves at most."""
    changed, furthest = 0, 0.0
    for a, b in pairs:
        was, now = (judge(fingerprint(held[a.file]), fingerprint(held[b.file])) for held in (single, half))
        changed += was.verdict != now.verdict
        furthest = max(furthest, abs(was.similarity - now.similarity))
    return {"pairs": len(pairs), "changed": changed, "furthest": furthest}
