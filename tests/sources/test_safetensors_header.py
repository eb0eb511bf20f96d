"""Everything a safetensors header says is hostile until checked; what is refused is refused by name and reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_files import NAME, Write, container, tensor

from hubdna.errors import FormatError
from hubdna.sources.interface import LocalReader
from hubdna.sources.safetensors import FIRST_READ, ITEMSIZE, MAX_HEADER, parse_header, read_header

T8 = tensor(0, 8)


def padded(length: int) -> bytes:
    """A sound header of exactly this length with one tensor of 8 bytes, and its data."""
    raw = json.dumps({"t": T8}).encode()
    assert len(raw) <= length
    return container(raw.ljust(length), bytes(8))


class TestLength:
    @pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**62, 5_000_000_000, 25_000_001, 1, 0])
    def test_a_header_length_outside_the_limits_is_refused(self, read: Write, length: int) -> None:
        with pytest.raises(FormatError, match=rf"^{NAME}: header length {length} is outside 2\.\.25000000"):
            read(container({"t": T8}, bytes(8), length=length))

    def test_a_header_that_ends_past_the_end_of_the_file_is_refused_without_reading_it(self, tmp_path: Path) -> None:
        (tmp_path / NAME).write_bytes(container(b"{}", length=MAX_HEADER))
        reader = LocalReader(tmp_path)
        with pytest.raises(FormatError, match=rf"^{NAME}: header of 25000000 bytes ends past the end"):
            read_header(reader, NAME)
        assert reader.n_requests == 1
        assert reader.n_bytes == 10

    def test_a_header_one_byte_longer_than_the_file_is_refused(self, read: Write) -> None:
        raw = json.dumps({"t": T8}).encode()
        with pytest.raises(FormatError, match="ends past the end"):
            read(container(raw, length=len(raw) + 1))

    @pytest.mark.parametrize("length", range(FIRST_READ - 9, FIRST_READ + 2))
    def test_headers_around_the_first_read_work(self, tmp_path: Path, length: int) -> None:
        (tmp_path / NAME).write_bytes(padded(length))
        reader = LocalReader(tmp_path)
        (found,) = read_header(reader, NAME)
        assert found.data_offsets == (8 + length, 16 + length)
        assert reader.n_requests == (1 if 8 + length <= FIRST_READ else 2)

    def test_the_longest_header_works(self, read: Write) -> None:
        assert len(read(padded(MAX_HEADER))) == 1

    def test_a_header_one_byte_beyond_the_longest_is_refused(self, read: Write) -> None:
        with pytest.raises(FormatError, match="header length 25000001"):
            read(padded(MAX_HEADER + 1))

    def test_the_shortest_header_is_an_empty_model(self, read: Write) -> None:
        assert read(container(b"{}")) == []


class TestNotSafetensors:
    @pytest.mark.parametrize("content", [b"", b"\0", b"1234567"])
    def test_fewer_than_eight_bytes_are_refused(self, read: Write, content: bytes) -> None:
        with pytest.raises(FormatError, match=rf"^{NAME}: not safetensors: .* found {len(content)}$"):
            read(content)

    @pytest.mark.parametrize(
        "content",
        [
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            b"<!DOCTYPE html><title>404</title>",
            b"PK\x03\x04" + bytes(60),
            b"\x80\x04\x95" + bytes(60),
        ],
        ids=["lfs pointer", "web page", "zip", "pickle"],
    )
    def test_other_formats_are_refused(self, read: Write, content: bytes) -> None:
        with pytest.raises(FormatError, match=f"^{NAME}: header"):
            read(content)

    @pytest.mark.parametrize("header", ["[]", "1", "null", '"t"', "true", "  ", "{", '{"t":', "{}{}", "{'t': 1}"])
    def test_a_header_that_is_not_one_json_object_is_refused(self, read: Write, header: str) -> None:
        with pytest.raises(FormatError, match=f"^{NAME}: header is not"):
            read(container(header.ljust(4)))

    def test_a_header_that_is_not_utf_8_is_refused(self, read: Write) -> None:
        with pytest.raises(FormatError, match="not UTF-8 \\(byte 2\\)"):
            read(container(b'{"\xff":1}'))

    @pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
    def test_constants_that_are_not_json_are_refused(self, read: Write, word: str) -> None:
        with pytest.raises(FormatError, match=f"{word} is not JSON"):
            read(container(f'{{"t":{{"dtype":"U8","shape":[],"data_offsets":[0,{word}]}}}}'))

    def test_a_key_that_appears_twice_is_refused(self, read: Write) -> None:
        entry = json.dumps(T8)
        with pytest.raises(FormatError, match="a key appears twice"):
            read(container(f'{{"t":{entry},"t":{entry}}}', bytes(8)))
        with pytest.raises(FormatError, match="a key appears twice"):
            read(container('{"t":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'))

    def test_an_int_literal_of_a_million_digits_is_refused(self, read: Write) -> None:
        with pytest.raises(FormatError, match="not valid JSON"):
            read(container('{"t":{"dtype":"U8","shape":[%s],"data_offsets":[0,0]}}' % ("9" * 1_000_000)))

    def test_a_header_cut_short_by_a_file_that_shrinks_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / NAME).write_bytes(padded(FIRST_READ + 50)[: FIRST_READ + 10])
        with pytest.raises(FormatError, match="past the end"):
            read_header(LocalReader(tmp_path), NAME)


class TestEntries:
    @pytest.mark.parametrize(
        "entry",
        [
            None, 1, "x", True, {}, {"dtype": "U8"}, {"shape": [0], "data_offsets": [0, 0]},
            {"dtype": "U8", "shape": [0]}, {"Dtype": "U8", "shape": [0], "data_offsets": [0, 0]},
        ],
    )  # fmt: skip
    def test_an_entry_without_its_three_fields_is_refused(self, read: Write, entry: Any) -> None:
        with pytest.raises(FormatError, match=f"^{NAME}: tensor 't': expected dtype, shape and data_offsets"):
            read(container({"t": entry}))

    @pytest.mark.parametrize("dtype", ["F31", "", "f32", "float32", None, 1, 1.5, True, {}, {"a": "b"}, "F32" * 999])
    def test_an_unknown_dtype_is_refused(self, read: Write, dtype: Any) -> None:
        with pytest.raises(FormatError, match="tensor 't': unknown dtype") as caught:
            read(container({"t": tensor(0, 8, dtype)}, bytes(8)))
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        "offsets",
        [
            [8, 0], [-1, 7], [0.0, 8.0], [False, True], [0, 10**30], [10**30, 10**30 + 8], [0], [0, 4, 8], [],
            None, "0,8", ["0", "8"], [None, 8], {"0": 8}, [0, "8"], 8, [0, 2**63],
        ],
    )  # fmt: skip
    def test_offsets_that_are_not_two_ordered_counts_are_refused(self, read: Write, offsets: Any) -> None:
        with pytest.raises(FormatError, match="tensor 't': data_offsets is not"):
            read(container({"t": {"dtype": "U8", "shape": [8], "data_offsets": offsets}}, bytes(8)))

    @pytest.mark.parametrize(
        "shape", [[-8], [8.0], [True] * 8, ["8"], None, 8, "8", {}, [10**30], [2**62], [1] * 33, [None]]
    )
    def test_a_shape_that_is_not_a_list_of_counts_is_refused(self, read: Write, shape: Any) -> None:
        with pytest.raises(FormatError, match="tensor 't': shape is not a list"):
            read(container({"t": {"dtype": "U8", "shape": shape, "data_offsets": [0, 8]}}, bytes(8)))

    @pytest.mark.parametrize("shape", [[2**61, 8], [2**32, 2**32], [2**61] * 32, [2**62 - 1, 2**62 - 1]])
    def test_a_shape_whose_product_overflows_64_bits_is_refused(self, read: Write, shape: list[int]) -> None:
        with pytest.raises(FormatError, match=r"tensor 't': U8 .* takes"):
            read(container({"t": {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]}}))

    @pytest.mark.parametrize("nested", ['"shape":[[8]]', '"shape":[{"a":"b"}]', '"shape":[8],"x":[1]'])
    def test_lists_where_none_belong_are_refused(self, read: Write, nested: str) -> None:
        with pytest.raises(FormatError):
            read(container('{"t":{"dtype":"U8",' + nested + ',"data_offsets":[0,8]}}', bytes(8)))

    @pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "\x00", "\ud800", "\u202eabc", "a\x07"])
    def test_names_that_could_write_to_a_terminal_are_refused(self, read: Write, name: str) -> None:
        with pytest.raises(FormatError, match="cannot be printed") as caught:
            read(container({name: T8}, bytes(8)))
        assert str(caught.value).isprintable()

    def test_a_long_name_is_quoted_in_part(self, read: Write) -> None:
        with pytest.raises(FormatError) as caught:
            read(container({"n" * 100_000: {}}))
        assert len(str(caught.value)) < 300

    def test_a_name_in_another_script_is_fine(self, read: Write) -> None:
        assert read(container({"模型.层.0": T8}, bytes(8)))[0].name == "模型.层.0"


class TestCoverage:
    def refuses(self, read: Write, entries: dict[str, Any], n_data: int, reason: str) -> None:
        with pytest.raises(FormatError, match=rf"^{NAME}: .*{reason}"):
            read(container(entries, bytes(n_data)))

    def test_overlapping_tensors_are_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8), "b": tensor(4, 12)}, 12, "'b' overlaps")

    def test_two_tensors_in_one_place_are_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8), "b": tensor(0, 8)}, 8, "'b' overlaps")

    def test_a_hole_is_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8), "b": tensor(9, 17)}, 17, "'b' leaves a hole")

    def test_a_hole_at_the_start_is_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(1, 9)}, 9, "'a' leaves a hole")

    def test_padding_at_the_end_is_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8)}, 9, "cut short or padded")

    def test_a_truncated_file_is_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8)}, 7, "cut short or padded")

    def test_data_without_tensors_is_refused(self, read: Write) -> None:
        self.refuses(read, {}, 1, "cut short or padded")

    def test_offsets_far_past_the_end_are_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 2**40, shape=[2**40])}, 8, "cut short or padded")

    def test_the_order_of_the_header_does_not_matter(self, read: Write) -> None:
        found = read(container({"b": tensor(8, 16), "a": tensor(0, 8)}, bytes(16)))
        assert [t.name for t in found] == ["a", "b"]

    def test_zero_size_tensors_may_lie_anywhere_between_others(self, read: Write) -> None:
        entries = {"z": tensor(0, 0), "a": tensor(0, 8), "y": tensor(8, 8, "F32", [3, 0]), "b": tensor(8, 9),
                   "x": tensor(9, 9)}  # fmt: skip
        found = read(container(entries, bytes(9)))
        assert {t.name for t in found} == set("zaybx")
        assert all(b - a == 0 for t in found if 0 in t.shape for a, b in [t.data_offsets])

    def test_a_zero_size_tensor_inside_another_is_refused(self, read: Write) -> None:
        self.refuses(read, {"a": tensor(0, 8), "z": tensor(4, 4)}, 8, "'z' overlaps")

    def test_a_scalar_has_one_element(self, read: Write) -> None:
        assert read(container({"s": tensor(0, 4, "F32", [])}, bytes(4)))[0].shape == ()


class TestMetadata:
    @pytest.mark.parametrize("meta", [None, {}, {"format": "pt"}, {"n": 1}, "text", 5, {"a": {"b": "c"}}])
    def test_odd_metadata_does_not_matter(self, read: Write, meta: Any) -> None:
        assert len(read(container({"__metadata__": meta, "t": T8}, bytes(8)))) == 1

    def test_metadata_is_not_a_tensor(self, read: Write) -> None:
        assert len(read(container({"__metadata__": T8, "t": T8}, bytes(8)))) == 1

    def test_tag_counts_of_a_real_adapter_pass(self, read: Write) -> None:
        tags = json.dumps({f"tag: {i}": i for i in range(20_000)})
        assert len(read(container({"__metadata__": {"ss_tag_frequency": tags}, "t": T8}, bytes(8)))) == 1


def test_a_model_of_fifty_thousand_tensors_is_read() -> None:
    header = {f"layers.{i}.experts": tensor(2 * i, 2 * i + 2, "BF16", [1]) for i in range(50_000)}
    assert len(parse_header(json.dumps(header).encode(), NAME, 100_000)) == 50_000


ENTRY = st.tuples(st.sampled_from(sorted(ITEMSIZE)), st.lists(st.integers(0, 5), max_size=4))
NAMES = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=12).filter(
    lambda n: n != "__metadata__"
)


def valid(entries: dict[str, tuple[str, list[int]]]) -> tuple[dict[str, Any], int]:
    header, position = {}, 0
    for name, (dtype, shape) in entries.items():
        size = ITEMSIZE[dtype]
        for n in shape:
            size *= n
        header[name] = tensor(position, position + size, dtype, shape)
        position += size
    return header, position


@settings(deadline=None)
@given(st.dictionaries(NAMES, ENTRY, max_size=8))
def test_every_valid_header_is_read_back_as_written(entries: dict[str, tuple[str, list[int]]]) -> None:
    header, n_data = valid(entries)
    raw = json.dumps(header).encode()
    found = {t.name: t for t in parse_header(raw, NAME, n_data)}
    base = 8 + len(raw)
    assert {n: (t.dtype, list(t.shape)) for n, t in found.items()} == {n: (d, list(s)) for n, (d, s) in entries.items()}
    assert all([a - base, b - base] == header[n]["data_offsets"] for n, t in found.items() for a, b in [t.data_offsets])


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_random_bytes_raise_nothing_but_format_errors(raw: bytes, n_data: int) -> None:
    try:
        assert parse_header(raw, NAME, n_data) == []
    except FormatError as error:
        assert str(error).startswith(f"{NAME}: ")


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(NAMES, ENTRY, min_size=1, max_size=3),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from("set insert cut".split())), max_size=3
    ),
)
def test_mutated_headers_raise_nothing_but_format_errors(
    entries: dict[str, tuple[str, list[int]]], mutations: list[tuple[int, int, str]]
) -> None:
    header, n_data = valid(entries)
    raw = bytearray(json.dumps(header, ensure_ascii=False).encode())
    for where, byte, how in mutations:
        at = where % len(raw)
        raw[at : at + (how != "insert")] = b"" if how == "cut" and len(raw) > 1 else bytes([byte])
    try:
        found = parse_header(bytes(raw), NAME, n_data)
    except FormatError as error:
        assert error.filename == NAME
    else:
        assert sum(b - a for t in found for a, b in [t.data_offsets]) == n_data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=5), JSON | st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "U8"]) | JSON, "shape": JSON, "data_offsets": JSON}), max_size=3))  # fmt: skip
def test_any_json_as_a_header_raises_nothing_but_format_errors(header: dict[str, Any]) -> None:
    try:
        parse_header(json.dumps(header).encode(), NAME, 8)
    except FormatError as error:
        assert error.filename == NAME
