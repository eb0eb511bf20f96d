"""Train one network with workers that nobody trusts: torch.distributed (gloo) between processes of this machine.

Every process is a rank; rank 0 coordinates. In each round it sends weights and a fresh challenge, takes the updates,
trains a sample of each again, and averages what passed (`hubdna.proof.workers`). Who sends anything else, sends too
much, or is silent for too long is out for good; so is a process that died.

    python scripts/untrusted_workers.py --workers 8 --bad 4 --rounds 10 --sample 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from untrusted_ways import BEHAVIOURS, CHALLENGE_BYTES, GROUND, N_HELD_BACK, RECIPE, TASK, Worker, key_of

from hubdna.errors import ReceiptError
from hubdna.proof.keys import public_of
from hubdna.proof.tensors import State, buffers_of, build, build_optimizer, encode, form_of, named
from hubdna.proof.workers import (
    Order,
    Update,
    average,
    check,
    most_bytes,
    read_state,
    read_update,
    work,
)

SHARD, SILENT_S = 256, 60


@dataclass(slots=True)
class Result:
    """What a training came to.

    Attributes:
        accuracy: on samples that no worker is given, in [0, 1].
        accepted: (round, worker) of every update that was taken.
        consistent: of these, how many pass when every interval is trained again.
        dropped: worker -> (round, why).
        checking: seconds of processor time that the coordinator spent on checks of honest updates, for each of them.
        training: seconds of processor time of the same work done once by the coordinator, likewise.
    """

    accuracy: float = 0.0
    accepted: list[tuple[int, int]] = field(default_factory=list)
    consistent: int = 0
    dropped: dict[int, tuple[int, str]] = field(default_factory=dict)
    checking: float = 0.0
    training: float = 0.0


def train(
    behaviours: Sequence[str],
    *,
    rounds: int = 8,
    sample: int = 3,
    seed: int | None = None,
    recheck: bool = True,
    patience: int = SILENT_S,
) -> Result:
    """Train with one worker for each behaviour; this process coordinates.

    Args:
        behaviours: names of `BEHAVIOURS`.
        rounds: of work, check and average.
        sample: intervals of each update that are trained again.
        seed: makes challenges and draws repeatable; without it they are drawn by the system.
        recheck: whether accepted updates are trained again in full, besides, to count those that are consistent.
        patience: seconds that a worker may be silent.
    """
    _load_code()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as made:
        place, n = f"file://{made}/meet", len(behaviours) + 1
        processes = [context.Process(target=_worker, args=(i + 1, n, place, b)) for i, b in enumerate(behaviours)]
        for process in processes:
            process.start()
        try:
            _join(0, n, place)
            return Coordinator(len(behaviours), rounds, sample, seed, recheck, patience).run()
        finally:
            for process in processes:
                process.kill()
                process.join()
            dist.destroy_process_group()


def _load_code() -> None:
    """A first step of an optimiser loads seconds of code: once here, before there are processes."""
    model = build(TASK, RECIPE, 0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(RECIPE, model).step()


def _join(rank: int, n: int, place: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=n, timeout=timedelta(hours=1))


def _worker(rank: int, n: int, place: str, behaviour: str) -> None:
    """A worker's process: take an order, answer it, until the coordinator is gone."""
    _join(rank, n, place)
    torch.manual_seed(rank)
    worker, form = Worker(rank, key_of(rank), behaviour), form_of(TASK, RECIPE)
    try:
        while True:
            raw = receive(0, CHALLENGE_BYTES + form.n_bytes)
            order = Order(RECIPE, raw[:CHALLENGE_BYTES].hex(), SHARD)
            start = read_state(raw[CHALLENGE_BYTES:], form, RECIPE, "the round's weights")
            answer = worker.answer(order, start)
            send(answer or b"", 0, 1_000_000_000 if behaviour == "too long" else None)
    except (RuntimeError, ReceiptError):  # the coordinator is gone, or wants no more
        os._exit(0)


def send(raw: bytes, rank: int, length: int | None = None) -> None:
    """A message: its length, then its bytes. Raises RuntimeError when the other side is gone."""
    dist.send(torch.tensor([len(raw) if length is None else length]), rank)
    if raw:
        dist.send(torch.frombuffer(bytearray(raw), dtype=torch.uint8), rank)


def receive(rank: int, most: int) -> bytes:
    """A message of at most so many bytes. Raises RuntimeError: silent or gone; ReceiptError: too long."""
    length = torch.zeros(1, dtype=torch.int64)
    dist.recv(length, rank)
    n = int(length)
    if not 0 <= n <= most:
        raise ReceiptError(f"a message of {n} bytes, at most {most} can be right: not taken")
    raw = torch.zeros(n, dtype=torch.uint8)
    if n:
        dist.recv(raw, rank)
    return raw.numpy().tobytes()


