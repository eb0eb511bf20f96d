"""Relations between probes: what compares across widths, vocabularies and sets of labels.

Two models of different width have no coordinate in common, but both say how alike they find probe i and probe j. States
are taken at five depths (the mean over tokens or pixels) and at the answer; each gives one matrix of products, centred
over the probes (so that a constant shift does not count) and scaled (so that a factor does not). What is left of a
model is then the same whatever rotates or permutes its coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hubdna.behaviour.codec import MAX_ANSWERS
from hubdna.behaviour.devices import BATCH, parts
from hubdna.errors import BehaviourError
from hubdna.records.behaviour import PLACES

if TYPE_CHECKING:
    import torch

    from hubdna.behaviour.opening import Subject

N_DEPTHS = len(PLACES) - 1
TOLERANCE = 1e-3
"""How far an entry of the relations may move, relative to the mean square length of one, with the size of the batch:
sums are taken in another order. Measured on the models of the tests: below 1e-5."""
Seen = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


def look(subject: Subject, batch: int = BATCH) -> Seen:
    """Show a model all probes.

    Args:
        subject: the opened model.
        batch: probes at once; the result does not depend on it beyond `TOLERANCE`. Fewer where memory is short.

    Returns:
        Relations float32 [6, n, n], log-probabilities float32 [n, k], the likeliest answers int64 [n].

    Raises:
        BehaviourError: states or answers that are not finite, or the same for all probes.
    """
    import torch

    depths: list[list[torch.Tensor]] = []
    scores: list[torch.Tensor] = []
    with torch.inference_mode():
        for states, answer in parts(subject.look, subject.inputs, batch):
            depths.append(_five(states))
            if answer is not None:
                scores.append(answer.float().log_softmax(-1))
    relations = np.zeros((len(PLACES), len(subject.inputs), len(subject.inputs)), np.float32)
    for place, states_there in enumerate(zip(*depths, strict=True)):
        relations[place] = _products(torch.cat(states_there), PLACES[place])
    if not scores:
        n = len(subject.inputs)
        return relations, np.zeros((n, 0), np.float32), np.full(n, -1, np.int64)
    answers = torch.cat(scores)
    if answers.shape[1] > 1:
        relations[-1] = _products(answers, PLACES[-1])
    if not relations.any():
        raise BehaviourError("the model computes the same for all probes")
    kept = answers if answers.shape[1] <= MAX_ANSWERS else answers[:, :0]
    return relations, kept.numpy(), answers.argmax(1).numpy()


def _five(states: list[torch.Tensor]) -> list[torch.Tensor]:
    """The states at five depths, evenly spread from the first to the last; none if there are none."""
    if not states:
        return []
    return [states[round(n * (len(states) - 1) / (N_DEPTHS - 1))].float() for n in range(N_DEPTHS)]


def _products(states: torch.Tensor, place: str) -> NDArray[np.float32]:
    """Products of centred states, [n, n], with a mean square length of one; zero where all states are equal."""
    import torch

    if not bool(torch.isfinite(states).all()):
        raise BehaviourError(f"NaN or infinite values at the {place}")
    x = states.double()
    x = x - x.mean(0)
    square = float((x * x).sum(1).mean())
    if square <= 1e-12 * float((states.double() ** 2).sum(1).mean()):
        return np.zeros((len(x), len(x)), np.float32)
    return (x @ x.T / square).float().numpy()
