"""Board `bot`: a burst of webhooks over a bot that is killed again and again, counted on the Hub afterwards.

The bot is `hubdna bot serve --post` in a process of its own, the Hub is `hubdna localhub`, the client is the real one.
63 models of as many owners: copies of a model that was really made from an indexed base and whose card is silent, and
honest ones. 1,000 deliveries in a shuffled burst: four pushes a model, duplicates, forgeries with wrong secrets, the
bot's own comments, pull requests, garbage; each is sent until it is answered, and the Hub delivers the bot's own
events beside them. Meanwhile the Hub answers some requests with 429, 500 or late, a person approves and rejects, and
the bot is killed by SIGKILL 20 times at moments drawn from the seed. What must come of each model is planned before
the first event. Then one process takes 1,000 deliveries more, while models are changed, and some cards are fixed.

Bar: exactly one comment on every model whose findings were approved, none on the others (rejected, opted out on the
card, owner blocked, forged deliveries only, honest); no forgery let in; nobody answered; comments on fixed cards
closed; memory of the process after each quarter of the second thousand at most 5 % over that after the first; neither
log nor state holds the token.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import board

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # read when huggingface_hub is imported
SEEDS = (0, 1)
N_MODELS, N_EVENTS, N_KILLS = 63, 1000, 20
GROWTH = 1.05


def measure(n_models: int, n_events: int, n_kills: int, seed: int) -> dict[str, Any]:
    """One storm, in a folder that is gone afterwards."""
    from bot_storm import storm

    with tempfile.TemporaryDirectory() as place:
        return storm(Path(place), n_models, n_events, n_kills, seed, patience_s=900)


def wrong(row: dict[str, Any]) -> list[str]:
    """What of a row is not as it must be."""
    found = []
    for name, count in (("burst", row), ("second thousand", row["after_more"])):
        for fate, (none, one, more) in count["by_fate"].items():
            if more or (none if fate == "approved" else one):
                found.append(f"{name}, {fate}: {none} without, {one} with one, {more} with more comments")
        if count["extra_events"]:
            found.append(f"{name}: {count['extra_events']} comments too many")
    checks = {
        "a delivery was not answered": row["answered"] != row["events"],
        "a forgery was let in": row["forged_let_in"],
        "a fixed card's comment is not closed": not row["fixed"] == row["closed"] == row["comments_on_fixed"],
        "memory grew": max(row["rss_mb"]) > GROWTH * row["rss_mb"][0],
        "the token was written down": row["log_has_token"] or row["state_has_token"],
        "it did not end when asked": row["exit_code"] != 0,
    }
    return found + [what for what, is_so in checks.items() if is_so]


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("bot", args)
    plan = (12, 100, 2) if args.quick else (N_MODELS, N_EVENTS, N_KILLS)
    for seed in SEEDS[:1] if args.quick else SEEDS:
        rows.measure(f"seed {seed}", lambda seed=seed: measure(*plan, seed))
    table = [
        [key, row["models"], row["events"], row["kills"], row["kills_while_posting"],
         row["counts"].get("comments_adopted", 0), *(sum(c[i] for c in row["by_fate"].values()) for i in (1, 2)),
         row["rss_mb"][0], row["rss_mb"][-1]]
        for key, row in rows.items()
    ]  # fmt: skip
    header = ["storm", "models", "events", "kills", "while posting", "adopted", "one comment", "more", "MB", "MB after"]
    board.table("What came of it", header, table)
    fates = [[f"{key}, {fate}", *counts] for key, row in rows.items() for fate, counts in row["by_fate"].items()]
    board.table("Models by what was planned for them", ["", "no comment", "one", "more"], fates)
    faults = [f"{key}: {what}" for key, row in rows.items() for what in wrong(row)]
    for line in faults:
        print(line)
    return board.finish("bot", not faults, n=len(rows), faults=len(faults))


if __name__ == "__main__":
    sys.exit(main())
