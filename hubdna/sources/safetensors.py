"""safetensors: an 8-byte length, a JSON header, then raw tensors. Everything a header says is hostile until checked.

The header is refused before it is parsed when it is longer than 25 MB or could hold more than 200,000 tensors, and
while it is parsed when any tensor lies outside the file, overlaps another, leaves a hole, or has a length that does
not follow from dtype and shape. Format: https://huggingface.co/docs/safetensors (limits as in huggingface_hub).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError
from hubdna.records import TensorInfo
from hubdna.sources.interface import ByteReader, Extent, Tensor, merge_axes

FIRST_READ = 100_000
"""Bytes of the first range: 97 % of safetensors headers are shorter (huggingface_hub, top 1,000 models)."""
MAX_HEADER = 25_000_000
"""Bytes; the client library's own limit."""
MAX_TENSORS = 200_000
"""The largest mixture-of-experts models have about 100,000."""
MAX_METADATA = 200_000
"""Entries and colons of `__metadata__`; tag counts of adapters have tens of thousands."""
MAX_WIDE = 8_000_000
"""Bytes of a header that is not ASCII throughout: one rare character makes Python's text four times as long."""

ITEMSIZE = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
}  # fmt: skip
FLOATS = frozenset(NUMPY_DTYPES)
"""Types whose stored values are the weights themselves; 8-bit floats need their scales (quantised layouts)."""


def read_tensors(reader: ByteReader, filename: str) -> list[Tensor]:
    """Open one file: its header is read and checked, its tensors can be asked for units. Raises FormatError."""
    return [plain_tensor(info) for info in read_header(reader, filename)]


def plain_tensor(info: TensorInfo) -> Tensor:
    """A tensor whose values lie row after row at `data_offsets`, as they are meant."""
    row = math.prod(info.shape[1:]) * ITEMSIZE[info.dtype]
    begin = info.data_offsets[0]

    def extents(first: int, n: int) -> list[Extent]:
        return [(info.filename, begin + first * row, begin + (first + n) * row)]

    def decode(data: Sequence[memoryview], first: int, n: int) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.frombuffer(data[0], NUMPY_DTYPES[info.dtype]).reshape(n, *info.shape[1:]).astype(np.float32)

    return Tensor(info, extents, decode, merged=lambda: plain_tensor(merge_axes(info)))


def read_header(reader: ByteReader, filename: str) -> list[TensorInfo]:
    """Read and check one file's header: one request, two when it is longer than 100 kB.

    Returns:
        The tensors in file order, `data_offsets` absolute.

    Raises:
        FormatError: anything about the header that is not as the format says.
    """
    head = reader.read(filename, 0, FIRST_READ)
    if len(head) < 8:
        raise FormatError(filename, f"not safetensors: expected at least 8 bytes, found {len(head)}")
    length, size = int.from_bytes(head[:8], "little"), reader.size(filename)
    if not 2 <= length <= MAX_HEADER:
        raise FormatError(filename, f"header length {length} is outside 2..{MAX_HEADER}: refused before reading it")
    if 8 + length > size:
        raise FormatError(filename, f"header of {length} bytes ends past the end of the file ({size} bytes)")
    raw = head[8 : 8 + length]
    if len(raw) < length:
        raw += reader.read(filename, len(head), 8 + length)
    if len(raw) != length:
        raise FormatError(filename, f"header cut short: expected {length} bytes, found {len(raw)}")
    return parse_header(raw, filename, size - 8 - length)


