"""`IndexDir`: catalogue, DNA files and vectors kept in step."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hubdna.dna import codec
from hubdna.dna.read import SCHEME
from hubdna.errors import FormatError, IndexDirError
from hubdna.records import Dna, IndexInfo, ModelRef, Skipped
from hubdna.store.catalogue import Catalogue, Entry
from hubdna.store.vectors import FORMAT, Vectors
from hubdna.writing import write_atomically

_AGAIN = "take the model out with `hubdna index remove` and crawl it again"


class IndexDir:
    """An index directory.

    Args:
        path: the directory.
        create: make it when it does not exist.
        read_only: never write; vectors are built in memory when the file is absent.

    Raises:
        IndexDirError: it does not exist, is damaged, or was written by another scheme.
    """

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.path = path
        if not (path / "catalogue.sqlite").is_file():
            if not create:
                raise IndexDirError(
                    f"{path}: no index there (no catalogue.sqlite); make one with `hubdna crawl --index`"
                )
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise IndexDirError(f"{path}: cannot be made: {error.strerror}") from None
        self.read_only = read_only
        self.catalogue = Catalogue(path / "catalogue.sqlite", read_only=read_only)
        self._vectors: Vectors | None = None
        scheme = self.catalogue.about("scheme")
        if scheme is None and not read_only:
            self.catalogue.set_about("scheme", SCHEME)
        elif scheme != SCHEME:
            raise IndexDirError(
                f"{path}: holds scheme {scheme}, this version computes {SCHEME}; crawl into a new index"
            )

    def __enter__(self) -> IndexDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        self.catalogue.close()

    # -- models ---------------------------------------------------------------------------------------------------

    def add(self, entry: Entry, data: bytes | None) -> None:
        """Store a model: first its DNA file (None: an exact copy's is there), then the row that makes it count.

        A damaged file is written anew; the file of the row that is replaced goes, unless another model needs it.
        """
        target = self._dna_path(entry.dna)
        if data is None and not target.exists():
            raise IndexDirError(f"{entry.ref}: the DNA that it is an exact copy of is gone; crawl again")
        if data is not None and not (target.exists() and codec.digest(target.read_bytes()) == entry.dna):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
        before = self.catalogue.get(entry.ref.repo_id)
        self.catalogue.put(entry)
        if before is not None:
            self._drop_unnamed(before.dna)

    def remove(self, repo_id: str) -> bool:
        """Forget a model, and its DNA file unless an exact copy needs it; True if it was there."""
        entry = self.catalogue.get(repo_id)
        if entry is None:
            return False
        self.catalogue.remove(repo_id)
        self._drop_unnamed(entry.dna)
        self.sync()
        return True

    def get(self, repo_id: str) -> Entry | None:
        """The entry of one model."""
        return self.catalogue.get(repo_id)

    def entries(self) -> Iterator[Entry]:
        """All models by name."""
        return self.catalogue.entries()

    def has_dna(self, entry: Entry) -> bool:
        """Whether a model's DNA file is there."""
        return self._dna_path(entry.dna).is_file()

    def dna(self, entry: Entry) -> Dna:
        """Load a model's DNA. Raises IndexDirError when the file is absent or its bits do not match its name."""
        path = self._dna_path(entry.dna)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise IndexDirError(f"{path}: the DNA of {entry.ref} is absent; {_AGAIN}") from None
        if codec.digest(data) != entry.dna:
            raise IndexDirError(f"{path}: the DNA of {entry.ref} is damaged (its SHA-256 is not its name); {_AGAIN}")
        dna = codec.decode(data, str(path), entry.ref)
        cost = {"n_bytes_read": entry.n_bytes, "n_requests": entry.n_requests}
        return replace(dna, weights_sha256=entry.weights_sha256, **cost)  # type: ignore[arg-type]

    def _drop_unnamed(self, digest: str) -> None:
        if not self.catalogue.names_dna(digest):
            self._dna_path(digest).unlink(missing_ok=True)

    def _dna_path(self, digest: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", digest):  # an index may be somebody else's
            raise IndexDirError(f"{self.path}: a row names {digest[:80]!r} as its DNA file, which is no SHA-256")
        return self.path / "dna" / digest[:2] / f"{digest}.dna"

    # -- vectors --------------------------------------------------------------------------------------------------

    @property
    def vectors(self) -> Vectors:
        """The sketches, brought up to date with the catalogue."""
        if self._vectors is None:
            self._vectors = self._load_vectors()
            self.sync()
        return self._vectors

    def candidates(self, dna: Dna, n: int) -> list[Entry]:
        """Exact copies, then the models whose sketches agree most with the query's genes; n at most.

        Of models that are exact copies of each other one stands for all (`copies`): the one that was published first.
        """
        found: list[Entry] = []
        seen: set[int] = set()
        exact = self.catalogue.copies_of(dna.content, dna.weights_sha256)
        for model_id in itertools.chain((e.id for e in exact), (i for i, _ in self.vectors.vote(dna.genes))):
            if len(found) == n:
                break
            entry = None if model_id in seen else self.catalogue.by_id(model_id)
            if entry is not None:
                group = self.copies(entry)
                seen |= {e.id for e in group}
                found.append(group[0])
        return found

    def copies(self, entry: Entry) -> list[Entry]:
        """A model and all others with the same weights, the one that was published first at the head."""
        return sorted(self.catalogue.same_weights(entry), key=lambda e: (e.created_at or "9999", e.ref.repo_id))

    def sync(self) -> None:
        """Add to the vectors what the catalogue gained and remove what it lost."""
        vectors = self._vectors = self._vectors or self._load_vectors()
        wanted = {e.id: e for e in self.entries() if e.n_genes}
        held = vectors.model_ids
        if wanted.keys() == held:
            return
        if gone := held - wanted.keys():
            vectors.remove(gone)
        for model_id in sorted(wanted.keys() - held):
            try:
                vectors.add(model_id, self.dna(wanted[model_id]))
            except (IndexDirError, FormatError):
                continue  # `verify` names it; one damaged file must not cost the others their search
        self._save_vectors()

    def rebuild(self) -> int:
        """Make the vectors anew from the DNA files; the number of models."""
        (self.path / "sketches.faiss").unlink(missing_ok=True)
        self._vectors = Vectors()
        self.sync()
        self._save_vectors()
        return len(self._vectors.model_ids)

    def _load_vectors(self) -> Vectors:
        path, sidecar = self.path / "sketches.faiss", self.path / "sketches.json"
        try:
            said = json.loads(sidecar.read_text())
            if said["format"] == FORMAT and hashlib.sha256(path.read_bytes()).hexdigest() == said["sha256"]:
                return Vectors(path)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # absent, half-written, damaged or of an older format: derived data, made anew
        return Vectors()

    def _save_vectors(self) -> None:
        if self.read_only or self._vectors is None:
            return
        path = self.path / "sketches.faiss"
        self._vectors.write(path)
        said = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "scheme": SCHEME, "format": FORMAT}
        write_atomically(self.path / "sketches.json", json.dumps(said).encode())

    # -- the whole ------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """Canonical digest: equal for equal models, claims and DNA, whatever the order or cost of the crawl."""
        lines = [SCHEME, *(e.canonical() for e in self.entries())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def info(self) -> IndexInfo:
        """The index at a glance."""
        entries = list(self.entries())
        size = sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())
        published = self.catalogue.about("published") == "yes"
        last_crawl = self.catalogue.about("crawl")
        counts = len(entries), len(self.skips())
        return IndexInfo(str(self.path), self.digest(), SCHEME, *counts, size, published, last_crawl)

    def skips(self) -> list[Skipped]:
        """Models that are not in the index, with reasons."""
        return self.catalogue.skips()

    def skip(self, ref: ModelRef, reason: str, *, permanent: bool, circumstances: str = "") -> None:
        """Record why a model is not in the index."""
        self.catalogue.skip(ref, reason, permanent=permanent, circumstances=circumstances)

    def verify(self) -> list[str]:
        """Check every bit that matters: rows, DNA files, vectors. Returns the problems, each naming its file."""
        if problems := self.catalogue.damaged():
            return problems  # rows that cannot be trusted say nothing about files
        if self._damaged_vectors_file():
            problems.append(
                f"{self.path / 'sketches.faiss'}: does not match its sidecar; `hubdna index rebuild` makes it anew"
            )
        for entry in self.entries():
            try:
                dna = self.dna(entry)
            except (IndexDirError, FormatError) as error:
                problems.append(str(error))
                continue
            if not problems and not self.vectors.holds(entry.id, dna):
                problems.append(
                    f"{self.path / 'sketches.faiss'}: sketches of {entry.ref} differ; `hubdna index rebuild`"
                )
        named = {e.dna for e in self.entries()}
        orphans = [f for f in sorted(self.path.glob("dna/*/*.dna")) if f.stem not in named]
        return problems + [f"{f}: no row names it; `hubdna index rebuild` removes it" for f in orphans]

    def drop_orphans(self) -> int:
        """Remove DNA files that no row names (a crawl killed between file and row leaves one)."""
        named = {e.dna for e in self.entries()}
        orphans = [f for f in self.path.glob("dna/*/*.dna") if f.stem not in named]
        for file in orphans:
            file.unlink()
        return len(orphans)

    def _damaged_vectors_file(self) -> bool:
        path, sidecar = self.path / "sketches.faiss", self.path / "sketches.json"
        if not path.exists() or not sidecar.exists():
            return False
        try:
            return bool(json.loads(sidecar.read_text())["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest())
        except (ValueError, KeyError, TypeError):
            return True
