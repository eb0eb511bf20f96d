"""Which reader opens which file. Every reader is one function: (reader, filename) -> list of Tensors."""

from __future__ import annotations

from collections.abc import Callable

from hubdna.errors import NoWeightsError
from hubdna.sources import safetensors
from hubdna.sources.interface import ByteReader, Tensor

READERS: dict[str, Callable[[ByteReader, str], list[Tensor]]] = {
    ".safetensors": safetensors.read_tensors,
}
"""By the end of the file name."""


def read_tensors(reader: ByteReader, filename: str) -> list[Tensor]:
    """Open one weights file: its directory is read and checked, its tensors can be asked for units.

    Raises:
        NoWeightsError: no reader for this kind of file.
        FormatError: the file is not what it claims to be.
    """
    for ending, read in READERS.items():
        if filename.endswith(ending):
            return read(reader, filename)
    raise NoWeightsError(f"{filename}: no reader for this kind of file (known: {', '.join(READERS)})")