def within(seconds: float, call: Callable[[], bytes]) -> bytes:
    """Wait so long for a message. Raises RuntimeError: nothing came.

    The time limit of gloo's own will not do: when one message is late, it closes the connections to everybody.
    """
    box: queue.Queue[bytes | Exception] = queue.Queue(1)

    def run() -> None:
        try:
            box.put(call())
        except (RuntimeError, ReceiptError) as error:
            box.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = box.get(timeout=seconds)
    except queue.Empty:
        raise RuntimeError("silent") from None
    if isinstance(found, Exception):
        raise found
    return found


class Coordinator:
    """Hands out rounds, checks what comes back, averages what passed."""

    def __init__(
        self, n_workers: int, rounds: int, sample: int, seed: int | None, recheck: bool, patience: int = SILENT_S
    ) -> None:
        self.rounds, self.sample, self.recheck, self.patience = rounds, sample, recheck, patience
        self.challenges, self.draws = (
            random.SystemRandom() if seed is None else random.Random(f"{seed} {what}") for what in ("challenge", "draw")
        )
        self.form, self.result = form_of(TASK, RECIPE), Result()
        self.authors = {rank: public_of(key_of(rank)) for rank in range(1, n_workers + 1)}
        self.n_timed = 0
        model = build(TASK, RECIPE, 0)
        weights = {name: t.detach().clone() for name, t in model.state_dict().items()}
        self.state = State(weights, {}, buffers_of(model))

    def run(self) -> Result:
        """All rounds."""
        for number in range(self.rounds):
            challenge = self.challenges.getrandbits(8 * CHALLENGE_BYTES).to_bytes(CHALLENGE_BYTES, "little")
            order = Order(RECIPE, challenge.hex(), SHARD)
            passed = [update for rank in self._asked(order) if (update := self._update(number, rank, order))]
            self.state = average(passed) if passed else self.state
        self.result.accuracy = accuracy(self.state)
        n = max(self.n_timed, 1)
        self.result.checking, self.result.training = self.result.checking / n, self.result.training / n
        return self.result

    def _asked(self, order: Order) -> list[int]:
        """Send the order to all who are still in; those that it reached."""
        raw = bytes.fromhex(order.challenge) + encode(named(State(self.state.weights, {}, self.state.buffers)))
        reached = []
        for rank in sorted(self.authors.keys() - self.result.dropped.keys()):
            try:
                send(raw, rank)
                reached.append(rank)
            except RuntimeError:
                self._drop(-1, rank, "gone")
        return reached

    def _update(self, number: int, rank: int, order: Order) -> State | None:
        """One worker's update, if it passes; else the worker is out."""
        author, draw = self.authors[rank], self.draws.getrandbits(53)
        try:
            raw = within(self.patience, lambda: receive(rank, most_bytes(TASK, order)))
            update = read_update(raw, order, self.form)
            begun = time.process_time()
            state = check(GROUND, order, self.state, author, update, self.sample, draw)
            self.result.checking += time.process_time() - begun
        except RuntimeError:
            return self._drop(number, rank, "silent or gone")
        except ReceiptError as error:
            return self._drop(number, rank, str(error))
        self.result.accepted.append((number, rank))
        if self.recheck:
            self._again(order, rank, update)
        self.n_timed += 1
        return state

    def _again(self, order: Order, rank: int, update: Update) -> None:
        """Whether an accepted update is consistent in full; and what the work takes, done here once."""
        begun = time.process_time()
        work(GROUND, order, self.state, key_of(rank))
        self.result.training += time.process_time() - begun
        try:
            check(GROUND, order, self.state, self.authors[rank], update, RECIPE.n_intervals, 0)
            self.result.consistent += 1
        except ReceiptError:
            pass

    def _drop(self, number: int, rank: int, why: str) -> None:
        self.result.dropped[rank] = number, why


@torch.no_grad()
def accuracy(state: State) -> float:
    """Share of the samples held back that are told right."""
    model = build(TASK, RECIPE, 0)
    model.load_state_dict(state.weights)
    model.eval()
    held = [TASK.sample(index) for index in range(len(TASK) - N_HELD_BACK, len(TASK))]
    found = model(torch.stack([one["image"] for one in held])).argmax(1)
    return float((found == torch.stack([one["label"] for one in held])).float().mean())


def main() -> int:
    """Train once, print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--bad", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--sample", type=int, default=3)
    args = parser.parse_args()
    kinds = [kind for kind in BEHAVIOURS if kind != "honest"]
    bad = [kinds[i % len(kinds)] for i in range(args.bad)]
    found = train(["honest"] * (args.workers - args.bad) + bad, rounds=args.rounds, sample=args.sample)
    print(json.dumps(asdict(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
