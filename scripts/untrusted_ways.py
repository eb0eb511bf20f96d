"""Workers of `untrusted_workers.py`, and the ways in which they cheat: what each sends in a round.

An honest worker trains what it was asked to. The others send another last state, old work, no work, work on other data,
bytes, too many of them, or nothing; where it takes a signature, theirs is good.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hubdna.proof import Recipe, example
from hubdna.proof.keys import public_of
from hubdna.proof.tensors import State, encode, form_of, named
from hubdna.proof.workers import Ground, Order, bench_of, commit, read_state, read_update, work

TASK = example("digits-mlp")
RECIPE = Recipe(16, 2, 32, "SGD", {"lr": 0.1, "momentum": 0.9}, config={"width": 32})
"""Of one round: sixteen local steps in eight intervals."""
N_HELD_BACK, CHALLENGE_BYTES = 397, 32


class Held:
    """The task without the samples that accuracy is measured on."""

    def __init__(self) -> None:
        self.name, self.build_model, self.loss, self.sample = TASK.name, TASK.build_model, TASK.loss, TASK.sample

    def __len__(self) -> int:
        return len(TASK) - N_HELD_BACK


GROUND = Ground.of(Held())


Behaviour = Callable[["Worker", Order, State], bytes | None]


@dataclass(slots=True)
class Worker:
    """One worker: its key, what it remembers, how it behaves."""

    rank: int
    key: Ed25519PrivateKey
    behaviour: str
    earlier: list[Any] = field(default_factory=list)

    def answer(self, order: Order, start: State) -> bytes | None:
        """The message of a round; None for silence."""
        made = BEHAVIOURS[self.behaviour](self, order, start)
        self.earlier.append((order, start, made))
        return made


def honest(worker: Worker, order: Order, start: State) -> bytes:
    """What it was asked for."""
    return work(GROUND, order, start, worker.key).to_bytes()


def _last_changed(worker: Worker, order: Order, start: State, change: Callable[[State, State], State]) -> bytes:
    """Honest work up to the last state, which is another; digests and signature fit."""
    bench = bench_of(GROUND, order, start, public_of(worker.key))
    states = list(work(GROUND, order, start, worker.key).states)
    last = read_state(states[-1], bench.form, bench.claim.recipe, "own")
    changed = change(start, last)
    states[-1] = encode(named(State(changed.weights, last.optimizer, last.buffers)))
    return commit(bench.claim, states, worker.key).to_bytes()


def scaled(worker: Worker, order: Order, start: State) -> bytes:
    """Ten times its update."""
    return _last_changed(worker, order, start, lambda a, b: _towards(a, b, 10.0))


def flipped(worker: Worker, order: Order, start: State) -> bytes:
    """The opposite of its update, five times."""
    return _last_changed(worker, order, start, lambda a, b: _towards(a, b, -5.0))


def wrong(worker: Worker, order: Order, start: State) -> bytes:
    """Noise of the weights' size."""
    return _last_changed(
        worker, order, start, lambda a, b: State({n: torch.randn_like(t) for n, t in b.weights.items()}, {})
    )


def stale(worker: Worker, order: Order, start: State) -> bytes:
    """Honest work on the weights of the first round, signed for this one."""
    old = worker.earlier[0][1] if worker.earlier else State({n: t * 0.9 for n, t in start.weights.items()}, {})
    update = work(GROUND, order, State(old.weights, {}, start.buffers), worker.key)
    return commit(bench_of(GROUND, order, start, public_of(worker.key)).claim, update.states, worker.key).to_bytes()


def replayed(worker: Worker, order: Order, start: State) -> bytes:
    """The update of its first round, again; signed again for this one."""
    if not worker.earlier:
        return honest(worker, order, start)
    first = worker.earlier[0]
    states = read_update(first[2], order, form_of(TASK, order.recipe)).states
    return commit(bench_of(GROUND, order, start, public_of(worker.key)).claim, states, worker.key).to_bytes()


def free_rider(worker: Worker, order: Order, start: State) -> bytes:
    """No training: the weights it was given, and a little noise."""
    bench = bench_of(GROUND, order, start, public_of(worker.key))
    weights, states = start.weights, []
    for _ in range(order.recipe.n_intervals):
        weights = {n: t + 1e-3 * torch.randn_like(t) for n, t in weights.items()}
        momentum = {f"momentum_buffer.{n}": torch.zeros_like(t) for n, t in weights.items()}
        states.append(encode(named(State(weights, momentum, start.buffers))))
    return commit(bench.claim, states, worker.key).to_bytes()


def other_data(worker: Worker, order: Order, start: State) -> bytes:
    """Honest steps, on the samples of another challenge."""
    other = Order(order.recipe, "00" * CHALLENGE_BYTES, order.shard)
    states = work(GROUND, other, start, worker.key).states
    return commit(bench_of(GROUND, order, start, public_of(worker.key)).claim, states, worker.key).to_bytes()


def garbage(worker: Worker, order: Order, start: State) -> bytes:
    """Bytes."""
    return random.Random(worker.rank).randbytes(50_000)


def too_long(worker: Worker, order: Order, start: State) -> bytes:
    """A gigabyte, as far as its length says."""
    return b""


def silent(worker: Worker, order: Order, start: State) -> None:
    """Nothing at all."""
    time.sleep(3600)


def killed(worker: Worker, order: Order, start: State) -> bytes:
    """Honest once; then its process dies in the middle of a round."""
    if worker.earlier:
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(worker, order, start)


BEHAVIOURS: dict[str, Behaviour] = {
    "honest": honest, "scaled": scaled, "flipped": flipped, "wrong": wrong, "stale": stale, "replayed": replayed,
    "free rider": free_rider, "other data": other_data, "garbage": garbage, "too long": too_long,
    "silent": silent, "killed": killed,
}  # fmt: skip


def _towards(a: State, b: State, factor: float) -> State:
    return State({n: torch.lerp(t, b.weights[n], factor) for n, t in a.weights.items()}, {})


def key_of(rank: int) -> Ed25519PrivateKey:
    """A key for each rank; here the same in every run, so that runs can be compared."""
    return Ed25519PrivateKey.from_private_bytes(bytes([rank]) * 32)
