"""What the commands know of behaviour: models of the Hub, or of folders, run on probes. Only here the leaf is used."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hubdna.errors import BehaviourError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from hubdna.behaviour import Observer
    from hubdna.behaviour.own_probes import OwnProbes
    from hubdna.hub import Hub
    from hubdna.records import Behaviour, BehaviourPair, Likeness, ModelRef


class Sight:
    """Shows probes to models by name. Use it as a context; nothing is imported or asked before the first model.

    Args:
        endpoint, token: of the Hub; None as for `hubdna.hub.Hub`.
        max_download: gigabytes of one model of the Hub.
        probes: where probes of the user's own come from, `DATASET_OR_FOLDER[:split[:column]]`; None for the shipped.
        device, dtype: as in `hubdna.behaviour.Limits`.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        max_download: float = 2.0,
        probes: str | None = None,
        device: str = "auto",
        dtype: str = "float32",
    ) -> None:
        self.endpoint, self.token, self.limit = endpoint, token, int(max_download * 1e9)
        self.probes, self.device, self.dtype = probes, device, dtype
        self._own: OwnProbes | None = None
        self._observer: Observer | None = None
        self._hub: Hub | None = None

    def __enter__(self) -> Sight:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._observer is not None:
            self._observer.__exit__(kind, error, at)

    @property
    def hub(self) -> Hub:
        """The Hub, opened when it is first asked for."""
        from hubdna.hub import Hub

        self._hub = self._hub or Hub(self.endpoint, self.token)
        return self._hub

    @property
    def own(self) -> OwnProbes | None:
        """The user's own probes, drawn when they are first asked for; None for the shipped ones. Raises HubdnaError."""
        from hubdna.behaviour import draw

        if self._own is None and self.probes is not None:
            self._own = draw(self.probes, self.endpoint)
        return self._own

    def see(self, ref: ModelRef) -> Behaviour:
        """Run a model on the probes.

        Raises:
            UsageError: a path that is no folder.
            HubdnaError: the model cannot be had, or cannot be run; the message says which and why.
        """
        from hubdna.behaviour import Limits, Observer

        if find_spec("torch") is None:
            raise MissingExtraError("torch", "models")
        folder = self._folder(ref)
        if self._observer is None:
            self._observer = Observer(Limits(device=self.device, dtype=self.dtype), self.own)
        try:
            return self._observer.observe(folder)
        except BehaviourError as error:
            raise BehaviourError(str(error).replace(str(folder), str(ref))) from None

    def _folder(self, ref: ModelRef) -> Path:
        if not ref.is_local:
            from hubdna.hub.kept import keep

            return keep(self.hub, ref, self.limit)
        if not Path(ref.repo_id).is_dir():
            raise UsageError(f"{ref}: behaviour is seen by running the model, so it takes a folder with all its files")
        return Path(ref.repo_id)


def compare_behaviour(a: ModelRef, b: ModelRef, sight: Sight) -> BehaviourPair:
    """See two models on the same probes, measure, and judge if they are the shipped ones. Raises HubdnaError."""
    from hubdna.behaviour import fingerprint, judge, pair

    with sight:
        seen = sight.see(a), sight.see(b)
    measured = pair(str(a), seen[0], str(b), seen[1])
    if sight.own is not None:
        return replace(measured, probes=str(sight.own))
    return replace(measured, likeness=judge(*map(fingerprint, seen)))


def alike(ref: ModelRef, directory: Path, sight: Sight, k: int) -> list[tuple[ModelRef, Likeness]]:
    """The k models of an index that behave most like a model, best first. Raises HubdnaError.

    A model that the index holds at this commit is not run again.
    """
    from hubdna.behaviour import fingerprint, judge_stored
    from hubdna.store.behaviours import BehaviourVectors

    with BehaviourVectors(directory) as vectors, sight:
        held = None if ref.is_local else vectors.get(ref.repo_id)
        if held is not None and held[0].sha == sight.hub.snapshot(ref).ref.sha:
            asked = held[1]
        else:
            asked = fingerprint(sight.see(ref))
        found = [(other, dna) for other, dna in vectors.nearest(asked, k + 1) if other.repo_id != ref.repo_id]
    return [(other, judge_stored(dna, asked)) for other, dna in found[:k]]
