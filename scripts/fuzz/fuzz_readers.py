"""What the guided fuzzer and the regression corpus do to a reader: one function a reader, over bytes in memory.

An input is an envelope of a few parts (`pack`), such as a weights file, its config.json, and how many zero bytes follow
the file, so that a file of terabytes fits into a hundred bytes. `outcome` reads one input and says how that ended:
"read", or the class of the refusal. Everything else is a finding and raises: another exception, a warning of numpy,
values of another shape than was promised, a range of over 100 MB, a file name that leaves the model's folder, and any
process, import or file that the interpreter was made to open.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import sysconfig
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from hubdna import card
from hubdna.dna import codec
from hubdna.errors import CardError, NotFoundError, SourceError
from hubdna.sources import adapter, choice, formats, safetensors
from hubdna.sources.interface import Tensor, read_units

MAX_RANGE = 100_000_000
"""Bytes of one range: more than any reader's limits allow."""
MAX_ZEROS = 1 << 40
"""Zero bytes behind a file: twice as many as the largest file that the Hub takes."""
MAX_UNITS = 1 << 22
"""Bytes of two units that are worth reading; the product's budgets are of this order."""
N_TENSORS = 8
"""Tensors of a file whose units are read."""
STORAGE = 4096
"""Bytes of each of the eight storages that a fuzzed pickle finds beside it."""


