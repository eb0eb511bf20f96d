"""Which tokens no training saw: told by names in brackets with a number, and a hostile file names none."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubdna.sources.interface import LocalReader
from hubdna.sources.tokenizer import MAX_FILE, longest_run, unseen_tokens

CONFIG, VOCABULARY = "tokenizer_config.json", "vocab.txt"


def table(*names: Any) -> bytes:
    return json.dumps({"added_tokens_decoder": {str(i): {"content": name} for i, name in enumerate(names)}}).encode()


def read(folder: Path, **files: bytes) -> tuple[int, ...]:
    names = {"config": CONFIG, "vocabulary": VOCABULARY}
    for key, raw in files.items():
        (folder / names[key]).write_bytes(raw)
    return unseen_tokens(LocalReader(folder), [names[key] for key in files])


@pytest.mark.parametrize(
    "name",
    ["<|reserved_special_token_7|>", "<|reserved_special_token_240|>", "[unused12]", "[unused0]", "<unused3>",
     "<unused_99>", "<|unused_5|>", "<|reserved-token-3|>", "<reserved_106>", "<reserved 7>", "[UNUSED12]",
     "<|_unused_1_|>", "<|reserved_200011|>", "<|reserved_token_17|>"],
)  # fmt: skip
def test_numbered_reserved_or_unused_names_in_brackets_are_unseen(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, config=table("the", name)) == (1,)
    assert read(tmp_path, vocabulary=f"the\n{name}\nof\n".encode()) == (1,)


@pytest.mark.parametrize(
    "name",
    ["reserved", "unused", "unused12", "reserved_special_token_7", "<|reserved|>", "[unused]", "<unused>", "[MASK]",
     "[PAD]", "<s>", "<extra_id_0>", "<pad>", "<0x0A>", "<|endoftext|>", "<|im_start|>", "reserved_memory_7",
     "<reserved_memory_7>", "<|reserved_special_token|>", "[unused12] ", "[unused12]x", "x[unused12]", "<unused3", "",
     "unused3>", "[unused1234567]", "<|reserved_special_token_7|><|reserved_special_token_8|>", "##unused", "12",
     "[unused-1x]", "<|fim_middle|>", "<|unused" + "_" * 80 + "1|>", "[unused\n1]"],
)  # fmt: skip
def test_other_names_are_not(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, config=table("the", name)) == ()


@pytest.mark.parametrize(
    "name", ["reserved", "unused12", "<|reserved|>", "[MASK]", "reserved_memory_7", "", "<unused>"]
)
def test_nor_are_they_in_a_vocabulary(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, vocabulary=f"the\n{name}\nof".encode()) == ()


def test_ids_are_sorted_and_named_once(tmp_path: Path) -> None:
    tokens = {key: {"content": f"[unused{i}]"} for i, key in enumerate(("9", "3", "09"))}
    assert read(tmp_path, config=json.dumps({"added_tokens_decoder": tokens}).encode()) == (3, 9)


def test_the_line_is_the_id_whatever_ends_it(tmp_path: Path) -> None:
    assert read(tmp_path, vocabulary=b"[PAD]\r\n[unused0]\r\n[unused1]\r\n") == (1, 2)
    assert read(tmp_path, vocabulary="a\u2028b\x0cc\n[unused0]".encode()) == (1,)
    assert read(tmp_path, vocabulary=b"\xff\xfe\n[unused0]\n\xc3\n[unused1]") == (1, 3)


def test_the_configuration_is_asked_first_and_the_vocabulary_when_it_names_none(tmp_path: Path) -> None:
    vocabulary = b"a\nb\n[unused0]"
    assert read(tmp_path, config=table("[unused0]"), vocabulary=vocabulary) == (0,)
    assert read(tmp_path, config=table("[MASK]"), vocabulary=vocabulary) == (2,)
    assert read(tmp_path, config=b"{", vocabulary=vocabulary) == (2,)


def test_files_that_the_listing_does_not_name_are_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(table("[unused0]"))
    reader = LocalReader(tmp_path)
    assert unseen_tokens(reader, ["README.md"]) == ()
    assert reader.n_requests == 0
    assert unseen_tokens(reader, [VOCABULARY]) == (), "named, and not there"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"null", b"5", b'"[unused1]"', b"{}", b"\xff\xfe\xfd", b"\xef\xbb\xbf{", b"{" * 100_000,
        b"[" * 1_000_000, b'{"a":' * 500_000, b'{"added_tokens_decoder": ' + b"[" * 500_000, b"1" * 100_000,
        b'{"added_tokens_decoder": 5}', b'{"added_tokens_decoder": ["[unused1]"]}',
        b'{"added_tokens_decoder": {"1": "[unused1]"}}', b'{"added_tokens_decoder": {"1": {"content": 5}}}',
        b'{"added_tokens_decoder": {"1": {"content": ["[unused1]"]}}}', b'{"added_tokens_decoder": {"1": null}}',
        b'{"added_tokens_decoder": {"-1": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"1.5": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"0x1": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"' + b"9" * 10_000 + b'": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"999999999": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"\\u00b2": {"content": "[unused1]"}}}',
        b'{"added_tokens_decoder": {"1": {"content": "\\ud800"}}}', b'{"x": NaN, "added_tokens_decoder": Infinity}',
    ],
    ids=lambda raw: ascii(raw[:50]),
)  # fmt: skip
def test_a_hostile_configuration_names_no_token(tmp_path: Path, raw: bytes) -> None:
    assert read(tmp_path, config=raw) == ()


@pytest.mark.parametrize("key", ["config", "vocabulary"])
def test_files_of_more_than_four_megabytes_are_not_understood_and_not_read_whole(tmp_path: Path, key: str) -> None:
    start = {"config": table("[unused0]"), "vocabulary": b"[unused0]\n"}[key]
    assert read(tmp_path, **{key: start.ljust(MAX_FILE)}) == (0,)
    (tmp_path / CONFIG).write_bytes(start + b" " * 10_000_000)
    (tmp_path / VOCABULARY).write_bytes(start + b" " * 10_000_000)
    reader = LocalReader(tmp_path)
    assert unseen_tokens(reader, [CONFIG, VOCABULARY]) == ()
    assert reader.n_bytes <= 2 * (MAX_FILE + 1)


@pytest.mark.parametrize("raw", [b"[]," * 1_300_000, b"\n" * 1_000_000, b"[unused1]\n" * 100_000])
def test_files_that_would_grow_in_memory_are_bounded_by_their_size(tmp_path: Path, raw: bytes) -> None:
    import tracemalloc

    tracemalloc.start()
    found = read(tmp_path, config=b"[" + raw[:-1] + b"]", vocabulary=raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150_000_000
    assert all(0 <= i < MAX_FILE for i in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("[unused7]"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["added_tokens_decoder", "content", "7", "-7", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(JSON | st.binary(max_size=40))
def test_any_file_gives_sorted_ids_and_no_error(tmp_path: Path, value: Any) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    ids = read(tmp_path, config=raw, vocabulary=raw)
    assert list(ids) == sorted(set(ids)) and all(type(i) is int and i >= 0 for i in ids)


@pytest.mark.parametrize(
    ("ids", "n_rows", "limit", "run"),
    [
        ((), 10, 5, (0, 0)), ((3,), 10, 5, (3, 1)), ((1, 2, 5, 6, 7), 10, 5, (5, 3)), ((1, 2, 5, 6), 10, 5, (1, 2)),
        ((1, 2, 3, 4, 5, 6), 10, 4, (1, 4)), ((7, 8, 9, 10, 11), 10, 5, (7, 3)), ((10, 11, 12), 10, 5, (0, 0)),
        ((-3, -2, -1, 0), 10, 5, (0, 1)), ((99_999_999,), 10, 5, (0, 0)), ((0, 1), 0, 5, (0, 0)),
    ],
)  # fmt: skip
def test_the_longest_run_of_ids_that_the_table_has(
    ids: tuple[int, ...], n_rows: int, limit: int, run: tuple[int, int]
) -> None:
    assert longest_run(ids, n_rows, limit) == run


@given(st.sets(st.integers(-5, 40)), st.integers(0, 40), st.integers(0, 12))
def test_a_run_is_among_the_ids_inside_the_table_and_none_is_longer(ids: set[int], n_rows: int, limit: int) -> None:
    first, n = longest_run(tuple(sorted(ids)), n_rows, limit)
    inside = {i for i in ids if 0 <= i < n_rows}
    assert set(range(first, first + n)) <= inside and n <= limit
    assert n == limit or not any(set(range(i, i + n + 1)) <= inside for i in range(n_rows))
