"""`hubdna compare --behaviour`: how alike two local models behave. The only place that puts the leaf to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.records import ModelRef
    from hubdna.records.behaviour import BehaviourPair


def compare_behaviour(a: ModelRef, b: ModelRef) -> BehaviourPair:
    """See two folders on the same probes, and measure. Raises HubdnaError."""
    from hubdna.behaviour import Observer, pair

    for ref in (a, b):
        if not ref.is_local or not Path(ref.repo_id).is_dir():
            raise UsageError(f"{ref}: --behaviour runs the model, so it needs a folder with all of it, on this machine")
    with Observer() as observer:
        seen = [observer.observe(ref.repo_id) for ref in (a, b)]
    return pair(str(a), seen[0], str(b), seen[1])
