"""What the commands know of behaviour: models of the Hub, or of folders, run on probes. Only here the leaf is used."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.behaviour import Observer
    from hubdna.hub import Hub
    from hubdna.records import Behaviour, BehaviourPair, ModelRef


class Sight:
    """Shows probes to models by name. Use it as a context; nothing is imported or asked before the first model.

    Args:
        endpoint, token: of the Hub; None as for `hubdna.hub.Hub`.
        max_download: gigabytes of one model of the Hub.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, max_download: float = 2.0) -> None:
        self.endpoint, self.token, self.limit = endpoint, token, int(max_download * 1e9)
        self._observer: Observer | None = None
        self._hub: Hub | None = None

    def __enter__(self) -> Sight:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._observer is not None:
            self._observer.__exit__(kind, error, at)

    def see(self, ref: ModelRef) -> Behaviour:
        """Run a model on the probes.

        Raises:
            UsageError: a path that is no folder.
            HubdnaError: the model cannot be had, or cannot be run; the message says which and why.
        """
        from hubdna.behaviour import Observer
        from hubdna.errors import BehaviourError

        folder = self._folder(ref)
        if self._observer is None:
            self._observer = Observer()
        try:
            return self._observer.observe(folder)
        except BehaviourError as error:
            raise BehaviourError(str(error).replace(str(folder), str(ref))) from None

    def _folder(self, ref: ModelRef) -> Path:
        if not ref.is_local:
            from hubdna.hub import Hub
            from hubdna.hub.kept import keep

            self._hub = self._hub or Hub(self.endpoint, self.token)
            return keep(self._hub, ref, self.limit)
        if not Path(ref.repo_id).is_dir():
            raise UsageError(f"{ref}: behaviour is seen by running the model, so it takes a folder with all its files")
        return Path(ref.repo_id)


def compare_behaviour(a: ModelRef, b: ModelRef, sight: Sight) -> BehaviourPair:
    """See two models on the same probes, and measure. Raises HubdnaError."""
    from hubdna.behaviour import pair

    with sight:
        return pair(str(a), sight.see(a), str(b), sight.see(b))
