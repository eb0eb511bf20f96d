"""Taking a comment back because a person says so."""

from __future__ import annotations

from hubdna.bot import ledger, words
from hubdna.bot.nouns import Proposal
from hubdna.bot.state import State
from hubdna.errors import NotFoundError


def withdraw(state: State, repo_id: str, reason: str, by: str, date: str) -> Proposal:
    """Approve the withdrawal of what stands on a model; the poster carries it out. Raises NotFoundError."""
    with state.change():
        thread = ledger.thread_of(state, repo_id)
        if thread is None or thread.state == "withdrawn":
            raise NotFoundError(f"{repo_id!a}: the bot has no comment there to withdraw")
        body = words.withdrawal(date, reason, thread.said)
        return ledger.propose(state, Proposal(
            "", repo_id, "withdraw", thread.digest, thread.said, body, thread.basis, "approved", by, reason, date, date
        ))  # fmt: skip
