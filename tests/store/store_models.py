"""Entries of an index, computed from demo models."""

from functools import cache
from pathlib import Path

import hubdna.demo
from hubdna.dna import codec
from hubdna.models import Loader
from hubdna.records import Claim, ModelRef
from hubdna.store import Entry, IndexDir

FOLDER = Path(hubdna.demo.__file__).parent / "models"
MODELS = [
    "bytewright/pyllama-245k",
    "convfoundry/resnet-digits",
    "northbyte/pyllama-245k-scratch",
    "opticlab/vit-strokes",
]


@cache
def entry_of(name: str) -> tuple[Entry, bytes]:
    dna = Loader().load(ModelRef(str(FOLDER / name))).dna
    data = codec.encode(dna)
    entry = Entry(
        ModelRef(name, "main", f"{MODELS.index(name) + 1:040x}"), codec.digest(data),
        Claim(("acme/base",), "finetune", "mit"),
        len(dna.genes), "standard", dna.content, (f"{MODELS.index(name) + 1:064x}",), "2025-01-02T03:04:05+00:00",
        "acme", n_bytes=dna.n_bytes_read, n_requests=dna.n_requests,
    )  # fmt: skip
    return entry, data


def add_all(index: IndexDir) -> list[tuple[Entry, bytes]]:
    """Add every model; what was added."""
    added = [entry_of(name) for name in MODELS]
    for entry, data in added:
        index.add(entry, data)
    return added
