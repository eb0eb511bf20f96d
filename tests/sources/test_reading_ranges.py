"""Few ranges, the asked bytes, nothing outside the folder, and shards as the numbering or the index says."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_files import NAME

from hubdna.errors import FormatError, NotFoundError
from hubdna.sources.choice import choose
from hubdna.sources.interface import LocalReader, merge_spans, read_spans
from hubdna.sources.safetensors import indexed_shards

SPANS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)).map(lambda s: (s[0], s[0] + s[1])), max_size=12)
ODD_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["weight_map", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)
INDEX = "model.safetensors.index.json"


class BytesReader:
    """Ranges of bytes in memory: a third reader beside the folder's and the Hub's."""

    def __init__(self, data: bytes) -> None:
        self.data, self.n_bytes, self.n_requests = data, 0, 0
        self.asked: list[tuple[int, int]] = []

    def size(self, filename: str) -> int:
        return len(self.data)

    def read(self, filename: str, start: int, stop: int) -> bytes:
        assert start < stop, "an empty range cannot be asked for over HTTP"
        self.asked.append((start, stop))
        return self.data[start:stop]

    def sha256(self, filename: str) -> str | None:
        return None


class TestSpans:
    @settings(deadline=None)
    @given(SPANS, st.integers(0, 80))
    def test_merged_spans_are_sorted_apart_and_cover_every_span(self, spans: list[tuple[int, int]], gap: int) -> None:
        merged = merge_spans(spans, gap)
        assert merged == sorted(merged)
        assert all(b[0] - a[1] > gap for a, b in pairwise(merged))
        assert all(any(a <= start and stop <= b for a, b in merged) for start, stop in spans)
        ends = {start for start, _ in spans}, {stop for _, stop in spans}
        assert all(a in ends[0] and b in ends[1] for a, b in merged)

    @settings(deadline=None)
    @given(SPANS, st.integers(0, 80), st.randoms())
    def test_every_span_gets_its_bytes_in_the_fewest_requests(
        self, spans: list[tuple[int, int]], gap: int, random: Any
    ) -> None:
        data = random.randbytes(500)
        reader = BytesReader(data)
        got = list(read_spans(reader, NAME, spans, gap))
        assert [span for span, _ in got] == sorted(spans)
        assert all(bytes(raw) == data[a:b] for (a, b), raw in got)
        assert reader.asked == [(a, b) for a, b in merge_spans(spans, gap) if a < b]

    @settings(deadline=None)
    @given(SPANS.filter(lambda spans: any(a < b for a, b in spans)), st.integers(0, 80))
    def test_a_file_that_ends_early_is_refused(self, spans: list[tuple[int, int]], gap: int) -> None:
        end = max(b for a, b in spans if a < b)
        with pytest.raises(FormatError, match=f"^{NAME}: expected .*file cut short"):
            list(read_spans(BytesReader(bytes(end - 1)), NAME, spans, gap))

    def test_two_hundred_thousand_spans_take_no_longer_than_they_should(self) -> None:
        spans = [(i, i + 1) for i in range(200_000)]
        assert sum(1 for _ in read_spans(BytesReader(bytes(200_000)), NAME, spans)) == 200_000


class TestLocalReader:
    @pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/hostname", "absent", "", ".", "a", "x\0y"])
    def test_names_outside_the_folder_and_of_no_file_are_not_found(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        folder = tmp_path / "model"
        (folder / "a").mkdir(parents=True)
        for call in (lambda r: r.read(name, 0, 10), lambda r: r.size(name)):
            with pytest.raises(NotFoundError):
                call(LocalReader(folder))

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / NAME)
        with pytest.raises(NotFoundError):
            LocalReader(tmp_path).read(NAME, 0, 8)

    def test_links_of_a_download_cache_are_followed(self, tmp_path: Path) -> None:
        (tmp_path / "blobs").mkdir()
        (tmp_path / "blobs" / "ab12").write_bytes(b"12345678")
        (tmp_path / "snapshot").mkdir()
        (tmp_path / "snapshot" / NAME).symlink_to("../blobs/ab12")
        assert LocalReader(tmp_path / "snapshot").read(NAME, 2, 5) == b"345"

    def test_reads_are_cut_at_the_end_of_the_file_and_counted(self, tmp_path: Path) -> None:
        (tmp_path / NAME).write_bytes(b"12345678")
        reader = LocalReader(tmp_path)
        assert reader.read(NAME, 6, 100) == b"78"
        assert (reader.n_bytes, reader.n_requests) == (2, 1)


class TestWeightFiles:
    def indexed(self, content: bytes, *shards: str) -> list[str]:
        return indexed_shards(INDEX, content, (INDEX, "README.md", *shards))

    def test_one_file_wins_over_shards(self) -> None:
        assert choose((NAME, "model-00001-of-00001.safetensors", INDEX)).files == (NAME,)

    def test_shards_come_in_the_order_of_their_numbers(self) -> None:
        shards = [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
        assert list(choose(tuple(reversed(shards))).files) == shards

    def test_an_absent_numbered_shard_is_named(self) -> None:
        with pytest.raises(FormatError, match=r"^model-00002-of-00003\.safetensors: shard is absent .*1 of 3"):
            choose(("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"))

    def test_a_claim_of_99999_shards_is_refused(self) -> None:
        with pytest.raises(FormatError, match="absent"):
            choose(("model-00001-of-99999.safetensors",))

    def test_shards_of_the_index_come_sorted_and_once(self) -> None:
        index = json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}})
        assert self.indexed(index.encode(), "a.safetensors", "b.safetensors") == ["a.safetensors", "b.safetensors"]

    def test_a_shard_that_the_index_names_and_nobody_has_is_named(self) -> None:
        index = json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}})
        with pytest.raises(FormatError, match=rf"^b\.safetensors: shard is absent although {INDEX} names it"):
            self.indexed(index.encode(), "a.safetensors")

    @pytest.mark.parametrize(
        "shard",
        ["../a.safetensors", "/etc/a.safetensors", "x/a.safetensors", "..\\a.safetensors", "model.bin", "",
         "a\x1b[2J.safetensors", 5, None, True, 1.5],
    )  # fmt: skip
    def test_an_index_that_names_anything_but_safetensors_beside_it_is_refused(self, shard: Any) -> None:
        index = json.dumps({"weight_map": {"x": "a.safetensors", "y": shard}})
        with pytest.raises(FormatError, match=f"^{INDEX}: weight_map names something") as caught:
            self.indexed(index.encode(), "a.safetensors", str(shard))
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"{}", b'{"weight_map":[]}', b'{"weight_map":null}',
         b'{"weight_map":{"x":{}}}', b'{"weight_map":{"x":["a.safetensors"]}}', b'{"weight_map":"a"}',
         b'{"weight_map":{}}', b'{"weight_map":' + b"[" * 100_000, b'{"weight_map":5}',
         b'{"weight_map":' + b"9" * 9999],
        ids=lambda content: content[:30].decode("latin-1"),
    )  # fmt: skip
    def test_an_index_of_another_form_is_refused(self, content: bytes) -> None:
        with pytest.raises(FormatError, match=f"^{INDEX}: "):
            self.indexed(content, "a.safetensors")

    def test_an_index_of_more_than_25_mb_is_refused(self) -> None:
        with pytest.raises(FormatError, match=f"^{INDEX}: shard index of more than 25000000 bytes"):
            self.indexed(b" " * 25_000_001)

    def test_an_index_of_a_hundred_thousand_tensors_is_read(self) -> None:
        index = {"metadata": {"total_size": 1}, "weight_map": {f"layers.{i}": "a.safetensors" for i in range(100_000)}}
        assert self.indexed(json.dumps(index).encode(), "a.safetensors") == ["a.safetensors"]

    @settings(deadline=None)
    @given(st.binary(max_size=60) | ODD_JSON.map(lambda value: json.dumps(value).encode()))
    def test_any_index_raises_nothing_but_format_errors(self, content: bytes) -> None:
        with pytest.raises(FormatError):
            self.indexed(content)
