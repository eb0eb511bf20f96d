"""Training across workers that nobody trusts: an update is taken after some of the steps behind it were done again.

The second scenario of the paper. In each round a coordinator hands out the weights and a challenge. From the challenge
and its own key follow a worker's shard of the data, its order and its seeds; so nobody can prepare a round, reuse an
update, or send another's. The worker trains some intervals, *commits* to the state after each by a digest, signs that,
and sends the states. Only then the coordinator trains some intervals again: the first, which alone shows whether the
work began at the weights that were handed out, the one that moved furthest, and others at random. What does not end
where the worker said is dropped, and so is the worker.

    ground = Ground.of(task)                                    both sides, once
    order = Order(recipe, challenge, shard=400)                 the coordinator draws the challenge
    update = work(ground, order, start, key)                    a worker
    check(ground, order, start, author, update, sample, draw)   raises ReceiptError: drop it
    start = average([...])

Messages are bytes and hold safetensors and digests, no pickle. How they travel is not decided here:
`scripts/untrusted_workers.py` sends them with torch.distributed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hubdna.errors import ReceiptError
from hubdna.proof.calibrate import MARGIN, MIN_MOVED
from hubdna.proof.claim import Claim, Recipe
from hubdna.proof.keys import public_of, sign, signed_by
from hubdna.proof.replay import Bench
from hubdna.proof.task import Batch, Task
from hubdna.proof.tensors import (
    METRICS,
    Form,
    State,
    build,
    build_optimizer,
    capture,
    checked,
    counters_equal,
    decode,
    distances,
    encode,
    form_of,
    named,
    restore,
    sample_digests,
    weights_root,
)
from hubdna.records import ReceiptParent
from hubdna.roots import digest, file_digest, is_hex, merkle_root

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Order:
    """What every worker is asked to do in one round.

    Attributes:
        recipe: of the local steps; `every` steps are one interval. Its seed is not used: the challenge's is.
        challenge: 64 hexadecimal digits, drawn by the coordinator for this round and never before.
        shard: samples that a worker trains on.
    """

    recipe: Recipe
    challenge: str
    shard: int

    def __post_init__(self) -> None:
        if not is_hex(self.challenge):
            raise ReceiptError("order: expected a challenge of 64 hexadecimal digits")


@dataclass(frozen=True, slots=True)
class Update:
    """What a worker sends: the state after each interval (safetensors), and a signature over their digests."""

    states: tuple[bytes, ...]
    signature: str

    def to_bytes(self) -> bytes:
        """One message: the signature, then each state with its length."""
        parts = [bytes.fromhex(self.signature)]
        parts += [len(raw).to_bytes(8, "little") + raw for raw in self.states]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Ground:
    """Model, data and loss that both sides have, and the digests of all samples: uint8[n, 32], hashed once."""

    task: Task
    samples: NDArray[np.uint8]

    @classmethod
    def of(cls, task: Task) -> Ground:
        """Hash all samples of a task."""
        return cls(task, sample_digests(task))


class Shard:
    """Some samples of a task, as a task."""

    def __init__(self, task: Task, indices: NDArray[np.int64]) -> None:
        self.task, self.indices, self.name = task, indices, task.name
        self.build_model, self.loss = task.build_model, task.loss

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int) -> Batch:
        """Sample `index` of the shard."""
        return self.task.sample(int(self.indices[index]))


def shard_of(task: Task, order: Order, author: str) -> Shard:
    """The samples that follow from challenge and key. Raises ReceiptError when there are too few."""
    if not 1 <= order.shard <= len(task):
        raise ReceiptError(f"order: a shard of {order.shard} samples, the data has {len(task)}")
    seed = digest("shard", bytes.fromhex(order.challenge), bytes.fromhex(author))
    drawn = np.random.PCG64(int.from_bytes(seed[:16], "little")).random_raw(len(task))
    return Shard(task, np.sort(np.argsort(drawn, kind="stable")[: order.shard]).astype(np.int64))


def work(ground: Ground, order: Order, start: State, key: Ed25519PrivateKey) -> Update:
    """Do the steps of a round, as a worker; the caller's generators stay as they were."""
    author = public_of(key)
    bench = bench_of(ground, order, start, author)
    states = []
    with torch.random.fork_rng():
        model = build(ground.task, bench.claim.recipe, 0)
        optimizer = build_optimizer(bench.claim.recipe, model)
        restore(State(start.weights, {}, start.buffers), model, optimizer)
        for index in range(bench.claim.recipe.n_intervals):
            bench.train(model, optimizer, index)
            states.append(encode(named(capture(model, optimizer))))
    return commit(bench.claim, states, key)


def commit(claim: Claim, states: Sequence[bytes], key: Ed25519PrivateKey) -> Update:
    """Sign the digests of all states, under everything that this round and this worker are."""
    return Update(tuple(states), sign(key, _commitment(claim, states)))


