"""The walk over protocol buffers: numbers and lengths are checked, payloads are not read, requests are few."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubdna.errors import FormatError
from hubdna.sources import protobuf
from hubdna.sources.interface import LocalReader
from hubdna.sources.protobuf import OutOfBudgetError, Window, unpack_varints

NAME = "m.onnx"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def window(tmp_path: Path, data: bytes, **limits: int) -> Window:
    (tmp_path / NAME).write_bytes(data)
    return Window(LocalReader(tmp_path), NAME, **limits)


def walk(tmp_path: Path, data: bytes) -> list[tuple[int, int, int, int]]:
    return list(window(tmp_path, data).fields(0, len(data)))


class TestFields:
    def test_every_wire_type(self, tmp_path: Path) -> None:
        data = field(1, 300) + field(2, b"abc") + varint(3 << 3 | 1) + bytes(8) + varint(4 << 3 | 5) + bytes(4)
        assert walk(tmp_path, data) == [(1, 0, 300, 0), (2, 2, 5, 8), (3, 1, 9, 17), (4, 5, 18, 22)]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (varint(1 << 3 | 2) + varint(5) + b"abcd", "field 1 of 5 bytes at 2 ends past its message"),
            (varint(1 << 3 | 2) + varint(2**63), "ends past its message"),
            (varint(1 << 3 | 2) + varint(2**64 - 1), "ends past its message"),
            (varint(1 << 3 | 1) + bytes(7), "ends past its message"),
            (varint(1 << 3), "a number ends past its message"),
            (b"\x08" + b"\xff" * 4, "does not end"),
            (b"\x08" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
            (b"\x08" + b"\xff" * 9 + b"\x02", "more than 64 bits"),
            (varint(1 << 3 | 3), "field 1 of wire type 3"),
            (varint(1 << 3 | 7), "field 1 of wire type 7"),
            (field(0, b""), "field 0 of wire type 2"),
        ],
    )
    def test_malformed_messages_are_refused(self, tmp_path: Path, data: bytes, reason: str) -> None:
        with pytest.raises(FormatError, match=f"^{NAME}: .*{reason}"):
            walk(tmp_path, data)

    def test_a_number_may_not_reach_into_the_bytes_after_its_message(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="ends past its message"):
            list(window(tmp_path, varint(1 << 3) + bytes(40)).fields(0, 1))

    def test_the_number_of_fields_is_limited(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
        assert len(walk(tmp_path, field(1, 1) * 1000)) == 1000
        with pytest.raises(FormatError, match="more than 1000 fields"):
            walk(tmp_path, field(1, 1) * 1001)

    def test_the_bytes_read_are_limited(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protobuf, "MAX_READ", 3_000_000)
        with pytest.raises(FormatError, match="more than 3000000 bytes"):
            walk(tmp_path, field(1, b"x" * 1000) * 4000)


class TestCost:
    def test_a_small_file_takes_two_requests(self, tmp_path: Path) -> None:
        data = field(1, bytes(90_000)) * 20
        seen = window(tmp_path, data)
        assert len(list(seen.fields(0, len(data)))) == 20
        assert seen.n_requests == 2

    def test_large_payloads_cost_a_small_window_each(self, tmp_path: Path) -> None:
        data = (field(1, bytes(900_000)) + field(2, b"name")) * 10
        seen = window(tmp_path, data)
        assert len(list(seen.fields(0, len(data)))) == 20
        assert seen.n_requests <= 11
        assert seen.n_read <= protobuf.FIRST_WINDOW + 10 * protobuf.AFTER_JUMP

    def test_long_lists_take_ever_wider_windows(self, tmp_path: Path) -> None:
        data = field(1, b"node" * 50) * 25_000
        seen = window(tmp_path, data)
        assert len(list(seen.fields(0, len(data)))) == 25_000
        assert seen.n_requests <= 9
        assert seen.n_read <= len(data) + 100

    @pytest.mark.parametrize("limits", [{"max_requests": 3}, {"max_bytes": 200_000}])
    def test_a_budget_stops_the_walk(self, tmp_path: Path, limits: dict[str, int]) -> None:
        data = (field(1, bytes(900_000)) + field(2, b"name")) * 10
        seen = window(tmp_path, data, **limits)
        with pytest.raises(OutOfBudgetError):
            list(seen.fields(0, len(data)))
        assert seen.n_requests <= limits.get("max_requests", 99)
        assert seen.n_read <= limits.get("max_bytes", 2**62)


class TestPackedNumbers:
    @given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
    def test_unpacked_as_they_were_packed(self, values: list[int]) -> None:
        found = unpack_varints(memoryview(b"".join(varint(v) for v in values)))
        assert found is not None
        assert found.tolist() == values
        assert found.dtype == np.uint64

    @pytest.mark.parametrize("data", [b"\x80", b"\x01\xff", b"\xff" * 10 + b"\x01"])
    def test_malformed(self, data: bytes) -> None:
        assert unpack_varints(memoryview(data)) is None
