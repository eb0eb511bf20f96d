"""Trains the DNA network that is shipped: `hubdna/behaviour/weights/{text,vision}.safetensors`.

    HUBDNA_ZOO=DIR python scripts/behaviour/train_network.py     # minutes of one core, after behaviour_seen.py

It learns from all roots of the behaviour zoo but the fresh ones, on which `scripts/boards/behaviour.py` tests it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import zoo_sketches
from learn import learn
from safetensors.numpy import save

from hubdna.behaviour import probes
from hubdna.behaviour.fingerprints import Network
from hubdna.writing import write_atomically

WEIGHTS = Path(__file__).resolve().parents[2] / "hubdna" / "behaviour" / "weights"


def stored(network: Network, about: dict[str, str]) -> bytes:
    """A network as a file; its matrices in half precision."""
    arrays = {
        "project": network.project.astype(np.float16), "known": network.known.astype(np.float16),
        "least_familiar": np.array([network.least_familiar]), "judge": network.judge, "lines": network.lines,
    }  # fmt: skip
    return bytes(save(arrays, about))


def main() -> None:
    """Trains both networks."""
    torch.set_num_threads(1)
    WEIGHTS.mkdir(exist_ok=True)
    for modality in ("text", "vision"):
        zoo = zoo_sketches.load(modality)
        old = zoo.roots([n for n in np.unique(zoo.root).tolist() if n not in zoo_sketches.FRESH])
        network = learn(old)
        about = {"probes": probes.scheme(modality), "roots": str(len(np.unique(old.root))), "models": str(len(old.key))}
        write_atomically(WEIGHTS / f"{modality}.safetensors", stored(network, about))
        print(f"{modality}: {about}, least familiar {network.least_familiar:.3f}, lines {network.lines.round(2)}")


if __name__ == "__main__":
    main()
