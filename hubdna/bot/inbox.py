"""Deliveries that were seen, models to look at, and the commits that were looked at."""

from __future__ import annotations

from typing import Literal

from hubdna.bot.nouns import Job
from hubdna.bot.state import State

Taken = Literal["queued", "replay", "known", "full"]
KEPT_S = 30 * 86_400.0
"""How long a delivery is remembered."""
KEPT = 100_000
"""Most deliveries that are remembered."""
MAX_TRIES = 40
"""With pauses that double up to an hour: a day and a half of a Hub that is away."""
TABLES_BY_REPO = ("jobs", "heads", "proposals", "threads", "corrections", "optouts")


def take(
    state: State, repo_id: str, digest: str, now: float, limit: int, old: str | None = None, new: str | None = None
) -> Taken:
    """Note that a model is to be looked at; one transaction, on disk when it returns.

    A body (`digest`, SHA-256) that came before is a replay, unless it continues where the last event ended: a branch
    that is set back and forth makes events with equal bodies. What a job finds is never taken from the event, so
    neither order nor number of events matters. `old` and `new` are the commits that the event names, `limit` is how
    many jobs may wait.
    """
    with state.change() as db:
        head = db.execute("SELECT told, audited FROM heads WHERE repo_id = ?", (repo_id,)).fetchone()
        seen = db.execute("SELECT 1 FROM deliveries WHERE digest = ?", (digest,)).fetchone()
        continues = old is not None and head is not None and head["told"] == old
        if seen and not continues:
            return "replay"
        waits = db.execute("SELECT 1 FROM jobs WHERE repo_id = ?", (repo_id,)).fetchone()
        if not waits and db.execute("SELECT count(*) FROM jobs").fetchone()[0] >= limit:
            return "full"  # not remembered, so that it may come again
        _remember(state, digest, now)
        if new is not None:
            db.execute(
                "INSERT INTO heads (repo_id, told) VALUES (?, ?) ON CONFLICT DO UPDATE SET told = excluded.told",
                (repo_id, new),
            )
            if not waits and head is not None and head["audited"] == new:
                return "known"
        add_job(state, repo_id)
        return "queued"


def _remember(state: State, digest: str, now: float) -> None:
    with state.change() as db:
        row = db.execute("INSERT OR REPLACE INTO deliveries (digest, at) VALUES (?, ?)", (digest, now)).lastrowid or 0
        db.execute("DELETE FROM deliveries WHERE at < ? OR id <= ?", (now - KEPT_S, row - KEPT))


def add_job(state: State, repo_id: str, forget: bool = False) -> None:
    """Ask for a look at a model. A job that waits is asked once more; one that was given up is tried again.

    With `forget` the look is now, whatever was audited before and however long the job was put off.
    """
    with state.change() as db:
        if forget:
            db.execute("DELETE FROM jobs WHERE repo_id = ?", (repo_id,))
            db.execute("UPDATE heads SET audited = NULL WHERE repo_id = ?", (repo_id,))
        db.execute(
            "INSERT INTO jobs VALUES (?, 1, 0, 0, '') ON CONFLICT DO UPDATE SET seq = seq + 1, "
            "tries = CASE WHEN tries >= ? THEN 0 ELSE tries END",
            (repo_id, MAX_TRIES),
        )


def begin_job(state: State, now: float, patience: float) -> Job | None:
    """The job that is due, put off at once: if this process dies of it, others come first."""
    with state.change() as db:
        row = db.execute(
            "SELECT * FROM jobs WHERE not_before <= ? AND tries < ? ORDER BY not_before, rowid LIMIT 1",
            (now, MAX_TRIES),
        ).fetchone()
        if row is None:
            return None
        later = now + backoff(row["tries"], patience)
        db.execute("UPDATE jobs SET tries = tries + 1, not_before = ? WHERE repo_id = ?", (later, row["repo_id"]))
        return Job(row["repo_id"], row["seq"], row["tries"] + 1, row["reason"])


def end_job(state: State, job: Job, sha: str | None = None, index_digest: str | None = None) -> None:
    """A job is done; it stays when an event came meanwhile. `sha` is what was audited, with which index."""
    with state.change() as db:
        if sha is not None:
            db.execute(
                "INSERT INTO heads VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET told = coalesce(told, excluded.told), "
                "audited = excluded.audited, index_digest = excluded.index_digest",
                (job.repo_id, sha, sha, index_digest),
            )
        db.execute("DELETE FROM jobs WHERE repo_id = ? AND seq = ?", (job.repo_id, job.seq))
        db.execute("UPDATE jobs SET tries = 0, not_before = 0, reason = '' WHERE repo_id = ?", (job.repo_id,))


def put_off(state: State, job: Job, reason: str) -> None:
    """A job did not come to an end; it is tried again when its pause is over."""
    with state.change() as db:
        db.execute("UPDATE jobs SET reason = ? WHERE repo_id = ?", (reason[:500], job.repo_id))


def audited(state: State, repo_id: str) -> tuple[str | None, str | None]:
    """The commit that was audited last and the digest of the index it was compared with."""
    row = state.one("SELECT audited, index_digest FROM heads WHERE repo_id = ?", repo_id)
    return (None, None) if row is None else (row["audited"], row["index_digest"])


def n_jobs(state: State) -> tuple[int, int]:
    """Jobs that wait, and jobs that were given up."""
    row = state.one("SELECT count(*), coalesce(sum(tries >= ?), 0) FROM jobs", MAX_TRIES)
    assert row is not None
    return row[0] - row[1], row[1]


def renamed(state: State, old: str, new: str) -> None:
    """A repository has another name: what is known of it moves along."""
    with state.change() as db:
        for table in TABLES_BY_REPO:
            db.execute(f"UPDATE OR IGNORE {table} SET repo_id = ? WHERE repo_id = ?", (new, old))
            db.execute(f"DELETE FROM {table} WHERE repo_id = ?", (old,))  # the new name has a row of its own
        db.execute("UPDATE proposals SET owner = ? WHERE repo_id = ?", (new.partition("/")[0], new))


def backoff(tries: int, patience: float) -> float:
    """Seconds before the next try: `patience`, doubled with each one, at most an hour."""
    return float(min(patience * 2 ** min(tries, 16), 3600.0))
