"""Old weights beside new ones: does a second copy in a repository hold what the chosen one holds?

People retrain, upload `model.safetensors`, and leave `pytorch_model.bin` of the year before beside it; whoever loads
the other file gets another model. A few rows of one tensor tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from posixpath import dirname

import numpy as np
from numpy.typing import NDArray

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
        first = _counterpart(second.files[0], choice, pipeline="model_index.json" in files)
        if first is None:
            return None
        ours, theirs = (_floats(reader, name) for name in (first, second.files[0]))
        shared = [n for n in ours if n in theirs and ours[n].info.shape == theirs[n].info.shape]
        if not shared:
            return None
        name = max(reversed(shared), key=lambda n: _telling(ours[n]))
        x, y = ours[name], theirs[name]
        n = min(N_ROWS, x.n_units)
        if x.n_bytes(n) + y.n_bytes(n) > MAX_BYTES:
            return None
        a, b = (next(read_units(reader, [(t, 0, n)])) for t in (x, y))
    except HubdnaError:
        return None
    if _alike(a.astype(np.float64), b.astype(np.float64)):
        return None
    return f"{second.files[0]} holds other weights than {first} (they differ in {name})"


def _counterpart(second: str, choice: Choice, *, pipeline: bool) -> str | None:
    """Which chosen file a second copy stands for; of a pipeline's components the one in the same folder."""
    here = (f for f in choice.files if dirname(f) == dirname(second))
    return next(here, None if pipeline else choice.files[0])


def _alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    finite = np.isfinite(a) & np.isfinite(b)  # a cast to float16 makes infinities of large weights
    x, y = a[finite], b[finite]
    return bool((np.abs(x - y) <= CAST * np.abs(x).max(initial=1e-30)).all())


def _telling(tensor: Tensor) -> tuple[bool, int, int]:
    """Matrices first, hidden ones of them: no training moves the first rows of a vocabulary, which are never used."""
    shape = tensor.info.shape
    return len(shape) == 2, min(shape), -max(shape)


def _floats(reader: ByteReader, name: str) -> dict[str, Tensor]:
    tensors = open_file(reader, name, MAX_REQUESTS, MAX_BYTES).tensors
    able = (t for t in tensors if t.info.dtype in FLOATS and len(t.info.shape) >= 2 and 0 not in t.info.shape)
    return {t.info.name: t for t in able}
