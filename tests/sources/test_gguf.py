"""GGUF: rows equal to the library's own arithmetic, converted checkpoints equal to their source, hostile headers."""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_bytes import F32, container, info, listed, pair, string, strings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubdna.dna.read import read_dna
from hubdna.dna.roles import layer_of, role_of, token_table
from hubdna.errors import FormatError, NoGenesError, SourceError
from hubdna.evidence.compare import compare_dna
from hubdna.records import ModelRef, Verdict
from hubdna.sources import gguf_file, gguf_header
from hubdna.sources.canonical import canonical
from hubdna.sources.gguf_blocks import BlockType, block_types
from hubdna.sources.interface import LocalReader, Tensor, read_units
from hubdna.sources.safetensors import FLOATS
from hubdna.verdict import judge

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "formats"))

import write_gguf  # noqa: E402

KINDS = {t.name: t for t in block_types().values()}
READABLE = sorted(t.name for t in KINDS.values() if t.readable)
WRITABLE = ["BF16", "F16", "F32", "MXFP4", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0"]


def opened(folder: Path, content: bytes, name: str = "m.gguf") -> list[Tensor]:
    (folder / name).write_bytes(content)
    return gguf_file.read_tensors(LocalReader(folder), name)


def values(folder: Path, tensor: Tensor, first: int = 0, n: int | None = None) -> np.ndarray:
    return next(read_units(LocalReader(folder), [(tensor, first, tensor.n_units - first if n is None else n)]))


def blocks(kind: BlockType, n: int, rng: np.random.Generator) -> np.ndarray:
    """n blocks whose values are finite."""
    number = gguf.GGMLQuantizationType(kind.number)
    found = np.empty((0, kind.n_bytes), np.uint8)
    while len(found) < n:
        raw = rng.integers(0, 256, (n, kind.n_bytes), np.uint8)
        with np.errstate(all="ignore"):
            finite = np.isfinite(whole(raw, number)).all(axis=1)
        found = np.concatenate([found, raw[finite]])
    return found[:n]


def whole(raw: np.ndarray, number: gguf.GGMLQuantizationType) -> np.ndarray:
    if number.name == "F64":
        return raw.view("<f8").astype(np.float32)
    return gguf.quants.dequantize(raw, number)


def demo(models: Path) -> tuple[dict[str, np.ndarray], dict]:
    return write_gguf.load(models / "bytewright" / "pyllama-245k")


def llama(rng: np.random.Generator, rows: int = 64) -> tuple[dict[str, np.ndarray], dict]:
    """One layer with 8 heads of queries and 4 of keys."""
    names = {"q_proj": rows, "k_proj": rows // 2, "v_proj": rows // 2, "o_proj": rows}
    weights = {f"model.layers.0.self_attn.{k}.weight": rng.standard_normal((n, 32)) for k, n in names.items()}
    weights |= {f"model.layers.0.self_attn.{k}.bias": rng.standard_normal(n) for k, n in names.items()}
    config = {"num_attention_heads": 8, "num_key_value_heads": 4}
    return {k: w.astype(np.float32) for k, w in weights.items()}, config


# --- types ---------------------------------------------------------------------------------------------------------


def test_sizes_are_the_librarys_and_every_type_it_can_dequantise_is_read() -> None:
    sizes = {int(t): sizes for t, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {n: (t.n_values, t.n_bytes) for n, t in block_types().items() if n in sizes} == sizes
    assert {"F32", "F64", "BF16", "Q4_0", "Q6_K", "IQ1_M", "IQ4_XS", "TQ1_0", "MXFP4", "NVFP4"} <= set(READABLE)
    assert {t for t in KINDS if t not in READABLE} >= {"I8", "I32", "Q8_1", "Q8_K", "Q4_0_4_4"}


@pytest.mark.parametrize("name", READABLE)
def test_rows_are_those_of_the_whole_tensor_bit_for_bit(tmp_path: Path, name: str) -> None:
    kind, rng = KINDS[name], np.random.default_rng(3)
    raw = blocks(kind, 37 * 3, rng).reshape(37, -1)
    expected = whole(raw, gguf.GGMLQuantizationType(kind.number)).view(np.uint32)
    width = expected.shape[1]
    (tensor,) = opened(tmp_path, container([], [info("w", [width, 37], kind.number)], raw.tobytes()))
    assert (tensor.info.shape, tensor.info.dtype) == ((37, width), name)
    assert tensor.quantised != (name in FLOATS)
    assert np.array_equal(values(tmp_path, tensor).view(np.uint32), expected)
    for first, n in [(0, 1), (36, 1), (5, 17), (0, 37), (9, 0)]:
        part = values(tmp_path, tensor, first, n)
        assert part.dtype == np.float32
        assert np.array_equal(part.view(np.uint32), expected[first : first + n])
        assert tensor.n_bytes(n) == n * raw.shape[1]


@pytest.mark.parametrize("name", WRITABLE)
def test_what_the_library_wrote_is_read(tmp_path: Path, name: str) -> None:
    weights = np.random.default_rng(4).standard_normal((40, 256)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[name]
    stored = gguf.quants.quantize(weights, kind)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("blk.0.ffn_up.weight", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tensor,) = gguf_file.read_tensors(LocalReader(tmp_path), "m.gguf")
    assert tensor.info.shape == (40, 256)
    assert np.array_equal(values(tmp_path, tensor), gguf.quants.dequantize(stored, kind))
    assert np.corrcoef(values(tmp_path, tensor).ravel(), weights.ravel())[0, 1] > 0.6  # ternary types keep least


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(READABLE)))
def test_a_type_without_arithmetic_is_named_and_not_used(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    data = bytes(kind.n_bytes * 64)
    tensors = opened(tmp_path, container([], [info("blk.0.ffn_up.weight", [kind.n_values, 64], kind.number)], data))
    assert not tensors[0].quantised
    with pytest.raises(NoGenesError, match=re.escape(f"({name})")):
        read_dna(ModelRef(str(tmp_path)), LocalReader(tmp_path), ["m.gguf"])


@pytest.mark.parametrize(("first", "n"), [(0, 96), (0, 1), (31, 2), (40, 9), (95, 1), (64, 32)])
def test_a_quantised_vector_is_cut_inside_its_blocks(tmp_path: Path, first: int, n: int) -> None:
    raw = blocks(KINDS["Q8_0"], 3, np.random.default_rng(5))
    (tensor,) = opened(tmp_path, container([], [info("b", [96], 8)], raw.tobytes()))
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.Q8_0).reshape(-1)
    assert np.array_equal(values(tmp_path, tensor, first, n), expected[first : first + n])


def test_a_scalar_and_an_empty_file_of_a_split_are_read(tmp_path: Path) -> None:
    (tensor,) = opened(tmp_path, container([], [info("s", [], F32)], struct.pack("<f", 2.5)))
    assert (tensor.info.shape, tensor.n_units, values(tmp_path, tensor).tolist()) == ((), 1, [2.5])
    assert opened(tmp_path, container([], [])) == []


# --- what the converter changed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_rotary_order_is_undone_for_every_part_of_q_and_k(tmp_path: Path, kind: str) -> None:
    weights, config = llama(np.random.default_rng(6))
    write_gguf.write_llama(tmp_path / "m.gguf", weights, config, kind)
    tensors = {t.info.name: t for t in gguf_file.read_tensors(LocalReader(tmp_path), "m.gguf")}
    assert len(tensors) == len(weights)
    for name, expected in weights.items():
        tensor = tensors[write_gguf.gguf_name(name)]
        if kind == "Q8_0" and expected.ndim == 2:
            number = gguf.GGMLQuantizationType.Q8_0
            expected = gguf.quants.dequantize(gguf.quants.quantize(expected, number), number)
        for first in range(0, tensor.n_units, 3):
            for n in (0, 1, 5, tensor.n_units - first):
                n = min(n, tensor.n_units - first)
                assert np.array_equal(values(tmp_path, tensor, first, n), expected[first : first + n])
                ((_, start, stop),) = tensor.extents(first, n)
                assert stop - start <= tensor.n_bytes(min(n + 8, tensor.n_units))  # a head has eight rows
                assert tensor.info.data_offsets[0] <= start <= stop <= tensor.info.data_offsets[1]


@pytest.mark.parametrize(
    ("architecture", "count", "moved"),
    [
        ("llama", pair("llama.attention.head_count", 4, struct.pack("<I", 2)), True),
        ("llama", listed("llama.attention.head_count", 5, [1, 2]), True),
        ("llama", listed("llama.attention.head_count", 5, [2]), False),
        ("llama", pair("llama.attention.head_count", 4, struct.pack("<I", 3)), False),
        ("llama", pair("llama.attention.head_count", 5, struct.pack("<i", -2)), False),
        ("qwen2", pair("qwen2.attention.head_count", 4, struct.pack("<I", 2)), False),
    ],
)
def test_rows_are_moved_only_where_the_converter_moved_them(
    tmp_path: Path, architecture: str, count: bytes, moved: bool
) -> None:
    stored = np.arange(8, dtype=np.float32)
    pairs = [pair("general.architecture", 8, string(architecture)), count]
    (tensor,) = opened(tmp_path, container(pairs, [info("blk.1.attn_q.weight", [1, 8], F32)], stored.tobytes()))
    expected = [0, 2, 1, 3, 4, 6, 5, 7] if moved else stored.tolist()
    assert values(tmp_path, tensor)[:, 0].tolist() == expected


def test_experts_come_as_one_matrix_each(tmp_path: Path) -> None:
    raw = blocks(KINDS["Q4_K"], 40 * 5, np.random.default_rng(7))
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.Q4_K).reshape(5, 40, 256)
    content = container([], [info("blk.3.ffn_gate_exps.weight", [256, 40, 5], 12)], raw.tobytes())
    tensors = canonical(opened(tmp_path, content))
    assert [t.info.name for t in tensors] == [f"blk.3.ffn.{i}.gate_exps.weight" for i in range(5)]
    for tensor, expert in zip(tensors, expected, strict=True):
        assert (role_of(tensor.info), layer_of(tensor.info.name)) == ("ffn", 3)
        assert np.array_equal(values(tmp_path, tensor, 7, 9), expert[7:16])
    (stack,) = opened(tmp_path, content)
    assert stack.info.shape == (5, 40, 256)
    assert np.array_equal(values(tmp_path, stack, 2, 3), expected[2:])


def test_roles_know_the_names(tmp_path: Path) -> None:
    roles = {
        "blk.0.attn_q.weight": "attention", "blk.0.attn_output.weight": "attention", "blk.0.attn_qkv.weight":
        "attention", "token_embd.weight": "label", "position_embd.weight": "label", "blk.0.ffn_gate.weight": "ffn",
        "blk.0.ffn_down.weight": "ffn", "blk.0.ffn_up_shexp.weight": "ffn",
    }  # fmt: skip
    infos = [info(name, [32, 256], F32, 32_768 * i) for i, name in enumerate(roles)]
    found = [t.info for t in opened(tmp_path, container([], infos, bytes(32_768 * len(roles))))]
    assert {i.name: role_of(i) for i in found} == roles
    table = token_table(found)
    assert table is not None
    assert table.name == "token_embd.weight"


def test_metadata_says_what_the_model_calls_itself(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_name("Tiny\x1b[2J Model")
    writer.add_license("apache-2.0")
    writer.add_base_model_count(1)
    writer.add_base_model_organization(0, "Org")
    writer.add_base_model_repo_url(0, "https://huggingface.co/org/base")
    writer.add_quantization_version(2)
    writer.add_file_type(7)
    writer.add_head_count([4, 8])
    writer.add_description("d" * 5000)
    writer.add_token_list(["a", "b"])
    writer.add_context_length(77)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert gguf_file.read_file(LocalReader(tmp_path), "m.gguf").metadata == {
        "general.architecture": "llama", "general.name": "Tiny [2J Model", "general.license": "apache-2.0",
        "general.base_model.count": 1, "general.base_model.0.organization": "Org",
        "general.base_model.0.repo_url": "https://huggingface.co/org/base", "general.quantization_version": 2,
        "general.file_type": 7, "llama.attention.head_count": [4, 8],
    }  # fmt: skip


# --- whole models ----------------------------------------------------------------------------------------------------


def compared(a: Path, b: Path) -> Verdict:
    return judge(compare_dna(*(read_dna(ModelRef(str(p)), LocalReader(p.parent), [p.name]) for p in (a, b))))


@pytest.mark.parametrize(("kind", "origin", "least"), [("F32", "identical", 0.9999), ("Q8_0", "common", 0.999)])
def test_a_converted_model_is_known(tmp_path: Path, demo_models: Path, kind: str, origin: str, least: float) -> None:
    source = demo_models / "bytewright" / "pyllama-245k" / "model.safetensors"
    write_gguf.write_llama(tmp_path / "m.gguf", *demo(demo_models), kind)
    verdict = compared(source, tmp_path / "m.gguf")
    assert verdict.origin == origin
    assert verdict.similarity is not None
    assert verdict.similarity > least
    if origin == "identical":
        assert verdict.relation == "converted"


def test_parts_of_a_split_model_are_files_of_their_own(tmp_path: Path, demo_models: Path) -> None:
    weights, config = demo(demo_models)
    write_gguf.write_llama(tmp_path / "whole.gguf", weights, config)
    write_gguf.write_llama(tmp_path / "m.gguf", weights, config, split=10)
    parts = sorted(p.name for p in tmp_path.glob("m-*.gguf"))
    assert parts == [f"m-{i:05d}-of-00004.gguf" for i in range(1, 5)]
    reader = LocalReader(tmp_path)
    split = read_dna(ModelRef(str(tmp_path)), reader, parts)
    assert split.content == read_dna(ModelRef(str(tmp_path)), reader, ["whole.gguf"]).content
    (tmp_path / parts[0]).unlink()
    with pytest.raises(FormatError, match="the first part is not beside it"):
        gguf_file.read_tensors(reader, parts[1])


# --- what a header costs ---------------------------------------------------------------------------------------------


def test_a_vocabulary_of_150000_costs_its_strings_and_few_requests(tmp_path: Path, demo_models: Path) -> None:
    write_gguf.write_llama(tmp_path / "m.gguf", *demo(demo_models), vocabulary=150_000)
    reader = LocalReader(tmp_path)
    tensors = gguf_file.read_tensors(reader, "m.gguf")
    begin = min(t.info.data_offsets[0] for t in tensors)
    assert begin > 6_000_000
    assert reader.n_bytes < begin + gguf_header.STEP - 4 * 150_000  # token types are jumped over
    assert reader.n_requests <= 8


CHILD = """
import json, sys, time
from pathlib import Path
from hubdna.dna.read import read_dna
from hubdna.errors import SourceError
from hubdna.records import ModelRef
from hubdna.sources import gguf_file
from hubdna.sources.interface import LocalReader
folder, level = Path(sys.argv[1]), sys.argv[2]
reader, begin = LocalReader(folder), time.perf_counter()
try:
    if level == "header":
        said = str(len(gguf_file.read_tensors(reader, "m.gguf")))
    else:
        said = str(len(read_dna(ModelRef(str(folder)), reader, ["m.gguf"], level).genes))
except SourceError as error:
    said = str(error)
seconds = time.perf_counter() - begin
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([int(peak) // 1024, seconds, reader.n_bytes, reader.n_requests, said]))
"""


def cost(folder: Path, level: str) -> tuple[int, float, int, int, str]:
    """MiB at the peak of a process that reads m.gguf, its seconds, bytes and requests, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), level], capture_output=True, text=True, timeout=120, check=True
    )
    mib, seconds, n_bytes, n_requests, said = json.loads(done.stdout)
    return mib, seconds, n_bytes, n_requests, said


def test_a_file_of_ten_gigabytes_costs_no_more_than_its_budget(tmp_path: Path) -> None:
    infos, end = [], 0
    shapes = {"attn_q": [4096, 4096], "ffn_gate": [4096, 11008], "ffn_up": [4096, 11008], "ffn_down": [11008, 4096]}
    for layer in range(80):
        for name, shape in shapes.items():
            infos.append(info(f"blk.{layer}.{name}.weight", shape, 14, end))
            end += shape[0] * shape[1] // 256 * KINDS["Q6_K"].n_bytes
    infos.append(info("token_embd.weight", [4096, 128_000], 1, end))
    end += 2 * 4096 * 128_000
    with (tmp_path / "m.gguf").open("wb") as file:
        header = container([pair("general.architecture", 8, string("llama"))], infos)
        file.write(header)
        file.truncate(len(header) + end)  # sparse: takes no disk
        assert file.tell() < 1_000_000
    assert (tmp_path / "m.gguf").stat().st_size > 10_000_000_000
    mib, seconds, n_bytes, n_requests, said = cost(tmp_path, "standard")
    assert "nearly empty" in said
    assert mib < 300
    assert n_bytes <= 16_000_000
    assert n_requests <= 64
    assert seconds < 20
    assert cost(tmp_path, "header")[2:4] == (gguf_header.FIRST_READ, 1)


BOMBS = {
    "as many tensors as are allowed": lambda: container(
        [], [info(f"{i:040d}", [1], F32, 32 * i) for i in range(200_000)], bytes(32 * 200_000)
    ),
    "experts that would become too many": lambda: container(
        [], [info("blk.0.ffn_up_exps.weight", [1, 1, 5_000_000], F32)], bytes(20_000_000)
    ),
    "eight million empty strings": lambda: container(
        [pair("t", 9, struct.pack("<IQ", 8, 7_900_000) + bytes(8 * 7_900_000))], []
    ),
    "strings of more than the limit": lambda: container(
        [pair(f"t{i}", 9, struct.pack("<IQ", 8, 1_000_000) + bytes(8 * 1_000_000)) for i in range(10)], []
    ),
    "as many pairs as are allowed": lambda: container(
        [pair(f"general.{i:0400d}", 8, string("v" * 100)) for i in range(100_000)], []
    ),
    "long keys": lambda: container([pair(f"general.{i:065000d}", 0, b"1") for i in range(950)], []),
    "long names": lambda: container([], [info(f"{i:01000d}", [1], F32, 32 * i) for i in range(60_000)], bytes(2**21)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_no_header_costs_much_memory_or_time(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.gguf").write_bytes(BOMBS[kind]())
    mib, seconds, n_bytes, _, said = cost(tmp_path, "header")
    assert len(said) < 600
    assert mib < 300
    assert seconds < 15
    assert n_bytes <= gguf_header.MAX_HEADER + gguf_header.FIRST_READ


# --- hostile ---------------------------------------------------------------------------------------------------------

SOUND = container(
    [
        pair("general.architecture", 8, string("llama")),
        pair("llama.attention.head_count", 4, struct.pack("<I", 2)),
        strings("tokenizer.ggml.tokens", ["a", "bc", "def"] * 4),
        listed("tokenizer.ggml.token_type", 5, [1] * 12),
        pair("tokenizer.ggml.add_bos_token", 7, b"\1"),
    ],
    [info("token_embd.weight", [32, 8], F32), info("blk.0.attn_q.weight", [32, 8], 8, 1024)],
    bytes(1024 + 8 * 34),
)


def refused(pairs: list[bytes] | None = None, infos: list[bytes] | None = None, **counts: int) -> bytes:
    return container(pairs or [], infos or [], bytes(4096), **counts)


ARRAY = struct.Struct("<IQ")
HOSTILE = {
    "empty": (b"", "not GGUF"),
    "another file": (b"PK\3\4" + bytes(100), "not GGUF"),
    "version 1": (b"GGUF" + struct.pack("<I", 1) + bytes(100), "version 1"),
    "big endian": (b"GGUF" + struct.pack(">I", 3) + bytes(100), "big-endian"),
    "2^63 tensors": (refused(n_tensors=2**63), "9223372036854775808 tensors"),
    "2^63 pairs": (refused(n_pairs=2**63), "9223372036854775808 pairs"),
    "more tensors than there are": (refused(n_tensors=200_000), "bytes expected, the file ends|0 or 1099511627776"),
    "more pairs than there are": (refused(n_pairs=100_000), "key '' appears twice"),
    "cut in the header": (SOUND[:90], "the file ends at byte 90"),
    "cut in the data": (SOUND[:-1], "cut short"),
    "key past the end": (refused([struct.pack("<Q", 60_000)]), "60000 bytes expected"),
    "key of 2^63": (refused([struct.pack("<Q", 2**63)]), "a key of 9223372036854775808 bytes"),
    "string past the end": (refused([pair("k", 8, struct.pack("<Q", 10_000_000))]), "10000000 bytes expected"),
    "string of 2^64 - 1": (refused([pair("k", 8, b"\xff" * 8)]), "at most 16000000"),
    "string in a list past the end": (
        refused([pair("k", 9, ARRAY.pack(8, 1) + struct.pack("<Q", 10_000_000))]), "the file ends"),
    "strings of 2^60": (refused([pair("k", 9, ARRAY.pack(8, 2**60))]), "strings do not fit"),
    "numbers of 2^63": (refused([pair("k", 9, ARRAY.pack(12, 2**63))]), "the file ends"),
    "lists of lists": (refused([pair("k", 9, ARRAY.pack(9, 1) * 200)]), "arrays of arrays"),
    "type 255 of a value": (refused([pair("k", 255, b"")]), "type 255 of a value"),
    "type 255 of a list": (refused([pair("k", 9, ARRAY.pack(255, 1))]), "type 255 of an array"),
    "type 255 of a tensor": (refused(infos=[info("w", [4], 255)]), "has type 255"),
    "a key twice": (refused([pair("k", 0, b"1")] * 2), "key 'k' appears twice"),
    "a name twice": (refused(infos=[info("w", [4], F32), info("w", [4], F32, 32)]), "two tensors have one name"),
    "a key that is not UTF-8": (refused([struct.pack("<Q", 1) + b"\xff"]), "not UTF-8"),
    "a name with an escape": (refused(infos=[info("w\x1b[2J", [4], F32)]), "cannot be printed"),
    "a name of 2,000 letters": (refused(infos=[info("w" * 2000, [4], F32)]), "at most 1024"),
    "5 dimensions": (refused(infos=[info("w", [1] * 5, F32)]), "5 dimensions"),
    "2^32 - 1 dimensions": (refused(infos=[info("w", [4], F32, n_dims=2**32 - 1)]), "4294967295 dimensions"),
    "a dimension of 2^40": (refused(infos=[info("w", [2**40], F32)]), "1099511627776 and more"),
    "a dimension of 0": (refused(infos=[info("w", [0, 2**39], F32)]), "a dimension that is 0"),
    "2^156 values": (refused(infos=[info("w", [2**39] * 4, F32)]), "cut short"),
    "half a block": (refused(infos=[info("w", [48, 2], 8)]), "no whole blocks of Q8_0"),
    "a scalar of blocks": (refused(infos=[info("w", [], 8)]), "no whole blocks"),
    "unaligned": (refused(infos=[info("w", [4], F32, 4)]), "not a multiple of 32"),
    "overlapping": (refused(infos=[info("w", [32], F32), info("v", [4], F32, 96)]), "'v' overlaps"),
    "past the end": (refused(infos=[info("w", [4], F32, 2**40)]), "cut short"),
    "an offset of 2^64 - 32": (refused(infos=[info("w", [4], F32, 2**64 - 32)]), "cut short"),
    "alignment 0": (refused([pair("general.alignment", 4, struct.pack("<I", 0))]), "power of two"),
    "alignment 24": (refused([pair("general.alignment", 4, struct.pack("<I", 24))]), "power of two"),
    "alignment of text": (refused([pair("general.alignment", 8, string("32"))]), "power of two"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_not_sound_is_refused_with_its_reason(tmp_path: Path, kind: str) -> None:
    content, reason = HOSTILE[kind]
    with pytest.raises(FormatError, match=reason) as caught:
        opened(tmp_path, content)
    assert caught.value.filename == "m.gguf"
    assert len(str(caught.value)) < 400


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=9))
        content[at : at + data.draw(st.sampled_from([len(patch), 0, 9]))] = patch
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    try:
        for tensor in opened(tmp_path, bytes(content)):
            if tensor.quantised or tensor.info.dtype in FLOATS:
                assert values(tmp_path, tensor).shape == (tensor.n_units, *tensor.info.shape[1:])
    except SourceError as error:
        assert "m.gguf" in str(error)


def test_a_sound_file_is_read_whole(tmp_path: Path) -> None:
    assert [t.info.shape for t in opened(tmp_path, SOUND)] == [(8, 32), (8, 32)]


def test_opening_the_product_does_not_import_the_library() -> None:
    code = "import hubdna.sources.gguf_file, sys; print('gguf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
