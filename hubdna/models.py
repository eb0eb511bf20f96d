"""REF -> a model at hand: its DNA and card, from an index, the Hub, a local folder, or a .dna file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubdna.card import MAX_CARD
from hubdna.dna.model import choose_files, fetch_dna, model_files
from hubdna.dna.plan import BUDGETS
from hubdna.dna.read import read_dna
from hubdna.errors import FormatError, NotFoundError, UsageError
from hubdna.records import Dna, ModelRef, ReadLevel, Snapshot
from hubdna.sources import formats
from hubdna.sources.choice import choose
from hubdna.sources.interface import ByteReader, LocalReader, Tensor
from hubdna.sources.safetensors import FLOATS

if TYPE_CHECKING:
    from hubdna.hub import Hub
    from hubdna.store import Entry, IndexDir

MAX_FILES = 20_000
"""More than any repository of one model has; a home folder has more."""
MAX_DNA_FILE = 200_000_000
"""Bytes; a full read of the widest language models gives about 100 MB."""


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

    `n_bytes_read` and `n_requests` grow with every model that is loaded.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, level: ReadLevel = "standard") -> None:
        self.endpoint, self.token, self.level = endpoint, token, level
        self._hub: Hub | None = None
        self.n_bytes_read = 0
        self.n_requests = 0

    @property
    def hub(self) -> Hub:
        """The Hub, connected on first use."""
        from hubdna.hub import Hub  # a fifth of a second that a folder does not need

        self._hub = self._hub or Hub(self.endpoint, self.token)
        return self._hub

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """Load one model; from the index when it holds this model's commit. Raises HubdnaError."""
        try:
            return self._counted(_load_local(ref, self.level) if ref.is_local else self._load_from_hub(ref, index))
        except FormatError as error:  # "model.safetensors: ..." does not say whose
            raise FormatError(f"{ref}/{error.filename}", error.reason) from None

    def _load_from_hub(self, ref: ModelRef, index: IndexDir | None) -> Loaded:
        snapshot = self.hub.snapshot(ref)
        entry = index.get(ref.repo_id) if index else None
        if index and entry and entry.ref.sha == snapshot.ref.sha:
            dna = index.dna(entry)
            if all(g.rows is not None for g in dna.genes):
                return Loaded(snapshot, replace(dna, n_bytes_read=0, n_requests=0))
        return Loaded(snapshot, fetch_dna(self.hub.reader(snapshot.ref), snapshot, self.level))

    def _counted(self, model: Loaded) -> Loaded:
        self.n_bytes_read += model.dna.n_bytes_read
        self.n_requests += model.dna.n_requests
        return model

    def open(self, ref: ModelRef) -> tuple[Snapshot, ByteReader]:
        """The files of a model and a reader of their bytes, on the Hub or in a folder. Raises HubdnaError."""
        if ref.is_local:
            path = Path(ref.repo_id)
            if path.is_file() and path.suffix != ".dna":
                return Snapshot(ref, (path.name,)), LocalReader(path.parent)
            if not path.is_dir():
                raise NotFoundError(f"{ref}: expected a folder or a weights file")
            return _local_snapshot(ref)
        snapshot = self.hub.snapshot(ref)
        return snapshot, self.hub.reader(snapshot.ref)

    def reader(self, ref: ModelRef) -> ByteReader:
        """Bytes of a model's files, one by one; of a folder or of a commit of the Hub."""
        return LocalReader(Path(ref.repo_id)) if ref.is_local else self.hub.reader(ref)

    def tensors(self, ref: ModelRef) -> tuple[ByteReader, list[Tensor]]:
        """All tensors of a model that hold weights, quantised groups composed. Raises HubdnaError."""
        snapshot, reader = self.open(ref)
        files = model_files(choose_files(reader, snapshot), str(ref))
        budget = BUDGETS["full"]
        opened = [formats.open_file(reader, file, budget.n_requests, budget.n_bytes) for file in files]
        tensors, _ = formats.compose(opened, reader, snapshot.config, budget.n_requests)
        return reader, [t for t in tensors if t.quantised or t.info.dtype in FLOATS]

    def snapshot(self, ref: ModelRef) -> Snapshot:
        """What the Hub says of a model: its name of today, its commit and files. Raises HubdnaError."""
        return self.hub.snapshot(ref)

    def rows(self, entry: Entry) -> Dna:
        """Read the rows of an index entry again, at its commit and read level."""
        snapshot = self.hub.snapshot(ModelRef(entry.ref.repo_id, entry.ref.sha or entry.ref.revision))
        dna = fetch_dna(self.hub.reader(snapshot.ref), snapshot, entry.read)  # type: ignore[arg-type]
        return self._counted(Loaded(snapshot, dna)).dna

    def card(self, ref: ModelRef) -> str | None:
        """README.md of a model; empty where there is none, None of a single file, which has no card."""
        if not ref.is_local:
            return self.hub.card(ref) or ""
        folder = Path(ref.repo_id)
        if not folder.is_dir():
            return None
        path = folder / "README.md"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_CARD).decode("utf-8", "replace")


def _load_local(ref: ModelRef, level: ReadLevel) -> Loaded:
    path = Path(ref.repo_id)
    if path.is_file() and path.suffix == ".dna":
        if path.stat().st_size > MAX_DNA_FILE:
            raise FormatError(path.name, f"{path.stat().st_size} bytes, more than any .dna file has ({MAX_DNA_FILE})")
        from hubdna.dna import codec  # the container's package, which a folder does not need

        return Loaded(Snapshot(ref, ()), codec.decode(path.read_bytes(), path.name, ref))
    if path.is_file():
        _refuse_adapter(ref, path.name)
        reader = LocalReader(path.parent)
        return Loaded(Snapshot(ref, (path.name,)), read_dna(ref, reader, [path.name], level))
    if not path.is_dir():
        raise NotFoundError(f"{ref}: no such folder, weights file or .dna file")
    snapshot, reader = _local_snapshot(ref)
    return Loaded(snapshot, fetch_dna(reader, snapshot, level))


def _refuse_adapter(ref: ModelRef, name: str) -> None:
    """A weights file that is named itself is read whatever it is called, unless it is an adapter."""
    try:
        choice = choose((name,))
    except FormatError:  # one shard of many
        return
    if choice.kind == "adapter":
        model_files(choice, str(ref))


def _local_snapshot(ref: ModelRef) -> tuple[Snapshot, LocalReader]:
    path = Path(ref.repo_id)
    files, reader = _listing(path), LocalReader(path)
    return Snapshot(ref, files, _config(reader) if "config.json" in files else None), LocalReader(path)


def _config(reader: LocalReader) -> dict[str, Any] | None:
    """config.json, if it is a sound JSON object of reasonable size; only ever a hint."""
    try:
        found = json.loads(reader.read("config.json", 0, MAX_CARD))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _listing(folder: Path) -> tuple[str, ...]:
    """Files of a folder and of the folders in it (components, `onnx/`), as a repository lists them; no hidden ones.

    Not deeper: a folder of models, `org/name/...`, is no model.
    """
    found = []
    for pattern in ("*", "*/*"):
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not name.startswith(".") and "/." not in name:
                found.append(name)
            if len(found) > MAX_FILES:
                raise UsageError(f"{folder}: more than {MAX_FILES} files; name the model's own folder")
    return tuple(sorted(found))
