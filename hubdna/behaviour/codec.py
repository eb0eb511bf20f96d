"""A behaviour as a file: safetensors, with everything that is no array as JSON in its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hubdna.errors import FormatError
from hubdna.records.behaviour import PLACES, Behaviour
from hubdna.writing import write_atomically

FORMAT = "hubdna.behaviour-file/1"
MAX_BYTES = 50_000_000
MAX_ANSWERS = 4096
ARRAYS = {"relations": np.dtype(np.float32), "answers": np.dtype(np.float32), "top": np.dtype(np.int64)}


def checked(arrays: dict[str, Any], facts: dict[str, Any]) -> Behaviour:
    """A behaviour from what a file or a process holds. Raises ValueError, KeyError or TypeError if it is not sound."""
    if set(arrays) != set(ARRAYS):
        raise ValueError(f"arrays {', '.join(sorted(arrays))}: expected {', '.join(sorted(ARRAYS))}")
    for name, array in arrays.items():
        if array.dtype != ARRAYS[name]:
            raise ValueError(f"{name} is {array.dtype}: expected {ARRAYS[name]}")
    relations, answers, top = arrays["relations"], arrays["answers"], arrays["top"]
    n = len(top)
    if top.ndim != 1 or n < 4 or relations.shape != (len(PLACES), n, n):
        raise ValueError(f"relations of shape {relations.shape} for {n} probes")
    if answers.ndim != 2 or len(answers) != n or answers.shape[1] > MAX_ANSWERS:
        raise ValueError(f"answers of shape {answers.shape} for {n} probes")
    if not np.isfinite(relations).all() or np.isnan(answers).any():
        raise ValueError("values that are not finite")
    if facts["modality"] not in ("text", "vision"):
        raise ValueError(f"modality {facts['modality']!r}")
    if not isinstance(facts["notes"], list):
        raise TypeError("notes are no list")
    notes = tuple(str(note)[:200] for note in facts["notes"])
    return Behaviour(
        str(facts["scheme"]), facts["modality"], str(facts["loader"]), relations, answers, top, notes,
        float(facts["seconds"]), int(facts["peak"]),
    )  # fmt: skip


def store(path: Path, behaviour: Behaviour) -> None:
    """Write a file, complete or not at all."""
    from safetensors.numpy import save

    facts = {
        "scheme": behaviour.scheme, "modality": behaviour.modality, "loader": behaviour.loader,
        "notes": list(behaviour.notes), "seconds": behaviour.seconds, "peak": behaviour.peak_bytes,
    }  # fmt: skip
    arrays = {name: np.ascontiguousarray(getattr(behaviour, name)) for name in ARRAYS}
    data = save(arrays, {"format": FORMAT, "facts": json.dumps(facts)})
    write_atomically(path, data)


def load(path: Path) -> Behaviour:
    """Read a file. Raises FormatError for whatever is not one of ours."""
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > MAX_BYTES:
        raise FormatError(path.name, f"{path.stat().st_size} bytes, more than any behaviour has ({MAX_BYTES})")
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise FormatError(path.name, f"no behaviour: format {str(metadata.get('format'))[:60]!r}")
            return checked({name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["facts"]))
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(path.name, f"no sound behaviour ({str(error)[:120]})") from None
