"""A model -> what behaves like it, from the vectors that an index holds. No model is run, nobody is asked.

Whether two vectors are alike is for the behaviour leaf to say, which the core does not import: its `judge_stored` is
handed in.
"""

from __future__ import annotations

from collections.abc import Callable

from hubdna.records import BehaviourDNA, Likeness, Lookalike, ModelRef
from hubdna.store import IndexDir
from hubdna.store.behaviours import FILE, BehaviourVectors

K = 10
"""How many of the nearest are judged."""
Judge = Callable[[BehaviourDNA, BehaviourDNA], Likeness]
"""(vector of a source, vector of a target) -> how alike; `hubdna.behaviour.judge_stored`. Raises BehaviourError."""


def lookalikes(ref: ModelRef, index: IndexDir, judge: Judge) -> tuple[Lookalike, ...]:
    """The nearest models by behaviour, nearest first; none where the model was not seen at this commit.

    Args:
        ref: the model, at a commit.
        index: its directory may hold vectors; whether it holds the weights of these models does not matter.
        judge: says what two vectors mean.

    Raises:
        IndexDirError: the vectors are damaged.
        BehaviourError: they are of a network that `judge` does not know.
    """
    if ref.is_local or ref.sha is None or not (index.path / FILE).is_file():
        return ()
    with BehaviourVectors(index.path) as vectors:
        held = vectors.get(ref.repo_id)
        if held is None or held[0].sha != ref.sha:
            return ()
        asked = held[1]
        near = [(other, dna) for other, dna in vectors.nearest(asked, K + 1) if other.repo_id != ref.repo_id]
        n = vectors.count(asked.modality) - 1
    return tuple(Lookalike(other, judge(dna, asked), n, _created(other, index)) for other, dna in near[:K])


def _created(ref: ModelRef, index: IndexDir) -> str | None:
    entry = index.get(ref.repo_id)
    return entry.created_at if entry else None
