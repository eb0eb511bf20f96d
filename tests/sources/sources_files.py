"""Files that are not what they claim to be, and the folder they lie in."""

import json
from collections.abc import Callable
from typing import Any

from hubdna.records import TensorInfo

NAME = "model.safetensors"
Write = Callable[..., list[TensorInfo]]


def container(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file: `header` as JSON, as text or as raw bytes, whatever it says."""
    raw = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def tensor(begin: Any, end: Any, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}
