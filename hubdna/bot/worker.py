"""The worker: one thread that posts what is approved and audits what is due. One step is one proposal or one model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hubdna.audit import Auditor
from hubdna.bot import inbox, ledger, policy, wishes, words
from hubdna.bot.nouns import WAITING, Basis, Job, Kind, Proposal, Said, Thread
from hubdna.bot.post import Poster
from hubdna.bot.state import State
from hubdna.errors import GatedError, HubdnaError, HubError, NotFoundError
from hubdna.models import Loaded, Loader
from hubdna.records import Audit, CardPatch, Dna, ModelRef, ReadLevel, Snapshot
from hubdna.store import Entry, IndexDir

logger = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""The first pause after an audit that did not come to its end; doubled up to an hour."""
POLL_S = 1.0
"""How often is looked for what another process approved."""

T = TypeVar("T")


class CarefulLoader(Loader):
    """A loader that remembers what the Hub failed to give: an audit that met such a failure is no audit.

    A base that could not be read looks like a base that does not support the claim, and a relative whose rows did not
    come looks like none. Nothing is said, and above all nothing withdrawn, on such grounds.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, level: ReadLevel = "standard") -> None:
        super().__init__(endpoint, token, level)
        self.failures: list[str] = []

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """Load one model. Raises HubdnaError."""
        return self._noted(lambda: super(CarefulLoader, self).load(ref, index))

    def snapshot(self, ref: ModelRef) -> Snapshot:
        """What the Hub says of a model. Raises HubdnaError."""
        return self._noted(lambda: super(CarefulLoader, self).snapshot(ref))

    def rows(self, entry: Entry) -> Dna:
        """Read the rows of an index entry again. Raises HubdnaError."""
        return self._noted(lambda: super(CarefulLoader, self).rows(entry))

    def card(self, ref: ModelRef) -> str | None:
        """README.md of a model. Raises HubdnaError."""
        return self._noted(lambda: super(CarefulLoader, self).card(ref))

    def _noted(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (NotFoundError, GatedError):
            raise  # an answer
        except HubError as error:
            self.failures.append(str(error))
            raise


@dataclass
class Worker:
    """Works through jobs and proposals.

    Attributes:
        poster: carries out what is approved; None in a dry run.
        now: the clock, in Unix seconds.
        date: today's date for people.
        contact: how to reach the people who run the bot, for the comment.
        patience: seconds of the first pause after a failure.
        on_unread: told of models that cannot be read, with the reason.
    """

    state: State
    auditor: Auditor
    loader: CarefulLoader
    poster: Poster | None
    now: Callable[[], float]
    date: Callable[[], str]
    contact: str = ""
    patience: float = PATIENCE_S
    on_unread: Callable[[str, str], object] = lambda repo_id, reason: None
    index_digest: str = field(init=False)

    def __post_init__(self) -> None:
        self.index_digest = self.auditor.index.digest()

    def step(self) -> bool:
        """Do one thing that is due; False when nothing is."""
        waiting = ledger.due(self.state, self.now()) if self.poster else []
        if self.poster and waiting:
            self.poster.post(waiting[0])
            return True
        job = inbox.begin_job(self.state, self.now(), self.patience)
        if job is not None:
            self.look(job)
        return job is not None

    def look(self, job: Job) -> None:
        """Look at one model; what cannot be done now is put off, what can never be done is ended."""
        repo_id = job.repo_id
        try:
            snapshot = self.loader.hub.snapshot(ModelRef(repo_id))
            if snapshot.ref.repo_id != repo_id:
                self._renamed(job, snapshot.ref.repo_id)
                return
            if self.poster:
                self.poster.heed(repo_id)
            thread = ledger.thread_of(self.state, repo_id)
            quiet = wishes.silence(self.state, repo_id) is not None and (thread is None or thread.state != "open")
            seen = inbox.audited(self.state, repo_id) == (snapshot.ref.sha, self.index_digest)
            if snapshot.private or quiet or seen:
                inbox.end_job(self.state, job)
            else:
                self._audit(job)
        except (NotFoundError, GatedError) as error:
            with self.state.change():
                ledger.supersede(self.state, repo_id, str(error))
                inbox.end_job(self.state, job)
            self.on_unread(repo_id, str(error))
        except HubError as error:
            self._put_off(job, str(error))

    def _renamed(self, job: Job, new: str) -> None:
        """The Hub answers under another name: what is known moves there, and the look is made there."""
        with self.state.change():
            inbox.end_job(self.state, job)
            inbox.renamed(self.state, job.repo_id, new)
            inbox.add_job(self.state, new)

    def _audit(self, job: Job) -> None:
        self.loader.failures.clear()
        ref = ModelRef(job.repo_id)
        audit = next(self.auditor.audit([ref]))
        unread = next((s.reason for s in audit.skipped if s.subject == str(ref)), None)
        if self.loader.failures:
            self._put_off(job, self.loader.failures[0])
            return
        card = self.loader.card(audit.ref)
        with self.state.change():
            if policy.is_opted_out(card):
                wishes.opt_out(self.state, job.repo_id, f"its card says {policy.OPT_OUT_KEY}: false", self.date())
            if unread is None:
                self.state.count("audits")
                self._follow(audit)
            else:
                self.state.count("audits_unread")
                ledger.supersede(self.state, job.repo_id, f"it cannot be read any more: {unread}", ("say",))
                logger.info("not read", extra={"repo": job.repo_id, "why": unread})
                self.on_unread(job.repo_id, unread)
            inbox.end_job(self.state, job, audit.ref.sha, self.index_digest)

    def _put_off(self, job: Job, why: str) -> None:
        with self.state.change():
            inbox.put_off(self.state, job, why)
            self.state.count("audits_put_off")
        logger.warning("put off", extra={"repo": job.repo_id, "why": why})

    def _follow(self, audit: Audit) -> None:
        """Do what policy says follows from an audit. Part of the transaction that ends the job."""
        repo_id, said = audit.ref.repo_id, policy.said_of(audit)
        thread, proposals = ledger.thread_of(self.state, repo_id), ledger.of_repo(self.state, repo_id)
        basis = basis_of(audit, self.index_digest)
        decision = policy.decide(said, basis, thread, proposals, wishes.opted_in(self.state, repo_id))
        if wishes.silence(self.state, repo_id) and decision.action in ("say", "refresh"):
            return
        if not said:
            ledger.supersede(self.state, repo_id, "the findings no longer hold", ("say",))
        logger.info(decision.action, extra={"repo": repo_id, "why": decision.reason})
        if decision.action == "refresh":
            same = next(p for p in proposals if p.digest == policy.digest_of(said) and p.state in WAITING)
            ledger.refresh(self.state, same, words.note(audit, self.contact), basis, policy.patches_of(audit))
        elif decision.action == "say":
            note, patches = words.note(audit, self.contact), policy.patches_of(audit)
            self._propose("say", repo_id, said, note, basis, decision, patches=patches)
        elif decision.action == "close" and thread is not None:
            self._propose("close", repo_id, thread.said, words.closing(self.date(), basis.sha), basis, decision, thread)
        elif decision.action == "withdraw" and thread is not None:
            body = words.withdrawal(self.date(), "computed again, it did not hold", thread.said)
            self._propose("withdraw", repo_id, thread.said, body, basis, decision, thread)

    def _propose(
        self, kind: Kind, repo_id: str, said: tuple[Said, ...], body: str, basis: Basis,
        decision: policy.Decision, thread: Thread | None = None, patches: tuple[CardPatch, ...] = (),
    ) -> None:  # fmt: skip
        today = self.date()
        ledger.propose(self.state, Proposal(
            "", repo_id, kind, thread.digest if thread else policy.digest_of(said), said, body, basis,
            "approved" if decision.alone else "queued", decision.reason if decision.alone else "", decision.reason,
            today, today if decision.alone else "", patches=patches,
        ))  # fmt: skip

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Work until told to stop; a defect met by one model must not end the bot."""
        while not stop.is_set():
            wake.clear()
            try:
                busy = self.step()
            except HubdnaError as error:
                logger.warning("not done", extra={"why": str(error)})
                busy = False
            except Exception:
                logger.exception("a defect of the bot, please report it")
                self.state.count("defects")
                busy = False
            if not busy and not stop.is_set():
                wake.wait(POLL_S)


def basis_of(audit: Audit, index_digest: str) -> Basis:
    """What an audit rests on."""
    made = audit.provenance
    return Basis(audit.ref.sha or "", policy.claim_line(audit.claim), index_digest, made.n_models if made else 0)
