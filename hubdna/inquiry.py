"""A model -> the case before the rules: all that they may look at, from the index and, where allowed, the Hub."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hubdna.bases import Bases
from hubdna.evidence.direction import marks
from hubdna.evidence.unmix import unmix
from hubdna.models import Loader
from hubdna.records import Claim, Dna, Mark, Match, ModelRef, Snapshot
from hubdna.rules import Case
from hubdna.search import Once, Rows, with_rows
from hubdna.store import IndexDir


@dataclass
class Inquiry:
    """Gathers cases against one index; what cards declare is looked up once for all of them.

    Attributes:
        index, loader, foundations, online: as an Auditor's.
    """

    index: IndexDir
    loader: Loader
    foundations: frozenset[str]
    online: bool
    _declaring: dict[str, frozenset[str]] = field(init=False)
    _above: Bases = field(init=False)

    def __post_init__(self) -> None:
        declared: dict[str, set[str]] = defaultdict(set)
        for entry in self.index.entries():
            for base in entry.claim.base_models:
                declared[base].add(entry.ref.repo_id)
        self._declaring = {base: frozenset(by) for base, by in declared.items()}
        self._above = Bases(self.index, self.loader)

    def case(
        self, snapshot: Snapshot, dna: Dna | None, claim: Claim, card: str | None, related: Sequence[Match],
        unread: str | None, rows: Rows | None,
    ) -> Case:  # fmt: skip
        """Gather what rules may look at.

        Args:
            snapshot: the model and its files.
            dna: its weight DNA; None where the weights could not be read.
            claim: what the card says.
            card: its text; None where it could not be read.
            related: its relatives in the index.
            unread: why there is no DNA.
            rows: reads rows that a published index does not hold, from the Hub; None where that may not be asked.
        """
        ref = snapshot.ref
        each = (one for m in related for one in self._each_copy(m))
        others = tuple(m for m in each if not (ref.is_local and m.verdict.origin == "identical"))  # ourselves
        declared = tuple(self._above.declared(ref, dna, base, rows) for base in claim.base_models)
        case = Case(
            ref, claim, card, snapshot.created_at, others, declared, self.foundations, self._declaring,
            files=snapshot.files, unread=unread,
        )  # fmt: skip
        likely = next((m for m in case.likely_parents if case.is_close(m)), None) if not declared else None
        ancestry, cycle = self._above.ancestry(ref, dna, declared, likely, rows)
        case = replace(case, ancestry=ancestry, cycle=cycle)
        kin = [m for m in related if m.verdict.origin == "common" and case.is_close(m)]
        if dna is None or not kin:
            return case
        models = [self._dna(m, rows) for m in kin]
        mixture = unmix(dna, models) if len(models) > 1 else None
        return replace(case, marks=_marks(dna, kin, models), mixture=mixture)

    def rows(self, ref: ModelRef) -> Rows | None:
        """Reads rows of other models from the Hub, each model once; None where an audit of this one may not ask it."""
        return Once(self.loader.rows) if self.online or not ref.is_local else None

    def _each_copy(self, match: Match) -> Iterator[Match]:
        """A match and each of its exact copies: any of them may be the base that a card should name."""
        yield match
        for ref in match.copies:
            entry = self.index.get(ref.repo_id)
            yield replace(match, ref=ref, created_at=entry.created_at if entry else None, copies=())

    def _dna(self, match: Match, rows: Rows | None) -> Dna:
        entry = self.index.get(match.ref.repo_id)
        assert entry is not None, "a match stands in the index"
        return with_rows(self.index.dna(entry), entry, rows)


def _marks(dna: Dna, kin: Sequence[Match], models: Sequence[Dna]) -> dict[str, tuple[Mark, ...]]:
    """Certain marks between a model and its close relatives; their exact copies share them."""
    found = ((m, marks(dna, other)) for m, other in zip(kin, models, strict=True))
    return {ref.repo_id: signs for m, signs in found if signs for ref in (m.ref, *m.copies)}
