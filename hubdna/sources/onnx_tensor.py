"""One tensor of an ONNX file (TensorProto): its fields, and the checks that tie them together."""

from __future__ import annotations

import math
from collections.abc import Callable

from hubdna.sources.interface import MAX_BATCH
from hubdna.sources.onnx_graph import BITS, NUMPY_DTYPES, Stored
from hubdna.sources.protobuf import I32, I64, LEN, VARINT, Window, unpack_varints

MAX_NAME = 2_000
"""Bytes of a name that is kept; inlined exports have names of 300."""
MAX_ENTRIES = 10
"""Entries of external_data that are kept; the format knows five."""
MAX_PACKED = 16_000_000
"""Bytes of a tensor stored as varints: it has no rows that could be read alone."""

DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2", 21: "U4", 22: "I4", 24: "F8_E8M0",
    25: "U2", 26: "I2",
}  # fmt: skip
LEFT_OUT = {8: "strings", 14: "complex numbers", 15: "complex numbers"}
FIXED = {"F32": 4, "F64": 10}
"""The field that holds values of this type at fixed width when they are not in `raw_data`."""
PACKED = {"I64": 7, "U32": 11, "U64": 11}
"""The field that holds them as varints; all others are in int32_data."""


class TensorProto:
    """The fields of one TensorProto, then the checks that tie them together."""

    def __init__(self, window: Window, hold: Callable[[int, int], bytes | None]) -> None:
        self.window, self._hold = window, hold
        self.dims: list[int] = []
        self.dtype, self.name = 0, b""
        self.data: tuple[int, int, int] | None = None
        self.external: dict[bytes, bytes] = {}
        self.held: bytes | None = None
        self.is_external = self.is_scattered = False

    def take(self, number: int, wire: int, a: int, b: int) -> None:
        """One field."""
        if number == 1:
            self.dims += [a] if wire == VARINT else self.packed_dims(*span(self.window, wire, a, b))
            if len(self.dims) > 32:
                raise self.window.fail(f"{self.what}: more than 32 dimensions")
        elif number == 2 and wire == VARINT:
            self.dtype = a
        elif number == 8:
            if b - a > MAX_NAME and wire == LEN:
                raise self.window.fail(f"a tensor's name of {b - a} bytes: refused")
            self.name = text(self.window, wire, a, b)
        elif number in (4, 5, 7, 9, 10, 11):
            self.payload(number, wire, a, b)
        elif number == 13:
            self.entry(*span(self.window, wire, a, b))
        elif number == 14 and wire == VARINT:
            self.is_external = a == 1
        elif number == 3:
            self.is_scattered = True  # a segment of a tensor

    @property
    def what(self) -> str:
        """The tensor in an error message."""
        return f"tensor {self.name[:80].decode('utf-8', 'replace')!r}"

    def packed_dims(self, start: int, stop: int) -> list[int]:
        """Dimensions in one field, as newer writers pack them."""
        if stop - start > 320:
            raise self.window.fail(f"{self.what}: more than 32 dimensions")
        dims = unpack_varints(memoryview(self.window.bytes(start, stop)))
        if dims is None:
            raise self.window.fail(f"{self.what}: malformed dimensions")
        return [int(n) for n in dims]

    def payload(self, number: int, wire: int, a: int, b: int) -> None:
        """Values: remember where they are."""
        if wire != LEN:
            if number == 9 or wire not in (VARINT, I32, I64):
                raise self.window.fail(f"{self.what}: its values are not where they should be")
            self.is_scattered = True  # a tag before each number
        elif self.data is not None and a != b:
            raise self.window.fail(f"{self.what}: values are given twice")
        elif a != b or number == 9:
            self.data = (number, a, b)
            self.held = self._hold(a, b)

    def entry(self, start: int, stop: int) -> None:
        """StringStringEntryProto of external_data: key (1), value (2)."""
        key = value = b""
        for number, wire, a, b in self.window.fields(start, stop):
            if number == 1:
                key = text(self.window, wire, a, b)
            elif number == 2:
                value = text(self.window, wire, a, b)
        if len(self.external) < MAX_ENTRIES:
            self.external[key] = value

    def stored(self) -> Stored | str:
        """Check everything against everything else. Raises FormatError."""
        name = printable(self.window, self.name, self.what)
        if any(n >= 2**62 for n in self.dims) or math.prod(self.dims) >= 2**62:
            raise self.window.fail(f"{self.what}: impossible dimensions {self.dims}")
        if self.dtype in LEFT_OUT or self.is_scattered or (self.dtype not in DTYPES and 0 < self.dtype < 256):
            kind = LEFT_OUT.get(self.dtype) or ("stored in pieces" if self.is_scattered else f"type {self.dtype}")
            return f"{self.what}: {kind}: not read"
        if self.dtype not in DTYPES:
            raise self.window.fail(f"{self.what}: unknown type {self.dtype}")
        if 0 in self.dims:
            return f"{self.what}: no values"
        dtype, shape = DTYPES[self.dtype], tuple(self.dims)
        n_bytes = -(-math.prod(shape) * (BITS.get(dtype) or 8 * NUMPY_DTYPES[dtype].itemsize) // 8)
        if self.is_external:
            return Stored(name, dtype, shape, *self.beside(n_bytes))
        return self.embedded(name, dtype, shape, n_bytes)

    def embedded(self, name: str, dtype: str, shape: tuple[int, ...], n_bytes: int) -> Stored | str:
        """Values inside the file."""
        number, begin, end = self.data or (9, 0, 0)
        packed = number not in (9, FIXED.get(dtype))
        if packed:
            if number != PACKED.get(dtype, 5):
                raise self.window.fail(f"{self.what}: {dtype} values in field {number}")
            if end - begin > MAX_PACKED:
                return f"{self.what}: more than {MAX_PACKED} bytes of varints: not read"
            n = n_bytes if dtype in BITS else math.prod(shape)
            if not n <= end - begin <= 10 * n:
                raise self.window.fail(f"{self.what}: {end - begin} bytes of varints cannot be {n} numbers")
        elif end - begin != n_bytes:
            raise self.window.fail(f"{self.what}: {dtype} {list(shape)} takes {n_bytes} bytes, found {end - begin}")
        return Stored(name, dtype, shape, self.window.filename, begin, end, packed, self.held)

    def beside(self, n_bytes: int) -> tuple[str, int, int]:
        """Values in another file of the same folder: its name, first byte, byte after the last."""
        location = printable(self.window, self.external.get(b"location", b""), self.what)
        parts = location.split("/")
        if not location or any(p.startswith(".") or not p for p in parts) or {"\\", ":"} & set(location):
            raise self.window.fail(f"{self.what}: external data at {location[:80]!r}: not a file of the model's folder")
        offset, length = (self.number(key) for key in (b"offset", b"length"))
        if length not in (None, n_bytes):
            raise self.window.fail(f"{self.what}: takes {n_bytes} bytes, {location[:80]!r} is said to hold {length}")
        folder = self.window.filename.rpartition("/")
        filename, begin = folder[0] + folder[1] + location, offset or 0
        if n_bytes > MAX_BATCH and begin + n_bytes > self.window.size_beside(filename):
            raise self.window.fail(f"{self.what}: takes {n_bytes} bytes at {begin}, more than {location[:80]!r} has")
        return filename, begin, begin + n_bytes

    def number(self, key: bytes) -> int | None:
        """A decimal of external_data, or None if it is not given."""
        text = self.external.get(key)
        if text is None:
            return None
        if not (text.isdigit() and len(text) < 19):
            raise self.window.fail(f"{self.what}: external {key.decode()} {text[:40]!r} is not a number")
        return int(text)


def span(window: Window, wire: int, start: int, stop: int) -> tuple[int, int]:
    """The field's bytes, if it has any. Raises FormatError."""
    if wire != LEN:
        raise window.fail(f"a message was expected, found wire type {wire}")
    return start, stop


def text(window: Window, wire: int, start: int, stop: int) -> bytes:
    """A short name; one that is too long to be of use is empty."""
    span(window, wire, start, stop)
    return window.bytes(start, stop) if stop - start <= MAX_NAME else b""


def printable(window: Window, raw: bytes, what: str) -> str:
    """A name that may reach a terminal. Raises FormatError."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise window.fail(f"{what}: its name is not UTF-8") from None
    if not name.isprintable():
        raise window.fail(f"{what}: its name holds characters that cannot be printed")
    return name
