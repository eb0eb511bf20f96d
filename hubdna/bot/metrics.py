"""Numbers for Prometheus, in its text format: counters that survive restarts come from the state. No names in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hubdna.bot import inbox, ledger
from hubdna.bot.state import State

MEDIA_TYPE = "text/plain; version=0.0.4"
COUNTED = {
    "audits": "Models that were audited.",
    "audits_unread": "Models whose weights could not be read.",
    "audits_put_off": "Audits that the Hub or a defect kept from their end; they are tried again.",
    "hub_errors": "Attempts to post that failed; they are tried again.",
    "comments_opened": "Discussions that were opened.",
    "comments_adopted": "Comments that were found on the Hub after a lost answer or a crash.",
    "comments_edited": "Comments that were edited because facts changed.",
    "comments_closed": "Comments that were closed because the card was fixed.",
    "comments_withdrawn": "Comments that were withdrawn.",
    "optouts": "Models whose people closed, hid or removed the comment.",
    "defects": "Errors of the bot itself.",
}
_OUTCOMES = ("queued", "known", "replay", "ignored", "forged", "malformed", "too_large", "too_slow", "full")
_STATES = ("queued", "approved", "posting", "posted", "rejected", "superseded", "dropped", "failed")


def render(state: State, outcomes: Mapping[str, int]) -> str:
    """All numbers. `outcomes`: deliveries since the start by what became of them."""
    counts, states = state.counts(), ledger.by_state(state)
    waiting, given_up = inbox.n_jobs(state)
    lines: list[str] = []
    lines += _family("deliveries_total", "counter", "Deliveries of webhooks since the start.", "outcome",
                     ((o, outcomes.get(o, 0)) for o in _OUTCOMES))  # fmt: skip
    lines += _family("jobs", "gauge", "Models to look at.", "state", (("waiting", waiting), ("given_up", given_up)))
    lines += _family("proposals", "gauge", "Proposals.", "state", ((s, states.get(s, 0)) for s in _STATES))
    for name, story in COUNTED.items():
        lines += _family(f"{name}_total", "counter", story, None, ((None, counts.get(name, 0)),))
    return "\n".join(lines) + "\n"


def _family(
    name: str, kind: str, story: str, label: str | None, values: Iterable[tuple[str | None, int]]
) -> Iterator[str]:
    yield f"# HELP hubdna_bot_{name} {story}"
    yield f"# TYPE hubdna_bot_{name} {kind}"
    for value, n in values:
        yield f"hubdna_bot_{name}" + (f'{{{label}="{value}"}}' if label else "") + f" {n}"
