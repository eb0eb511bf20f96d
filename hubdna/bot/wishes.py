"""Who wants to hear nothing, and who wants to hear without a person in between."""

from __future__ import annotations

from hubdna.bot.ledger import supersede
from hubdna.bot.state import State


def opt_out(state: State, repo_id: str, reason: str, at: str) -> None:
    """A model's people do not want the bot: nothing more is said there, and what waits is dropped."""
    with state.change() as db:
        db.execute("INSERT OR IGNORE INTO optouts VALUES (?, ?, ?)", (repo_id, reason, at))
        supersede(state, repo_id, f"opted out: {reason}", ("say",))


def opt_out_again(state: State, repo_id: str) -> bool:
    """Forget that a model opted out; True if it had."""
    with state.change() as db:
        return db.execute("DELETE FROM optouts WHERE repo_id = ?", (repo_id,)).rowcount > 0


def block(state: State, owner: str, by: str, at: str) -> None:
    """Never speak to an owner; what waits for its models is dropped."""
    with state.change() as db:
        db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?)", (owner.lower(), by, at))
        waiting = db.execute(
            "SELECT DISTINCT repo_id FROM proposals WHERE lower(owner) = ? AND state IN ('queued', 'approved')",
            (owner.lower(),),
        ).fetchall()
        for row in waiting:
            supersede(state, row["repo_id"], f"owner {owner} is on the block list", ("say",))


def unblock(state: State, owner: str) -> bool:
    """Take an owner off the block list; True if it was there."""
    with state.change() as db:
        return db.execute("DELETE FROM blocks WHERE owner = ?", (owner.lower(),)).rowcount > 0


def silence(state: State, repo_id: str) -> str | None:
    """Why nothing may be said about a model, or None."""
    owner = repo_id.partition("/")[0].lower()
    if state.one("SELECT 1 FROM blocks WHERE owner = ?", owner):
        return f"owner {owner} is on the block list"
    row = state.one("SELECT reason FROM optouts WHERE repo_id = ?", repo_id)
    return None if row is None else f"opted out: {row['reason']}"


def opt_in(state: State, owner: str, rule_id: str, by: str, at: str) -> None:
    """An owner wants findings of a rule without a person's approval."""
    with state.change() as db:
        db.execute("INSERT OR REPLACE INTO optins VALUES (?, ?, ?, ?)", (owner.lower(), rule_id, by, at))


def opt_in_ends(state: State, owner: str, rule_id: str) -> bool:
    """An owner does not want that any more; True if it did."""
    with state.change() as db:
        done = db.execute("DELETE FROM optins WHERE owner = ? AND rule_id = ?", (owner.lower(), rule_id))
        return done.rowcount > 0


def opted_in(state: State, repo_id: str) -> frozenset[str]:
    """Rules that a model's owner switched on."""
    owner = repo_id.partition("/")[0].lower()
    return frozenset(row["rule_id"] for row in state.all("SELECT rule_id FROM optins WHERE owner = ?", owner))


def blocked(state: State) -> list[str]:
    """The block list."""
    return [row["owner"] for row in state.all("SELECT owner FROM blocks ORDER BY owner")]
