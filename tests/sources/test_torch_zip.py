"""PyTorch archives: files written by real torch against their safetensors twins, and files made to deceive."""

import io
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_bytes import FLOATS, Call, Global, program, storage, tensor, written

from hubdna.dna import codec
from hubdna.dna.read import read_dna
from hubdna.errors import FormatError, NoWeightsError, SourceError
from hubdna.records import ModelRef
from hubdna.sources import safetensors, torch_zip
from hubdna.sources.interface import LocalReader, Tensor, read_units

DATA = Path(__file__).parents[1] / "data/formats/torch"
SAME = ["state_dict.bin", "module.pt", "traced.pt", "views.pt", "checkpoint.ckpt"]


def values(folder: Path, tensor: Tensor, first: int = 0, n: int | None = None) -> np.ndarray[Any, Any]:
    n = tensor.n_units if n is None else n
    return next(read_units(LocalReader(folder), [(tensor, first, n)]))


def archive(name: str) -> torch_zip.Archive:
    return torch_zip.read_archive(LocalReader(DATA), name)


@pytest.mark.parametrize(
    ("name", "twin"),
    [(name, "twin") for name in SAME] + [("fp16.bin", "fp16"), ("bf16.bin", "bf16")],
)
def test_what_torch_wrote_is_what_safetensors_wrote(name: str, twin: str) -> None:
    ours = {t.info.name: t for t in archive(name).tensors}
    theirs = {t.info.name: t for t in safetensors.read_tensors(LocalReader(DATA), f"{twin}.safetensors")}
    assert set(theirs) <= set(ours)
    for key, expected in theirs.items():
        assert (ours[key].info.dtype, ours[key].info.shape) == (expected.info.dtype, expected.info.shape)
        if expected.info.dtype in safetensors.FLOATS:
            assert values(DATA, ours[key]).tobytes() == values(DATA, expected).tobytes()
            if expected.n_units > 5:
                assert values(DATA, ours[key], 3, 2).tobytes() == values(DATA, expected, 3, 2).tobytes()


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("state_dict.bin", "twin"),
        ("module.pt", "twin"),
        ("traced.pt", "twin"),
        ("checkpoint.ckpt", "twin"),
        ("fp16.bin", "fp16"),
        ("bf16.bin", "bf16"),
    ],
)
def test_a_model_has_one_dna(name: str, twin: str) -> None:
    ours, theirs = (
        codec.encode(read_dna(ModelRef("./m"), LocalReader(DATA), [f])) for f in (name, f"{twin}.safetensors")
    )
    assert ours == theirs


def test_tied_weights_are_one_tensor() -> None:
    found = archive("state_dict.bin")
    assert "lm_head.weight" not in [t.info.name for t in found.tensors]
    assert found.left_out == ("lm_head.weight: the same values as 'embed_tokens.weight'",)
    assert found.taken == ""


def test_of_a_training_checkpoint_the_model_is_taken() -> None:
    found = archive("checkpoint.ckpt")
    assert found.taken == "state_dict"
    assert dict(note.split(": ") for note in found.left_out) == {
        "args": "bookkeeping",
        "optimizer": "state of an optimizer",
        "lr_schedulers": "state of a schedule",
        "rng": "state of random numbers",
        "model_ema": "moving average of the weights",
        "global_step": "beside the model",
        "rng_state": "beside the model",
    }


def test_views_that_repeat_themselves_and_odd_types_are_no_weights() -> None:
    found = archive("views.pt")
    assert "mask: a view that repeats its storage" in found.left_out
    dtypes = {t.info.name: t.info.dtype for t in found.tensors}
    assert (dtypes["steps"], dtypes["small"], dtypes["complex"]) == ("I64", "F8_E4M3", "C64")


def test_a_small_file_takes_one_request() -> None:
    reader = LocalReader(DATA)
    torch_zip.read_tensors(reader, "state_dict.bin")
    assert (reader.n_requests, reader.n_bytes) == (1, reader.size("state_dict.bin"))


