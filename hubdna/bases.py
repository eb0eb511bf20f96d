"""What stands above a model: its declared bases as Hub and index know them, and the bases of these in turn.

    a name in a card -> is it there, under which name -> its DNA, tested -> its own card -> the next names

A card's word is never more than a name of the Hub: no path of it is opened, and without leave to ask the Hub only the
index is looked at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hubdna.card import claim_of_data, read_claim
from hubdna.errors import CardError, GatedError, HubdnaError, NotFoundError, UsageError
from hubdna.evidence.compare import compare_dna
from hubdna.evidence.direction import marks
from hubdna.models import Loader
from hubdna.records import Claim, Dna, Match, ModelRef
from hubdna.rules.case import Ancestor, BaseState, Declared, Support
from hubdna.search import Rows, with_rows
from hubdna.store import IndexDir
from hubdna.verdict import judge

T = TypeVar("T")

MAX_BASES_KEPT = 32
"""Declared bases outside the index whose DNA is kept between audits: 10 MB each."""
MAX_LOOKED = 10_000
"""Names and cards that are remembered between audits."""
KEPT_S = 900.0
"""For how long: a bot audits for months, and names change."""
MAX_ANCESTORS, MAX_DEPTH = 32, 8
NOT_ASKED = (
    "it is not in the index, and the Hub was not asked: an audit of local files stays on this machine (--online)"
)


class Recent(Generic[T]):
    """Answers of a quarter of an hour, the last n of them. What raises is not remembered."""

    def __init__(self, n: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._n, self._clock = n, clock
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, name: str, ask: Callable[[], T]) -> T:
        """The answer for a name, asked for if it is not known or too old. Raises what asking raises."""
        at, found = self._known.get(name, (-KEPT_S, None))
        if found is None or self._clock() - at >= KEPT_S:
            found = ask()
            self._known.pop(name, None)
            self._known[name] = (self._clock(), found)
            while len(self._known) > self._n:
                self._known.pop(next(iter(self._known)))
        return found


@dataclass(frozen=True, slots=True)
class _Looked:
    state: BaseState
    today: str | None = None
    reason: str | None = None


@dataclass
class Bases:
    """Looks up what cards declare, each name once.

    Attributes:
        index: models that are at hand.
        loader: reads others from the Hub.
    """

    index: IndexDir
    loader: Loader
    _looked: Recent[_Looked] = field(init=False, default_factory=lambda: Recent(MAX_LOOKED))
    _claims: Recent[Claim] = field(init=False, default_factory=lambda: Recent(MAX_LOOKED))
    _read: Recent[Dna] = field(init=False, default_factory=lambda: Recent(MAX_BASES_KEPT))

    def declared(self, ref: ModelRef, dna: Dna | None, base: str, rows: Rows | None) -> Declared:
        """Look a declared base up and test it.

        Args:
            ref: the model whose card it stands in.
            dna: of that model; None where its weights could not be read.
            base: the name in the card.
            rows: reads rows from the Hub; None where it may not be asked.
        """
        if base == ref.repo_id:
            return Declared(base, None, "it is the model itself", "itself")
        online = rows is not None
        looked = self._look(base, online)
        if looked.today == ref.repo_id:
            return Declared(base, None, "it is the model itself", "itself", looked.today)
        name = looked.today or base
        try:
            if looked.state in ("no-name", "gone"):
                raise NotFoundError(looked.reason or base)
            if dna is None:
                return Declared(base, None, "this model's weights were not read", looked.state, looked.today)
            other = self._dna(name, rows)
        except HubdnaError as error:
            return Declared(base, None, str(error), looked.state, looked.today)
        verdict = judge(compare_dna(dna, other))
        signs = marks(dna, other) if verdict.origin == "common" else ()
        return Declared(base, verdict, None, looked.state, looked.today, signs)

    def ancestry(
        self, ref: ModelRef, dna: Dna | None, declared: Iterable[Declared], likely: Match | None, rows: Rows | None
    ) -> tuple[tuple[Ancestor, ...], tuple[str, ...]]:
        """Follow the cards upwards, nearest first; the second value is a way back to the model itself, or empty."""
        found: dict[str, Ancestor] = {}
        circle: tuple[str, ...] = ()
        queue = deque[tuple[str, tuple[str, ...], Support]]()
        queue += ((d.today or d.repo_id, (), "confirmed" if d.is_confirmed else "declared") for d in declared)
        if likely is not None:
            queue.append((likely.ref.repo_id, (), "likely"))
        while queue and len(found) < MAX_ANCESTORS:
            name, via, support = queue.popleft()
            if name == ref.repo_id:
                circle = circle or ((*via, name) if via else ())
                continue
            if name in found or len(via) >= MAX_DEPTH:
                continue
            claim, reason = self.claim(name, rows is not None)
            found[name] = Ancestor(name, claim, via, support, reason)
            for above in claim.base_models if claim else ():
                queue.append((above, (*via, name), self._support(dna, above, support)))
        return tuple(found.values()), circle

    def claim(self, name: str, online: bool) -> tuple[Claim | None, str | None]:
        """What a model's card says, from the index or the Hub; without one, the reason."""
        entry = self.index.get(name)
        if entry is not None:
            return entry.claim, None
        if not online:
            return None, NOT_ASKED
        looked = self._look(name, online)
        if looked.state in ("no-name", "gone"):
            return None, looked.reason
        try:
            return self._claims.get(name, lambda: self._read_claim(looked.today or name)), None
        except HubdnaError as error:
            return None, str(error)

    def _read_claim(self, name: str) -> Claim:
        ref = hub_ref(name)
        try:
            return read_claim(self.loader.card(ref) or "")
        except CardError:
            return claim_of_data(self.loader.snapshot(ref).card_data)

    def _support(self, dna: Dna | None, name: str, below: Support) -> Support:
        """Of a link further up: confirmed only when the index holds the model and its weights are related."""
        if below == "likely" or dna is None or self.index.get(name) is None:
            return "likely" if below == "likely" else "declared"
        verdict = judge(compare_dna(dna, self._dna(name, None)))
        return "confirmed" if verdict.origin in ("identical", "common") else "declared"

    def _look(self, base: str, online: bool) -> _Looked:
        """What the Hub calls a name; where it was not asked, what can be known without it."""
        try:
            ref = hub_ref(base)
        except NotFoundError as error:
            return _Looked("no-name", None, str(error))
        if not online:
            return _Looked("there" if self.index.get(base) else "unread", None, NOT_ASKED)
        try:
            return self._looked.get(base, lambda: self._ask(ref))
        except HubdnaError as error:  # no answer: ask again next time
            return _Looked("unread", None, str(error))

    def _ask(self, ref: ModelRef) -> _Looked:
        try:
            snapshot = self.loader.snapshot(ref)
        except NotFoundError as error:
            return _Looked("gone", None, str(error))
        except GatedError as error:
            return _Looked("gated", None, str(error))
        today = snapshot.ref.repo_id if snapshot.ref.repo_id != ref.repo_id else None
        return _Looked("renamed" if today else "gated" if snapshot.gated else "there", today)

    def _dna(self, name: str, rows: Rows | None) -> Dna:
        """Of a base: from the index, else from the Hub. Raises HubdnaError."""
        entry = self.index.get(name)
        if entry is not None:
            return with_rows(self.index.dna(entry), entry, rows)
        if rows is None:
            raise NotFoundError(NOT_ASKED)
        return self._read.get(name, lambda: self.loader.load(hub_ref(name), None).dna)


def hub_ref(base: str) -> ModelRef:
    """A card's word for a model on the Hub; never a path on this machine. Raises NotFoundError."""
    try:
        ref = ModelRef.parse(base)
    except UsageError:
        raise NotFoundError(f"{base}: not the name of a model on the Hub") from None
    if ref.is_local:
        raise NotFoundError(f"{base}: a path on the author's machine, not the name of a model on the Hub")
    return ref
