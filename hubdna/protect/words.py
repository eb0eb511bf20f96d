"""What a measurement of a release says, to people and to programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from hubdna.protect.measure import Protection, Score
from hubdna.protect.watermark import Ownership

if TYPE_CHECKING:
    from rich.table import Table


def table(shown: Protection, owned: Ownership | None) -> Table:
    """Accuracies with their intervals, and what follows."""
    from rich.table import Table

    drawn = Table("domain", "before", "after", "95 % interval of after", title=_title(shown))
    for name, before, after in (
        ("authorised", shown.source_before, shown.source_after),
        ("another", shown.target_before, shown.target_after),
    ):
        low, high = after.interval()
        drawn.add_row(name, f"{before.accuracy:.1%}", f"{after.accuracy:.1%}", f"{low:.1%} to {high:.1%}")
    if owned:
        low, high = owned.marked.interval()
        said = "carries the key's mark" if owned.verified else "the key's mark is not there"
        drawn.add_row(f"with the key: {said}", "", f"{owned.marked.accuracy:.1%}", f"{low:.1%} to {high:.1%}")
        drawn.caption = f"p = {owned.p:.3g} among {owned.n_others} other keys; chance is {1 / shown.n_classes:.1%}"
    return drawn


def as_json(shown: Protection, owned: Ownership | None) -> str:
    """`hubdna.protect.measure/1`; numbers that do not exist are null."""
    found: dict[str, Any] = {
        "schema": "hubdna.protect.measure/1",
        "source": {"before": _score(shown.source_before), "after": _score(shown.source_after)},
        "target": {"before": _score(shown.target_before), "after": _score(shown.target_after)},
        "n_classes": shown.n_classes,
        "st_d": None if math.isinf(shown.st_d) else shown.st_d,
        "target_lost": shown.lost,
        "owner": None if owned is None else {
            "verified": owned.verified, "p": owned.p, "drop": owned.drop, "n_others": owned.n_others,
            "clean": _score(owned.clean), "marked": _score(owned.marked),
        },
    }  # fmt: skip
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _score(score: Score) -> dict[str, Any]:
    low, high = score.interval()
    return {"right": score.right, "n": score.n, "accuracy": score.accuracy, "low": low, "high": high}


def _title(shown: Protection) -> str:
    if math.isinf(shown.st_d):
        return "nothing is protected: the other domain lost nothing"
    return f"ST-D {shown.st_d:.3f}; the other domain lost {shown.lost:.0%} of what it had above chance"
