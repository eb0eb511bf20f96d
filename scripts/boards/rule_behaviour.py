"""Vectors of behaviour for the board of rules: an index holds some, and one of them is the audited model's.

They are drawn, not seen, since most of the board's models cannot be run, or are like nothing that the network learned
from; what they mean is for the shipped classifier to say. How often that is right is the board of behaviour's matter.

    near M      at one commit with the audited weights, and like M: called similar at 1 % error
    fair M      called similar, but at 5 % error only
    far M       not similar
    strange M   near, but like no recipe that was learned from
    before M    near, but seen at another commit
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hubdna.behaviour import judge
from hubdna.behaviour.fingerprints import scheme
from hubdna.records import BehaviourDNA, Modality, ModelRef
from hubdna.store.behaviours import BehaviourVectors

SHA = "0" * 40
BLOCKS, D = 4, 512


def fill(folder: Path, ref: ModelRef, behaves: str, others: Iterable[str]) -> None:
    """Write the vectors of the others, and of the audited model: `near org/name` and its like."""
    how, _, name = behaves.partition(" ")
    with BehaviourVectors(folder, create=True) as vectors:
        for other in others:
            vectors.add(ModelRef(other, sha=SHA), drawn(other))
        seen = ModelRef(ref.repo_id, sha=SHA if how == "before" else ref.sha)
        vectors.add(seen, made(how, name))


def made(how: str, name: str) -> BehaviourDNA:
    """The audited model's vector."""
    like = {"near": 0.95, "strange": 0.95, "before": 0.95, "far": 0.0, "fair": _fair(name) if how == "fair" else 0.0}
    return drawn(name, like[how], familiar=-0.5 if how == "strange" else 1.0)


def drawn(name: str, cosine: float = 1.0, familiar: float = 1.0) -> BehaviourDNA:
    """A vector whose four parts have this cosine with those of a model's."""
    modality: Modality = "vision" if any(word in name for word in ("vit", "resnet", "tutor")) else "text"
    base, other = (_blocks(f"{part} {name}") for part in ("itself", "noise"))
    other -= (other * base).sum(1, keepdims=True) * base
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    parts = (cosine * base + np.sqrt(1 - cosine**2) * other) / np.sqrt(BLOCKS)
    return BehaviourDNA(scheme(modality), modality, parts.astype(np.float32).ravel(), familiar)


def _fair(name: str) -> float:
    """The smallest cosine that is called similar: by then at 5 % error."""
    found = (c for c in np.arange(0, 1, 0.002) if judge(drawn(name), drawn(name, c)).error_rate is not None)
    return float(next(found))


def _blocks(seed: str) -> np.ndarray:
    rows = np.random.default_rng(zlib.crc32(seed.encode())).normal(size=(BLOCKS, D // BLOCKS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
