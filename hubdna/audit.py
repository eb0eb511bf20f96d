"""The auditor: REF -> Audit. Compute or look up the DNA, find relatives, test what the card declares, run the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from hubdna.calling import make_callable
from hubdna.card import claim_of_data, read_claim
from hubdna.checked import believed
from hubdna.config import Config, read_config
from hubdna.errors import CardError, FormatError, HubdnaError, SourceError
from hubdna.inquiry import Inquiry
from hubdna.lookalikes import Judge, lookalikes
from hubdna.models import Loader
from hubdna.records import (
    Audit,
    CheckedReceipt,
    Claim,
    Dna,
    Lookalike,
    ModelRef,
    ReadLevel,
    ReceiptGlance,
    Skipped,
    Snapshot,
)
from hubdna.rules import RULES, Case
from hubdna.search import MIN_CANDIDATES, nearest
from hubdna.seed import foundations, open_index, provenance
from hubdna.store import IndexDir

RECEIPT = "receipt"
"""Folder of a repository in which its training receipt is looked for."""
Glance = Callable[[Callable[[str, int], bytes]], ReceiptGlance]
"""A look at a receipt through a reader of its files: (name, n) -> the first n bytes. Raises HubdnaError."""


def audit(
    *refs: ModelRef | str,
    index: Path | str | None = None,
    config: Config | Path | str | None = None,
    read: ReadLevel = "standard",
    endpoint: str | None = None,
    token: str | None = None,
    online: bool = False,
    glance: Glance | None = None,
    judge: Judge | None = None,
    checked: Iterable[CheckedReceipt] | None = None,
) -> list[Audit]:
    """Do cards say what the weights show? Twin of `hubdna audit`, one Audit for each model.

    Args:
        refs: `org/name`, `org/name@revision`, or a path that starts with `.` or `/`.
        index: folder of an index (default: that of the configuration, else your own, else the shipped sample).
        config: a configuration, or its file. No file is looked for.
        read: how much of the weights is read: 4 MB, 16 MB, or everything.
        endpoint: base address of the Hub (default: `HF_ENDPOINT`).
        token: access token (default: the one you are logged in with).
        online: whether an audit of a folder may ask the Hub.
        glance: `hubdna.proof.glance`, to have training receipts looked at; None: they are not.
        judge: `hubdna.behaviour.judge_stored`, to have vectors of behaviour in the index looked at where the weights
            give no verdict; None: they are not.
        checked: receipts that you verified (default: those kept by `hubdna prove verify --save`).

    Raises:
        HubdnaError: the index is missing or damaged, or the configuration is wrong. What could not be done for one
            model is in its `skipped`.
    """
    models = [ModelRef.of(ref) for ref in refs]
    settings = config if isinstance(config, Config) else Config() if config is None else read_config(Path(config))
    receipts = believed(checked)
    with open_index(settings.index if index is None else Path(index)) as store:
        auditor = Auditor(
            store,
            Loader(endpoint, token, read),
            frozenset(foundations()),
            config=settings,
            online=online,
            glance=glance,
            judge=judge,
            checked=receipts,
        )
        return list(auditor.audit(models))


@dataclass
class Auditor:
    """Audits models against one index.

    Attributes:
        index: where relatives are looked for.
        loader: reads models that the index does not hold, and cards.
        foundations: models that most descend from (the recipe's list).
        k: relatives listed.
        config: which rules speak, how loudly, and what is ignored.
        online: whether an audit of local files may ask the Hub, for declared bases and for rows that a published index
            does not hold. Without it nothing about them leaves the machine.
        glance: looks at a training receipt (`hubdna.proof.glance`); None: receipts are not looked at.
        judge: says what two vectors of behaviour mean (`hubdna.behaviour.judge_stored`); None: they are not looked at.
        checked: receipts that this user verified in full; they give a common origin its direction.
    """

    index: IndexDir
    loader: Loader
    foundations: frozenset[str] = frozenset()
    k: int = 10
    config: Config = field(default_factory=Config)
    online: bool = False
    glance: Glance | None = None
    judge: Judge | None = None
    checked: Sequence[CheckedReceipt] = ()
    _inquiry: Inquiry = field(init=False)

    def __post_init__(self) -> None:
        self._inquiry = Inquiry(self.index, self.loader, self.foundations, self.online)

    def audit(self, refs: Iterable[ModelRef]) -> Iterator[Audit]:
        """Audit models one by one; what could not be done is in `skipped`, never an exception."""
        origin = replace(provenance(self.index), configuration=self.config.changes)
        today = date.fromisoformat(origin.date)
        for ref in refs:
            try:
                yield replace(self.config.apply(self._audit_one(ref), today), provenance=origin)
            except HubdnaError as error:
                yield Audit(ref, Claim(), (), (), origin, (Skipped(str(ref), str(error)),))
            except Exception as error:  # a defect of ours, met by one model, must not cost the others their audit
                reason = f"internal error, please report it: {type(error).__name__}: {str(error)[:200]}"
                yield Audit(ref, Claim(), (), (), origin, (Skipped(str(ref), reason),))

    def _audit_one(self, ref: ModelRef) -> Audit:
        skipped: list[Skipped] = []
        snapshot, dna, unread = self._load(ref, skipped)
        card, claim = self._claim(snapshot, skipped)
        receipt = self._receipt(snapshot)
        rows = self._inquiry.rows(ref)
        related = nearest(dna, self.index, MIN_CANDIDATES, rows, MIN_CANDIDATES, self.checked) if dna else []
        if ref.is_local and card is None:
            skipped.append(Skipped(f"{ref}/README.md", "no card at hand: no rule was run"))
            return Audit(snapshot.ref, claim, tuple(related[: self.k]), (), None, tuple(skipped), (), receipt)
        case = self._inquiry.case(snapshot, dna, claim, card, related, unread, rows)
        case = replace(case, lookalikes=self._lookalikes(case, skipped))
        findings = tuple(f for rule in RULES.values() for f in rule(case))
        return Audit(snapshot.ref, claim, tuple(related[: self.k]), findings, None, tuple(skipped), (), receipt)

    def _load(self, ref: ModelRef, skipped: list[Skipped]) -> tuple[Snapshot, Dna | None, str | None]:
        """The model; where its weights are none that can be tested, its card may be audited all the same."""
        try:
            model = self.loader.load(ref, self.index)
        except SourceError as error:
            if isinstance(error, FormatError):  # damaged or made so: nobody should take this for a clean audit
                skipped.append(Skipped(str(ref), str(error)))
            return self.loader.open(ref)[0], None, str(error)
        return model.snapshot, model.dna, None

    def _receipt(self, snapshot: Snapshot) -> ReceiptGlance | None:
        """What a training receipt beside the model says, when it has one; no state of it is read."""
        if self.glance is None or f"{RECEIPT}/claim.json" not in snapshot.files:
            return None
        reader = self.loader.reader(snapshot.ref)
        try:
            return self.glance(lambda name, n: reader.read(f"{RECEIPT}/{name}", 0, n))
        except HubdnaError as error:
            return ReceiptGlance(f"not looked at: {error}")

    def _lookalikes(self, case: Case, skipped: list[Skipped]) -> tuple[Lookalike, ...]:
        """What behaves like a model of which the weights say nothing."""
        if self.judge is None or not case.is_open:
            return ()
        try:
            return lookalikes(case.ref, self.index, self.judge)
        except HubdnaError as error:  # a second opinion less; the audit stands
            skipped.append(Skipped("vectors of behaviour", str(error)))
            return ()

    def _claim(self, snapshot: Snapshot, skipped: list[Skipped]) -> tuple[str | None, Claim]:
        """The README's claim with lines; the listing's when the README cannot be read."""
        text = self.loader.card(snapshot.ref)
        if text is None:
            return None, claim_of_data(snapshot.card_data)
        try:
            claim = read_claim(text)
        except CardError as error:
            skipped.append(Skipped(f"{snapshot.ref}/README.md", str(error)))
            return None, claim_of_data(snapshot.card_data)
        skipped += (Skipped(f"{snapshot.ref}/{remark.subject}", remark.reason) for remark in claim.remarks)
        return text, claim


make_callable(__name__)
