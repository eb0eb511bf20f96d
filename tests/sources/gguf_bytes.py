"""GGUF files put together byte by byte, sound or not."""

import struct
from collections.abc import Sequence

F32 = 0


def string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def listed(key: str, kind: int, values: Sequence[int]) -> bytes:
    """A list of int32 (kind 5)."""
    return pair(key, 9, struct.pack(f"<IQ{len(values)}i", kind, len(values), *values))


def strings(key: str, values: Sequence[str]) -> bytes:
    return pair(key, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(string, values)))


def info(name: str, dims: Sequence[int], kind: int, offset: int = 0, n_dims: int | None = None) -> bytes:
    """A tensor's entry; `dims` as stored: row length first."""
    n_dims = len(dims) if n_dims is None else n_dims
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", n_dims, *dims, kind, offset)


def container(
    pairs: Sequence[bytes],
    infos: Sequence[bytes],
    data: bytes = b"",
    *,
    n_tensors: int | None = None,
    n_pairs: int | None = None,
) -> bytes:
    """A file that may state other counts than are true."""
    n_tensors = len(infos) if n_tensors is None else n_tensors
    n_pairs = len(pairs) if n_pairs is None else n_pairs
    header = struct.pack("<4sIQQ", b"GGUF", 3, n_tensors, n_pairs) + b"".join(pairs) + b"".join(infos)
    return header + bytes(-len(header) % 32) + data
