"""Writing states and links, behind the back of the training.

A training hands over copies of its state; one thread stores, hashes and commits to them, in order, while the training
goes on. At most `MAX_WAITING` copies wait; then the training does. What a crash loses is what was not committed to yet,
and is trained again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hubdna.proof.layout import Link, append_link, state_name, write
from hubdna.proof.order import order_digest
from hubdna.proof.replay import Bench
from hubdna.proof.storage import pack, settle
from hubdna.proof.tensors import State, Tensors, moved, weights_root
from hubdna.roots import file_digest

MAX_WAITING = 2
"""States in memory besides the training's own and the one that is being written."""


class Chain:
    """Appends to the chain of one receipt."""

    def __init__(self, folder: Path, bench: Bench, links: Iterable[Link] = (), last: State | None = None) -> None:
        """Go on after `links`, whose last one is of the state `last`."""
        self._folder, self._bench = folder, bench
        self._links = list(links)
        self._n, self._last = len(self._links), last
        self._broken = False
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "hubdna-receipt")

    def add(self, state: State, environment: dict[str, str]) -> State:
        """Store a state, soon.

        Returns:
            The state as it is stored: the training must go on from there.
        """
        index, before = self._n, self._last
        written, stored = settle(state, before, self._bench.claim.recipe, index)
        self._n, self._last = index + 1, stored
        self._waiting.append(self._thread.submit(self._try, written, stored, before, environment))
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft().result()  # raises what went wrong
        return stored

    def links(self) -> list[Link]:
        """All links, once everything that was handed over is on the disk. Raises what went wrong."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._links

    def _try(self, *args: Any) -> None:
        if self._broken:
            return  # a state without its predecessor is no link; the failure itself is raised where it is waited for
        try:
            self._store(*args)
        except BaseException:
            self._broken = True
            raise

    def _store(self, written: Tensors, stored: State, before: State | None, environment: dict[str, str]) -> None:
        claim, index = self._bench.claim, len(self._links)
        raw = pack(written, before, claim.recipe, index)
        write(self._folder, state_name(index, claim.recipe.storage), raw)
        steps = claim.recipe.interval(index - 1) if index else range(0)
        said = next((link.environment for link in reversed(self._links) if link.environment), {})
        link = Link(
            index=index,
            step=steps.stop if index else 0,
            state=file_digest([raw]).hex(),
            weights=weights_root(stored.weights),
            order=order_digest(claim, steps, self._bench.samples).hex(),
            moved=moved(stored, before) if before else 0.0,
            environment={} if said == environment else environment,
            previous=self._links[-1].digest() if index else claim.digest().hex(),
        )
        append_link(self._folder, link)
        self._links.append(link)
