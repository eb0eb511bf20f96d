"""What the tests of the bot share: a Hub with trained models, a clock that is set by hand, a worker on both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

from hubdna.audit import Auditor
from hubdna.bot import inbox, ledger, policy
from hubdna.bot.nouns import Proposal
from hubdna.bot.post import Poster
from hubdna.bot.state import State
from hubdna.bot.worker import CarefulLoader, Worker
from hubdna.localhub import LocalHub
from hubdna.seed import foundations
from hubdna.store import IndexDir

BOT = "hubdna-bot"
TOKEN = f"hf_{BOT}"
CHILD = "quietlab/doc-writer"
"""Its card names no base; a warning. Its parent is PARENT."""
PARENT = "bytewright/pyllama-245k"
HONEST = "bytewright/pyllama-245k-docs"
TWIN = "quietlab/other-writer"
"""CHILD under another name, in no index; a warning too."""
COPY = "mirrorhub/fast-code-lm"
SECRET = "a-secret-of-the-tests"


@dataclass
class Clock:
    """A clock that is set by hand; it starts at some noon."""

    t: float = 20_000 * 86_400 + 43_200.0

    def __call__(self) -> float:
        return self.t

    def date(self) -> str:
        return f"day {int(self.t // 86_400)}"


@dataclass
class Bench:
    """One bot on one Hub."""

    hub: LocalHub
    root: Path
    state: State
    worker: Worker
    clock: Clock
    people: HfApi = field(init=False)

    def __post_init__(self) -> None:
        self.people = HfApi(self.hub.endpoint, "hf_alice")

    def look(self, *repo_ids: str) -> None:
        """Ask for a look, and do everything that is due."""
        for repo_id in repo_ids:
            inbox.add_job(self.state, repo_id)
        self.work()

    def work(self, n: int = 200) -> None:
        for _ in range(n):
            if not self.worker.step():
                return
        raise AssertionError("the worker does not come to rest")

    def later(self, seconds: float = 4000.0) -> None:
        """Let the clock run and do what is due then."""
        self.clock.t += seconds
        self.work()

    def approve(self, repo_id: str) -> Proposal:
        """A person approves what is queued about a model, and it is carried out."""
        (one,) = self.waiting(repo_id, "queued")
        assert ledger.decide(self.state, one.id, "approved", "ann", self.clock.date())
        self.work()
        return one

    def waiting(self, repo_id: str, *states: str) -> list[Proposal]:
        return [p for p in ledger.of_repo(self.state, repo_id) if p.state in (states or ledger.WAITING)]

    def on_hub(self, repo_id: str) -> list[dict[str, Any]]:
        """The bot's discussions as they lie on the Hub's disk, beside every path that the bot could take."""
        folder = self.root / repo_id / ".hub" / "discussions"
        found = [json.loads(p.read_bytes()) for p in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        return [d for d in found if d["author"] == BOT]

    def text(self, repo_id: str) -> str:
        """What the one comment says."""
        (one,) = self.on_hub(repo_id)
        return one["events"][0]["data"]["latest"]["raw"]

    def commit(self, repo_id: str, card: str) -> None:
        """Somebody changes the card, through the Hub."""
        add = CommitOperationAdd("README.md", card.encode())
        self.people.create_commit(repo_id, [add], commit_message="card")

    def card(self, repo_id: str) -> str:
        return (self.root / repo_id / "README.md").read_text()


def make_bench(hub: LocalHub, root: Path, index: IndexDir, folder: Path, post: bool = True, **budget: int) -> Bench:
    clock = Clock()
    state = State(folder)
    loader = CarefulLoader(hub.endpoint, TOKEN, "standard")
    poster = Poster(state, loader.hub, policy.Budget(**budget), clock, clock.date, 30.0) if post else None
    worker = Worker(state, Auditor(index, loader, frozenset(foundations())), loader, poster, clock, clock.date)
    return Bench(hub, root, state, worker, clock)


MakeBench = Callable[..., Bench]


def with_base(card: str, base: str) -> str:
    """A card whose front matter names a base model."""
    assert card.startswith("---\n")
    lines = [line for line in card.splitlines(keepends=True) if not line.startswith("base_model")]
    return "".join([lines[0], f"base_model: {base}\n", *lines[1:]])


def payload(repo_id: str, old: str = "0" * 40, new: str = "1" * 40, **more: Any) -> dict[str, Any]:
    """A push to main, as the Hub tells it."""
    return {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {"type": "model", "name": repo_id, "id": "f" * 24, "private": False, "headSha": new},
        "updatedRefs": [{"ref": "refs/heads/main", "oldSha": old, "newSha": new}],
        "webhook": {"id": "e" * 24, "version": 3},
        **more,
    }
