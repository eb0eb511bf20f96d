"""The machine that runs a pickle (`pickles.py`): the values it knows, its stack, marks and memo, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_TEXT = 16_000_000
"""Bytes of all strings that are kept: names of 40,000 tensors are 4 MB."""
LONG_TEXT = 1_024
"""Bytes. No name is longer: a longer string is stepped over and becomes `TOO_LONG`."""
MAX_GLOBALS = 10_000
"""Different globals; a TorchScript file names one class a module."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A global, by name. Nothing was imported."""

    module: str
    name: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Persistent:
    """A persistent id: something that lies outside the pickle."""

    id: Any


@dataclass(slots=True, eq=False, repr=False)
class Record:
    """What would have been an object: the global that was to make it, and what it was to be made of.

    Attributes:
        made_by: an Opaque, or any other value (a pickle may "call" a number).
        args: what it was to be called with.
        state: what it was to be filled with, or None.
        items: keys and values that were set.
        values: elements that were appended.
    """

    made_by: Any
    args: Any
    state: Any = None
    items: dict[Any, Any] | None = None
    values: list[Any] | None = None


TOO_LONG = Opaque("", "too long")


class RefusedError(ValueError):
    """A limit, or an opcode that has no place in a file."""


class Machine:
    """Stack, marks and memo, as the pickle protocol describes them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.n_ops, self.n_text = data, 0, 0, 0
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Opaque] = {}

    def take(self, n: int) -> bytes:
        """The next n bytes of the program."""
        data = self.data[self.at : self.at + n]
        if len(data) < n:
            raise RefusedError("cut short")
        self.at += n
        return data

    def number(self, width: int) -> int:
        """An unsigned number of so many bytes."""
        return int.from_bytes(self.take(width), "little")

    def sized(self, width: int) -> bytes | None:
        """A string behind its length; None, and nothing is copied, when it is too long to be a name."""
        n = self.number(width)
        if n <= LONG_TEXT:
            return self.kept(self.take(n))
        if n > len(self.data) - self.at:
            raise RefusedError("cut short")
        self.at += n
        return None

    def line(self) -> bytes:
        """A text argument, without its line feed."""
        end = self.data.find(b"\n", self.at, self.at + LONG_TEXT)
        if end < 0:
            raise RefusedError(f"a line of more than {LONG_TEXT} bytes")
        line = self.data[self.at : end]
        self.at = end + 1
        return self.kept(line)

    def kept(self, text: bytes) -> bytes:
        """Account for a string."""
        self.n_text += len(text)
        if self.n_text > MAX_TEXT:
            raise RefusedError(f"more than {MAX_TEXT} bytes of strings")
        return text

    def since_mark(self) -> list[Any]:
        """Everything pushed since the last mark."""
        found = self.stack
        self.stack = self.marked.pop()
        return found

    def named(self, module: Any, name: Any) -> Opaque:
        """A global; the same one is the same value."""
        if type(module) is not str or type(name) is not str:
            raise RefusedError("a global whose name is not a string")
        if len(self.globals) >= MAX_GLOBALS and (module, name) not in self.globals:
            raise RefusedError(f"more than {MAX_GLOBALS} globals")
        return self.globals.setdefault((module, name), Opaque(module, name))
