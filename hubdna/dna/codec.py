"""A .dna file: one model's weight DNA as safetensors. Numbers only; whose they are is the catalogue's business.

Layout (schema `hubdna.dna/3`): the rows of all genes end to end (`rows` int8), their `scales`, `live`, `hashes`,
`ids`, `sketches`, the exact corners (`corners` float32) and `samples`; `__metadata__` holds the scheme and, as
canonical JSON, one entry a gene, a corner and a sample. The same model gives the same bytes on every machine, read
locally or by ranges.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hubdna.dna import blocks, roles
from hubdna.dna.genes import n_tested
from hubdna.dna.sketch import N_BITS
from hubdna.errors import FormatError
from hubdna.records import Block, Dna, Gene, ModelRef, TensorInfo
from hubdna.sources import safetensors

SCHEMA = "hubdna.dna/3"
_MAX_GENES = 20_000
_VIEWS = ("rows", "response", "gram", "residual", "unseen")
_MAX_UNITS, _MAX_COLUMNS = 4_096, 1_000_000
_COLUMNS = (
    "view", "tensor", "shape", "axis", "role", "layer", "component", "dtype", "n_sketched", "n_rows", "n_columns",
)  # fmt: skip
_CORNER = ("tensor", "shape", "role", "dtype", "grid", "n_rows", "n_columns")
_MAX_CORNERS = 1_000
_MAX_SCALE = float(np.finfo(np.float32).max) / 127


def encode(dna: Dna, *, publish: bool = False) -> bytes:
    """Write a DNA as bytes.

    Args:
        dna: what to write.
        publish: leave out the rows and corners, which are weights and other people's property.
    """
    arrays: dict[str, NDArray[Any]] = {
        "live": _join([g.live.astype(np.uint8) for g in dna.genes], np.uint8),
        "hashes": _join([g.hashes.reshape(-1) for g in dna.genes], np.uint64),
        "ids": _join([g.ids for g in dna.genes], np.int32),
        "sketches": _join([g.sketch for g in dna.genes], np.uint8),
    }
    with_rows = not publish and all(g.rows is not None for g in dna.genes)
    if with_rows:
        arrays["rows"] = _join([g.rows.reshape(-1) for g in dna.genes if g.rows is not None], np.int8)
        arrays["scales"] = _join([g.scales for g in dna.genes if g.scales is not None], np.float32)
        arrays["corners"] = _join([b.values.reshape(-1) for b in dna.blocks], np.float32)
        arrays["samples"] = _join([b.values.reshape(-1) for b in dna.samples], np.float32)
    about = {
        "columns": _COLUMNS, "genes": [_gene_row(g, with_rows) for g in dna.genes], "content": dna.content,
        "corner_columns": _CORNER, "corners": [_corner_row(b) for b in dna.blocks] if with_rows else [],
        "samples": [_corner_row(b) for b in dna.samples] if with_rows else [],
        "n_tensors": dna.n_tensors, "n_tokens": dna.n_tokens, "quantization": dna.quantization,
    }  # fmt: skip
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
        corners, samples = (_corners(about, arrays, table) for table in ("corners", "samples"))
        scheme, content, quantization = meta["scheme"], about["content"], about["quantization"]
        n_tensors, n_tokens = about["n_tensors"], about["n_tokens"]
        if not isinstance(scheme, str) or not all(x is None or _is_word(x) for x in (content, quantization)):
            raise TypeError("scheme, content or quantization of the wrong type")
        if not all(type(n) is int and 0 <= n < 2**40 for n in (n_tensors, n_tokens)):
            raise TypeError("n_tensors or n_tokens is no count")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(name, f"not a sound .dna file: {type(error).__name__}: {str(error)[:120]!a}") from None
    return Dna(ref or ModelRef(name), scheme, genes, corners, samples, content, n_tensors, n_tokens, quantization)


def _gene_row(gene: Gene, with_rows: bool) -> list[Any]:
    n_columns = gene.rows.shape[1] if with_rows and gene.rows is not None else 0
    more = {"n_rows": len(gene.live), "n_columns": n_columns}
    return [more[c] if c in more else getattr(gene, c) for c in _COLUMNS]


def _corner_row(block: Block) -> list[Any]:
    more = {"n_rows": block.values.shape[0], "n_columns": block.values.shape[1]}
    return [more[c] if c in more else getattr(block, c) for c in _CORNER]


def digest(data: bytes) -> str:
    """SHA-256 of a .dna file's bytes, hex: its name in an index."""
    return hashlib.sha256(data).hexdigest()


