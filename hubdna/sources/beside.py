"""Old weights beside new ones: does a second copy in a repository hold what the chosen one holds?

People retrain, upload `model.safetensors`, and leave `pytorch_model.bin` of the year before beside it; whoever loads
the other file gets another model. A few rows of one tensor tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hubdna.errors import HubdnaError
from hubdna.records import Choice
from hubdna.sources.choice import choose
from hubdna.sources.formats import open_file
from hubdna.sources.interface import ByteReader, Tensor, read_units
from hubdna.sources.safetensors import FLOATS

N_ROWS = 4
CAST = 2.0**-7
"""Two roundings to bfloat16, as a share of the largest weight: what copies may differ by."""
MAX_BYTES, MAX_REQUESTS = 2_000_000, 8


def disagreement(reader: ByteReader, files: Sequence[str], choice: Choice) -> str | None:
    """Say that another weights file of the repository holds other weights, or None.

    Looks at the next best copy in a format that names its tensors alike; one that cannot be read says nothing.
    """
    if choice.kind not in ("safetensors", "torch"):
        return None
    try:
        second = choose(tuple(f for f in files if f not in choice.files))
        if second.kind not in ("safetensors", "torch") or (second.note or "").startswith("quantised"):
            return None
        ours, theirs = (_floats(reader, names) for names in (choice.files, second.files))
        shared = [n for n in ours if n in theirs and ours[n].info.shape == theirs[n].info.shape]
        name = max(shared, key=lambda n: (len(ours[n].info.shape) == 2, ours[n].n_units), default=None)
        if name is None:
            return None
        x, y = (t[name] for t in (ours, theirs))
        n = min(N_ROWS, x.n_units)
        if x.n_bytes(n) + y.n_bytes(n) > MAX_BYTES:
            return None
        a, b = (next(read_units(reader, [(t, 0, n)])) for t in (x, y))
    except HubdnaError:
        return None
    if np.abs(a - b).max() <= CAST * max(float(np.abs(a).max()), 1e-30):
        return None
    return f"{second.files[0]} holds other weights than {choice.files[0]} (they differ in {name})"


def _floats(reader: ByteReader, names: Sequence[str]) -> dict[str, Tensor]:
    opened = open_file(reader, names[0], MAX_REQUESTS, MAX_BYTES)
    return {t.info.name: t for t in opened.tensors if t.info.dtype in FLOATS and len(t.info.shape) >= 2}