def test_legacy_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"legacy\.pt: legacy PyTorch file, not a zip archive: not read"):
        archive("legacy.pt")
    with tarfile.open(tmp_path / "legacy.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
    with pytest.raises(FormatError, match="legacy PyTorch file"):
        torch_zip.read_archive(LocalReader(tmp_path), "legacy.tar")


# Archives made by hand.


def opened(path: Path) -> torch_zip.Archive:
    return torch_zip.read_archive(LocalReader(path.parent), path.name)


def test_an_archive_made_by_hand(tmp_path: Path) -> None:
    found = opened(written(tmp_path, {"a": tensor(), "b": tensor((3, 2), (1, 3)), "c": tensor((), (), 5)}))
    assert [values(tmp_path, t).tolist() for t in found.tensors] == [
        [[0, 1, 2], [3, 4, 5]],
        [[0, 3], [1, 4], [2, 5]],
        [5],
    ]


def test_bytes_of_a_big_endian_machine(tmp_path: Path) -> None:
    files = {"m/byteorder": b"big", "m/data/0": np.arange(6, dtype=">f4").tobytes()}
    (found,) = opened(written(tmp_path, {"a": tensor()}, files)).tensors
    assert values(tmp_path, found).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_wrapped_tensors(tmp_path: Path) -> None:
    parameter = Call("torch._utils", "_rebuild_parameter", tensor(), True, {})
    subclass = Call(
        "torch._tensor", "_rebuild_from_type_v2", Global("torch._utils", "_rebuild_tensor_v2"), Global("m", "T"),
        (storage(), 0, (6,), (1,), False, {}), {},
    )  # fmt: skip
    typed = Call(
        "torch._utils", "_rebuild_tensor_v3", storage(n=24, kind="UntypedStorage"), 1, (5,), (1,), False, {},
        Global("torch", "float32"),
    )  # fmt: skip
    quantised = Call("torch._utils", "_rebuild_qtensor", storage(), 0, (6,), (1,))
    found = opened(written(tmp_path, {"a": parameter, "b": subclass, "c": typed, "d": quantised}))
    assert [(t.info.name, t.info.dtype, t.info.shape) for t in found.tensors] == [
        ("a", "F32", (2, 3)),
        ("b", "F32", (6,)),
        ("c", "F32", (5,)),
    ]
    assert found.left_out == ("d: '_rebuild_qtensor' is not read",)


NESTED: dict[str, tuple[Any, str, list[str]]] = {
    "wrapped twice": ({"state": 1, "model": {"state_dict": {"a": tensor()}}}, "model.state_dict", ["a"]),
    "average alone": ({"params_ema": {"a": tensor()}}, "params_ema", ["a"]),
    "average alone beside nothing": ({"model": None, "ema": {"a": tensor()}}, "ema", ["a"]),
    "two halves": (
        {"generator": {"a": tensor()}, "discriminator": {"a": tensor(offset=0, shape=(6,), strides=(1,))}},
        "", ["generator.a", "discriminator.a"],
    ),
    "flat average": ({"model.a": tensor(), "model_ema.a": tensor((6,), (1,))}, "", ["model.a"]),
    "a layer named so": ({"optimizer.w": tensor(), "b": tensor((6,), (1,))}, "", ["optimizer.w", "b"]),
    "one tensor": (tensor(), "", ["weight"]),
    "a list": ([tensor(), tensor((6,), (1,))], "", ["0", "1"]),
    "numbers as keys": ({1: {2: tensor()}}, "", ["1.2"]),
    "lora pairs": ({"net": {"up": {"w": tensor()}}}, "net", ["up.w"]),
}  # fmt: skip


@pytest.mark.parametrize("what", NESTED)
def test_which_part_is_the_model(tmp_path: Path, what: str) -> None:
    value, taken, names = NESTED[what]
    found = opened(written(tmp_path, value))
    assert (found.taken, [t.info.name for t in found.tensors]) == (taken, names)


def test_no_model_in_it(tmp_path: Path) -> None:
    with pytest.raises(NoWeightsError, match="state of an optimizer"):
        opened(written(tmp_path, {"optimizer": {"a": tensor()}}))
    with pytest.raises(NoWeightsError, match="none at all"):
        opened(written(tmp_path, {"lr": 0.1}))


BIG = 2**62
HOSTILE: dict[str, tuple[Any, str]] = {
    "2^62 offset": (tensor(offset=BIG - 1), "reaches element"),
    "beyond 2^62": (tensor(offset=BIG), "numbers are none"),
    "2^62 storage": (tensor(of=storage(n=BIG - 1)), "storage '0' of .* bytes is 24 bytes"),
    "2^62 strides": (tensor(strides=(BIG - 1, BIG - 1)), "reaches element"),
    "2^62 shape": (tensor((BIG - 1, BIG - 1), (0, 1)), "reaches element"),
    "negative stride": (tensor(strides=(-3, 1)), "negative"),
    "negative length": (tensor((-2, 3)), "negative"),
    "negative offset": (tensor(offset=-1), "numbers are none"),
    "true for one": (tensor(offset=True), "numbers are none"),
    "one value too far": (tensor(offset=1), "reaches element 7 of 6"),
    "storage one value too long": (tensor(of=storage(n=7)), "storage '0' of 28 bytes is 24 bytes"),
    "storage that is absent": (tensor(of=storage("1")), "storage '1' of 24 bytes is absent"),
    "storage above": (tensor(of=storage("../data.pkl", 1), shape=(1,), strides=(1,)), "is absent"),
    "storage key that is none": (tensor(of=storage(0)), "numbers are none"),
    "unknown storage": (tensor(of=storage(kind="os")), "unknown storage"),
    "storage that is a number": (tensor(of=5), "no storage"),
    "33 axes": (tensor((1,) * 33, (1,) * 33), "at most 32"),
    "shape that is none": (tensor(5), "two tuples"),
    "unprintable name": ({"a\x1b[31m": tensor()}, "cannot be printed"),
    "endless name": ({"a" * 1_001: tensor()}, "longer than"),
    "one name twice": ({"a.b": tensor(), "a": {"b": tensor((6,), (1,))}}, "appears twice"),
    "not enough arguments": (Call("torch._utils", "_rebuild_tensor_v2", storage()), "no storage"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_tensors_are_refused(tmp_path: Path, what: str) -> None:
    value, reason = HOSTILE[what]
    with pytest.raises(FormatError, match=reason) as error:
        opened(written(tmp_path, value if isinstance(value, dict) else {"a": value}))
    assert str(error.value).isprintable()


def test_views_that_overlap_themselves_are_left_out(tmp_path: Path) -> None:
    value = {"a": tensor((4, 3), (1, 1)), "b": tensor((1_000_000, 1_000_000), (0, 0)), "c": tensor()}
    assert [t.info.name for t in opened(written(tmp_path, value)).tensors] == ["c"]


def test_a_file_is_not_worth_reading_a_thousand_times(tmp_path: Path) -> None:
    many = {f"t{i}": tensor((1, 5), (i, 1)) for i in range(1_000)}
    with pytest.raises(FormatError, match="more than 16 times their storages"):
        opened(written(tmp_path, many))


def test_values_within_themselves_end(tmp_path: Path) -> None:
    loop = b"\x80\x02}q\x00(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00b" + program(tensor()) + b"u."
    assert [t.info.name for t in opened(written(tmp_path, loop)).tensors] == ["b"]
    laughs = b"\x80\x02]q\x00" + b"".join(
        b"](h%bh%be" % (bytes([i]), bytes([i])) + b"q" + bytes([i + 1]) for i in range(90)
    )
    with pytest.raises(NoWeightsError):
        opened(written(tmp_path, laughs + b"."))
    deep = b"\x80\x02" + program(tensor()) + b"\x85" * 500_000 + b"."
    with pytest.raises(NoWeightsError, match="nested deeper"):
        opened(written(tmp_path, deep))


def test_a_shared_part_is_walked_once(tmp_path: Path) -> None:
    """A hundred thousand objects that were all to be made of one long list."""
    shared = b"(" + b"N" * 200_000 + b"tq\x00" + b"]"
    made = (b"ca\nb\nq\x01" + b"h\x00Ra") + b"h\x01h\x00Ra" * 200_000
    with pytest.raises(NoWeightsError):
        opened(written(tmp_path, b"\x80\x02" + shared + made + b"."))


# Archives whose directory lies.


def test_compressed_storages_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": tensor()})
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("m/data.pkl", b"\x80\x02" + program({"a": tensor()}) + b".")
        out.writestr("m/data/0", bytes(24), zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="storage '0' of 24 bytes is compressed"):
        opened(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = written(tmp_path, b"N" * 100_000_000, {}, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="not compressed"):
        opened(bomb)


def test_names_that_leave_the_archive_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "m/../../x", "/etc/passwd"):
        with pytest.raises(FormatError, match="leaves the archive"):
            opened(written(tmp_path, {"a": tensor()}, {"m/data/0": FLOATS, name: b""}))


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="share a name"):
        opened(written(tmp_path, {"a": tensor()}, {"m/data/0": FLOATS, "m/DATA/0": FLOATS}))
    path = written(tmp_path, {"a": tensor()}, {"m/data/0": FLOATS, "m/data/1": FLOATS})
    path.write_bytes(path.read_bytes().replace(b"m/data/1", b"m/data/0"))
    with pytest.raises(FormatError, match="share a name"):
        opened(path)


def directory_at(raw: bytes) -> int:
    return int(struct.unpack_from("<I", raw, len(raw) - 6)[0])


def rows_at(raw: bytes) -> list[int]:
    return [m.start() for m in re.finditer(rb"PK\x01\x02", raw) if m.start() >= directory_at(raw)]


PATCHES: dict[str, tuple[int, str, int, str]] = {
    "header on another": (42, "<I", 0, "overlaps"),
    "header past the directory": (42, "<I", 2**31, "overlaps"),
    "size past the directory": (20, "<2I", 2**31, "overlaps"),
    "stored, two sizes": (24, "<I", 7, "bytes became"),
    "zip64 without its field": (42, "<I", 2**32 - 1, "zip64"),
    "name past the directory": (28, "<H", 60_000, "cut short"),
    "no signature": (0, "<I", 0, "cut short"),
    "encrypted": (8, "<H", 1, "compressed"),
}


@pytest.mark.parametrize("what", PATCHES)
def test_lying_rows_of_the_directory_are_refused(tmp_path: Path, what: str) -> None:
    at, form, value, reason = PATCHES[what]
    path = written(tmp_path, {"a": tensor()})
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, rows_at(raw)[1] + at, *[value] * (2 if "2" in form else 1))
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=reason):
        opened(path)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(-12, "<2H", 60_000), (-10, "<H", 1), (-6, "<I", 5), (-10, "<I", 2**32 - 1), (-2, "<H", 9)],
)
def test_lying_ends_are_refused(tmp_path: Path, at: int, form: str, value: int) -> None:
    path = written(tmp_path, {"a": tensor()})
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, len(raw) + at, *[value] * (2 if "2" in form else 1))
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="directory"):
        opened(path)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": tensor()})
    raw = path.read_bytes()
    for n in range(len(raw)):
        path.write_bytes(raw[:n])
        with pytest.raises(FormatError):
            opened(path)
    path.write_bytes(raw + b"x")
    with pytest.raises(FormatError, match="appended"):
        opened(path)


