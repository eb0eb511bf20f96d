"""Proposals, the one thread of each model, and the log of corrections.

A proposal is queued, approved, being posted, posted. A person may reject it before it is posted. It is superseded by a
newer finding set, dropped when people opt out, failed when the model is gone or the Hub refused for a day. Every
transition names the states it may start from.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, replace

from hubdna.bot.inbox import backoff
from hubdna.bot.nouns import WAITING, Basis, Correction, Kind, Proposal, ProposalState, Said, Thread
from hubdna.bot.state import State
from hubdna.records import CardEdit, CardPatch

MAX_POSTS = 40
"""Attempts to post one proposal, with pauses that double up to an hour."""


def propose(state: State, draft: Proposal) -> Proposal:
    """Keep a proposal under an id of its own; what waited for the same model is superseded."""
    with state.change() as db:
        supersede(state, draft.repo_id, "a newer finding set took its place")
        n = db.execute("SELECT count(*) FROM proposals").fetchone()[0]
        text = "\n".join((draft.repo_id, draft.kind, draft.digest, draft.basis.sha, str(n)))
        made = replace(draft, id=hashlib.sha256(text.encode()).hexdigest()[:12])
        db.execute(
            "INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, NULL, ?)",
            (made.id, made.repo_id, made.owner, made.kind, made.digest, _said(made.said), made.body,
             json.dumps(asdict(made.basis)), made.state, made.by, made.reason, made.created_at, made.decided_at,
             _patches(made.patches)),
        )  # fmt: skip
    return made


def supersede(state: State, repo_id: str, reason: str, kinds: Iterable[Kind] = ("say", "close", "withdraw")) -> None:
    """Nothing shall come of what waits for a model, or has failed; what is being posted is left alone."""
    names = list(kinds)
    with state.change() as db:
        db.execute(
            "UPDATE proposals SET state = 'superseded', reason = ? "
            f"WHERE repo_id = ? AND state IN ('queued', 'approved', 'failed') AND kind IN ({_marks(names)})",
            (reason[:500], repo_id, *names),
        )


def refresh(state: State, proposal: Proposal, body: str, basis: Basis, patches: tuple[CardPatch, ...]) -> None:
    """A later commit gave the same findings: a proposal that waits speaks of that commit."""
    with state.change() as db:
        db.execute(
            "UPDATE proposals SET body = ?, basis = ?, patches = ?, not_before = 0 "
            "WHERE id = ? AND state IN ('queued', 'approved')",
            (body, json.dumps(asdict(basis)), _patches(patches), proposal.id),
        )


def decide(state: State, proposal_id: str, to: ProposalState, by: str, at: str, reason: str = "") -> bool:
    """Approve or reject. A failed one may be approved again, an approved one still be rejected; else False."""
    froms = ("queued", "failed") if to == "approved" else ("queued", "approved", "failed")
    with state.change() as db:
        done = db.execute(
            "UPDATE proposals SET state = ?, by = ?, decided_at = ?, reason = ?, tries = 0, not_before = 0 "
            f"WHERE id = ? AND state IN ({_marks(froms)})",
            (to, by, at, reason, proposal_id, *froms),
        )
        return done.rowcount == 1


def due(state: State, now: float) -> list[Proposal]:
    """What is approved, or was being posted, and whose pause is over. Of one model one at a time, the older first."""
    return _proposals(
        state,
        "state IN ('posting', 'approved') AND not_before <= ? AND NOT EXISTS (SELECT 1 FROM proposals AS other "
        "WHERE other.repo_id = proposals.repo_id AND other.state = 'posting' AND other.rowid < proposals.rowid) "
        "ORDER BY not_before, rowid LIMIT 20",
        now,
    )


def begin_post(state: State, proposal: Proposal, now: float, settle: float, opens: bool) -> bool:
    """Say on disk that the Hub is about to be written to; False when the proposal is no longer to be posted.

    The next attempt waits at least `settle` seconds, so that a request of a process that was killed has arrived or is
    lost by then. `opens` says whether it counts against today's budget.
    """
    with state.change() as db:
        later = now + max(settle, backoff(proposal.tries, settle))
        return db.execute(
            "UPDATE proposals SET state = 'posting', tries = tries + 1, not_before = ?, day = coalesce(day, ?) "
            "WHERE id = ? AND state IN ('approved', 'posting')",
            (later, int(now // 86_400) if opens else None, proposal.id),
        ).rowcount == 1  # fmt: skip


def postpone(state: State, proposal: Proposal, reason: str, until: float) -> None:
    """An attempt did not succeed, or could not begin; after too many it is failed, for a person to see."""
    with state.change() as db:
        db.execute(
            "UPDATE proposals SET reason = ?, tries = tries + (state = 'approved'), not_before = max(not_before, ?) "
            "WHERE id = ?",
            (reason[:500], until, proposal.id),
        )
        db.execute(
            "UPDATE proposals SET state = 'failed' WHERE id = ? AND tries >= ? AND state IN ('approved', 'posting')",
            (proposal.id, MAX_POSTS),
        )


def hold(state: State, proposal: Proposal, reason: str, until: float) -> None:
    """Its time has not come, and it is known not to be on the Hub: it is approved and waits, without a lost try."""
    with state.change() as db:
        db.execute(
            "UPDATE proposals SET state = 'approved', day = NULL, reason = ?, not_before = ? "
            "WHERE id = ? AND state IN ('approved', 'posting')",
            (reason[:500], until, proposal.id),
        )


def finish(state: State, proposal: Proposal, to: ProposalState, reason: str = "", thread: Thread | None = None) -> None:
    """A proposal has come to its end; what the thread says now is kept in the same transaction."""
    with state.change() as db:
        db.execute(
            "UPDATE proposals SET state = ?, reason = ? WHERE id = ? AND state IN ('approved', 'posting')",
            (to, reason[:500], proposal.id),
        )
        if thread is not None:
            keep_thread(state, thread)


def keep_thread(state: State, thread: Thread) -> None:
    """Remember the discussion of a model and what it says."""
    with state.change() as db:
        db.execute(
            "INSERT OR REPLACE INTO threads VALUES (?, ?, ?, ?, ?, ?, ?)",
            (thread.repo_id, thread.num, thread.proposal_id, thread.digest, _said(thread.said),
             json.dumps(asdict(thread.basis)), thread.state),
        )  # fmt: skip


def thread_of(state: State, repo_id: str) -> Thread | None:
    """The bot's discussion on a model, if there is one."""
    row = state.one("SELECT * FROM threads WHERE repo_id = ?", repo_id)
    if row is None:
        return None
    basis = Basis(**json.loads(row["basis"]))
    return Thread(repo_id, row["num"], row["proposal_id"], row["digest"], _read(row["said"]), basis, row["state"])


