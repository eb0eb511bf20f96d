"""ONNX by ranges: what the reference writers wrote is read as the reference readers do, and nothing hostile passes."""

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_protobuf import field, varint

from hubdna.dna.read import read_dna
from hubdna.errors import FormatError, NotFoundError, SourceError
from hubdna.evidence.compare import compare_dna
from hubdna.records import Dna, ModelRef, Verdict
from hubdna.sources import onnx_file, safetensors
from hubdna.sources.interface import LocalReader, Tensor, read_units
from hubdna.sources.onnx_file import open_file, read_tensors
from hubdna.verdict import judge

DATA = Path(__file__).parents[1] / "data/formats/onnx"
PLAIN = ["net.onnx", "numbered.onnx", "external.onnx"]
ROUNDED = [
    "blocks4.onnx", "blocks8.onnx", "constants_fp16.onnx", "dynamic.onnx", "dynamic_channels.onnx", "qdq.onnx",
    "qoperator.onnx",
]  # fmt: skip
FLOAT, INT8, INT64, FLOAT16, INT4 = 1, 3, 7, 10, 22


def values(reader: LocalReader, tensor: Tensor) -> np.ndarray[Any, Any]:
    (found,) = read_units(reader, [(tensor, 0, tensor.n_units)])
    return found


def everything(folder: Path, filename: str, read: Any = read_tensors) -> dict[str, np.ndarray[Any, Any]]:
    reader = LocalReader(folder)
    return {t.info.name: values(reader, t) for t in read(reader, filename)}


def module(name: str) -> str:
    """The name in torch of a weight that was named after its node."""
    return name.replace("/", ".").replace("MatMul", "weight") if name.endswith("MatMul") else name


def tensor(name: str = "w", dims: tuple[int, ...] = (2, 3), dtype: int = FLOAT, data: bytes | None = None) -> bytes:
    raw = field(9, bytes(4 * int(np.prod(dims))) if data is None else data)
    return b"".join(field(1, n) for n in dims) + field(2, dtype) + field(8, name.encode()) + raw


def model(*fields: bytes) -> bytes:
    """ModelProto of a graph with these fields."""
    return field(1, 8) + field(7, b"".join(fields))


def node(op: str, inputs: list[str], outputs: list[str], name: str = "", **ints: int) -> bytes:
    parts = [field(1, i.encode()) for i in inputs] + [field(2, o.encode()) for o in outputs]
    attributes = [field(5, field(1, k.encode()) + field(3, v % 2**64) + field(20, 2)) for k, v in ints.items()]
    return field(1, b"".join([*parts, field(3, name.encode()), field(4, op.encode()), *attributes]))


def stored(folder: Path, *fields: bytes) -> dict[str, np.ndarray[Any, Any]]:
    (folder / "m.onnx").write_bytes(model(*fields))
    return everything(folder, "m.onnx")


