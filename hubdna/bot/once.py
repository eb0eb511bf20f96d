"""`hubdna bot run`: look at some models once, post what is approved, and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubdna.bot import inbox, ledger
from hubdna.bot.nouns import Proposal
from hubdna.bot.worker import Worker
from hubdna.errors import UsageError
from hubdna.records import ModelRef


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one run: what waits now, and models that could not be looked at, each with the reason."""

    waiting: list[Proposal]
    unread: list[tuple[str, str]]


def run_once(worker: Worker, refs: Iterable[str]) -> Ran:
    """Audit models and carry out what is due. Raises UsageError for a reference that is no model of a Hub.

    A model that was audited before is audited again, so that a new index or version counts.
    """
    models = [_name(ref) for ref in refs]
    for repo_id in models:
        inbox.add_job(worker.state, repo_id, forget=True)
    unread: list[tuple[str, str]] = []
    worker.on_unread = lambda repo_id, reason: unread.append((repo_id, reason))
    while worker.step():
        pass
    rows = worker.state.all("SELECT repo_id, reason FROM jobs")
    unread += [(r["repo_id"], r["reason"] or "not looked at yet") for r in rows if r["repo_id"] in models]
    return Ran(ledger.listed(worker.state), unread)


def _name(ref: str) -> str:
    model = ModelRef.parse(ref)
    if model.is_local or model.revision != "main":
        raise UsageError(f"{ref}: expected a model on the Hub, as org/name; the bot speaks of what is on main")
    return model.repo_id
