"""What a rule may look at: the card, the relatives, what is declared, and what stands above that.

Nothing here is looked up. The auditor gathers it all first, so a rule is a plain function of one frozen value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hubdna.card import offer
from hubdna.records import CardEdit, CardPatch, Claim, Lookalike, Mark, Match, Mixture, ModelRef, Severity, Verdict
from hubdna.verdict import SEED_SIMILARITY

BaseState = Literal["there", "renamed", "gated", "gone", "no-name", "itself", "unread"]
"""What a declared base is on the Hub. `gone` may also be private to somebody else: the Hub does not say which.
`unread`: nobody asked, or the Hub gave no answer."""
WORDS = frozenset("base model large small tiny medium final test main checkpoint output lora merged demo v1 v2".split())
"""Names of repositories that say nothing without their owner."""
Support = Literal["confirmed", "declared", "likely"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared base model and what became of it.

    Attributes:
        repo_id: as the card names it.
        verdict: on this model (A) and the base (B); None when it could not be tested, `reason` says why.
        state: what the Hub says of the name.
        today: the name it goes by today, where that is another.
        marks: certain marks of direction; `child` is 0 where this model was made from the base.
    """

    repo_id: str
    verdict: Verdict | None
    reason: str | None = None
    state: BaseState = "there"
    today: str | None = None
    marks: tuple[Mark, ...] = ()

    @property
    def is_confirmed(self) -> bool:
        """Whether the weights share their origin with the base."""
        return self.verdict is not None and self.verdict.origin in ("identical", "common")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A model above this one: a base, a base's base, and so on.

    Attributes:
        repo_id: its name.
        claim: what its card says; None when that could not be read, `reason` says why.
        via: the models in between, the nearest to this model first.
        support: `confirmed`: every link is declared by a card, and this model's weights share their origin with it.
            `declared`: declared, and not tested or not supported. `likely`: declared by nobody; the evidence and the
            dates make it the likely parent, or stand above one.
    """

    repo_id: str
    claim: Claim | None
    via: tuple[str, ...]
    support: Support
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One model before the rules.

    Attributes:
        card: the text of README.md; None when it could not be read.
        matches: its relatives in the index, each exact copy for itself; copies of one model have one rank.
        declared: the declared bases, in the order of the card.
        foundations: models that most descend from, by the recipe.
        bases: model -> models of the index that declare it as their base.
        ancestry: declared and likely ancestors, nearest first.
        cycle: names from a declared base along its declared bases back to this model; empty without a cycle.
        marks: relative -> certain marks; `child` is 0 where this model was made from the relative.
        mixture: the merge that this model is, as far as the index shows it.
        files: of the repository.
        unread: why the weights could not be tested at all; None when they were.
        lookalikes: the nearest models by behaviour, nearest first; looked up only where the weights gave no verdict.
    """

    ref: ModelRef
    claim: Claim
    card: str | None
    created_at: str | None
    matches: tuple[Match, ...] = ()
    declared: tuple[Declared, ...] = ()
    foundations: frozenset[str] = frozenset()
    bases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ancestry: tuple[Ancestor, ...] = ()
    cycle: tuple[str, ...] = ()
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    mixture: Mixture | None = None
    files: tuple[str, ...] = ()
    unread: str | None = None
    lookalikes: tuple[Lookalike, ...] = ()

    @property
    def relatives(self) -> tuple[Match, ...]:
        """Matches with a common origin or the same bits."""
        return tuple(m for m in self.matches if m.verdict.origin in ("identical", "common"))

    @property
    def copies(self) -> tuple[Match, ...]:
        """Matches with the same bits, the first published first; those without a date last."""
        same = (m for m in self.matches if m.verdict.origin == "identical" and m.verdict.relation != "quantized")
        return tuple(sorted(same, key=lambda m: (m.created_at or "9", m.ref.repo_id)))

    @property
    def is_open(self) -> bool:
        """Whether the weights gave no verdict: they could not be tested; or no relative was found, no base refuted."""
        if self.unread is not None:
            return True
        bases = (d.verdict.origin for d in self.declared if d.verdict is not None)
        return not self.relatives and all(origin == "undecided" for origin in bases)

    def is_known_base(self, repo_id: str, besides: str) -> bool:
        """Whether a model is on the foundation list, or somebody other than `besides` declares it as a base."""
        return repo_id in self.foundations or bool(self.bases.get(repo_id, frozenset()) - {besides, repo_id})

    def is_earlier(self, match: Match) -> bool:
        """Whether a match was published before this model, as far as the Hub's dates tell."""
        return match.created_at is not None and self.created_at is not None and match.created_at < self.created_at

    def is_later(self, match: Match) -> bool:
        """Whether a match was published after this model, as far as the Hub's dates tell."""
        return match.created_at is not None and self.created_at is not None and match.created_at > self.created_at

    def is_likely_parent(self, match: Match) -> bool:
        """Whether a match is more likely this model's parent than its child. Origin itself has no direction.

        A receipt that was checked decides; else it takes dates, and somebody's word that the match is a base.
        """
        if match.verdict.certainty == "attested":
            return match.verdict.direction == "a-from-b"
        return self.is_earlier(match) and self.is_known_base(match.ref.repo_id, besides=self.ref.repo_id)

    @staticmethod
    def is_attested_child(match: Match) -> bool:
        """Whether a checked receipt says that a match was trained from this model."""
        return match.verdict.certainty == "attested" and match.verdict.direction == "b-from-a"

    @property
    def likely_parents(self) -> tuple[Match, ...]:
        """Relatives that are likely parents; none of a foundation model, which may have been uploaded anew."""
        if self.ref.repo_id in self.foundations:
            return ()
        return tuple(m for m in self.relatives if self.is_likely_parent(m))

    @staticmethod
    def is_close(match: Match) -> bool:
        """Whether a shared seed is no explanation: the same bits, or weights that correlate by 0.5 and more."""
        return match.verdict.origin == "identical" or (match.verdict.similarity or 0) >= SEED_SIMILARITY

    @staticmethod
    def is_small_part(match: Match) -> bool:
        """Whether only a part of this model, and not the larger one, is what a match shares with it."""
        e = match.verdict.evidence
        return match.verdict.relation == "component" and e.n_alone[0] > e.n_genes

    def severity(self, match: Match) -> Severity:
        """The most that a match supports: `warning` of an attested or a close, likely parent, else `info`."""
        sure = self.is_close(match) or match.verdict.certainty == "attested"
        return "warning" if self.is_likely_parent(match) and sure else "info"

    def declares_us(self, match: Match) -> bool:
        """Whether a match's own card names this model as its base."""
        return match.ref.repo_id in self.bases.get(self.ref.repo_id, frozenset())

    def is_credited(self, match: Match) -> bool:
        """Whether the card declares a match, or an exact copy of it, as a base, by any name it ever had."""
        declared = {name for d in self.declared for name in (d.repo_id, d.today) if name} | set(self.claim.base_models)
        return any(m.ref.repo_id in declared for m in self.matches if m.rank == match.rank)

    def is_named(self, repo_id: str) -> bool:
        """Whether the card's text mentions a model, with or without its owner, in any spelling."""
        text, name = _fold(self.card or ""), repo_id.rpartition("/")[2]
        return _mentions(text, repo_id) or (name.casefold() not in WORDS and _mentions(text, name, r"\w./-"))

    def certain_parents(self) -> Iterator[tuple[Match, Mark]]:
        """Relatives of which a certain mark says that this model was made from them, or from their exact copies."""
        for match in self.relatives:
            yield from ((match, mark) for mark in self.marks.get(match.ref.repo_id, ()) if mark.child == 0)

    def patch(self, base: str, reason: str) -> CardPatch | None:
        """A card that names this base and no other, when the README is at hand."""
        return self.offer((CardEdit("base_model", "set", (base,)),), reason)

    def offer(self, edits: Iterable[CardEdit], reason: str) -> CardPatch | None:
        """A suggested card, when the README is at hand and can be edited safely."""
        return None if self.card is None else offer(self.card, edits, reason)


def owner(repo_id: str) -> str:
    """Who a repository belongs to: what stands before the slash."""
    return repo_id.rpartition("/")[0]


def _fold(text: str) -> str:
    """Case and invisible characters taken away, full-width letters made plain."""
    return unicodedata.normalize("NFKC", "".join(c for c in text if unicodedata.category(c) != "Cf")).casefold()


def _mentions(folded: str, name: str, joined: str = r"\w-") -> bool:
    """Whether a name stands in a text, with none of the `joined` characters before it: no end of a longer name.

    Names are ASCII: letters of other scripts, which often stand beside them without a space, are no part of them.
    """
    return re.search(rf"(?<![{joined}]){re.escape(_fold(name))}(?![\w-]|\.\w)", folded, re.ASCII) is not None