def check(ground: Ground, order: Order, start: State, author: str, update: Update, sample: int, draw: int) -> State:
    """Check an update, as the coordinator.

    Args:
        ground: model, data and loss, as the coordinator has them.
        order: of this round.
        start: the weights that were handed out.
        author: hexadecimal public key that the worker was admitted with.
        update: what it sent.
        sample: intervals to train again, at least two: the first, the one that moved furthest, others drawn at random.
        draw: seed of that draw, chosen after the update has come.

    Returns:
        The worker's weights.

    Raises:
        ReceiptError: why the update is to be dropped.
    """
    bench = bench_of(ground, order, start, author)
    claim = bench.claim
    if len(update.states) != claim.recipe.n_intervals:
        raise ReceiptError(f"update: expected {claim.recipe.n_intervals} states, found {len(update.states)}")
    if not signed_by(author, _commitment(claim, update.states), update.signature):
        raise ReceiptError("update: not signed by this worker for this round and these weights")
    states = [State(start.weights, {}, start.buffers)]
    states += [read_state(raw, bench.form, claim.recipe, f"state {i + 1}") for i, raw in enumerate(update.states)]
    moved = [distances(a, b) for a, b in itertools.pairwise(states)]
    size = max(float(sum(t.double().square().sum() for t in start.weights.values())) ** 0.5, 1e-300)
    if still := [i for i, gap in enumerate(moved) if not gap["l2"] >= MIN_MOVED * size]:
        raise ReceiptError(f"update: interval {still[0]} does not move the weights")
    for index in choose([gap["l2"] for gap in moved], sample, draw):
        again = bench.replay(states[index], index)
        apart = distances(again, states[index + 1])
        if not counters_equal(again, states[index + 1]) or any(
            not apart[metric] <= moved[index][metric] / MARGIN for metric in METRICS
        ):
            raise ReceiptError(f"update: interval {index}, trained again, ends elsewhere")
    return states[-1]


def choose(moved: Sequence[float], sample: int, draw: int) -> list[int]:
    """Intervals to train again: the first, the furthest, and others at random; ascending."""
    fixed = {0, max(range(len(moved)), key=moved.__getitem__)}
    others = [i for i in range(len(moved)) if i not in fixed]
    return sorted({*fixed, *random.Random(draw).sample(others, min(max(sample - len(fixed), 0), len(others)))})


def average(states: Sequence[State]) -> State:
    """The mean of accepted updates; of what is counted, the first one's. Raises ReceiptError without any."""
    if not states:
        raise ReceiptError("round: no update was accepted")
    weights = {
        name: torch.stack([s.weights[name] for s in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].weights.items()
    }
    return State(weights, {}, states[0].buffers)


def read_update(raw: bytes, order: Order, form: Form) -> Update:
    """An update from a message; every length is checked against what can be right. Raises ReceiptError."""
    states: list[bytes] = []
    at = SIGNATURE_BYTES
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 8], "little")
        if size > form.n_bytes or at + 8 + size > len(raw) or len(states) >= order.recipe.n_intervals:
            raise ReceiptError("update: not the form of one")
        states.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    return Update(tuple(states), raw[:SIGNATURE_BYTES].hex())


def most_bytes(task: Task, order: Order) -> int:
    """Of the largest message that can be right, so that no more is ever taken."""
    return SIGNATURE_BYTES + order.recipe.n_intervals * (8 + form_of(task, order.recipe).n_bytes)


def read_state(raw: bytes, form: Form, recipe: Recipe, where: str) -> State:
    """A state of somebody else's. Raises ReceiptError."""
    if len(raw) > form.n_bytes:
        raise ReceiptError(f"{where}: {len(raw)} bytes, at most {form.n_bytes} can be right")
    return checked(decode(raw, where), form, recipe, where)


def bench_of(ground: Ground, order: Order, start: State, author: str) -> Bench:
    """What one worker is to do in one round, the same for both sides."""
    shard = shard_of(ground.task, order, author)
    samples = ground.samples[shard.indices]
    seed = int.from_bytes(digest("round", bytes.fromhex(order.challenge))[:8], "little") >> 1
    claim = Claim(
        author, ground.task.name, replace(order.recipe, seed=seed), len(shard),
        merkle_root([row.tobytes() for row in samples]).hex(),
        ReceiptParent("the round's weights", None, weights_root(start.weights)),
    )  # fmt: skip
    bench = Bench.of(shard, claim, samples)
    bench.seen.update(range(len(shard)))  # the ground has hashed them
    return bench


def _commitment(claim: Claim, states: Sequence[bytes]) -> bytes:
    return digest("update", claim.digest(), *(file_digest([raw]) for raw in states))