def parse_header(raw: bytes, filename: str, n_data: int) -> list[TensorInfo]:
    """Check a header against the length of the data section (bytes). Raises FormatError."""
    _refuse_bombs(raw, filename)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise FormatError(filename, f"header is not UTF-8 (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(filename, f"header is not valid JSON: {str(error)[:120]}") from None
    if not isinstance(header, dict):
        raise FormatError(filename, "header is not a JSON object")
    base = 8 + len(raw)
    tensors = [_tensor(name, entry, filename, base) for name, entry in header.items() if name != "__metadata__"]
    tensors.sort(key=lambda t: t.data_offsets)
    _check_coverage(tensors, filename, base, base + n_data)
    return tensors


def _refuse_bombs(raw: bytes, filename: str) -> None:
    """Count brackets and quotes before parsing: Python's objects take up to 60 times the bytes of their JSON."""
    for mark, limit in (
        (b"{", MAX_TENSORS + 8),
        (b"[", 2 * MAX_TENSORS + 8),
        (b'"', 12 * MAX_TENSORS),
        (b",", 12 * MAX_TENSORS),
    ):
        if (n := raw.count(mark)) > limit:
            raise FormatError(
                filename, f"header holds {n} {mark.decode()!r}, more than {MAX_TENSORS} tensors need: refused"
            )
    if (n := raw.count(b":")) > (limit := 4 * raw.count(b"{") + MAX_METADATA):
        raise FormatError(filename, f"header holds {n} ':', its objects need at most {limit}: refused")
    if len(raw) > MAX_WIDE and not raw.isascii():
        raise FormatError(filename, f"header of {len(raw)} bytes is not ASCII, at most {MAX_WIDE} may be: refused")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("a key appears twice")
    if any(isinstance(value, list) and key not in ("shape", "data_offsets") for key, value in pairs):
        raise ValueError("a list that is neither shape nor data_offsets")
    return entry


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _tensor(name: str, entry: Any, filename: str, base: int) -> TensorInfo:
    """One checked header entry."""
    where = f"tensor {name[:80]!r}"
    if not name.isprintable():  # control characters would reach terminals, lone surrogates no file at all
        raise FormatError(filename, f"{where}: name holds characters that cannot be printed")
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise FormatError(filename, f"{where}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEMSIZE:
        raise FormatError(filename, f"{where}: unknown dtype {str(dtype)[:20]!r}")
    if not _counts(shape) or len(shape) > 32:
        raise FormatError(filename, f"{where}: shape is not a list of at most 32 lengths")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(filename, f"{where}: data_offsets is not [begin, end] with begin <= end")
    expected = math.prod(shape) * ITEMSIZE[dtype]
    if offsets[1] - offsets[0] != expected:
        raise FormatError(
            filename,
            f"{where}: {dtype} {shape} takes {expected} bytes, offsets give {offsets[1] - offsets[0]}",
        )
    return TensorInfo(name, dtype, tuple(shape), (base + offsets[0], base + offsets[1]), filename)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _check_coverage(tensors: list[TensorInfo], filename: str, begin: int, end: int) -> None:
    """The tensors must tile the data section: no overlap, no hole, nothing past the end."""
    position = begin
    for tensor in tensors:
        if tensor.data_offsets[0] != position:
            what = "overlaps the tensor before it" if tensor.data_offsets[0] < position else "leaves a hole before it"
            raise FormatError(filename, f"tensor {tensor.name[:80]!r} {what} (byte {tensor.data_offsets[0]})")
        position = tensor.data_offsets[1]
    if position != end:
        raise FormatError(filename, f"tensors end at byte {position}, the file at byte {end}: cut short or padded")


def indexed_shards(index: str, raw: bytes, files: Sequence[str]) -> list[str]:
    """The shards that an index file (`model.safetensors.index.json`) names, sorted.

    Args:
        index: its name.
        raw: its bytes.
        files: the files beside it.

    Raises:
        FormatError: it is no index, names something that is no safetensors file, or one that is absent.
    """
    if len(raw) > MAX_HEADER:
        raise FormatError(index, f"shard index of more than {MAX_HEADER} bytes: refused")
    _refuse_bombs(raw, index)
    try:
        shards = set(json.loads(raw)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError(index, "expected a JSON object with weight_map: {tensor: shard}") from None
    if not shards or not all(
        isinstance(s, str) and s.isprintable() and not {"/", "\\"} & set(s) and s.endswith(".safetensors")
        for s in shards
    ):
        raise FormatError(index, "weight_map names something that is not a safetensors file beside it")
    if absent := sorted(shards - set(files)):
        what = f"shard is absent although {index} names it ({len(absent)} of {len(shards)} absent)"
        raise FormatError(absent[0], what)
    return sorted(shards)
