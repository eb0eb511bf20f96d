"""ANI potentials in NeuroChem's layout: a folder of raw float32 files.

Every chemical element has its own small network; layer 2 of carbon's is the pair `ANN-C.nnf-l2.wparam` and
`ANN-C.nnf-l2.bparam`. The files have no header, so a weight matrix gets its rows from the length of its
bias.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read(path: Path) -> dict[str, np.ndarray]:
    """The layers of one ensemble member, each named by its file.

    Args:
        path: a `train<N>` folder; the parameters lie in its `networks`.

    Raises:
        ValueError: a weight file does not divide into the rows its bias implies.
    """
    tensors = {}
    for bias_file in sorted((path / "networks").glob("*.bparam")):
        weight_file = bias_file.with_suffix(".wparam")
        bias = np.fromfile(bias_file, "<f4")
        tensors[bias_file.name] = bias
        tensors[weight_file.name] = np.fromfile(weight_file, "<f4").reshape(bias.size, -1)
    if not tensors:
        raise ValueError(f"no .bparam files in {path}/networks")
    return tensors