def test_a_local_header_that_shifts_the_data_is_noticed_when_they_are_read(tmp_path: Path) -> None:
    """What torch would read starts elsewhere: such an archive has two meanings."""
    raw = bytearray((DATA / "state_dict.bin").read_bytes())
    with zipfile.ZipFile(DATA / "state_dict.bin") as file:
        entry = max(file.infolist(), key=lambda i: i.file_size)
    (n_extra,) = struct.unpack_from("<H", raw, entry.header_offset + 28)
    struct.pack_into("<H", raw, entry.header_offset + 28, n_extra + 4)
    (tmp_path / "m.pt").write_bytes(raw)
    found = {t.info.name: t for t in opened(tmp_path / "m.pt").tensors}
    with pytest.raises(FormatError, match="local header says"):
        values(tmp_path, found["embed_tokens.weight"])
    assert values(tmp_path, found["up_proj.weight"]).shape == (40, 16)


class Stream(io.BytesIO):
    """A file that cannot go back: zipfile then writes descriptors, and nothing is aligned."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError


def streamed(path: Path, n: int, apart: int) -> Path:
    out = Stream()
    size = 4 * (24 + apart)
    with zipfile.ZipFile(out, "w") as file:
        value = {str(i): tensor(of=storage(str(i), size // 4)) for i in range(n)}
        file.writestr("m/data.pkl", b"\x80\x02" + program(value) + b".")
        for i in range(n):
            file.writestr(f"m/data/{i}", FLOATS + bytes(size - len(FLOATS)))
    path.write_bytes(out.getvalue())
    return path


def test_local_headers_are_asked_when_the_directory_does_not_say(tmp_path: Path) -> None:
    found = opened(streamed(tmp_path / "m.pt", 70, 1)).tensors
    assert all(values(tmp_path, t).tolist() == [[0, 1, 2], [3, 4, 5]] for t in found)
    with pytest.raises(FormatError, match="local headers would have to be asked one by one"):
        opened(streamed(tmp_path / "m.pt", 70, 40_000))


def test_other_zip_archives_are_refused(tmp_path: Path) -> None:
    for files in ({}, {"readme.txt": b"x"}, {"word/document.xml": b"x"}):
        path = tmp_path / "m.pt"
        with zipfile.ZipFile(path, "w") as out:
            for name, data in files.items():
                out.writestr(name, data)
        with pytest.raises(FormatError, match=r"no PyTorch one|not a PyTorch zip"):
            opened(path)


@pytest.mark.parametrize(
    "head", [b"", b"PK", b"\x80\x04N.", b"version https://git-lfs.github.com/spec/v1\n", b"\x00" * 300]
)
def test_other_files_are_refused(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "m.pt").write_bytes(head)
    with pytest.raises(FormatError):
        opened(tmp_path / "m.pt")


def everything(path: Path) -> None:
    for found in opened(path).tensors:
        if found.info.dtype in safetensors.FLOATS:
            values(path.parent, found)


@settings(max_examples=300, deadline=2_000)
@given(
    st.sampled_from(["state_dict.bin", "traced.pt", "views.pt"]),
    st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_mutations_raise_source_errors_only(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int]], in_directory: bool
) -> None:
    raw = bytearray((DATA / name).read_bytes())
    first = directory_at(raw) if in_directory else 0
    for at, byte in changes:
        raw[first + at % (len(raw) - first)] = byte
    path = tmp_path_factory.getbasetemp() / "mutant.pt"
    path.write_bytes(raw)
    try:
        everything(path)
    except SourceError as error:
        assert str(error).isprintable()


@settings(max_examples=300, deadline=2_000)
@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_pickles_raise_source_errors_only(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    with zipfile.ZipFile(DATA / "views.pt") as file:
        raw = bytearray(file.read("views/data.pkl"))
        files = {f"m/data/{i}": file.read(f"views/data/{i}") for i in range(9) if f"views/data/{i}" in file.namelist()}
    for at, byte in changes:
        raw[at % len(raw)] = byte
    try:
        everything(written(tmp_path_factory.getbasetemp(), bytes(raw), files))
    except SourceError as error:
        assert str(error).isprintable()


# Cost.


def sparse(path: Path, n_storages: int, n_floats: int) -> None:
    """An archive as PyTorch writes it, zip64 and all, with holes for weights."""
    size = n_floats * 4
    names = [f"layers.{i}.mlp.up_proj.weight" for i in range(n_storages)]
    shape, strides = (n_floats // 64, 64), (64, 1)
    value = {name: tensor(shape, strides, of=storage(str(i), n_floats)) for i, name in enumerate(names)}
    raw = b"\x80\x02" + program(value) + b"."
    rows = b""
    with path.open("wb") as out:
        for name, data, length in [
            ("m/data.pkl", raw, len(raw)),
            *((f"m/data/{i}", b"", size) for i in range(n_storages)),
        ]:
            at = out.tell()
            pad = -(at + 30 + len(name) + 4) % 64
            out.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", 0, 2056, 0, 0, 0, 0, 0, 0, len(name), pad + 4))
            out.write(name.encode() + struct.pack("<2H", 0x4246, pad) + bytes(pad) + data)
            out.seek(length - len(data), 1)
            wide = [n for n in (length, length, at) if n >= 2**32 - 1]
            out.write(b"PK\x07\x08" + bytes(20 if max(length, at) >= 2**32 - 1 else 12))
            extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            short = [min(n, 2**32 - 1) for n in (length, length, at)]
            rows += struct.pack(
                "<4s6H3I5H2I", b"PK\x01\x02", 0, 0, 2056, 0, 0, 0, 0, *short[:2], len(name), len(extra),
                0, 0, 0, 0, short[2],
            ) + name.encode() + extra  # fmt: skip
        at, n = out.tell(), n_storages + 1
        out.write(rows + struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 0, 0, 0, 0, n, n, len(rows), at))
        out.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, at + len(rows), 1))
        out.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, n, n, len(rows), min(at, 2**32 - 1), 0))


CHILD = """
import sys, time
from pathlib import Path
from hubdna.errors import SourceError
from hubdna.sources.interface import LocalReader, read_units
from hubdna.sources.torch_zip import read_archive
reader = LocalReader(Path(sys.argv[1]))
begin, said = time.process_time(), "read"
try:
    tensors = read_archive(reader, "m.pt").tensors
    list(read_units(reader, [(t, 0, 64) for t in tensors[:4]]))
