"""Which reader opens which file. Every reader is one function: (reader, filename) -> list of Tensors.

A reader is imported when the first file of its format is opened: all of them together take as long as a small model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubdna.errors import NoWeightsError
from hubdna.records import Skipped
from hubdna.sources import layouts, safetensors
from hubdna.sources.canonical import canonical
from hubdna.sources.interface import ByteReader, Tensor

NOT_THE_MODEL = "not part of the model's weights"
"""Optimizer state, schedules, repeated names: leaving them out loses nothing of the model."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A weights file, opened: its tensors, what was left out of it and why, and whether these are all of them."""

    tensors: list[Tensor]
    skipped: tuple[Skipped, ...] = ()
    complete: bool = True


def _safetensors(reader: ByteReader, filename: str) -> Opened:
    return Opened(safetensors.read_tensors(reader, filename))


def _torch(reader: ByteReader, filename: str) -> Opened:
    from hubdna.sources import torch_zip

    archive = torch_zip.read_archive(reader, filename)
    left_out = tuple(Skipped(part, NOT_THE_MODEL) for part in archive.left_out)
    return Opened(list(archive.tensors), left_out)


def _gguf(reader: ByteReader, filename: str) -> Opened:
    from hubdna.sources import gguf_file

    return Opened(gguf_file.read_tensors(reader, filename))


def compose(
    opened: list[Opened], reader: ByteReader, config: dict[str, Any] | None, max_peeks: int
) -> tuple[list[Tensor], str | None]:
    """Put the shards' tensors together: packed weights and scales become weights, fused weights several.

    Args:
        opened: the shards.
        reader: some layouts keep a shape in a tiny tensor.
        config: config.json, a hint where shapes fit several layouts or splits.
        max_peeks: tiny tensors that may be read, a request each.

    Returns:
        The tensors, and the name of the quantised layout, if any.
    """
    tensors = [tensor for one in opened for tensor in one.tensors]
    quantisation = None
    if all(t.info.filename.endswith(".safetensors") for t in tensors):
        tensors, quantisation = layouts.compose(tensors, config, reader, max_peeks)
    return canonical(tensors, config), quantisation


READERS: dict[str, Callable[[ByteReader, str], Opened]] = {
    ".safetensors": _safetensors,
    ".gguf": _gguf,
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
    ".ckpt": _torch,
    ".jit": _torch,
    ".torchscript": _torch,
    ".ptl": _torch,
}
"""By the end of the file name. ONNX stands apart: its walk takes a budget."""


def open_file(reader: ByteReader, filename: str, max_requests: int, max_bytes: int) -> Opened:
    """Open one weights file: its directory is read and checked, its tensors can be asked for units.

    Args:
        reader: gives the bytes.
        filename: decides the reader by its ending.
        max_requests: an ONNX graph is only walked so far; the other formats have a directory.
        max_bytes: likewise.

    Raises:
        NoWeightsError: no reader for this kind of file.
        FormatError: the file is not what it claims to be.
    """
    if filename.endswith(".onnx"):
        from hubdna.sources import onnx_file

        walked = onnx_file.open_file(reader, filename, max_requests, max_bytes)
        return Opened(walked.tensors, walked.notes, walked.complete)
    for ending, read in READERS.items():
        if filename.endswith(ending):
            return read(reader, filename)
    raise NoWeightsError(f"{filename}: no reader for this kind of file (known: {', '.join([*READERS, '.onnx'])})")
