"""What the bot knows, in one SQLite file: a restart repeats nothing and forgets nothing.

Every transition is one transaction that names the state it starts from, so two that race cannot both happen. The file
is flushed to disk before a webhook is answered. Several processes may have it open (`hubdna bot approve` while the
server runs); only one may work and post, the one that holds `worker.lock`.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hubdna.errors import HubdnaError, UsageError

SCHEMA = "hubdna.bot/1"
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, at REAL NOT NULL);
CREATE INDEX deliveries_by_time ON deliveries (at);
CREATE TABLE jobs (
    repo_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, tries INTEGER NOT NULL, not_before REAL NOT NULL,
    reason TEXT NOT NULL);
CREATE INDEX jobs_by_time ON jobs (not_before);
CREATE TABLE heads (repo_id TEXT PRIMARY KEY, told TEXT, audited TEXT, index_digest TEXT);
CREATE TABLE proposals (
    id TEXT PRIMARY KEY, repo_id TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    said TEXT NOT NULL, body TEXT NOT NULL, basis TEXT NOT NULL, state TEXT NOT NULL, by TEXT NOT NULL,
    reason TEXT NOT NULL, created_at TEXT NOT NULL, decided_at TEXT NOT NULL, tries INTEGER NOT NULL,
    not_before REAL NOT NULL, day INTEGER, patches TEXT NOT NULL);
CREATE INDEX proposals_by_repo ON proposals (repo_id);
CREATE INDEX proposals_by_state ON proposals (state, not_before);
CREATE INDEX proposals_by_day ON proposals (day);
CREATE TABLE threads (
    repo_id TEXT PRIMARY KEY, num INTEGER NOT NULL, proposal_id TEXT NOT NULL, digest TEXT NOT NULL,
    said TEXT NOT NULL, basis TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY, repo_id TEXT NOT NULL, num INTEGER NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL,
    reason TEXT NOT NULL, was TEXT NOT NULL, told INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE optouts (repo_id TEXT PRIMARY KEY, reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE blocks (owner TEXT PRIMARY KEY, by TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE optins (owner TEXT NOT NULL, rule_id TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (owner, rule_id));
CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
"""


class StateError(HubdnaError):
    """The bot's state is damaged, of another version, or in use by another worker."""


class State:
    """The open file. All methods may be called from any thread.

    Args:
        folder: holds `bot.sqlite` and `worker.lock`; made when it is absent.

    Raises:
        StateError: the file is no state of a bot, or was written by another version.
        UsageError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.RLock()
        path = folder / "bot.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "journal_size_limit=8388608"):
                self._db.execute(f"PRAGMA {pragma}")
            self._make()
            found = self.one("SELECT value FROM about WHERE key = 'schema'")
        except OSError as error:
            raise UsageError(f"{folder}: expected a folder that can be written: {error.strerror}") from None
        except sqlite3.Error as error:
            raise StateError(f"{path}: not the state of a bot ({error}); name another folder with --state") from None
        if found is None or found[0] != SCHEMA:
            raise StateError(f"{path}: expected {SCHEMA}, found {found and found[0]}; written by another version")

    def _make(self) -> None:
        with self.change() as db:
            if db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
                for statement in _TABLES.strip().split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO about VALUES ('schema', ?)", (SCHEMA,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it happens, or nothing. Changes of one inside another belong to the outer one."""
        with self._guard:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._guard:
            row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._guard:
            return self._db.execute(query, values).fetchall()

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter that survives restarts; `metrics` shows it."""
        with self.change() as db:
            db.execute("INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", (name, n))

    def counts(self) -> dict[str, int]:
        """All counters."""
        return {row["name"]: row["n"] for row in self.all("SELECT name, n FROM counts ORDER BY name")}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Be the one process that audits and posts. Raises StateError when another one is."""
        with (self.folder / "worker.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StateError(f"{self.folder}: another bot works on this state; stop it first") from None
            yield