def correct(state: State, made: Correction) -> None:
    """Add to the log of corrections; nothing is ever removed from it."""
    with state.change() as db:
        db.execute(
            "INSERT INTO corrections (repo_id, num, at, by, reason, was, told, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (made.repo_id, made.num, made.at, made.by, made.reason, _said(made.was), int(made.told), made.note),
        )


def corrections(state: State) -> list[Correction]:
    """The log of corrections, oldest first."""
    return [
        Correction(r["repo_id"], r["num"], r["at"], r["by"], r["reason"], _read(r["was"]), bool(r["told"]), r["note"])
        for r in state.all("SELECT * FROM corrections ORDER BY id")
    ]


def get(state: State, proposal_id: str) -> Proposal | None:
    """One proposal by its id."""
    return next(iter(_proposals(state, "id = ?", proposal_id)), None)


def listed(state: State, states: Iterable[ProposalState] = WAITING) -> list[Proposal]:
    """Proposals in given states, oldest first."""
    names = list(states)
    return _proposals(state, f"state IN ({_marks(names)}) ORDER BY rowid", *names)


def of_repo(state: State, repo_id: str) -> list[Proposal]:
    """All proposals about a model, oldest first."""
    return _proposals(state, "repo_id = ? ORDER BY rowid", repo_id)


def opened_on(state: State, day: int, besides: str = "") -> dict[str, int]:
    """How many discussions were opened on a day (days since 1970, UTC), by owner; `besides` is not counted."""
    query = "SELECT owner, count(*) AS n FROM proposals WHERE day = ? AND id != ? GROUP BY owner"
    rows = state.all(query, day, besides)
    return {row["owner"]: row["n"] for row in rows}


def by_state(state: State) -> dict[str, int]:
    """How many proposals are in each state."""
    return {r["state"]: r["n"] for r in state.all("SELECT state, count(*) AS n FROM proposals GROUP BY state")}


def _proposals(state: State, where: str, *values: object) -> list[Proposal]:
    return [_proposal(row) for row in state.all(f"SELECT * FROM proposals WHERE {where}", *values)]


def _proposal(row: sqlite3.Row) -> Proposal:
    same = {k: row[k] for k in ("id", "repo_id", "kind", "digest", "body", "state", "by", "reason", "created_at",
                                "decided_at", "tries", "not_before")}  # fmt: skip
    patches = tuple(
        CardPatch(
            p["reason"], p["diff"], tuple(CardEdit(e["key"], e["action"], tuple(e["values"])) for e in p["edits"])
        )
        for p in json.loads(row["patches"])
    )
    return Proposal(**same, said=_read(row["said"]), basis=Basis(**json.loads(row["basis"])), patches=patches)


def _patches(patches: Iterable[CardPatch]) -> str:
    return json.dumps([asdict(one) for one in patches])


def _said(said: Iterable[Said]) -> str:
    return json.dumps([asdict(one) for one in said])


def _read(text: str) -> tuple[Said, ...]:
    return tuple(Said(**one) for one in json.loads(text))


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
