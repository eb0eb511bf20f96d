"""What a card's licence says of a model made from another one: a table with sources, and one step down a family.

    table.toml -> table (Licence, by any spelling)
    Claim -> names (the licences of a card, and whether its text mentions one)
    Licence x Licence -> steps (does the child's carry on what the parent's asks?)

Facts, not advice: where a text was not read or the law is not settled, the answer is `unclear`.
"""

from hubdna.licences.names import begins_with, has_words, licence, licences, mentions
from hubdna.licences.steps import Passage, Step, StepVerdict, chain, step
from hubdna.licences.table import DOUBTS, KINDS, TABLE, Kind, Licence, find

__all__ = [
    "DOUBTS",
    "KINDS",
    "TABLE",
    "Kind",
    "Licence",
    "Passage",
    "Step",
    "StepVerdict",
    "begins_with",
    "chain",
    "find",
    "has_words",
    "licence",
    "licences",
    "mentions",
    "step",
]