_DTYPES = {
    "rows": "I8", "scales": "F32", "live": "U8", "hashes": "U64", "ids": "I32", "sketches": "U8", "corners": "F32",
    "samples": "F32",
}  # fmt: skip
_NUMPY: dict[str, np.dtype[Any]] = {
    "I8": np.dtype("i1"), "U8": np.dtype("u1"), "F32": np.dtype("<f4"), "U64": np.dtype("<u8"),
    "I32": np.dtype("<i4"),
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
    genes: list[Gene] = []
    at = {"live": 0, "hashes": 0, "ids": 0, "rows": 0, "scales": 0}

    def take(name: str, n: int) -> NDArray[Any]:
        at[name] += n
        return arrays[name][at[name] - n : at[name]]

    sketches = arrays["sketches"].reshape(-1, N_BITS // 8)
    for i, row in enumerate(about["genes"]):
        entry = dict(zip(_COLUMNS, row, strict=True))
        shape, axis = _checked_shape(entry["shape"], entry["axis"])
        m, c = _checked_size(entry["n_rows"], entry["n_columns"])
        view, text = entry["view"], {k: str(entry[k]) for k in ("tensor", "role", "component", "dtype")}
        if m != n_tested(shape[axis]) and view != "unseen":
            raise ValueError(f"gene {i}: {m} units of an axis of {shape[axis]}")
        if view == "rows" and c > math.prod(shape) // shape[axis]:
            raise ValueError(f"gene {i}: {c} columns of a tensor of {shape}")
        live, hashes = take("live", m).astype(bool), take("hashes", 3 * m if view == "rows" else 0)
        ids = take("ids", m if view == "unseen" else 0)
        rows = take("rows", m * c).reshape(m, c) if "rows" in arrays else None
        step = take("scales", m) if "scales" in arrays else None
        if ids.min(initial=0) < 0 or (np.diff(ids) <= 0).any():
            raise ValueError(f"gene {i}: its tokens are not in order")
        if len(live) != m or view not in _VIEWS or not all(t.isprintable() for t in text.values()):
            raise ValueError(f"gene {i}: units are missing or its name cannot be printed")
        genes.append(
            Gene(view=view, **text, shape=shape, axis=axis, layer=int(entry["layer"]), rows=rows, scales=step,
                 live=live, hashes=hashes.reshape(-1, 3), sketch=sketches[i], n_sketched=int(entry["n_sketched"]),
                 ids=ids)
        )  # fmt: skip
    held = {name: a.size for name, a in arrays.items() if name not in ("corners", "samples", "sketches")}
    sound = held == {name: at[name] for name in held} and len(sketches) == len(genes)
    scales = arrays.get("scales", np.zeros(0))
    finite = bool(((scales >= 0) & (scales <= _MAX_SCALE)).all())  # NaN is neither
    if not sound or not finite or ("rows" in arrays) != ("scales" in arrays):
        raise ValueError("arrays do not hold what the gene table says")
    return tuple(genes)


_SIZES = {"corners": (blocks.N_ROWS, blocks.N_COLUMNS), "samples": (blocks.SAMPLE_ROWS, blocks.SAMPLE_COLUMNS)}


def _corners(about: dict[str, Any], arrays: dict[str, NDArray[Any]], table: str) -> tuple[Block, ...]:
    if tuple(about["corner_columns"]) != _CORNER or len(about[table]) > _MAX_CORNERS:
        raise ValueError("corner table has unexpected columns or length")
    values, found, at = arrays.get(table, np.zeros(0, np.float32)), [], 0
    n_rows, n_columns = _SIZES[table]
    for row in about[table]:
        entry = dict(zip(_CORNER, row, strict=True))
        r, c = _checked_size(entry["n_rows"], entry["n_columns"])
        text = {k: str(entry[k]) for k in ("tensor", "role", "dtype")}
        shape, _ = _checked_shape(entry["shape"], 0, shortest=1)
        if r > min(shape[0], n_rows) or c != min(math.prod(shape[1:]), n_columns):
            raise ValueError(f"a corner of {r} x {c} of a tensor of {shape}")
        if not all(t.isprintable() for t in text.values()) or not _is_grid(entry["grid"]):
            raise ValueError("a corner's name cannot be printed, or its grid is none")
        found.append(Block(**text, shape=shape, values=values[at : at + r * c].reshape(r, c), grid=entry["grid"]))
        at += r * c
    if at != values.size or not np.isfinite(values).all():
        raise ValueError("corners do not hold what their table says")
    return tuple(found)


def _is_grid(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 8


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _checked_size(m: Any, c: Any) -> tuple[int, int]:
    if type(m) is not int or type(c) is not int or not 0 <= m <= _MAX_UNITS or not 0 <= c <= _MAX_COLUMNS:
        raise ValueError("numbers of rows or columns out of range")
    return m, c


def _checked_shape(shape: Any, axis: Any, shortest: int = roles.MIN_AXIS) -> tuple[tuple[int, ...], int]:
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**40 for n in shape) or len(shape) > 32:
        raise ValueError("a gene's shape is not a list of lengths")
    if type(axis) is not int or not 0 <= axis < len(shape) or shape[axis] < shortest:
        raise ValueError("a gene's axis is not a long axis of its shape")
    return tuple(shape), axis
