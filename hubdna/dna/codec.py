"""A .dna file: one model's weight DNA as safetensors. Numbers only; whose they are is the catalogue's business.

Layout (schema `hubdna.dna/1`): the rows of all genes end to end (`rows` int8), their `scales`, `live`, `hashes`,
`sketches`, and `anchors`; `__metadata__` holds the scheme and, as canonical JSON, one entry a gene. The same model
gives the same bytes on every machine, read locally or by ranges.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hubdna.dna import roles
from hubdna.dna.genes import n_tested
from hubdna.dna.sketch import N_BITS
from hubdna.errors import FormatError
from hubdna.records import Dna, Gene, ModelRef, TensorInfo
from hubdna.sources import safetensors

SCHEMA = "hubdna.dna/1"
_MAX_GENES = 20_000
_COLUMNS = ("tensor", "shape", "axis", "role", "layer", "component", "dtype", "n_sketched")


def encode(dna: Dna, *, publish: bool = False) -> bytes:
    """Write a DNA as bytes.

    Args:
        dna: what to write.
        publish: leave out the rows and anchors, which are weights and other people's property.
    """
    arrays: dict[str, NDArray[Any]] = {
        "live": _join([g.live.astype(np.uint8) for g in dna.genes], np.uint8),
        "hashes": _join([g.hashes.reshape(-1) for g in dna.genes], np.uint64),
        "sketches": _join([g.sketch for g in dna.genes], np.uint8),
    }
    with_rows = not publish and all(g.rows is not None for g in dna.genes)
    if with_rows:
        arrays["rows"] = _join([g.rows.reshape(-1) for g in dna.genes if g.rows is not None], np.int8)
        arrays["scales"] = _join([g.scales for g in dna.genes if g.scales is not None], np.float32)
        if dna.anchors is not None:
            arrays["anchors"] = dna.anchors
    table = [[getattr(g, c) for c in _COLUMNS] for g in dna.genes]
    about = {"columns": _COLUMNS, "genes": table, "content": dna.content, "n_tensors": dna.n_tensors}
    meta = {
        "schema": SCHEMA,
        "scheme": dna.scheme,
        "about": json.dumps(about, sort_keys=True, separators=(",", ":")),
    }
    return _canonical(save(arrays, metadata=meta))


def decode(data: bytes, name: str, ref: ModelRef | None = None) -> Dna:
    """Read a DNA back. Raises FormatError, naming `name`, for anything that is not a sound .dna file."""
    try:
        length = int.from_bytes(data[:8], "little")
        infos = {t.name: t for t in safetensors.parse_header(data[8 : 8 + length], name, len(data) - 8 - length)}
        meta = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        if meta.get("schema") != SCHEMA:
            raise FormatError(
                name,
                f"expected schema {SCHEMA}, found {str(meta.get('schema'))[:40]!r}: written by another version?",
            )
        about = json.loads(meta["about"])
        arrays = {name: _array(data, t) for name, t in infos.items()}
        genes = _genes(about, arrays)
        anchors = arrays["anchors"].reshape(infos["anchors"].shape) if "anchors" in arrays else None
        scheme, content, n_tensors = meta["scheme"], about["content"], about["n_tensors"]
        if not isinstance(scheme, str) or not isinstance(content, str | None) or type(n_tensors) is not int:
            raise TypeError("scheme, content or n_tensors of the wrong type")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(name, f"not a sound .dna file: {type(error).__name__}: {str(error)[:120]!a}") from None
    return Dna(ref or ModelRef(name), scheme, genes, anchors, content, n_tensors)


def digest(data: bytes) -> str:
    """SHA-256 of a .dna file's bytes, hex: its name in an index."""
    return hashlib.sha256(data).hexdigest()


_DTYPES = {"rows": "I8", "scales": "F32", "live": "U8", "hashes": "U64", "sketches": "U8", "anchors": "I8"}
_NUMPY: dict[str, np.dtype[Any]] = {
    "I8": np.dtype("i1"), "U8": np.dtype("u1"), "F32": np.dtype("<f4"), "U64": np.dtype("<u8"),
}  # fmt: skip


def _array(data: bytes, info: TensorInfo) -> NDArray[Any]:
    if info.dtype != _DTYPES[info.name]:
        raise TypeError(f"{info.name} is stored as {info.dtype}")
    begin, end = info.data_offsets
    return np.frombuffer(memoryview(data)[begin:end], _NUMPY[info.dtype])


def _join(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _canonical(data: bytes) -> bytes:
    """Rewrite the header with sorted keys: the writer's order of metadata differs from run to run."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _genes(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> tuple[Gene, ...]:
    if tuple(about["columns"]) != _COLUMNS or len(about["genes"]) > _MAX_GENES:
        raise ValueError("gene table has unexpected columns or length")
    genes, unit, weight = [], 0, 0
    sketches = arrays["sketches"].reshape(-1, N_BITS // 8)
    for i, row in enumerate(about["genes"]):
        entry = dict(zip(_COLUMNS, row, strict=True))
        shape, axis = _checked_shape(entry["shape"], entry["axis"])
        m, c = n_tested(shape[axis]), math.prod(shape) // shape[axis]
        stop, end = unit + m, weight + m * c
        rows = scales = None
        if "rows" in arrays:
            rows, scales = arrays["rows"][weight:end].reshape(m, c), arrays["scales"][unit:stop]
        live, hashes = (
            arrays["live"][unit:stop].astype(bool),
            arrays["hashes"][3 * unit : 3 * stop].reshape(m, 3),
        )
        text = {k: str(entry[k]) for k in ("tensor", "role", "component", "dtype")}
        if len(live) != m or not all(t.isprintable() for t in text.values()):
            raise ValueError(f"gene {i}: units are missing or its name cannot be printed")
        genes.append(
            Gene(**text, shape=shape, axis=axis, layer=int(entry["layer"]), rows=rows, scales=scales, live=live,
                 hashes=hashes, sketch=sketches[i], n_sketched=int(entry["n_sketched"]))
        )  # fmt: skip
        unit, weight = stop, end
    held = {name: a.size for name, a in arrays.items() if name != "anchors"}
    needed = {"live": unit, "hashes": 3 * unit, "sketches": len(genes) * N_BITS // 8, "rows": weight, "scales": unit}
    if held != {name: needed[name] for name in held} or not np.isfinite(arrays.get("scales", np.zeros(0))).all():
        raise ValueError("arrays do not hold what the gene table says")
    return tuple(genes)


def _checked_shape(shape: Any, axis: Any) -> tuple[tuple[int, ...], int]:
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**40 for n in shape) or len(shape) > 32:
        raise ValueError("a gene's shape is not a list of lengths")
    if type(axis) is not int or not 0 <= axis < len(shape) or shape[axis] < roles.MIN_AXIS:
        raise ValueError("a gene's axis is not a long axis of its shape")
    return tuple(shape), axis