except SourceError as error:
    said = str(error)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) // 1024, time.process_time() - begin, reader.n_bytes, reader.n_requests, ascii(said))
"""


def measured(folder: Path) -> tuple[int, float, int, int, str]:
    """MiB at the peak, seconds of the processor, bytes, requests, what was said."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    mib, seconds, n_bytes, n_requests, said = done.stdout.split(" ", 4)
    return int(mib), float(seconds), int(n_bytes), int(n_requests), said


@pytest.mark.parametrize(("n_storages", "n_floats"), [(300, 2**20), (300, 2**23), (3, 2**30)])
def test_what_reading_costs_does_not_grow_with_the_file(tmp_path: Path, n_storages: int, n_floats: int) -> None:
    """1.2, 10 and 12 GB, the last in entries of more than 4 GB."""
    sparse(tmp_path / "m.pt", n_storages, n_floats)
    mib, seconds, n_bytes, n_requests, said = measured(tmp_path)
    assert "read" in said
    assert (n_requests, mib < 300, seconds < 10) == (2 + min(n_storages, 4), True, True)
    assert n_bytes < 100_000 + 65_536 + 4 * (64 * 64 * 4 + 200)


BOMBS = {
    "empty dicts": b"(" + b"}\x94" * 700_000,
    "wide strings": b"(" + (b"X\x08\x00\x00\x00abcd\xf0\x9f\x98\x80") * 1_400_000,
    "objects": b"ca\nb\n\x94(" + b"h\x00)R" * 480_000,
    "dicts of one": b"(" + b"}NNs" * 370_000,
    "lists of lists": b"](" + b"](" * 10 + b"](e" * 400_000 + b"e" * 11,
    "64 MB of strings": b"(" + (b"X\x00\x02\x00\x00" + b"a" * 512) * 120_000,
}


@pytest.mark.parametrize("what", BOMBS)
def test_memory_and_time_are_bounded(tmp_path: Path, what: str) -> None:
    written(tmp_path, b"\x80\x02" + BOMBS[what] + (b"." if what == "lists of lists" else b"t."))
    mib, seconds, n_bytes, n_requests, said = measured(tmp_path)
    assert (n_requests <= 3, n_bytes <= (tmp_path / "m.pt").stat().st_size + 2_000) == (True, True)
    assert "m.pt" in said
    assert mib < 350 and seconds < 15, (mib, seconds)


def test_a_pickle_of_more_than_64_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    written(tmp_path, b"N" * (torch_zip.MAX_PICKLE + 1))
    reader = LocalReader(tmp_path)
    with pytest.raises(FormatError, match="expected at most"):
        torch_zip.read_archive(reader, "m.pt")
    assert reader.n_bytes < 200_000
