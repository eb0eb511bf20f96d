"""The only place that writes to a Hub: one discussion per model, opened once, edited, closed.

Between the Hub's write and ours a process may die. So the proposal is `posting` on disk before the Hub is written to,
every comment ends with a hidden marker, and every attempt first looks whether the comment is there: found, it is
adopted. Another attempt waits until a request of the one before has arrived or is lost (`settle`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hubdna.bot import ledger, policy, wishes, words
from hubdna.bot.inbox import add_job, backoff
from hubdna.bot.nouns import Correction, Proposal, Thread, ThreadState
from hubdna.bot.state import State
from hubdna.errors import CardError, HubError, NotFoundError
from hubdna.fix import open_pull_request
from hubdna.hub import Hub
from hubdna.hub.community import Community, Topic
from hubdna.records import Audit, Claim, Finding, ModelRef

logger = logging.getLogger(__name__)

SETTLE_S = 30.0
"""Longer than a request may take (20 s), so that one on its way has arrived or is lost."""
STALE_S = 60.0


@dataclass
class Poster:
    """Carries out approved proposals.

    Attributes:
        now: the clock, in Unix seconds.
        date: today's date for people.
        settle: seconds between two attempts at one proposal.
        pull_requests: whether a patch of the card is sent as a pull request, instead of a discussion that shows it.
    """

    state: State
    hub: Hub
    budget: policy.Budget
    now: Callable[[], float]
    date: Callable[[], str]
    settle: float = SETTLE_S
    pull_requests: bool = False
    community: Community = field(init=False)

    def __post_init__(self) -> None:
        self.community = Community(self.hub)

    def post(self, proposal: Proposal) -> None:
        """Bring one proposal to its end, or put it off; what the Hub refuses is written down, never raised."""
        try:
            if why := wishes.silence(self.state, proposal.repo_id):
                if proposal.kind == "say":
                    ledger.finish(self.state, proposal, "dropped", why)
                    return
            self._carry_out(proposal, self.find(proposal.repo_id))
        except NotFoundError as error:
            ledger.finish(self.state, proposal, "failed", str(error))
        except HubError as error:
            self.state.count("hub_errors")
            logger.warning("not posted", extra={"repo": proposal.repo_id, "proposal": proposal.id, "why": str(error)})
            ledger.postpone(self.state, proposal, str(error), self.now() + backoff(proposal.tries, self.settle))

    def find(self, repo_id: str) -> Topic | None:
        """Our own discussion on a model, with its opening comment; the oldest, should there be two. Raises HubError."""
        thread = ledger.thread_of(self.state, repo_id)
        if thread is not None:
            try:
                return self.community.topic(repo_id, thread.num)
            except NotFoundError:
                pass  # removed, or the model is gone: the listing tells which
        merged = None
        for num in sorted(t.num for t in self.community.topics(repo_id, self.community.me)):
            topic = self.community.topic(repo_id, num)
            if topic.author == self.community.me and (words.marker_of(topic.text) is not None or topic.hidden):
                if topic.status != "merged":
                    return topic
                merged = topic
        return merged

    def heed(self, repo_id: str) -> str | None:
        """Look whether people closed, hid or removed our discussion: a wish, which is kept. Raises HubError."""
        thread = ledger.thread_of(self.state, repo_id)
        if thread is None or thread.state != "open":
            return None
        return self._wish(repo_id, self.find(repo_id))

    def _wish(self, repo_id: str, topic: Topic | None) -> str | None:
        thread = ledger.thread_of(self.state, repo_id)
        why = None
        if topic is None:
            why = "the discussion was removed" if thread is not None else None
        elif topic.status == "merged":
            self._keep_closed(thread)  # what was proposed was taken: no wish to hear nothing
        elif topic.hidden:
            why = "the comment was hidden"
        elif not topic.is_open and topic.closed_by != self.community.me:
            why = "the discussion was closed"
        if why:
            with self.state.change():
                wishes.opt_out(self.state, repo_id, why, self.date())
                self._keep_closed(thread)
                self.state.count("optouts")
        return why

    def _keep_closed(self, thread: Thread | None) -> None:
        if thread is not None and thread.state == "open":
            ledger.keep_thread(self.state, replace(thread, state="closed"))

    def _carry_out(self, proposal: Proposal, topic: Topic | None) -> None:
        why = self._wish(proposal.repo_id, topic)
        if proposal.kind != "say":
            self._take_back(proposal, topic)
        elif why:
            ledger.finish(self.state, proposal, "dropped", f"opted out: {why}")
        elif topic is not None and words.marker_of(topic.text) == proposal.id:
            self._said(proposal, topic.num, "comments_adopted")
        else:
            still = topic if topic is not None and topic.status != "merged" else None
            if self._is_welcome(proposal, opens=still is None):
                self._say(proposal, still)

    def _is_welcome(self, proposal: Proposal, opens: bool) -> bool:
        """Look once more before speaking: the commit, the card, the budget, and whether somebody has said it."""
        repo_id = proposal.repo_id
        snapshot = self.hub.snapshot(ModelRef(repo_id))
        if snapshot.ref.sha != proposal.basis.sha:
            with self.state.change():
                add_job(self.state, repo_id)
                ledger.hold(self.state, proposal, "the model has changed; it is audited again", self.now() + STALE_S)
            return False
        if policy.is_opted_out(self.hub.card(snapshot.ref)):
            wishes.opt_out(self.state, repo_id, f"its card says {policy.OPT_OUT_KEY}: false", self.date())
            ledger.finish(self.state, proposal, "dropped", "opted out on the card")
            return False
        if not opens:
            return True
        day = int(self.now() // 86_400)
        opened = ledger.opened_on(self.state, day, besides=proposal.id)
        if why := policy.over_budget(proposal.owner, opened, self.budget):
            ledger.hold(self.state, proposal, why, policy.next_day(self.now()))
            return False
        other = next((t for t in self.community.topics(repo_id) if t.title == words.TITLE), None)
        if other is not None and other.author != self.community.me:
            ledger.finish(self.state, proposal, "dropped", f"{other.author} has told them already")
            return False
        return True

    def _say(self, proposal: Proposal, topic: Topic | None) -> None:
        if not ledger.begin_post(self.state, proposal, self.now(), self.settle, opens=topic is None):
            return
        if topic is None:
            self._said(proposal, self._open(proposal), "comments_opened")
            return
        if not topic.is_open:  # closed by us, since nobody else did
            self.community.set_status(proposal.repo_id, topic.num, "open")
        body = words.edited(proposal.body, self.date(), topic.is_pull_request)
        self.community.edit(proposal.repo_id, topic, words.signed(body, proposal.id))
        self._said(proposal, topic.num, "comments_edited")

    def _open(self, proposal: Proposal) -> int:
        """A pull request where that is wanted and there is a patch that still fits, else a discussion; its number."""
        text = words.signed(proposal.body, proposal.id)
        if self.pull_requests and proposal.patches:
            ref = ModelRef(proposal.repo_id, sha=proposal.basis.sha)
            findings = tuple(Finding("", "warning", ref, None, "", patch=patch) for patch in proposal.patches)
            try:
                url = open_pull_request(Audit(ref, Claim(), (), findings, None), self.hub, text).url
            except CardError as error:
                logger.info("no pull request", extra={"repo": proposal.repo_id, "why": str(error)})
                url = None
            if url is not None and (num := url.rstrip("/").rpartition("/")[2]).isdecimal():
                return int(num)
        return self.community.open(proposal.repo_id, words.TITLE, text)

    def _said(self, proposal: Proposal, num: int, counter: str) -> None:
        with self.state.change():
            ledger.finish(self.state, proposal, "posted", thread=_thread(proposal, num, "open"))
            self.state.count(counter)
        logger.info(counter, extra={"repo": proposal.repo_id, "proposal": proposal.id, "num": num})

    def _take_back(self, proposal: Proposal, topic: Topic | None) -> None:
        """Close what is settled, or withdraw what does not hold; also where people closed the discussion first."""
        if not ledger.begin_post(self.state, proposal, self.now(), self.settle, opens=False):
            return
        note, told = "", topic is not None
        if topic is None:
            note = "the discussion is not there any more"
        elif words.marker_of(topic.text) != proposal.id:
            try:
                self.community.edit(proposal.repo_id, topic, words.signed(proposal.body, proposal.id))
            except HubError as error:
                if topic.is_open:
                    raise
                note, told = str(error), False  # closed by people: not opened against their wish
        if topic is not None and topic.is_open:
            self.community.set_status(proposal.repo_id, topic.num, "closed")
        self._taken_back(proposal, topic, told, note)

    def _taken_back(self, proposal: Proposal, topic: Topic | None, told: bool, note: str) -> None:
        thread = ledger.thread_of(self.state, proposal.repo_id)
        num = topic.num if topic else thread.num if thread else 0
        withdrawn = proposal.kind == "withdraw"
        with self.state.change():
            if withdrawn:
                ledger.correct(self.state, Correction(
                    proposal.repo_id, num, self.date(), proposal.by, proposal.reason, proposal.said, told, note,
                ))  # fmt: skip
            now_says = _thread(proposal, num, "withdrawn" if withdrawn else "closed")
            ledger.finish(self.state, proposal, "posted", proposal.reason, now_says if thread or topic else None)
            self.state.count("comments_withdrawn" if withdrawn else "comments_closed")


def _thread(proposal: Proposal, num: int, state: ThreadState) -> Thread:
    return Thread(proposal.repo_id, num, proposal.id, proposal.digest, proposal.said, proposal.basis, state)
