"""The catalogue: one SQLite row a model, each with a checksum of its own, so that a flipped bit is found."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hubdna.errors import IndexDirError
from hubdna.records import Claim, ModelRef, Skipped

SCHEMA = "hubdna.index/1"

_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo_id TEXT NOT NULL UNIQUE, revision TEXT NOT NULL, sha TEXT,
    dna TEXT NOT NULL, content TEXT, weights_sha256 TEXT NOT NULL, n_genes INTEGER NOT NULL, read TEXT NOT NULL,
    base_models TEXT NOT NULL, relation TEXT, license TEXT, created_at TEXT, author TEXT, visibility TEXT NOT NULL,
    n_bytes INTEGER NOT NULL, n_requests INTEGER NOT NULL, checksum TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS models_by_weights ON models (weights_sha256);
CREATE INDEX IF NOT EXISTS models_by_content ON models (content);
CREATE INDEX IF NOT EXISTS models_by_dna ON models (dna);
CREATE TABLE IF NOT EXISTS skips (
    repo_id TEXT PRIMARY KEY, sha TEXT, reason TEXT NOT NULL, permanent INTEGER NOT NULL,
    circumstances TEXT NOT NULL DEFAULT '');
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of an index. `dna` is the SHA-256 of its .dna file; `read` the level its weights were read at."""

    ref: ModelRef
    dna: str
    claim: Claim
    n_genes: int
    read: str
    content: str | None = None
    weights_sha256: tuple[str, ...] = ()
    created_at: str | None = None
    author: str | None = None
    visibility: str = "public"
    n_bytes: int = 0
    n_requests: int = 0
    id: int = -1

    def canonical(self) -> str:
        """What the entry says, without what it cost or in which order it came: input of the index digest."""
        claim = [list(self.claim.base_models), self.claim.relation, self.claim.license]
        fields = [self.ref.repo_id, self.ref.revision, self.ref.sha, self.dna, claim, self.created_at, self.visibility]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    def checksum(self) -> str:
        """Of everything in the row."""
        extra = [self.content, self.weights_sha256, self.n_genes, self.read, self.author, self.n_bytes, self.n_requests]
        return hashlib.sha256((self.canonical() + json.dumps(extra)).encode()).hexdigest()


