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
from typing import Any

from hubdna.errors import FormatError
from hubdna.sources.pickle_machine import TOO_LONG, Machine, Persistent, Record, RefusedError

MAX_OPS = 1_500_000
"""Opcodes. A tensor takes 36, so this is 40,000 tensors; as many of the costliest ones take 200 MB."""
MAX_INT = 64
"""Bytes or digits of a whole number; a longer one becomes `TOO_LONG`."""


def load(data: bytes, filename: str) -> Any:
    """Run one pickle. Raises FormatError, naming `filename`, for anything that is not a pickle within the limits."""
    machine = Machine(data)
    try:
        return _run(machine)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        what = str(error) if isinstance(error, RefusedError) else f"{type(error).__name__}: {str(error)[:80]!a}"
        raise FormatError(filename, f"not a pickle that can be read, at byte {machine.at}: {what}") from None


def _run(machine: Machine) -> Any:
    """Do all opcodes up to STOP; what is on the stack then."""
    data, n = machine.data, len(machine.data)
    for _ in range(MAX_OPS):
        if machine.at >= n:
            raise RefusedError("cut short")
        op = data[machine.at]
        machine.at += 1
        if op in _CONSTANTS:
            machine.stack.append(_CONSTANTS[op])
        elif op in _OPCODES:
            _OPCODES[op](machine)
        elif op == _STOP:
            return machine.stack.pop()
        else:
            raise RefusedError(f"opcode {op:#04x} has no place in a file")
    raise RefusedError(f"more than {MAX_OPS} opcodes")


def _text(raw: bytes | None) -> Any:
    if raw is None:
        return TOO_LONG
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # what Python 2 wrote


def _escaped(raw: bytes) -> str:
    """Text of protocol 0: Latin-1 with escapes for everything beyond."""
    try:
        return raw.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _whole(raw: bytes | None) -> Any:
    return TOO_LONG if raw is None or len(raw) > MAX_INT else int.from_bytes(raw, "little", signed=True)


def _digits(line: bytes) -> Any:
    if line in (b"00", b"01"):  # what protocol 0 calls False and True
        return line == b"01"
    line = line.removesuffix(b"L")
    return TOO_LONG if len(line) > MAX_INT else int(line)


def _ignore(value: Any) -> None:
    """Nothing: what it was given is left out."""


def _push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    def push(m: Machine) -> None:
        m.stack.append(make(m))

    return push


def _empty(made: type) -> Callable[[Machine], None]:
    return _push(lambda m: made())


def _int_of(width: int, *, signed: bool = False) -> Callable[[Machine], None]:
    return _push(lambda m: int.from_bytes(m.take(width), "little", signed=signed))


def _text_of(width: int) -> Callable[[Machine], None]:
    return _push(lambda m: _text(m.sized(width)))


def _bytes_of(width: int) -> Callable[[Machine], None]:
    def push(m: Machine) -> None:
        raw = m.sized(width)
        m.stack.append(TOO_LONG if raw is None else raw)

    return push


def _last(n: int) -> Callable[[Machine], None]:
    """A tuple of the last n values."""

    def push(m: Machine) -> None:
        if len(m.stack) < n:
            raise IndexError("stack underflow")
        m.stack[-n:] = [tuple(m.stack[-n:])]

    return push


def _mark(m: Machine) -> None:
    m.marked.append(m.stack)
    m.stack = []


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.since_mark()


def _gather(make: Callable[[list[Any]], Any]) -> Callable[[Machine], None]:
    def gather(m: Machine) -> None:
        found = m.since_mark()
        m.stack.append(make(found))

    return gather


