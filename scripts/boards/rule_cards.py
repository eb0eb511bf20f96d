"""Labelled cards of all rules, and the desk where they are audited one after the other, through the real client.

A row of cards/rules/*.toml is one or more cards:

    way       "fires": the rule has to speak. "quiet": it must not
    weights   a short name of rule_models, or the name of an indexed model: whose card it is
    says      what it is about
    front     lines of the front matter; text: what stands below (default: a heading and a sentence)
    raw       the whole README.md, in place of both
    forms     of rule_forms: one card each (default: plain)
    most      the worst severity of the rule's finding (default: warning; of a quiet card it may then be this mild)
    also      other rules that may warn, too; whatever else warns is a false warning
    behaves   of rule_behaviour: what vectors of behaviour the index holds (default: none)
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rule_behaviour
import rule_models
from hubdna.audit import Auditor
from hubdna.behaviour import judge_stored
from hubdna.crawl import crawl
from hubdna.localhub import LocalHub
from hubdna.models import Loaded, Loader
from hubdna.records import Audit, Dna, ModelRef
from hubdna.store import IndexDir
from hubdna.store.behaviours import FILE
from rule_forms import FORMS

FOLDER = Path(__file__).parent / "cards" / "rules"
TEXT = "# A model\n\nTrained on our data.\n"
SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True)
class Card:
    """One labelled card.

    Attributes:
        key: unique name of the row; a hash of the README stands in it, so that another README is another row.
        rule, way, weights, most, also: as in the file.
        readme: README.md.
        held: one of the third that nobody looked at before the rules were put right.
        behaves: as in the file.
    """

    key: str
    rule: str
    way: str
    weights: str
    readme: bytes
    most: str
    also: tuple[str, ...]
    held: bool
    behaves: str = ""


def load() -> list[Card]:
    """All cards, by rule, in the order of the files. Raises ValueError where two have one key."""
    found = [card for path in sorted(FOLDER.glob("*.toml")) for row in _rows(path) for card in _cards(row)]
    if len({card.key for card in found}) != len(found):
        raise ValueError("two rows of one rule, way and weights say the same")
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for row in tomllib.loads(path.read_text("utf-8"))["card"]:
        yield {"rule": path.stem.upper(), **row}


def _cards(row: dict[str, Any]) -> Iterator[Card]:
    for form in row.get("forms", ["plain"]):
        key = f"{row['rule']} {row['way']} {row['weights']}: {row['says']} ({form})"
        raw = row.get("raw")
        readme = FORMS[form](row["front"], row.get("text", TEXT)) if raw is None else raw.encode()
        most = row.get("most", "warning" if row["way"] == "fires" else "")
        held = hashlib.sha256(key.encode()).digest()[0] % 3 == 0
        also, behaves = tuple(row.get("also", ())), row.get("behaves", "")
        digest = hashlib.sha256(readme + behaves.encode()).hexdigest()[:8]
        yield Card(f"{key} {digest}", row["rule"], row["way"], row["weights"], readme, most, also, held, behaves)


def judged(card: Card, said: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Whether the rule spoke, and what should not have been said.

    Returns:
        `spoke`, `right` (it spoke as labelled), `false` (accusations: errors and warnings nobody labelled).
    """
    said = list(said)
    own = [severity for rule, severity in said if rule == card.rule]
    worst = max((SEVERITIES.index(s) for s in own), default=-1)
    bound = SEVERITIES.index(card.most) if card.most else -1
    right = bool(own) and worst <= bound if card.way == "fires" else worst <= bound
    false = [f"{rule} {s}" for rule, s in said if s != "info" and rule != card.rule and rule not in card.also]
    false += [f"{card.rule} {s}" for s in own if s != "info" and SEVERITIES.index(s) > bound]
    errors = [
        f"{rule} error" for rule, s in said if s == "error" and card.most != "error" and f"{rule} error" not in false
    ]
    return {"spoke": bool(own), "right": right, "false": false + errors}


class Remembering(Loader):
    """A loader that reads the weights of a repository once: on the board only cards change."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._dna: dict[str, Dna] = {}

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """The model as the Hub shows it now, and its weights as they were."""
        if ref.repo_id in self._dna:
            snapshot = self.hub.snapshot(ref)
            return Loaded(snapshot, replace(self._dna[ref.repo_id], ref=snapshot.ref))
        loaded = super().load(ref, index)
        self._dna[ref.repo_id] = loaded.dna
        return loaded


class Desk:
    """A local Hub with the models, an index of those that belong there, and an auditor.

    Args:
        folder: an empty one, for both.
        audited: short names of the audited models; None for all.
    """

    def __init__(self, folder: Path, audited: Iterable[str] | None = None) -> None:
        self.root = folder / "hub"
        rule_models.serve(self.root, audited)
        self.hub, self.index = LocalHub(self.root), IndexDir(folder / "index", create=True)

    def __enter__(self) -> Desk:
        self.hub.start()
        self.loader = Remembering(self.hub.endpoint)
        models = [self.loader.hub.snapshot(ModelRef(repo_id)) for repo_id in rule_models.CARDS]
        for _ in crawl(self.loader.hub, self.index, models):
            pass
        self.auditor = Auditor(self.index, self.loader, judge=judge_stored)
        return self

    def __exit__(self, *_: object) -> None:
        self.index.close()
        self.hub.stop()

    def audit(self, weights: str, readme: bytes, behaves: str = "") -> Audit:
        """Audit a model under another card, with vectors of behaviour in the index if any are named."""
        repo_id = weights if weights in rule_models.CARDS else rule_models.repo_of(weights)
        path = self.root / repo_id / "README.md"
        before = path.read_bytes()
        path.write_bytes(readme)
        try:
            if behaves:
                seen = self.loader.hub.snapshot(ModelRef(repo_id)).ref
                rule_behaviour.fill(self.index.path, seen, behaves, rule_models.CARDS)
            (done,) = self.auditor.audit([ModelRef(repo_id)])
        finally:
            path.write_bytes(before)
            (self.index.path / FILE).unlink(missing_ok=True)
        return done
