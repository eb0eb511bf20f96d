"""The auditor: REF -> Audit. Compute or look up the DNA, find relatives, test what the card declares, run the rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from hubdna.calling import make_callable
from hubdna.card import claim_of_data, read_claim
from hubdna.config import Config, read_config
from hubdna.errors import CardError, HubdnaError, NotFoundError, UsageError
from hubdna.evidence.compare import compare_dna
from hubdna.models import Loaded, Loader
from hubdna.records import Audit, Claim, Dna, Match, ModelRef, ReadLevel, Skipped, Verdict
from hubdna.rules import RULES, Case, Declared
from hubdna.search import nearest, retest
from hubdna.seed import foundations, open_index, provenance
from hubdna.store import Entry, IndexDir
from hubdna.verdict import judge

MAX_BASES_KEPT = 32
"""Declared bases outside the index whose DNA is kept between audits: 10 MB each."""


def audit(
    *refs: ModelRef | str,
    index: Path | str | None = None,
    config: Config | Path | str | None = None,
    read: ReadLevel = "standard",
    endpoint: str | None = None,
    token: str | None = None,
) -> list[Audit]:
    """Do cards say what the weights show? Twin of `hubdna audit`, one Audit for each model.

    Args:
        refs: `org/name`, `org/name@revision`, or a path that starts with `.` or `/`.
        index: folder of an index (default: that of the configuration, else your own, else the shipped sample).
        config: a configuration, or its file. No file is looked for.
        read: how much of the weights is read: 4 MB, 16 MB, or everything.
        endpoint: base address of the Hub (default: `HF_ENDPOINT`).
        token: access token (default: the one you are logged in with).

    Raises:
        HubdnaError: the index is missing or damaged, or the configuration is wrong. What could not be done for one
            model is in its `skipped`.
    """
    models = [ModelRef.of(ref) for ref in refs]
    settings = config if isinstance(config, Config) else Config() if config is None else read_config(Path(config))
    with open_index(settings.index if index is None else Path(index)) as store:
        auditor = Auditor(store, Loader(endpoint, token, read), frozenset(foundations()), config=settings)
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
    """

    index: IndexDir
    loader: Loader
    foundations: frozenset[str] = frozenset()
    k: int = 10
    config: Config = field(default_factory=Config)
    bases: dict[str, frozenset[str]] = field(init=False)
    _read: dict[str, Dna] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        declared: dict[str, set[str]] = defaultdict(set)
        for entry in self.index.entries():
            for base in entry.claim.base_models:
                declared[base].add(entry.ref.repo_id)
        self.bases = {base: frozenset(by) for base, by in declared.items()}

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
        model = self.loader.load(ref, self.index)
        skipped: list[Skipped] = []
        card, claim = self._claim(model, skipped)
        matches = tuple(nearest(model.dna, self.index, self.k, self.loader.rows))
        declared = tuple(self._declared(model, base) for base in claim.base_models)
        if ref.is_local and card is None:
            skipped.append(Skipped(f"{ref}/README.md", "no card at hand: no rule was run"))
            return Audit(model.snapshot.ref, claim, matches, (), None, tuple(skipped))
        each = (one for m in matches for one in self._each_copy(m))
        others = tuple(m for m in each if not (ref.is_local and m.verdict.origin == "identical"))  # ourselves
        case = Case(
            model.snapshot.ref, claim, card, model.snapshot.created_at, others, declared, self.foundations, self.bases
        )
        findings = tuple(f for rule in RULES.values() for f in rule(case))
        return Audit(model.snapshot.ref, claim, matches, findings, None, tuple(skipped))

    def _each_copy(self, match: Match) -> Iterator[Match]:
        """A match and each of its exact copies: any of them may be the base that a card should name."""
        yield match
        for ref in match.copies:
            entry = self.index.get(ref.repo_id)
            yield replace(match, ref=ref, created_at=entry.created_at if entry else None, copies=())

    def _claim(self, model: Loaded, skipped: list[Skipped]) -> tuple[str | None, Claim]:
        """The README's claim with lines; the listing's when the README cannot be read."""
        text = self.loader.card(model.snapshot.ref)
        if text is None:
            return None, claim_of_data(model.snapshot.card_data)
        try:
            claim = read_claim(text)
        except CardError as error:
            skipped.append(Skipped(f"{model.snapshot.ref}/README.md", str(error)))
            return None, claim_of_data(model.snapshot.card_data)
        skipped += (Skipped(f"{model.snapshot.ref}/{remark.subject}", remark.reason) for remark in claim.remarks)
        return text, claim

    def _declared(self, model: Loaded, base: str) -> Declared:
        try:
            return Declared(base, self._test(model, base))
        except HubdnaError as error:
            return Declared(base, None, str(error))

    def _test(self, model: Loaded, base: str) -> Verdict:
        entry: Entry | None = self.index.get(base)
        if entry is not None:
            return retest(model.dna, entry, self.index, self.loader.rows)
        if base not in self._read:  # many models declare one base
            if len(self._read) >= MAX_BASES_KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[base] = self.loader.load(_hub_ref(base), None).dna
        return judge(compare_dna(model.dna, self._read[base]))


def _hub_ref(base: str) -> ModelRef:
    """A card's word for a model on the Hub; never a path on this machine. Raises NotFoundError."""
    try:
        ref = ModelRef.parse(base)
    except UsageError:
        raise NotFoundError(f"{base}: not the name of a model on the Hub") from None
    if ref.is_local:
        raise NotFoundError(f"{base}: a path on the author's machine, not the name of a model on the Hub")
    return ref


make_callable(__name__)
