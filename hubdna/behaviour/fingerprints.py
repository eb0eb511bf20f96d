"""The DNA network: a model's fragments -> 512 numbers, in which children stay near their root and strangers do not.

For each of the four blocks a matrix takes the sketch to 128 numbers. It was learned (`scripts/behaviour/learn.py`):
what all models of one recipe have in common, root or child, is projected out, and a similarity loss turns what is left
so that a root's children lie nearer to it than those of other roots. The parts have unit length each; so has the whole.

The weights are shipped, one file a modality; their digest is part of the scheme. Inference needs numpy only.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from hubdna.behaviour.fragments import BLOCKS, sketch
from hubdna.behaviour.probes import scheme as probe_scheme
from hubdna.errors import BehaviourError
from hubdna.records.behaviour import Behaviour, BehaviourDNA, Modality

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What was learned.

    Attributes:
        project: float32 [4, d, buckets], a matrix for each block.
        known: float32 [recipes, 4, buckets], unit rows: the mean sketch of each recipe that was learned from.
        least_familiar: a model less like all of them is outside of what was learned.
        judge: float64 [6], weights of the four blocks' cosines and of the largest, and a bias.
        lines: float64 [3]: scores that at most 5 % and 1 % of the strangers reach, of recipes
            learned from and of each recipe when it is left out, none below 0; and that 5 % of the children miss.
    """

    project: Floats
    known: Floats
    least_familiar: float
    judge: NDArray[np.float64]
    lines: NDArray[np.float64]


@functools.cache
def shipped(modality: Modality) -> Network:
    """The network for one modality."""
    from safetensors.numpy import load

    held = load(_raw(modality))
    floats = {name: held[name].astype(np.float32) for name in ("project", "known")}
    return Network(**floats, least_familiar=float(held["least_familiar"][0]), judge=held["judge"], lines=held["lines"])


@functools.cache
def scheme(modality: Modality) -> str:
    """Name probes, weights and size: `behaviour-dna-1/vision=1a2b3c4d/net=5e6f7a8b/d=512`."""
    d = len(BLOCKS) * shipped(modality).project.shape[1]
    return f"behaviour-dna-1/{modality}={_probes(modality)}/net={hashlib.sha256(_raw(modality)).hexdigest()[:8]}/d={d}"


def fingerprint(behaviour: Behaviour) -> BehaviourDNA:
    """The DNA of a behaviour.

    Raises:
        BehaviourError: it was seen on other probes than the network was trained for.
    """
    if behaviour.scheme != probe_scheme(behaviour.modality):
        raise BehaviourError(
            f"seen on {behaviour.scheme}: the network was trained for {probe_scheme(behaviour.modality)}, and compares "
            "nothing else; plain measures do"
        )
    network = shipped(behaviour.modality)
    made = sketch(behaviour, network.project.shape[2])
    return BehaviourDNA(
        scheme(behaviour.modality), behaviour.modality, dna(made, network).ravel() / np.float32(np.sqrt(len(BLOCKS))),
        familiar(made, network),
    )  # fmt: skip


def dna(sketches: Floats, network: Network) -> Floats:
    """Sketches [..., 4, buckets] -> the DNA's four parts [..., 4, d], of unit length; zero where nothing was seen."""
    return unit(np.einsum("...bh,bdh->...bd", unit(sketches), network.project))


def familiar(made: Floats, network: Network) -> float:
    """`familiarity` of one sketch [4, buckets]."""
    return float(familiarity(made[None], network)[0])


def familiarity(sketches: Floats, network: Network) -> NDArray[np.float64]:
    """How like the most similar recipe that was learned from, in [-1, 1]: the mean over the blocks that were seen.

    Sketches are float32 [n, 4, buckets]; -1 where nothing was seen.
    """
    likeness = np.einsum("nbh,rbh->nrb", unit(sketches), network.known).astype(np.float64)
    seen = np.abs(sketches).max(2)[:, np.newaxis] > 0
    total, n = (likeness * seen).sum(2), seen.sum(2)
    found: NDArray[np.float64] = np.where(n > 0, total / np.maximum(n, 1), -1.0).max(1)
    return found


def unit(rows: Floats) -> Floats:
    """Rows of unit length; zero rows stay zero."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = (rows / np.where(norm > 1e-12, norm, 1)).astype(np.float32)
    return scaled


@functools.cache
def _raw(modality: Modality) -> bytes:
    return (files("hubdna.behaviour") / "weights" / f"{modality}.safetensors").read_bytes()


def _probes(modality: Modality) -> str:
    return probe_scheme(modality).partition("=")[2].partition("/")[0]