def _dict(found: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _fill(made, found)
    return made


def _key(value: Any) -> Any:
    """A key that is cheap and safe to hash: anything but a string or a modest number stands for itself alone."""
    if type(value) is str or value is None or (type(value) is int and -(2**60) < value < 2**60):
        return value
    return Persistent(value)


def _fill(target: Any, pairs: list[Any]) -> None:
    if len(pairs) % 2:
        raise RefusedError("a key without a value")
    if type(target) is Record:
        target.items = {} if target.items is None else target.items
        target = target.items
    if type(target) is not dict:
        raise RefusedError("an item set on something that is no mapping")
    for i in range(0, len(pairs), 2):
        target[_key(pairs[i])] = pairs[i + 1]


def _extend(target: Any, values: list[Any]) -> None:
    if type(target) is Record:
        target.values = [] if target.values is None else target.values
        target = target.values
    if type(target) is not list:
        raise RefusedError("an element appended to something that is no list")
    target.extend(values)


def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _fill(m.stack[-1], [key, value])


def _set_items(m: Machine) -> None:
    pairs = m.since_mark()
    _fill(m.stack[-1], pairs)


def _append(m: Machine) -> None:
    value = m.stack.pop()
    _extend(m.stack[-1], [value])


def _appends(m: Machine) -> None:
    values = m.since_mark()
    _extend(m.stack[-1], values)


def _call(m: Machine) -> None:
    args, made_by = m.stack.pop(), m.stack.pop()
    m.stack.append(Record(made_by, args))


def _call_with_names(m: Machine) -> None:
    _names, args, made_by = m.stack.pop(), m.stack.pop(), m.stack.pop()
    m.stack.append(Record(made_by, args))


def _instance(m: Machine) -> None:
    made_by, args = m.named(_text(m.line()), _text(m.line())), m.since_mark()
    m.stack.append(Record(made_by, tuple(args)))


def _object(m: Machine) -> None:
    found = m.since_mark()
    made_by = found.pop(0)
    m.stack.append(Record(made_by, tuple(found)))


def _build(m: Machine) -> None:
    state = m.stack.pop()
    if type(m.stack[-1]) is Record:  # a dict cannot be given attributes, whoever may have been able to
        m.stack[-1].state = state


def _global_on_stack(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.stack.append(m.named(module, name))


def _put(index: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def put(m: Machine) -> None:
        m.memo[index(m)] = m.stack[-1]

    return put


def _get(index: Callable[[Machine], int]) -> Callable[[Machine], None]:
    return _push(lambda m: m.memo[index(m)])


def _index(m: Machine) -> int:
    index = _digits(m.line())
    if type(index) is not int:
        raise RefusedError("a memo index that is no number")
    return index


_STOP = ord(".")
_CONSTANTS: dict[int, Any] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_OPCODES: dict[int, Callable[[Machine], None]] = {
    0x80: lambda m: _ignore(m.take(1)),  # PROTO
    0x95: lambda m: _ignore(m.take(8)),  # FRAME
    ord("I"): _push(lambda m: _digits(m.line())), ord("L"): _push(lambda m: _digits(m.line())),
    ord("J"): _int_of(4, signed=True), ord("K"): _int_of(1), ord("M"): _int_of(2),
    0x8A: _push(lambda m: _whole(m.sized(1))), 0x8B: _push(lambda m: _whole(m.sized(4))),
    ord("F"): _push(lambda m: float(m.line())), ord("G"): _push(lambda m: struct.unpack(">d", m.take(8))[0]),
    ord("S"): _push(lambda m: _text(m.line().strip(b"\"'"))), ord("V"): _push(lambda m: _escaped(m.line())),
    ord("X"): _text_of(4), 0x8C: _text_of(1), 0x8D: _text_of(8), ord("T"): _text_of(4), ord("U"): _text_of(1),
    ord("B"): _bytes_of(4), ord("C"): _bytes_of(1), 0x8E: _bytes_of(8), 0x96: _bytes_of(8),
    ord("}"): _empty(dict), ord("]"): _empty(list), 0x8F: _empty(list),
    ord("("): _mark, ord("0"): _pop, ord("1"): lambda m: _ignore(m.since_mark()),
    ord("2"): _push(lambda m: m.stack[-1]),
    ord("t"): _gather(tuple), ord("l"): _gather(list), ord("d"): _gather(_dict), 0x91: _gather(tuple),
    0x85: _last(1), 0x86: _last(2), 0x87: _last(3),
    ord("s"): _set_item, ord("u"): _set_items, ord("a"): _append, ord("e"): _appends, 0x90: _appends,
    ord("c"): _push(lambda m: m.named(_text(m.line()), _text(m.line()))), 0x93: _global_on_stack,
    ord("R"): _call, 0x81: _call, 0x92: _call_with_names, ord("i"): _instance, ord("o"): _object, ord("b"): _build,
    ord("P"): _push(lambda m: Persistent(_text(m.line()))), ord("Q"): _push(lambda m: Persistent(m.stack.pop())),
    ord("p"): _put(_index), ord("q"): _put(lambda m: m.number(1)), ord("r"): _put(lambda m: m.number(4)),
    0x94: _put(lambda m: len(m.memo)),
    ord("g"): _get(_index), ord("h"): _get(lambda m: m.number(1)), ord("j"): _get(lambda m: m.number(4)),
}  # fmt: skip
"""The extension registry (0x82..0x84) and out-of-band buffers (0x97, 0x98) are missing: a file has neither."""
