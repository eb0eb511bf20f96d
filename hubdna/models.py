"""REF -> a model at hand: its DNA and card, from an index, the Hub, a local folder, or a .dna file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubdna.crawl import describe_files, fetch_dna
from hubdna.dna import codec
from hubdna.dna.read import read_dna
from hubdna.errors import NotFoundError, NoWeightsError
from hubdna.hub import MAX_CARD, Hub
from hubdna.records import Dna, ModelRef, ReadLevel, Snapshot
from hubdna.sources.interface import LocalReader
from hubdna.sources.safetensors import weight_files
from hubdna.store import Entry, IndexDir


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model whose DNA is at hand."""

    snapshot: Snapshot
    dna: Dna


class Loader:
    """Loads models by reference.

    Args:
        endpoint: of the Hub; None for the default one. No request is made before one is needed.
        token: access token.
        level: how much of a model's weights is read.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, level: ReadLevel = "standard") -> None:
        self.endpoint, self.token, self.level = endpoint, token, level
        self._hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        """The Hub, connected on first use."""
        self._hub = self._hub or Hub(self.endpoint, self.token)
        return self._hub

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """Load one model; from the index when it holds this model's commit. Raises HubdnaError."""
        if ref.is_local:
            return _load_local(ref, self.level)
        snapshot = self.hub.snapshot(ref)
        entry = index.get(ref.repo_id) if index else None
        if index and entry and entry.ref.sha == snapshot.ref.sha:
            dna = index.dna(entry)
            if all(g.rows is not None for g in dna.genes):
                return Loaded(snapshot, dna)
        return Loaded(snapshot, fetch_dna(self.hub.reader(snapshot.ref), snapshot, self.level))

    def rows(self, entry: Entry) -> Dna:
        """Read the rows of an index entry again, at its commit and read level."""
        snapshot = self.hub.snapshot(ModelRef(entry.ref.repo_id, entry.ref.sha or entry.ref.revision))
        return fetch_dna(self.hub.reader(snapshot.ref), snapshot, entry.read)  # type: ignore[arg-type]

    def card(self, ref: ModelRef) -> str | None:
        """README.md of a model, or None."""
        if not ref.is_local:
            return self.hub.card(ref)
        path = Path(ref.repo_id) / "README.md"
        return path.read_bytes()[:MAX_CARD].decode("utf-8", "replace") if path.is_file() else None


def _load_local(ref: ModelRef, level: ReadLevel) -> Loaded:
    path = Path(ref.repo_id)
    if path.is_file() and path.suffix == ".dna":
        return Loaded(Snapshot(ref, ()), codec.decode(path.read_bytes(), ref.repo_id, ref))
    if path.is_file():
        reader = LocalReader(path.parent)
        return Loaded(Snapshot(ref, (path.name,)), read_dna(ref, reader, [path.name], level))
    if not path.is_dir():
        raise NotFoundError(f"{ref}: no such folder, .safetensors or .dna file")
    files = tuple(sorted(f.name for f in path.iterdir() if f.is_file()))
    reader = LocalReader(path)
    chosen = weight_files(files, lambda name: reader.read(name, 0, reader.size(name)))
    if not chosen:
        raise NoWeightsError(f"{ref}: no safetensors weights ({describe_files(files)})")
    return Loaded(Snapshot(ref, files), read_dna(ref, reader, chosen, level))
