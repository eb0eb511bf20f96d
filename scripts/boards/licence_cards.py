"""scripts/boards/cards/licences.toml -> cases of the rules on licences, as an auditor would build them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hubdna.card import read_claim
from hubdna.records import Claim, Evidence, Match, ModelRef, Verdict
from hubdna.rules import Case
from hubdna.rules.case import Ancestor

CARDS = Path(__file__).parent / "cards" / "licences.toml"
FILES = ("README.md", "model.safetensors")
_EVIDENCE = Evidence((), -35.0, 0.9, 1, 32, 0, (0, 0), None, True, 0.05)


def load() -> list[dict[str, Any]]:
    """All rows, in the order of the file."""
    rows: list[dict[str, Any]] = tomllib.loads(CARDS.read_text("utf-8"))["case"]
    return rows


def expected(row: dict[str, Any]) -> list[str]:
    """The severities that have to come out."""
    said = row["expect"]
    return [] if said == "none" else [said] if isinstance(said, str) else list(said)


def build(row: dict[str, Any]) -> Case:
    """The case that a row describes."""
    name = row.get("model", "me/my-model")
    text = row.get("text", "# A model\n\nTrained on our data.")
    card = row.get("raw", f"---\n{row.get('card', '')}\n---\n{text}\n")
    matches = [_match(ancestor, "2026-09", "common") for ancestor in row.get("later", ())]
    matches += [_match(ancestor, "2026-01", "identical") for ancestor in row.get("copies", ())]
    return Case(
        ModelRef(name),
        read_claim(card),
        None if row.get("unreadable") else card,
        "2026-06",
        tuple(matches),
        ancestry=tuple(_ancestor(*above) for above in row.get("above", ())),
        files=tuple(row.get("files", FILES)),
    )


def _ancestor(name: str, card: str, support: Any, *via: str) -> Ancestor:
    claim: Claim | None = read_claim(f"---\n{card}\n---\n") if card else None
    return Ancestor(name, claim, via, support, None if card else "no such model, or it is private")


def _match(name: str, created: str, origin: Any) -> Match:
    return Match(ModelRef(name), 1, Verdict(origin, None, "undirected", "none", -35.0, 0.9, (), _EVIDENCE), created)
