"""Vectors of behaviour beside the index: one SQLite row a model, and a flat FAISS index over them when it is asked.

    DIR/behaviour.sqlite      vectors with commit and scheme, each row with a checksum; skips with reasons

A vector costs a run of the model, so it is no derived data: a row is stored in one transaction, and a killed batch
loses the model at hand only. FAISS is built from the rows in memory, so nothing can go stale. Two schemes of one
modality never mix. Nothing here says where a model comes from.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hubdna.errors import BehaviourError, IndexDirError
from hubdna.records import BehaviourDNA, ModelRef, Skipped
from hubdna.store.vectors import library

FILE = "behaviour.sqlite"
MAX_D = 65_536
_TABLES = """
CREATE TABLE IF NOT EXISTS vectors (
    repo_id TEXT NOT NULL, sha TEXT NOT NULL, modality TEXT NOT NULL, scheme TEXT NOT NULL, familiar REAL NOT NULL,
    vector BLOB NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (repo_id));
CREATE TABLE IF NOT EXISTS skips (repo_id TEXT PRIMARY KEY, sha TEXT, reason TEXT NOT NULL, limits TEXT NOT NULL);
"""


class BehaviourVectors:
    """The vectors of behaviour of an index directory. Use it as a context.

    Args:
        path: the index directory.
        create: make the file when there is none.

    Raises:
        IndexDirError: there is none, or it is damaged.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path / FILE
        if not create and not self.path.is_file():
            raise IndexDirError(
                f"{path}: holds no vectors of behaviour; make some with `hubdna index behaviour {path}`"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            where = self.path.absolute().as_uri() + ("" if create else "?mode=ro")
            self._db = sqlite3.connect(where, uri=True, isolation_level=None)
            if create:
                self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise IndexDirError(f"{self.path}: cannot be opened ({error})") from None

    def __enter__(self) -> BehaviourVectors:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, ref: ModelRef, dna: BehaviourDNA) -> None:
        """Store a model's vector in place of an older one.

        Raises:
            BehaviourError: the vector is not sound, or not of a model of the Hub at a commit.
            IndexDirError: the index holds vectors of another scheme.
        """
        fault = _fault(dna)
        if fault or ref.is_local or ref.sha is None:
            raise BehaviourError(f"{ref}: {fault or 'expected a model of the Hub at a commit'}; not stored")
        for scheme in self.schemes(dna.modality) - {dna.scheme}:
            raise IndexDirError(
                f"{self.path}: holds {scheme}, this version computes {dna.scheme}; they do not compare: use a new index"
            )
        row = (ref.repo_id, ref.sha, dna.modality, dna.scheme, float(dna.familiar), dna.vector.astype("<f4").tobytes())
        self._do("DELETE FROM skips WHERE repo_id = ?", (ref.repo_id,))
        self._do("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _checksum(row)))

    def skip(self, ref: ModelRef, reason: str, limits: str) -> None:
        """Say why a model has no vector, and under which limits it was tried."""
        self._do("INSERT OR REPLACE INTO skips VALUES (?, ?, ?, ?)", (ref.repo_id, ref.sha, reason, limits))

    def skips(self) -> list[Skipped]:
        """Models without a vector, with reasons."""
        return [Skipped(str(r[0]), str(r[1])) for r in self._do("SELECT repo_id, reason FROM skips ORDER BY repo_id")]

    def is_done(self, ref: ModelRef, limits: str) -> bool:
        """Whether nothing is left to do for a model at this commit: its vector is there, or it cannot have one."""
        asked = (ref.repo_id, ref.sha)
        there = "SELECT 1 FROM vectors WHERE repo_id = ? AND sha = ?"
        tried = "SELECT 1 FROM skips WHERE repo_id = ? AND sha = ? AND limits = ?"
        return bool(self._do(there, asked) or self._do(tried, (*asked, limits)))

    def schemes(self, modality: str) -> set[str]:
        """Schemes of the vectors held."""
        return {str(r[0]) for r in self._do("SELECT DISTINCT scheme FROM vectors WHERE modality = ?", (modality,))}

    def count(self, modality: str) -> int:
        """How many models of a modality are held."""
        return int(self._do("SELECT COUNT(*) FROM vectors WHERE modality = ?", (modality,))[0][0])

    def get(self, repo_id: str) -> tuple[ModelRef, BehaviourDNA] | None:
        """One model. Raises IndexDirError when its row is damaged."""
        rows = self._do("SELECT * FROM vectors WHERE repo_id = ?", (repo_id,))
        return self._sound(rows[0]) if rows else None

    def all(self, modality: str) -> Iterator[tuple[ModelRef, BehaviourDNA]]:
        """All models of a modality by name. Raises IndexDirError at a damaged row."""
        for row in self._do("SELECT * FROM vectors WHERE modality = ? ORDER BY repo_id", (modality,)):
            yield self._sound(row)

    def nearest(self, dna: BehaviourDNA, k: int) -> list[tuple[ModelRef, BehaviourDNA]]:
        """The k models whose vectors have the largest cosine with the one given, best first.

        Raises:
            BehaviourError: the vector asked with is not sound.
            IndexDirError: the index is of another scheme, or damaged.
        """
        if fault := _fault(dna):
            raise BehaviourError(f"the vector asked with: {fault}")
        for scheme in self.schemes(dna.modality) - {dna.scheme}:
            raise IndexDirError(
                f"{self.path}: holds {scheme}, the model asked for has {dna.scheme}; they do not compare"
            )
        held = list(self.all(dna.modality))
        if not held:
            return []
        index = library().IndexFlatIP(len(dna.vector))
        index.add(np.stack([one.vector for _, one in held]))
        _, places = index.search(dna.vector[None], min(k, len(held)))
        return [held[i] for i in places[0]]

    def verify(self) -> list[str]:
        """Problems of rows, each naming its model."""
        problems = []
        for row in self._do("SELECT * FROM vectors ORDER BY repo_id"):
            try:
                self._sound(row)
            except IndexDirError as error:
                problems.append(str(error))
        return problems

    def _sound(self, row: tuple[Any, ...]) -> tuple[ModelRef, BehaviourDNA]:
        repo_id, sha, modality, scheme, familiar, data, checksum = row
        try:
            fault = None if _checksum(row[:6]) == checksum else "its checksum does not fit"
            dna = BehaviourDNA(scheme, modality, np.frombuffer(data, "<f4"), float(familiar))
            fault = fault or _fault(dna)
        except (TypeError, ValueError) as error:
            fault = str(error)
        if fault:
            raise IndexDirError(f"{self.path}: the vector of {ascii(repo_id)[:80]} is damaged ({fault}); see it again")
        return ModelRef(repo_id, sha=sha), dna

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise IndexDirError(f"{self.path}: cannot be used ({error})") from None


def _fault(dna: BehaviourDNA) -> str | None:
    """What is wrong with a vector; None if it is sound."""
    said = re.search(r"/d=(\d{1,6})$", dna.scheme)
    d = int(said[1]) if said else 0
    if not 0 < d <= MAX_D:
        return f"scheme {dna.scheme[:80]!r} names no dimension"
    if dna.modality not in ("text", "vision") or f"/{dna.modality}=" not in dna.scheme:
        return f"modality {str(dna.modality)[:20]!r} does not fit scheme {dna.scheme[:80]!r}"
    if dna.vector.shape != (d,) or dna.vector.dtype != np.float32:
        return f"vector of {dna.vector.dtype} {dna.vector.shape}: expected float32 ({d},)"
    if not (np.isfinite(dna.vector).all() and -1.001 <= dna.familiar <= 1.001):
        return "values that are not finite"
    length = float(np.linalg.norm(dna.vector))
    return None if 0 < length < 1.001 else f"length {length:.3f}: expected at most 1"


def _checksum(row: tuple[Any, ...]) -> str:
    *facts, data = row
    return hashlib.sha256(json.dumps(facts).encode() + bytes(data)).hexdigest()
