"""Edges that were found against edges that are true, for forests of models; and the family trees as they lie on disk.

A forest claims directed edges (parent, child) and, where it cannot tell, undirected ones. A true edge is

    right        claimed with its direction
    reversed     claimed the other way round
    undirected   claimed without a direction
    missing      not claimed at all

and a claimed directed edge is right or wrong. Of the wrong ones `reversed` are true edges the other way round,
`skipping` lead from an ancestor to a descendant, `backward` from a descendant to an ancestor, all others join
cousins or strangers. Undirected claims that are no true edge are `beside`: wrong about kinship of the first degree,
silent about who was first.

Models whose tensors are equal bit for bit (a copy, an upcast) are one node: nothing in them tells one from the other.
Edges among them are neither asked nor counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

import board
from hubdna.models import Loader
from hubdna.records import ModelRef
from hubdna.sources.interface import read_units

Edge = tuple[str, str]
"""(parent, child)"""
Weights = Mapping[str, NDArray[np.float32]]
ZOO = Path(os.environ.get("HUBDNA_ZOO", Path.home() / ".cache" / "hubdna-zoo")) / "trees"
sys.path.append(str(Path(__file__).parent.parent / "formats"))


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of edges; scores of several forests add up.

    Attributes:
        right: true edges claimed with their direction.
        reversed: true edges claimed the other way round.
        undirected: true edges claimed without a direction.
        missing: true edges not claimed.
        skipping: wrong directed claims from an ancestor to a descendant.
        backward: wrong directed claims from a descendant to an ancestor that is not its parent.
        astray: all other wrong directed claims.
        beside: undirected claims that are no true edge.
    """

    right: int = 0
    reversed: int = 0
    undirected: int = 0
    missing: int = 0
    skipping: int = 0
    backward: int = 0
    astray: int = 0
    beside: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def n_edges(self) -> int:
        """True edges."""
        return self.right + self.reversed + self.undirected + self.missing

    @property
    def wrong(self) -> int:
        """Directed claims that are no true edge."""
        return self.reversed + self.skipping + self.backward + self.astray

    @property
    def recall(self) -> tuple[float, float]:
        """99 % interval of the share of true edges that are right."""
        return board.interval(self.right, self.n_edges)

    @property
    def false_share(self) -> tuple[float, float]:
        """99 % interval of the share of directed claims that are wrong."""
        return board.interval(self.wrong, self.right + self.wrong)

    def told(self) -> str:
        """One line with both intervals."""
        (low, high), (least, most) = self.recall, self.false_share
        return (
            f"{self.right} of {self.n_edges} edges right (99 %: {low:.1%} to {high:.1%}), "
            f"{self.undirected} undirected, {self.missing} missing; "
            f"{self.wrong} of {self.right + self.wrong} directed claims wrong ({least:.1%} to {most:.1%}): "
            f"{self.reversed} reversed, {self.skipping} skipping, {self.backward} backward, {self.astray} astray; "
            f"{self.beside} undirected ones beside"
        )


def score(
    truth: Iterable[Edge],
    found: Iterable[Edge],
    undirected: Iterable[tuple[str, str]] = (),
    same: Iterable[Iterable[str]] = (),
) -> Score:
    """Count.

    Args:
        truth: true edges (parent, child): a forest.
        found: claimed edges (parent, child).
        undirected: claimed pairs, in either order. A pair that is also claimed with a direction counts as directed.
        same: groups of models that are equal bit for bit.

    Raises:
        ValueError: a pair is claimed in both directions.
    """
    one = {name: min(group) for group in map(sorted, same) for name in group}
    true, claimed = _merged(truth, one), _merged(found, one)
    told = {frozenset(e) for e in claimed}
    if len(told) < len(claimed):
        raise ValueError("a pair is claimed in both directions, perhaps by models that are one node")
    vague = {frozenset(e) for e in _merged(undirected, one)} - told
    below = {node: nx.descendants(graph, node) for graph in [nx.DiGraph(true)] for node in graph}
    kin = {frozenset(e) for e in true}
    wrong = {(a, b) for a, b in claimed - true if (b, a) not in true}
    skipping = sum(b in below.get(a, ()) for a, b in wrong)
    backward = sum(a in below.get(b, ()) for a, b in wrong)
    right, turned = len(true & claimed), sum((b, a) in claimed for a, b in true - claimed)
    open_ = len(kin & vague)
    return Score(
        right, turned, open_, len(true) - right - turned - open_, skipping, backward,
        len(wrong) - skipping - backward, len(vague - kin),
    )  # fmt: skip


def _merged(edges: Iterable[Edge], one: Mapping[str, str]) -> set[Edge]:
    """Edges between nodes, equal models made one; edges inside a node are left out."""
    ends = ((one.get(a, a), one.get(b, b)) for a, b in edges)
    return {(a, b) for a, b in ends if a != b}


def equal_groups(models: Mapping[str, Weights]) -> list[list[str]]:
    """Groups of two or more models whose float32 tensors are equal bit for bit, whatever they are stored as."""
    groups = defaultdict(list)
    for name, tensors in models.items():
        digest = hashlib.sha256()
        for key in sorted(tensors):
            digest.update(f"{key} {tensors[key].shape}".encode())
            digest.update(np.ascontiguousarray(tensors[key], np.float32).tobytes())
        groups[digest.digest()].append(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def distinct(models: Mapping[str, Weights], same: Iterable[Iterable[str]]) -> dict[str, Weights]:
    """The models, of each equal group only the one that stands for it in `score`."""
    left_out = {name for group in same for name in sorted(group)[1:]}
    return {name: tensors for name, tensors in models.items() if name not in left_out}


def trees(names: Sequence[str] = ()) -> list[Path]:
    """Folders of the complete family trees, or of those named; made by scripts/zoo/make_trees.py."""
    return sorted(p.parent for p in ZOO.glob("*/truth.json") if not names or p.parent.name in names)


def about(folder: Path) -> dict[str, Any]:
    """truth.json of a tree."""
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def truth(folder: Path) -> list[Edge]:
    """True edges (parent, child) of a tree."""
    return [(edge["parent"], edge["child"]) for edge in about(folder)["edges"]]


def fine_tunes(folder: Path) -> set[str]:
    """The root of a tree and the models that only fine-tunes of all weights lead to."""
    said = about(folder)
    kept = {said["root"]}
    for edge in said["edges"]:  # parents come before children
        if edge["kind"] == "finetune" and edge["parent"] in kept:
            kept.add(edge["child"])
    return kept


def weights(folder: Path) -> dict[str, Weights]:
    """Every model of a tree: float32 tensors by the names of transformers and timm, quantised ones unpacked."""
    models = {name: read(folder / name) for name in about(folder)["models"]}
    known = {_gguf_name(key): key for tensors in models.values() for key in tensors if key.startswith("model.")}
    known |= {"output.weight": "lm_head.weight"}
    return {m: {known.get(key, key): t for key, t in tensors.items()} for m, tensors in models.items()}


def read(folder: Path) -> Weights:
    """One model: float32 tensors by name, fused projections split, quantised ones unpacked."""
    reader, tensors = Loader(level="full").tensors(ModelRef(str(folder)))
    arrays = read_units(reader, [(t, 0, t.n_units) for t in tensors])
    return {t.info.name: a.reshape(t.info.shape) for t, a in zip(tensors, arrays, strict=True)}


def _gguf_name(name: str) -> str:
    """llama.cpp's name of a Llama tensor; the name itself where there is none."""
    from write_gguf import gguf_name

    try:
        return gguf_name(name)
    except (ValueError, KeyError):
        return name
