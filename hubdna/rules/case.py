"""What a rule may look at: the card's claim, the verdicts, and who is likely to be whose parent."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubdna.card import patch_base_model
from hubdna.records import CardPatch, Claim, Match, ModelRef, Verdict
from hubdna.verdict import SEED_SIMILARITY


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared base model and what testing it gave; `reason` when it could not be tested."""

    repo_id: str
    verdict: Verdict | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One model before the rules.

    Attributes:
        matches: its relatives in the index.
        foundations: models that most descend from, by the recipe.
        bases: model -> models of the index that declare it as their base.
    """

    ref: ModelRef
    claim: Claim
    card: str | None
    created_at: str | None
    matches: tuple[Match, ...] = ()
    declared: tuple[Declared, ...] = ()
    foundations: frozenset[str] = frozenset()
    bases: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def relatives(self) -> tuple[Match, ...]:
        """Matches with a common origin or the same bits."""
        return tuple(m for m in self.matches if m.verdict.origin in ("identical", "common"))

    def is_known_base(self, repo_id: str, besides: str) -> bool:
        """Whether a model is on the foundation list, or somebody other than `besides` declares it as a base."""
        return repo_id in self.foundations or bool(self.bases.get(repo_id, frozenset()) - {besides, repo_id})

    def is_earlier(self, match: Match) -> bool:
        """Whether a match was published before this model, as far as the Hub's dates tell."""
        return match.created_at is not None and self.created_at is not None and match.created_at < self.created_at

    def is_likely_parent(self, match: Match) -> bool:
        """Whether a match is more likely this model's parent than its child. Origin itself has no direction."""
        return self.is_earlier(match) and self.is_known_base(match.ref.repo_id, besides=self.ref.repo_id)

    @staticmethod
    def is_close(match: Match) -> bool:
        """Whether a shared seed is no explanation: the same bits, or weights that correlate by 0.5 and more."""
        return match.verdict.origin == "identical" or (match.verdict.similarity or 0) >= SEED_SIMILARITY

    def declares_us(self, match: Match) -> bool:
        """Whether a match's own card names this model as its base."""
        return match.ref.repo_id in self.bases.get(self.ref.repo_id, frozenset())

    def patch(self, base: str, reason: str) -> CardPatch | None:
        """A suggested card, when the README is at hand."""
        return None if self.card is None else patch_base_model(self.card, (base,), reason)