def pack(*parts: bytes) -> bytes:
    """Parts as one input."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def unpack(data: bytes, n: int) -> list[bytes]:
    """The first n parts of any bytes; absent ones are empty."""
    parts = []
    for _ in range(n):
        size = int.from_bytes(data[:4], "little")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts


class Memory:
    """A ByteReader of files in memory; zero bytes follow the contents up to a file's size."""

    def __init__(self, files: dict[str, bytes], zeros: dict[str, bytes] | None = None) -> None:
        self.files = files
        self.zeros = {name: min(int.from_bytes(n[:8], "little"), MAX_ZEROS) for name, n in (zeros or {}).items()}
        self.n_bytes = self.n_requests = 0

    def size(self, filename: str) -> int:
        """Length of a file."""
        if filename.startswith("/") or {"..", ""} & set(re.split(r"[/\\]", filename)):
            raise AssertionError(f"asked for {filename!a}")
        if filename not in self.files:
            raise NotFoundError(f"no file named {filename[:80]!a}")
        return len(self.files[filename]) + self.zeros.get(filename, 0)

    def read(self, filename: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), cut at the end of the file."""
        stop = min(stop, self.size(filename))
        if start < 0 or stop - start > MAX_RANGE:
            raise AssertionError(f"asked for bytes {start} to {stop}")
        data = self.files[filename][start:stop]
        data += bytes(max(stop - start - len(data), 0))
        self.n_bytes += len(data)
        self.n_requests += 1
        return data

    def sha256(self, filename: str) -> str | None:
        """Nobody said."""
        return None


def _units(tensors: Sequence[Tensor], reader: Memory) -> None:
    """Two units from the beginning, the middle and the end of the first tensors that can be read."""
    usable = [t for t in tensors if t.quantised or t.info.dtype in safetensors.FLOATS]
    for tensor in usable[:N_TENSORS]:
        n = min(2, tensor.n_units)
        for first in sorted({0, (tensor.n_units - n) // 2, tensor.n_units - n}):
            if 0 < sum(stop - start for _, start, stop in tensor.extents(first, n)) < MAX_UNITS:
                values = next(read_units(reader, [(tensor, first, n)]))
                if values.shape != (n, *tensor.info.shape[1:]) or values.dtype != "float32":
                    raise AssertionError(f"{n} units of {tensor.info.shape} are {values.dtype} {values.shape}")


def _open(reader: Memory, filename: str, config: bytes = b"") -> None:
    opened = formats.open_file(reader, filename, 200, 1 << 26)
    try:
        hint = json.loads(config)  # as hubdna.models does
    except (ValueError, RecursionError):
        hint = None
    tensors, _ = formats.compose([opened], reader, hint if isinstance(hint, dict) else None, 8)
    _units(tensors, reader)


def read_safetensors(data: bytes) -> None:
    """A file, zeros behind it, and a config.json."""
    file, zeros, config = unpack(data, 3)
    _open(Memory({"model.safetensors": file}, {"model.safetensors": zeros}), "model.safetensors", config)


def read_torch(data: bytes) -> None:
    """A whole archive."""
    _open(Memory({"m.bin": data}), "m.bin")


def read_pickle(data: bytes) -> None:
    """A pickle in a sound archive with eight storages."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", data)
        for i in range(8):
            archive.writestr(f"m/data/{i}", bytes(range(256)) * (STORAGE // 256))
    _open(Memory({"m.bin": file.getvalue()}), "m.bin")


def read_gguf(data: bytes) -> None:
    """A file and zeros behind it."""
    file, zeros = unpack(data, 2)
    _open(Memory({"m.gguf": file}, {"m.gguf": zeros}), "m.gguf")


def read_onnx(data: bytes) -> None:
    """A file, and external data beside it."""
    file, beside, zeros = unpack(data, 3)
    names = {"m.onnx": file, "external.onnx_data": beside}
    _open(Memory(names, {"external.onnx_data": zeros}), "m.onnx")


def read_adapter(data: bytes) -> None:
    """adapter_config.json and the weights; the base's shapes are whatever fits, swapped and wrong."""
    config, file = unpack(data, 2)
    reader = Memory({"adapter_model.safetensors": file})
    found = adapter.read_adapter(safetensors.read_tensors(reader, "adapter_model.safetensors"), config)
    infos = [t.info for pair in found.modules.values() for t in (pair.A, pair.B) if t]
    adapter.check_shapes(found, [*infos, *(t.info for t in found.others)])
    for module in list(found.modules)[:N_TENSORS]:
        with suppress(SourceError):  # of IA3, patterns that are no names, weights that are not finite: the next one
            adapter.delta(found, module, reader)


def read_dna(data: bytes) -> None:
    """A .dna file."""
    codec.decode(data, "m.dna")


def read_choice(data: bytes) -> None:
    """A listing, a name a line, and a shard index."""
    listing, index = unpack(data, 2)
    files = tuple(listing.decode("utf-8", "surrogateescape").split("\n"))
    with suppress(SourceError):
        safetensors.indexed_shards("model.safetensors.index.json", index, files)
    choice.choose(files, lambda name: index)


def read_card(data: bytes) -> None:
    """A README.md, read and patched."""
    text = data.decode("utf-8", "replace")
    card.read_claim(text)
    card.patch_base_model(text, ("org/base", "org/other"), "a reason")


READERS: dict[str, Callable[[bytes], None]] = {
    "safetensors": read_safetensors, "torch": read_torch, "pickle": read_pickle, "gguf": read_gguf, "onnx": read_onnx,
    "adapter": read_adapter, "dna": read_dna, "choice": read_choice, "card": read_card,
}  # fmt: skip
"""Every reader by its name."""


def outcome(reader: str, data: bytes) -> str:
    """Read one input: "read" or the name of the refusal's class. Anything else raises."""
    refusals = (CardError,) if reader == "card" else (SourceError, NotFoundError)
    with watched(), warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        try:
            READERS[reader](data)
        except refusals as error:
            return type(error).__name__
    return "read"


_FORBIDDEN = re.compile(r"pickle\.find_class|os\.(system|exec|fork|posix_spawn|spawn\w*)|subprocess\.Popen|socket\.\w+")
_OWN = tuple({sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(Path(__file__).parents[2])})
"""Where modules that are imported late lie."""
_armed, _seen = [0], list[str]()
"""The thread that reads hostile bytes, or 0; what it did to the world."""


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """The interpreter reports here whatever touches the world."""
    if _armed[0] == threading.get_ident() and (
        _FORBIDDEN.fullmatch(event) or (event == "open" and not os.fsdecode(str(args[0])).startswith(_OWN))
    ):
        _seen.append(f"{event} {args[0]!a}"[:200])
        raise AssertionError(_seen[-1])


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Raise when anything inside starts a process, opens a connection or a file, or looks a pickled name up."""
    _seen.clear()
    _armed[0] = threading.get_ident()
    try:
        yield
    finally:
        _armed[0] = 0
    if _seen:
        raise AssertionError(f"touched the world: {_seen[0]}")
