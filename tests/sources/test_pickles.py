"""The pickle machine: what it makes of programs, what it never does, and where it stops."""

import builtins
import collections
import os
import pickle
import pickletools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubdna.errors import FormatError
from hubdna.sources import pickles
from hubdna.sources.pickle_machine import TOO_LONG, Opaque, Persistent, Record

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text() | st.integers(-(2**59), 2**59), inner)
    ),
    max_leaves=20,
)


@given(PLAIN, st.integers(0, 5))
@example({"Ā": "a\\b\n"}, 0)
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    if protocol < 3 and {b"_codecs", b"__builtin__"} & set(re.findall(rb"c(\w+)\n", pickle.dumps(value, protocol))):
        return  # bytes are a call there
    assert pickles.load(pickle.dumps(value, protocol), "x") == value


class Gadget:
    def __init__(self, call: Any, *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.args


def gadgets(canary: Path) -> list[Any]:
    touch = f"open({str(canary)!r}, 'w').close()"
    return [
        Gadget(os.system, f"touch {canary}"),
        Gadget(eval, touch),
        Gadget(exec, touch),
        Gadget(subprocess.check_call, ["touch", str(canary)]),
        Gadget(open, str(canary), "w"),
        Gadget(getattr, Gadget(__import__, "os"), "system"),
        Gadget(builtins.map, eval, [touch]),
        {"weights": Gadget(os.system, f"touch {canary}"), Gadget(eval, touch): 1},
        collections.OrderedDict([("a", Gadget(exec, touch))]),
    ]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("which", range(9))
def test_gadgets_do_nothing(tmp_path: Path, which: int, protocol: int) -> None:
    canary = tmp_path / "canary"
    pickles.load(pickle.dumps(gadgets(canary)[which], protocol), "x")
    assert not canary.exists()


def test_the_canary_would_have_died(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(gadgets(canary)[0]))
    assert canary.exists()


def test_globals_are_two_strings() -> None:
    call = pickles.load(b"\x80\x02cposix\nsystem\n(S'id'\ntR.", "x")
    assert type(call) is Record
    assert (call.made_by, call.args) == (Opaque("posix", "system"), ("id",))
    stacked = pickles.load(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "x")
    assert stacked == Opaque("builtins", "eval")
    assert type(pickles.load(b"(S'id'\niposix\nsystem\n.", "x")) is Record
    assert type(pickles.load(b"(cposix\nsystem\nS'id'\no.", "x")) is Record


def test_what_is_called_need_not_be_a_global() -> None:
    assert pickles.load(b"K\x05)R.", "x").made_by == 5


def test_state_items_and_elements_are_remembered() -> None:
    made = pickles.load(b"ca\nB\n)\x81}X\x01\x00\x00\x00kK\x01sb" + b"K\x02K\x03s" + b"K\x04a.", "x")
    assert (made.state, made.items, made.values) == ({"k": 1}, {2: 3}, [4])


def test_persistent_ids_stay_outside() -> None:
    made = pickles.load(b"K\x07Q.", "x")
    assert type(made) is Persistent and made.id == 7


def test_values_may_contain_themselves() -> None:
    made = pickles.load(b"]q\x00h\x00a.", "x")
    assert made[0] is made


def test_keys_that_nest_are_never_hashed() -> None:
    deep = b"N" + b"\x85" * 500_000
    made = pickles.load(b"}" + deep + b"K\x01s.", "x")
    assert [type(k) for k in made] == [Persistent]


def test_keys_cannot_be_made_to_collide() -> None:
    period = 2**61 - 1
    program = b"}(" + b"".join(b"\x8a\x0a" + (i * period).to_bytes(10, "little") + b"N" for i in range(100_000)) + b"u."
    assert len(pickles.load(program, "x")) == 100_000


def test_long_strings_and_numbers_are_stepped_over() -> None:
    assert pickles.load(b"X" + (2_000).to_bytes(4, "little") + b"a" * 2_000 + b".", "x") is TOO_LONG
    assert pickles.load(b"\x8b" + (1_000_000).to_bytes(4, "little") + b"\xff" * 1_000_000 + b".", "x") is TOO_LONG
    assert pickles.load(b"I" + b"9" * 1_000 + b"\n.", "x") is TOO_LONG


MALFORMED = {
    "nothing": b"",
    "no end": b"N",
    "nothing on the stack": b".",
    "a call of nothing": b")R.",
    "mark missing": b"K\x01t.",
    "tuple of too few": b"K\x01\x86.",
    "memo of nothing": b"h\x05.",
    "memo never filled": b"Nq\x00h\x01.",
    "string longer than the file": b"X\xff\xff\xff\xffabc.",
    "string of 2^64 bytes": b"\x8d" + b"\xff" * 8 + b".",
    "line without end": b"cposix",
    "line of a megabyte": b"c" + b"a" * 1_000_000 + b"\n.",
    "a number that is none": b"Ix\n.",
    "a float that is none": b"Fx\n.",
    "memo index that is none": b"Np" + b"9" * 100 + b"\n.",
    "global of numbers": b"K\x01K\x02\x93.",
    "item of a number": b"K\x01K\x02K\x03s.",
    "element of a tuple": b")K\x01a.",
    "key without value": b"}(K\x01u.",
    "build of nothing": b"}b.",
    "extension registry": b"\x82\x01.",
    "out-of-band buffer": b"\x97.",
    "unknown opcode": b"\xff.",
    "object of nothing": b"(o.",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_programs_are_refused(what: str) -> None:
    with pytest.raises(FormatError, match=r"^some\.bin: not a pickle that can be read, at byte \d+: "):
        pickles.load(MALFORMED[what], "some.bin")


BOMBS = {
    "empty dicts": b"(" + b"}" * 3_000_000,
    "marks": b"(" * 3_000_000,
    "nested tuples": b"N" + b"\x85" * 3_000_000,
    "nested lists in the memo": b"]" + b"\x94]h\x00a" * 800_000,
    "copies of one value": b"N" + b"2" * 3_000_000,
    "strings": b"X\x10\x00\x00\x00aaaaaaaaaaaaaaaa" * 1_500_000,
    "globals": b"".join(b"ca\n%d\n" % i for i in range(20_000)),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_stop_at_a_limit(what: str) -> None:
    with pytest.raises(FormatError, match="more than"):
        pickles.load(BOMBS[what] + b".", "x")


SAMPLE = pickle.dumps({"a": [1, 2.5, ("x", None)], "b": Gadget(print, "x"), 3: collections.OrderedDict(q=b"1")}, 2)


@given(st.binary(max_size=200))
@example(SAMPLE)
def test_noise_raises_format_errors_only(noise: bytes) -> None:
    try:
        pickles.load(noise, "x")
    except FormatError as error:
        assert str(error).isprintable()


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutations_raise_format_errors_only(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(SAMPLE)
    for at, byte in changes:
        raw[at] = byte
    test_noise_raises_format_errors_only.hypothesis.inner_test(bytes(raw))  # type: ignore[attr-defined]


def test_every_opcode_of_the_protocol_is_known_or_refused() -> None:
    known = set(pickles._OPCODES) | set(pickles._CONSTANTS) | {pickles._STOP}
    every = {ord(op.code) for op in pickletools.opcodes}
    assert every - known == {0x82, 0x83, 0x84, 0x97, 0x98}
    assert known <= every