class Catalogue:
    """Models and skips of one index. One writer; every change is one transaction."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        mode = "?mode=ro&immutable=1" if read_only else ""
        try:
            self.db = sqlite3.connect(f"{path.absolute().as_uri()}{mode}", uri=True, check_same_thread=False)
            self.db.row_factory = sqlite3.Row
            if not read_only:
                self.db.execute("PRAGMA journal_mode=WAL")
                self.db.executescript(_TABLES)
                self.db.execute("INSERT OR IGNORE INTO about VALUES ('schema', ?)", (SCHEMA,))
                self.db.commit()
            found = self.about("schema")
        except sqlite3.DatabaseError as error:
            raise IndexDirError(f"{path}: not a catalogue of hubdna ({error}); rebuild the index by crawling") from None
        if found != SCHEMA:
            raise IndexDirError(f"{path}: expected schema {SCHEMA}, found {found}; written by another version")

    def about(self, key: str) -> str | None:
        """One fact about the index as a whole."""
        row = self.db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_about(self, key: str, value: str) -> None:
        """Record one fact about the index as a whole."""
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def put(self, entry: Entry) -> None:
        """Add a model, or replace it under a new id; its skip, if any, goes."""
        row = {
            "repo_id": entry.ref.repo_id, "revision": entry.ref.revision, "sha": entry.ref.sha, "dna": entry.dna,
            "content": entry.content, "weights_sha256": json.dumps(entry.weights_sha256), "n_genes": entry.n_genes,
            "read": entry.read, "base_models": json.dumps(entry.claim.base_models), "relation": entry.claim.relation,
            "license": entry.claim.license, "created_at": entry.created_at, "author": entry.author,
            "visibility": entry.visibility, "n_bytes": entry.n_bytes, "n_requests": entry.n_requests,
            "checksum": entry.checksum(),
        }  # fmt: skip
        names = ", ".join(row)
        with self.db:
            self.db.execute("DELETE FROM models WHERE repo_id = ?", (entry.ref.repo_id,))
            self.db.execute("DELETE FROM skips WHERE repo_id = ?", (entry.ref.repo_id,))
            self.db.execute(f"INSERT INTO models ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))

    def remove(self, repo_id: str) -> bool:
        """Forget a model; True if it was there."""
        with self.db:
            return self.db.execute("DELETE FROM models WHERE repo_id = ?", (repo_id,)).rowcount > 0

    def skip(self, ref: ModelRef, reason: str, *, permanent: bool, circumstances: str = "") -> None:
        """Record why a model is not in the index.

        A permanent reason holds for this commit under these circumstances; others are tried again.
        """
        row = (ref.repo_id, ref.sha, reason, int(permanent), circumstances)
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO skips VALUES (?, ?, ?, ?, ?)", row)

    def skips(self) -> list[Skipped]:
        """Models that are not in the index, with reasons."""
        return [Skipped(r[0], r[1]) for r in self._select("SELECT repo_id, reason FROM skips ORDER BY repo_id")]

    def skipped_for_good(self, ref: ModelRef, circumstances: str = "") -> bool:
        """Whether this very commit was skipped, under these circumstances, for a reason that will not change."""
        query = "SELECT 1 FROM skips WHERE repo_id = ? AND sha IS ? AND permanent AND circumstances = ?"
        return self.db.execute(query, (ref.repo_id, ref.sha, circumstances)).fetchone() is not None

    def get(self, repo_id: str) -> Entry | None:
        """The entry of one model."""
        row = next(self._select("SELECT * FROM models WHERE repo_id = ?", repo_id), None)
        return None if row is None else _entry(row)

    def by_id(self, model_id: int) -> Entry | None:
        """The entry with this id."""
        row = next(self._select("SELECT * FROM models WHERE id = ?", model_id), None)
        return None if row is None else _entry(row)

    def copies_of(self, content: str | None, weights_sha256: tuple[str, ...]) -> list[Entry]:
        """Models with the same bits: equal digests of all tensors, or equal hashes of the weights files."""
        query = "SELECT * FROM models WHERE content = ? OR (weights_sha256 = ? AND ? != '[]') ORDER BY repo_id"
        hashes = json.dumps(weights_sha256 if all(weights_sha256) else ())
        return [_entry(row) for row in self._select(query, content, hashes, hashes)]

    def same_weights(self, entry: Entry) -> list[Entry]:
        """Models with this one's DNA file or its digest of all tensors; itself among them."""
        query = "SELECT * FROM models WHERE dna = ? OR content = ?"
        return [_entry(row) for row in self._select(query, entry.dna, entry.content)]

    def entries(self) -> Iterator[Entry]:
        """All models by name."""
        for row in self._select("SELECT * FROM models ORDER BY repo_id"):
            yield _entry(row)

    def names_dna(self, digest: str) -> bool:
        """Whether any model's DNA is this file."""
        return next(self._select("SELECT 1 FROM models WHERE dna = ?", digest), None) is not None

    def _select(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        try:
            yield from self.db.execute(query, values)
        except sqlite3.DatabaseError as error:
            raise IndexDirError(f"{self.path}: damaged ({error}); crawl into a new index") from None

    def damaged(self) -> list[str]:
        """Names of models whose row does not match its own checksum, and structural damage of the file."""
        try:
            problems = [f"{self.path}: {r[0]}" for r in self.db.execute("PRAGMA integrity_check") if r[0] != "ok"]
            rows = self.db.execute("SELECT * FROM models ORDER BY repo_id").fetchall()
        except sqlite3.DatabaseError as error:
            return [f"{self.path}: damaged ({error})"]
        for row in rows:
            try:
                sound = _entry(row).checksum() == row["checksum"]
            except IndexDirError:
                sound = False
            if not sound:
                problems.append(f"{self.path}: row of {row['repo_id']!r} does not match its checksum")
        return problems

    def compact(self) -> None:
        """Make the file small and self-contained, for publishing: no free pages, no write-ahead log."""
        self.db.execute("PRAGMA journal_mode=DELETE")
        self.db.execute("VACUUM")

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self.db.close()


def _entry(row: sqlite3.Row) -> Entry:
    try:
        bases, hashes = (tuple(json.loads(row[column])) for column in ("base_models", "weights_sha256"))
    except (ValueError, TypeError):
        raise IndexDirError(f"catalogue row of {row['repo_id']!r} is damaged; crawl it into a new index") from None
    claim = Claim(bases, row["relation"], row["license"])
    entry = Entry(
        ModelRef(row["repo_id"], row["revision"], row["sha"]), row["dna"], claim, row["n_genes"], row["read"],
        row["content"], hashes, row["created_at"], row["author"], row["visibility"], row["n_bytes"], row["n_requests"],
    )  # fmt: skip
    return replace(entry, id=row["id"])