class TestReferenceFiles:
    @pytest.mark.parametrize("filename", PLAIN)
    def test_plain_weights_equal_the_twin_bit_for_bit(self, filename: str) -> None:
        twin = everything(DATA, "net.safetensors", safetensors.read_tensors)
        found = {module(name): v for name, v in everything(DATA, filename).items()}
        for name, expected in twin.items():
            turned = expected.T if "dense.weight" in name else expected
            assert np.array_equal(found[name], turned), name

    @pytest.mark.parametrize("filename", ROUNDED)
    def test_rounded_weights_equal_the_reference(self, filename: str) -> None:
        expected = everything(DATA, "expected.safetensors", safetensors.read_tensors)
        found = {module(name): v for name, v in everything(DATA, filename).items()}
        mine = {name.partition(":")[2]: v for name, v in expected.items() if name.startswith(filename)}
        assert len(mine) >= 4
        for name, rows in mine.items():
            assert np.allclose(found[name][::7], rows, rtol=1e-6, atol=1e-9), name

    @pytest.mark.parametrize("filename", PLAIN + ROUNDED)
    def test_any_units_equal_those_of_the_whole(self, filename: str) -> None:
        reader = LocalReader(DATA)
        for t in read_tensors(reader, filename):
            whole = values(reader, t)
            for first, n in {(0, 1), (t.n_units // 3, t.n_units // 2), (t.n_units - 1, 1), (min(7, t.n_units - 1), 1)}:
                (some,) = read_units(reader, [(t, first, n)])
                assert np.array_equal(some, whole[first : first + n], equal_nan=True), t.info.name
                assert some.dtype == np.float32
                assert some.shape == (n, *t.info.shape[1:])

    @pytest.mark.parametrize("filename", ROUNDED)
    def test_only_grids_are_marked_as_such_and_nothing_of_them_is_left_over(self, filename: str) -> None:
        found = read_tensors(LocalReader(DATA), filename)
        maps = {module(t.info.name): t for t in found if len(t.info.shape) == 2}
        assert len(maps) == 4
        assert all(t.quantised == (filename != "constants_fp16.onnx") for t in maps.values())
        for t in maps.values():
            own = t.info.name.removesuffix(".weight")
            assert not [u.info.name for u in found if u.info.name.startswith(own) and u.info.name.endswith("_scale")]


class TestLineage:
    def dna(self, filename: str) -> Dna:
        return read_dna(ModelRef(f"./{filename}"), LocalReader(DATA), [filename])

    def verdict(self, filename: str) -> Verdict:
        return judge(compare_dna(self.dna(filename), self.dna("net.safetensors")))

    @pytest.mark.parametrize("filename", PLAIN)
    def test_an_export_is_identical_and_converted(self, filename: str) -> None:
        verdict = self.verdict(filename)
        assert (verdict.origin, verdict.relation) == ("identical", "converted")
        assert verdict.similarity == 1.0

    def test_a_cast_is_known_with_its_direction(self) -> None:
        verdict = self.verdict("constants_fp16.onnx")
        assert (verdict.origin, verdict.relation, verdict.direction) == ("common", "cast", "a-from-b")

    @pytest.mark.parametrize("filename", [f for f in ROUNDED if f != "constants_fp16.onnx"])
    def test_a_quantised_export_has_a_common_origin(self, filename: str) -> None:
        verdict = self.verdict(filename)
        assert verdict.origin == "common"
        assert verdict.similarity is not None
        assert verdict.similarity > 0.99


class TestValues:
    def test_typed_fields(self, tmp_path: Path) -> None:
        half = np.array([1.5, -2.25], np.float16).view(np.uint16)
        found = stored(
            tmp_path,
            field(5, field(1, varint(2)) + field(2, FLOAT) + field(4, np.float32([1, 2]).tobytes()) + field(8, b"f")),
            field(5, field(1, 2) + field(2, 11) + field(8, b"d") + field(10, np.float64([3, 4]).tobytes())),
            field(5, field(1, 2) + field(2, FLOAT16) + field(5, b"".join(map(varint, half.tolist()))) + field(8, b"h")),
            field(5, field(1, 2) + field(2, INT8) + field(5, varint(2**64 - 3) + varint(5)) + field(8, b"i")),
            field(5, field(1, 2) + field(2, INT64) + field(7, varint(2**64 - 9) + varint(9)) + field(8, b"l")),
            field(5, field(1, 3) + field(2, INT4) + field(5, varint(0x8F) + varint(0x07)) + field(8, b"n")),
            field(5, field(2, FLOAT) + field(8, b"scalar") + field(9, np.float32(7).tobytes())),
        )
        assert {k: v.tolist() for k, v in found.items()} == {
            "f": [1, 2], "d": [3, 4], "h": [1.5, -2.25], "i": [-3, 5], "l": [-9, 9], "n": [-1, -8, 7], "scalar": [7],
        }  # fmt: skip

    def test_rows_of_half_bytes_that_start_within_one(self, tmp_path: Path) -> None:
        codes = np.arange(15) % 16
        packed = bytes(a | b << 4 for a, b in zip(codes[::2], [*codes[1::2], 0], strict=True))
        (tmp_path / "m.onnx").write_bytes(model(field(5, tensor(dims=(5, 3), dtype=21, data=packed))))
        reader = LocalReader(tmp_path)
        (t,) = read_tensors(reader, "m.onnx")
        for first in range(5):
            (some,) = read_units(reader, [(t, first, 1)])
            assert some.tolist() == [codes[3 * first : 3 * first + 3].tolist()]

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_scales_in_blocks_along_either_axis(self, tmp_path: Path, axis: int) -> None:
        rng = np.random.default_rng(0)
        q = rng.integers(-128, 128, (10, 6)).astype(np.int8)
        shape = (3, 6) if axis == 0 else (10, 2)
        scale, zero = rng.random(shape).astype(np.float32), rng.integers(-9, 9, shape).astype(np.int8)
        block = 4
        (tmp_path / "m.onnx").write_bytes(
            model(
                node("DequantizeLinear", ["w_q", "s", "z"], ["w"], axis=axis, block_size=block),
                field(5, tensor("w_q", q.shape, INT8, q.tobytes())),
                field(5, tensor("s", shape, FLOAT, scale.tobytes())),
                field(5, tensor("z", shape, INT8, zero.tobytes())),
            )
        )
        reader = LocalReader(tmp_path)
        (t,) = read_tensors(reader, "m.onnx")
        s, z = (a.repeat(block, axis)[:10, :6].astype(np.float32) for a in (scale, zero))
        assert t.info.name == "w"
        assert np.array_equal(values(reader, t), (q - z) * s)
        (some,) = read_units(reader, [(t, 3, 6)])
        assert np.array_equal(some, ((q - z) * s)[3:9])

    @pytest.mark.parametrize("axis", [0, 1])
    def test_scales_that_the_walk_did_not_keep_are_read_with_their_rows(
        self, tmp_path: Path, axis: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnx_file, "MAX_HELD", 0)
        rng = np.random.default_rng(0)
        q = rng.integers(0, 255, (10, 6)).astype(np.uint8)
        scale = rng.random(q.shape[axis]).astype(np.float32)
        zero = rng.integers(0, 9, q.shape[axis]).astype(np.uint8)
        (tmp_path / "m.onnx").write_bytes(
            model(
                node("DequantizeLinear", ["w", "s", "z"], ["o"], axis=axis),
                field(5, tensor("w", q.shape, 2, q.tobytes())),
                field(5, tensor("s", scale.shape, FLOAT, scale.tobytes())),
                field(5, tensor("z", zero.shape, 2, zero.tobytes())),
            )
        )
        reader = LocalReader(tmp_path)
        (t,) = read_tensors(reader, "m.onnx")
        shape = (-1, 1) if axis == 0 else (1, -1)
        expected = (q.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
        assert len(t.extents(2, 5)) == 3
        assert np.array_equal(values(reader, t), expected)
        assert np.array_equal(next(read_units(reader, [(t, 2, 5)])), expected[2:7])

    @pytest.mark.parametrize("n_scales", [1, 4])
    def test_a_table_whose_rows_are_picked_before_they_are_dequantised(self, tmp_path: Path, n_scales: int) -> None:
        """As onnxruntime's quantize_dynamic leaves embeddings; scales of rows or columns would need the picked axis."""
        q = np.arange(12, dtype=np.uint8).reshape(3, 4)
        found = stored(
            tmp_path,
            node("Gather", ["table_quantized", "ids"], ["picked"]),
            node("DequantizeLinear", ["picked", "table_scale", "table_zero_point"], ["x"]),
            field(5, tensor("table_quantized", q.shape, 2, q.tobytes())),
            field(5, tensor("table_scale", (n_scales,), FLOAT, np.full(n_scales, 0.5, np.float32).tobytes())),
            field(5, tensor("table_zero_point", (n_scales,), 2, bytes([3] * n_scales))),
        )
        if n_scales == 1:
            assert np.array_equal(found["table"], (q.astype(np.float32) - 3) * 0.5)
        else:
            assert "table" not in found

    def test_integers_of_which_two_nodes_disagree_are_left_alone(self, tmp_path: Path) -> None:
        found = stored(
            tmp_path,
            node("DequantizeLinear", ["w", "s"], ["a"]),
            node("DequantizeLinear", ["w", "t"], ["b"]),
            field(5, tensor("w", (2, 2), INT8, b"\1\2\3\4")),
            field(5, tensor("s", (), FLOAT, np.float32(0.5).tobytes())),
            field(5, tensor("t", (), FLOAT, np.float32(0.25).tobytes())),
        )
        assert found["w"].tolist() == [[1, 2], [3, 4]]
        assert set(found) == {"w", "s", "t"}

    @pytest.mark.parametrize("scale", [(3,), (2, 2), (1, 2, 2)])
    def test_integers_whose_scale_does_not_fit_are_left_alone(self, tmp_path: Path, scale: tuple[int, ...]) -> None:
        found = stored(
            tmp_path,
            node("DequantizeLinear", ["w", "s"], ["a"]),
            field(5, tensor("w", (4, 2), INT8, bytes(range(8)))),
            field(5, tensor("s", scale)),
        )
        assert found["w"].tolist() == np.arange(8).reshape(4, 2).tolist()

    def test_a_scale_after_a_cast_broadcasts_as_numpy_does(self, tmp_path: Path) -> None:
        found = stored(
            tmp_path,
            node("Cast", ["val_7_q"], ["f"], to=1),
            node("Mul", ["f", "s"], ["w"]),
            node("MatMul", ["x", "w"], ["y"], "node_MatMul_9"),
            node("Add", ["y", "encoder.layer.0.output.dense.bias"], ["o"], "node_add"),
            field(5, tensor("val_7_q", (2, 2), INT8, b"\1\2\3\4")),
            field(5, tensor("s", (2,), FLOAT, np.float32([10, 100]).tobytes())),
            field(5, tensor("encoder.layer.0.output.dense.bias", (2,))),
        )
        assert found["encoder.layer.0.output.dense.weight"].tolist() == [[10, 200], [30, 400]]


class TestGraphs:
    def body(self, *fields: bytes) -> bytes:
        return field(5, field(1, b"then_branch") + field(6, b"".join(fields)))

    def test_constants_in_the_bodies_of_if(self, tmp_path: Path) -> None:
        constant = field(5, field(1, b"value") + field(5, tensor("", (2, 3))))
        inner = field(1, field(4, b"Constant") + field(2, b"w") + constant)
        found = stored(
            tmp_path,
            field(1, field(4, b"If") + field(3, b"if") + self.body(inner)),
            field(1, field(4, b"If") + field(3, b"other") + self.body(inner)),
            field(5, tensor("w")),
        )
        assert set(found) == {"w", "if/then_branch/w", "other/then_branch/w"}

    def test_single_numbers_of_constant_nodes_belong_to_the_program(self, tmp_path: Path) -> None:
        constant = field(5, field(1, b"value") + field(5, tensor("", (1,))))
        assert stored(tmp_path, field(1, field(4, b"Constant") + field(2, b"c") + constant)) == {}

    def test_graphs_within_graphs_are_limited(self, tmp_path: Path) -> None:
        bomb = b""
        for _ in range(2000):
            bomb = field(1, field(4, b"If") + self.body(bomb))
        with pytest.raises(FormatError, match="more than 8 graphs within each other"):
            stored(tmp_path, bomb)

    def test_anonymous_names_come_from_the_node_that_reads_them(self, tmp_path: Path) -> None:
        found = stored(
            tmp_path,
            node("Transpose", ["onnx::MatMul_12"], ["t"]),
            node("MatMul", ["x", "t"], ["y"], "/encoder/layer.0/attention/self/query/MatMul"),
            node("MatMul", ["y", "val_3"], ["z"], "node_1"),
            field(5, tensor("onnx::MatMul_12")),
            field(5, tensor("val_3")),
            field(5, tensor("known.weight")),
        )
        assert set(found) == {"encoder/layer.0/attention/self/query/MatMul", "val_3", "known.weight"}

    def test_weights_that_share_a_derived_name_stay_apart(self, tmp_path: Path) -> None:
        found = stored(
            tmp_path,
            node("LSTM", ["x", "onnx::LSTM_1", "onnx::LSTM_2"], ["y"], "/rnn/LSTM"),
            *(field(5, tensor(f"onnx::LSTM_{i}")) for i in (1, 2)),
        )
        assert set(found) == {"rnn/LSTM", "rnn/LSTM#2"}

    def test_a_walk_within_a_budget_says_that_there_is_more(self, tmp_path: Path) -> None:
        fields = [field(5, tensor(f"w{i}", (300, 300))) for i in range(20)]
        (tmp_path / "m.onnx").write_bytes(model(*fields))
        reader = LocalReader(tmp_path)
        opened = open_file(reader, "m.onnx", max_requests=5)
        assert not opened.complete
        assert "within the budget" in opened.notes[-1].reason
        assert reader.n_requests <= 5
        assert 1 < len(opened.tensors) < 20
        assert open_file(reader, "m.onnx").complete

    def test_what_is_not_read_is_noted(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(
            model(
                field(5, field(1, 1) + field(2, 8) + field(6, b"text") + field(8, b"s")),
                field(5, field(1, 2) + field(2, FLOAT) + (varint(4 << 3 | 5) + bytes(4)) * 2 + field(8, b"loose")),
                field(5, field(1, 0) + field(2, FLOAT) + field(8, b"roi")),
                field(15, b""),
            )
        )
        opened = open_file(LocalReader(tmp_path), "m.onnx")
        assert opened.tensors == []
        assert [n.reason.rpartition(": ")[0] or n.reason for n in opened.notes] == [
            "tensor 's': strings", "tensor 'loose': stored in pieces", "tensor 'roi'", "a sparse initialiser",
        ]  # fmt: skip


def external(location: bytes, dims: int = 2, **numbers: int) -> bytes:
    entries = {b"location": location} | {k.encode(): str(v).encode() for k, v in numbers.items()}
    pairs = b"".join(field(13, field(1, k) + field(2, v)) for k, v in entries.items())
    return field(5, field(1, dims) + field(2, FLOAT) + field(8, b"w") + pairs + field(14, 1))


class TestExternalData:
    @pytest.mark.parametrize(
        "location",
        [b"/etc/passwd", b"../secret", b"a/../../b", b"..", b".", b"", b"a//b", b"C:\\w", b"c:w", b"a\\b",
         b"https://example.org/w", b"file:///etc/passwd", b".git/config", b"w\x00", b"w\n", b"\xff"],
    )  # fmt: skip
    def test_places_outside_the_models_folder_are_refused(self, tmp_path: Path, location: bytes) -> None:
        with pytest.raises(FormatError, match=r"not a file of the model's folder|cannot be printed|not UTF-8"):
            stored(tmp_path, external(location))

    def test_a_file_beside_the_model_also_in_a_subfolder(self, tmp_path: Path) -> None:
        (tmp_path / "onnx").mkdir()
        (tmp_path / "onnx/m.onnx").write_bytes(model(external(b"w.bin", offset=4)))
        (tmp_path / "onnx/w.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
        assert everything(tmp_path, "onnx/m.onnx")["w"].tolist() == [2, 3]

    def test_a_length_that_does_not_follow_from_the_shape_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match=r"takes 8 bytes, 'w\.bin' is said to hold 9"):
            stored(tmp_path, external(b"w.bin", length=9))

    @pytest.mark.parametrize("offset", [-1, 2**63, "1e3", ""])
    def test_an_offset_that_is_no_number_is_refused(self, tmp_path: Path, offset: Any) -> None:
        with pytest.raises(FormatError, match="is not a number"):
            stored(tmp_path, external(b"w.bin", offset=offset))

    def test_a_file_that_is_cut_short_is_refused_when_it_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "w.bin").write_bytes(bytes(7))
        with pytest.raises(FormatError, match="cut short"):
            stored(tmp_path, external(b"w.bin"))

    def test_a_huge_claim_is_checked_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "w.bin").write_bytes(bytes(7))
        with pytest.raises(FormatError, match=r"more than 'w\.bin' has"):
            stored(tmp_path, external(b"w.bin", dims=2**50))

    def test_an_absent_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match=r"no file named w\.bin"):
            stored(tmp_path, external(b"w.bin"))


class TestHostile:
    @pytest.mark.parametrize(
        ("proto", "reason"),
        [
            (tensor(data=bytes(23)), "takes 24 bytes, found 23"),
            (tensor(data=bytes(25)), "takes 24 bytes, found 25"),
            (tensor(dims=(2**32, 2**32), data=b""), "impossible dimensions"),
            (tensor(dims=(2**63,), data=b""), "impossible dimensions"),
            (tensor(dims=(2**64 - 1,), data=b""), "impossible dimensions"),
            (tensor(dims=(1,) * 33), "more than 32 dimensions"),
            (field(1, b"\1" * 400), "more than 32 dimensions"),
            (field(1, b"\xff"), "malformed dimensions"),
            (tensor(dtype=0), "unknown type 0"),
            (tensor(dtype=2**40), "unknown type"),
            (tensor(name="a\nb"), "cannot be printed"),
            (tensor(name="a" * 3000), "a tensor's name of 3000 bytes"),
            (tensor() + field(9, bytes(24)), "values are given twice"),
            (tensor() + field(4, bytes(24)), "values are given twice"),
            (field(9, 5), "not where they should be"),
            (field(8, 5), "a message was expected"),
            (field(1, 4) + field(2, INT8) + field(5, b"\1\1\1"), "cannot be 4 numbers"),
            (field(1, 1) + field(2, INT8) + field(5, bytes(11)), "cannot be 1 numbers"),
            (field(1, 1) + field(2, INT8) + field(7, b"\1"), "values in field 7"),
        ],
    )
    def test_tensors_that_contradict_themselves_are_refused(self, tmp_path: Path, proto: bytes, reason: str) -> None:
        with pytest.raises(FormatError, match=f"^m.onnx: .*{reason}"):
            stored(tmp_path, field(5, proto))

    def test_varints_that_are_not_as_many_as_the_shape_says_are_refused_when_read(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="are not 4 numbers"):
            stored(tmp_path, field(5, field(1, 4) + field(2, INT8) + field(5, b"\x81\1\1\1\1\1"[:5] + b"\x81\1")))

    def test_a_name_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="'w' is there twice"):
            stored(tmp_path, field(5, tensor()), field(5, tensor()))

    @pytest.mark.parametrize("data", [b"", b"\x08\x08", field(7, b"") * 2, b"PK\x03\x04 not a model", bytes(100)])
    def test_files_that_are_not_models_are_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "m.onnx").write_bytes(data)
        with pytest.raises(FormatError):
            read_tensors(LocalReader(tmp_path), "m.onnx")

    def test_a_graph_that_ends_past_the_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(model(field(5, tensor()))[:-1])
        with pytest.raises(FormatError, match="ends past its message"):
            read_tensors(LocalReader(tmp_path), "m.onnx")

    @pytest.mark.parametrize(("limit", "proto"), [("MAX_NODES", field(1, b"")), ("MAX_TENSORS", field(5, b"\x10\x08"))])
    def test_counts_are_limited(
        self, tmp_path: Path, limit: str, proto: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnx_file, limit, 1000)
        stored(tmp_path, proto * 1000)
        with pytest.raises(FormatError, match="more than 1000 "):
            stored(tmp_path, proto * 1001)

    def test_millions_of_nodes_end_soon(self, tmp_path: Path) -> None:
        start = time.monotonic()
        with pytest.raises(FormatError, match="more than 200000 nodes"):
            stored(tmp_path, node("MatMul", ["a", "b"], ["c"]) * 1_000_000)
        assert time.monotonic() - start < 20

    def test_ten_gigabytes_of_weights_cost_a_few_bytes(self, tmp_path: Path) -> None:
        n = 10_000_000_000
        head = field(1, n // 4) + field(2, FLOAT) + field(8, b"huge") + varint(9 << 3 | 2) + varint(n)
        small = field(5, tensor("after"))
        inner = varint(5 << 3 | 2) + varint(len(head) + n) + head
        start = varint(7 << 3 | 2) + varint(len(inner) + n + len(small)) + inner
        with (tmp_path / "m.onnx").open("wb") as file:
            file.write(start)
            file.seek(n, 1)
            file.write(small)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reader = LocalReader(tmp_path)
        names = [t.info.name for t in read_tensors(reader, "m.onnx")]
        assert names == ["huge", "after"]
        assert reader.n_bytes < 200_000
        assert reader.n_requests <= 3
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_mutation_does_harm(self, tmp_path: Path, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(["qdq.onnx", "external.onnx", "blocks4.onnx", "dynamic_channels.onnx"]))
        raw = bytearray((DATA / source).read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(raw) - 1))
            kind = data.draw(st.sampled_from(["flip", "set", "cut", "repeat"]))
            if kind == "flip":
                raw[at] ^= 1 << data.draw(st.integers(0, 7))
            elif kind == "set":
                raw[at : at + 9] = varint(data.draw(st.sampled_from([0, 127, 2**31, 2**62, 2**63, 2**64 - 1])))
            elif kind == "cut":
                del raw[at : at + data.draw(st.integers(1, 40))]
            else:
                raw[at:at] = raw[at : at + data.draw(st.integers(1, 40))]
            raw = raw or bytearray(b"\0")
        (tmp_path / "m.onnx").write_bytes(raw)
        (tmp_path / "external.onnx_data").write_bytes(bytes(33_000))
        reader = LocalReader(tmp_path)
        try:
            for t in read_tensors(reader, "m.onnx"):
                values(reader, t)
        except (SourceError, NotFoundError):
            pass
        assert reader.n_bytes < 5_000_000
