"""A pickle is a program. This runs it on a machine that has no world: no import, no call, no attribute.

A checkpoint's table of contents is a pickle, and `pickle.load` would do whatever it says. The machine here knows the
same opcodes but only six kinds of values: plain ones (numbers, strings, None), tuples, lists, dicts, and three inert
ones. A global is an `Opaque` pair of strings; calling, instantiating or filling one gives a `Record` that remembers
with what; a persistent id is a `Persistent`. What they mean is for the caller to say. `os.system` is two strings.

Limits hold while it runs, so that no pickle takes more memory or time than they allow. Nothing here recurses, values
may contain themselves, and no value that could nest is ever hashed, compared or printed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubdna.errors import FormatError

MAX_OPS = 2_000_000
"""Opcodes. A tensor takes 36, so this is 55,000 tensors; 2 million of the costliest ones take 200 MB."""
MAX_TEXT = 16_000_000
"""Bytes of all strings that are kept: names of 55,000 tensors are 5 MB."""
LONG_TEXT = 1_024
"""Bytes. No name is longer: a longer string is stepped over and becomes `TOO_LONG`."""
MAX_GLOBALS = 10_000
"""Different globals; a TorchScript file names one class a module."""
MAX_INT = 64
"""Bytes or digits of a whole number; a longer one becomes `TOO_LONG`."""


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


def load(data: bytes, filename: str) -> Any:
    """Run one pickle. Raises FormatError, naming `filename`, for anything that is not a pickle within the limits."""
    machine = _Machine(data)
    try:
        while machine.step():
            pass
        return machine.stack.pop()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        what = str(error)[:120] if isinstance(error, _Refused) else f"{type(error).__name__}: {str(error)[:80]!a}"
        raise FormatError(filename, f"not a pickle that can be read, at byte {machine.at}: {what}") from None


class _Refused(ValueError):
    """A limit, or an opcode that has no place in a file."""


class _Machine:
    """Stack, marks and memo, as the pickle protocol describes them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.n_ops, self.n_text = data, 0, 0, 0
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Opaque] = {}

    def step(self) -> bool:
        """Do one opcode; False at the end of the program."""
        if self.at >= len(self.data):
            raise _Refused("cut short")
        self.n_ops += 1
        if self.n_ops > MAX_OPS:
            raise _Refused(f"more than {MAX_OPS} opcodes")
        op = self.data[self.at]
        self.at += 1
        if op in _CONSTANTS:
            self.stack.append(_CONSTANTS[op])
            return True
        if op not in _OPCODES:
            raise _Refused("the program ends" if op == _STOP else f"opcode {op:#04x} is not allowed") if (
                op != _STOP
            ) else _Stop
        _OPCODES[op](self)
        return True

    def take(self, n: int) -> bytes:
        """The next n bytes of the program."""
        data = self.data[self.at : self.at + n]
        if len(data) < n:
            raise _Refused("cut short")
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
            raise _Refused("cut short")
        self.at += n
        return None

    def line(self) -> bytes:
        """A text argument, without its line feed."""
        end = self.data.find(b"\n", self.at, self.at + LONG_TEXT)
        if end < 0:
            raise _Refused(f"a line of more than {LONG_TEXT} bytes")
        line = self.data[self.at : end]
        self.at = end + 1
        return self.kept(line)

    def kept(self, text: bytes) -> bytes:
        """Account for a string."""
        self.n_text += len(text)
        if self.n_text > MAX_TEXT:
            raise _Refused(f"more than {MAX_TEXT} bytes of strings")
        return text

    def since_mark(self) -> list[Any]:
        """Everything pushed since the last mark."""
        found = self.stack
        self.stack = self.marked.pop()
        return found

    def named(self, module: Any, name: Any) -> Opaque:
        """A global; the same one is the same value."""
        if type(module) is not str or type(name) is not str:
            raise _Refused("a global whose name is not a string")
        if len(self.globals) >= MAX_GLOBALS and (module, name) not in self.globals:
            raise _Refused(f"more than {MAX_GLOBALS} globals")
        return self.globals.setdefault((module, name), Opaque(module, name))
