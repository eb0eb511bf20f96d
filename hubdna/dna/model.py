"""A model's files -> Dna: which of them are the model, what they hold, and whether a second copy holds the same.

For a repository of the Hub and for a folder alike; the caller hands in the listing and a reader.
"""

from __future__ import annotations

from dataclasses import replace

from hubdna.dna.read import read_dna
from hubdna.errors import NoWeightsError, OnlyAdapterError
from hubdna.records import Choice, Dna, ReadLevel, Snapshot
from hubdna.sources.beside import disagreement
from hubdna.sources.choice import choose
from hubdna.sources.interface import ByteReader
from hubdna.sources.safetensors import MAX_HEADER
from hubdna.sources.tokenizer import unseen_tokens


def fetch_dna(reader: ByteReader, snapshot: Snapshot, level: ReadLevel) -> Dna:
    """Compute the DNA of one model, on the Hub or in a folder. Raises HubdnaError."""
    choice = choose_files(reader, snapshot)
    dna = read_files(reader, snapshot, model_files(choice, str(snapshot.ref)), level)
    if level != "small":
        choice = replace(choice, note=choice.note or disagreement(reader, snapshot.files, choice))
    return replace(dna, choice=choice, n_bytes_read=reader.n_bytes, n_requests=reader.n_requests)


def read_files(reader: ByteReader, snapshot: Snapshot, files: list[str], level: ReadLevel) -> Dna:
    """The DNA of the chosen files; a small read has no request to spare for the tokenizer's names."""
    unseen = () if level == "small" else unseen_tokens(reader, snapshot.files)
    return read_dna(snapshot.ref, reader, files, level, snapshot.config, unseen)


def choose_files(reader: ByteReader, snapshot: Snapshot) -> Choice:
    """Which files of a repository are the model. Raises FormatError."""
    return choose(snapshot.files, lambda name: reader.read(name, 0, MAX_HEADER + 1))


def model_files(choice: Choice, subject: str) -> list[str]:
    """The chosen files. Raises NoWeightsError, which says what lies there instead."""
    if choice.kind == "adapter":
        raise OnlyAdapterError(
            f"{subject}: only an adapter ({choice.files[0]}): its weights alone cannot show its base"
        )
    if choice.kind == "none":
        found = "; ".join(f"{s.subject}: {s.reason}" for s in choice.rejected[:3]) or "no file of any kind"
        raise NoWeightsError(f"{subject}: no weights that are read ({found})")
    return list(choice.files)
