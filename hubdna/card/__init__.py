"""README.md <-> Claim: what a card says about where the model comes from, on which line, and how to put it right.

    text -> nodes (YAML with places) -> front (the front matter) -> claim (what it says)
    text + CardPatch -> edit (pieces of text to replace) -> patch (the new text, verified) -> unified diff

Patches edit the text, not the parsed tree, so that comments, order and style survive.
"""

from hubdna.card.claim import MAX_BASES, MAX_NAME, claim_of_data, read_claim
from hubdna.card.nodes import MAX_DEPTH, MAX_EVENTS, MAX_FRONT_MATTER
from hubdna.card.patch import MAX_CARD, apply, diff_of, offer, patch_base_model, suggest

__all__ = [
    "MAX_BASES",
    "MAX_CARD",
    "MAX_DEPTH",
    "MAX_EVENTS",
    "MAX_FRONT_MATTER",
    "MAX_NAME",
    "apply",
    "claim_of_data",
    "diff_of",
    "offer",
    "patch_base_model",
    "read_claim",
    "suggest",
]
