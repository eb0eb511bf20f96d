"""The part of a verification that needs the verifier's own model class and data, and torch.

One interval passes when the replay of its stored start ends near its stored end: nearer than the line of
`hubdna.proof.calibrate`, for weights (four metrics) and optimiser state, and equal in everything that counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import torch

from hubdna.errors import ReceiptError, UsageError
from hubdna.proof.calibrate import (
    MARGIN,
    MIN_MOVED,
    N_CALIBRATED,
    Calibration,
    calibrate,
    lines,
    stricter,
    threads,
    too_noisy,
)
from hubdna.proof.choice import SHARES, detection, draw, largest, most_unusual
from hubdna.proof.examples import EXAMPLES, example
from hubdna.proof.layout import Link, Receipt
from hubdna.proof.order import epoch_of
from hubdna.proof.replay import Bench
from hubdna.proof.start import check_start, read_weights
from hubdna.proof.tensors import METRICS, OF_WEIGHTS, State, counters_equal, distances, norm, weights_root
from hubdna.proof.verification import Request
from hubdna.records import Coverage, ReceiptCheck

MIN_RATE = 1e-7
"""The median learning rate must not be below. Trainings of today use 1e-6 and more."""
MOVED_TOLERANCE = 1e-6
"""Relative: how far a claimed update norm may be from that of the stored states."""
MAX_THREADS = 256
"""That a receipt can ask for."""
N_ORDERS = 4
"""Intervals that may be trained in another order, until one ends elsewhere."""
N_SAMPLES_CHECKED = 256
"""Samples that are hashed in any case, spread over the data; the replays hash all that they use besides."""


def rerun(receipt: Receipt, request: Request) -> tuple[list[ReceiptCheck], Coverage | None]:
    """All checks that need a task. Raises UsageError when the request itself makes no sense."""
    drawn = draw(receipt.claim.recipe.n_intervals, request.budget, request.challenge)
    parent, model = (read_weights(path) if path else None for path in (request.parent, request.model))
    if request.task is None and receipt.claim.task not in EXAMPLES:
        says = f"task {receipt.claim.task!r} is none of hubdna's: hand model class and data to hubdna.proof.verify"
        return [ReceiptCheck("task", "not-checkable", says)], None
    task = request.task or example(receipt.claim.task)
    try:
        bench = Bench.of(task, receipt.claim, receipt.samples, _device(request.device))
        checks = [ReceiptCheck("task", "passed", f"model, data and recipe of {task.name} at hand")]
    except ReceiptError as error:
        return [ReceiptCheck("task", "failed", str(error))], None
    work = _Work(receipt, request, bench)
    checks += [
        _said("floors", work.floors),
        work.start(parent),
        _said("data", work.data),
    ]
    checks.append(_said("result", lambda: work.result(model)))
    if any(check.outcome == "failed" for check in checks):
        return checks, None  # no training on what is refuted already
    return work.replays(checks, drawn)


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    return "cuda" if torch.cuda.is_available() else "cpu"


def _said(name: str, look: Callable[[], str]) -> ReceiptCheck:
    """Run one check: what it returns are the words of a pass, what it raises those of a failure."""
    try:
        return ReceiptCheck(name, "passed", look())
    except ReceiptError as error:
        return ReceiptCheck(name, "failed", str(error))


@dataclass(slots=True)
class _Work:
    """One verification under way."""

    receipt: Receipt
    request: Request
    bench: Bench
    worst: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))

    def floors(self) -> str:
        """A training that hardly moves can go anywhere unseen. Raises ReceiptError."""
        rate = statistics.median(self.bench.rates)
        if rate < MIN_RATE:
            raise ReceiptError(f"the median learning rate is {rate:.1e}, at least {MIN_RATE:.0e} is asked for")
        size = norm(self.bench.load(self.receipt, 0).weights)
        for link in self.receipt.links[1:]:
            if link.moved < MIN_MOVED * size:
                raise ReceiptError(
                    f"interval {link.index - 1} moves the weights by {link.moved / max(size, 1e-300):.1e} of their "
                    f"norm, at least {MIN_MOVED:.0e} is asked for"
                )
        least = min(link.moved for link in self.receipt.links[1:])
        return f"median learning rate {rate:.1e}, smallest update {least / max(size, 1e-300):.1e} of the weights' norm"

    def start(self, parent: Mapping[str, torch.Tensor] | None) -> ReceiptCheck:
        """The first state against its claim."""
        named = self.receipt.claim.parent
        if named and parent is None:
            says = f"the receipt starts from {named.repo_id}: give its weights (parent)"
            return ReceiptCheck("start", "not-checkable", says)
        if parent is not None and not named:
            return ReceiptCheck("start", "failed", "a parent was given, the receipt claims to start from a seed")
        try:
            return self._start(parent)
        except ReceiptError as error:
            return ReceiptCheck("start", "failed", str(error))

    def _start(self, parent: Mapping[str, torch.Tensor] | None) -> ReceiptCheck:
        first = self.bench.load(self.receipt, 0)
        if first.optimizer:
            raise ReceiptError("start: the optimiser is not fresh")
        if weights_root(first.weights) != self.receipt.links[0].weights:
            raise ReceiptError("start: the weights' root is not the chain's")
        return check_start(self.bench, first.weights, parent)

    def data(self) -> str:
        """Samples at hand against those committed to. Raises ReceiptError."""
        n = len(self.bench.task)
        for index in range(0, n, -(-n // N_SAMPLES_CHECKED)):
            self.bench.check_sample(index)
        return f"{len(self.bench.seen)} of {n} samples hashed and as committed to; replays hash those they use"

    def result(self, model: Mapping[str, torch.Tensor] | None) -> str:
        """The last state against its root, and against a published model. Raises ReceiptError."""
        last = self.receipt.links[-1]
        weights = self.bench.load(self.receipt, last.index).weights
        if weights_root(weights) != last.weights:
            raise ReceiptError("result: the last state's weights have another root than its link says")
        if model is None:
            return f"the last state's weights have the root {last.weights}"
        if model.keys() != weights.keys() or any(model[n].shape != weights[n].shape for n in model):
            raise ReceiptError("the model at hand has other tensors than the receipt's last state")
        if different := [n for n in sorted(model) if not torch.equal(weights[n].to(model[n].dtype), model[n])]:
            raise ReceiptError(f"the model at hand is not the receipt's last state: {different[0][:80]} differs")
        cast = any(model[n].dtype != weights[n].dtype for n in model)
        return "the model at hand is the receipt's last state" + (", cast to its type" if cast else ", bit for bit")

    def replays(self, checks: list[ReceiptCheck], drawn: list[int]) -> tuple[list[ReceiptCheck], Coverage | None]:
        """Train intervals again."""
        recipe = self.receipt.claim.recipe
        try:
            chosen = sorted({*drawn, *self._largest(len(drawn))})
            found = self._calibration(drawn)
            if noisy := too_noisy(found):
                says = f"repetitions lie too far apart to judge ({', '.join(noisy)}): the line has no room"
                return [*checks, ReceiptCheck("calibration", "not-checkable", says)], None
            checks.append(ReceiptCheck("calibration", "passed", self._room(found)))
            for n, shares in enumerate(self._intervals(chosen, found), 1):
                self.worst = {m: max(share, self.worst[m]) for m, share in shares.items()}
                if self.request.progress:
                    self.request.progress(n, len(chosen))
            author = self._author([*drawn, *chosen][:N_ORDERS], found)
        except ReceiptError as error:
            return [*checks, ReceiptCheck("replay", "failed", str(error))], None
        worst = max(self.worst.values())
        if worst > 1:
            says = f"an interval ends {worst:.2g} lines away, and does not repeat itself here either: no judgement"
            return [*checks, ReceiptCheck("replay", "not-checkable", says)], None
        says = f"{len(chosen)} of {recipe.n_intervals} intervals end where they should, within {worst:.1%} of the line"
        n_steps = sum(len(recipe.interval(i)) for i in chosen)
        odds = tuple((share, detection(recipe.n_intervals, len(drawn), share)) for share in SHARES)
        coverage = Coverage(
            tuple(chosen), len(drawn), recipe.n_intervals, n_steps / recipe.steps, odds, self.request.challenge
        )
        return [*checks, ReceiptCheck("replay", "passed", says), author], coverage

    def _author(self, indices: list[int], found: Calibration) -> ReceiptCheck:
        """Whether the order of the data, which follows from the author's key, shows in any of these intervals."""
        for index in indices:
            start, end = self.bench.load(self.receipt, index), self.bench.load(self.receipt, index + 1)
            other = distances(self.bench.replay(start, index, "reference"), end)
            allowed = lines(found, distances(start, end))
            if any(not other[m] <= allowed[m] for m in METRICS):
                says = "the states follow from the order of the data that the author's key gives, and from no other"
                return ReceiptCheck("author", "passed", says)
        says = "the order of the data hardly shows in the states: anybody could have signed this receipt"
        return ReceiptCheck("author", "not-checkable", says)

    def _largest(self, n_drawn: int) -> Iterable[int]:
        """Intervals that are chosen for the size of their update."""
        q = self.request.top_q
        if q is not None and q <= 0:
            return ()
        claim, moved = self.receipt.claim, []
        before = self.bench.load(self.receipt, 0)
        for index in range(claim.recipe.n_intervals):
            after = self.bench.load(self.receipt, index + 1)
            apart = distances(before, after)
            moved.append({metric: apart[metric] for metric in OF_WEIGHTS})
            before = after
        epochs = [epoch_of(claim, claim.recipe.interval(i).start) for i in range(claim.recipe.n_intervals)]
        found = largest(moved, epochs, 1 if q is None else q)
        return most_unusual(found, moved, epochs, max(1, n_drawn // 2)) if q is None else found

    def _calibration(self, drawn: list[int]) -> Calibration:
        shipped = self.receipt.calibration
        if shipped.keys() != set(METRICS):
            raise ReceiptError(f"calibration.json: expected {', '.join(METRICS)}")
        if not self.request.recalibrate:
            return shipped
        return stricter(shipped, calibrate(self.bench, self.receipt, drawn[:N_CALIBRATED]))

    def _room(self, found: Calibration) -> str:
        ratios = [found[m]["noise"] / found[m]["reference"] for m in METRICS if found[m]["reference"]]
        by = "the author's figures and ours" if self.request.recalibrate else "the author's figures"
        return f"repetitions differ by at most {max(ratios, default=0.0):.1e} of what another order of data does ({by})"

    def _intervals(self, chosen: Sequence[int], found: Calibration) -> Iterator[dict[str, float]]:
        """All of them, side by side when that is asked for. Raises what the first wrong one does."""
        n = min(self.request.workers, len(chosen))
        if n == 1:
            yield from (self._interval(index, found) for index in chosen)
            return
        alike = replace(self.request, task=self.bench.task, device=self.bench.device, progress=None)
        start = (self.receipt, alike, found, max(1, torch.get_num_threads() // n))
        pool = ProcessPoolExecutor(n, get_context("spawn"), _begin, start)  # forks of a process with threads may hang
        try:
            yield from pool.map(_judge, chosen)
        except BrokenProcessPool:
            raise UsageError("workers: they end at once; a script that starts them has its code under a main guard, "
                             "and a task that they can import") from None  # fmt: skip
        finally:
            pool.shutdown(cancel_futures=True)

    def _interval(self, index: int, found: Calibration) -> dict[str, float]:
        """One interval: its distances by the line, above 1 where it cannot be told, since it does not repeat itself.

        Raises:
            ReceiptError: it does not end where it should.
        """
        start, end = self.bench.load(self.receipt, index), self.bench.load(self.receipt, index + 1)
        moved, link = distances(start, end), self.receipt.links[index + 1]
        if abs(moved["l2"] - link.moved) > MOVED_TOLERANCE * link.moved or weights_root(end.weights) != link.weights:
            raise ReceiptError(f"interval {index}: its link says another update or other weights than its state holds")
        n = _recorded_threads(self.receipt.links[: index + 2])
        with threads(n):
            again = self.bench.replay(start, index)
        allowed, apart = lines(found, moved), distances(again, end)
        if not counters_equal(again, end):
            raise ReceiptError(f"interval {index}: counters (steps, integer buffers) are not those of a repetition")
        for metric in METRICS:
            if not apart[metric] <= allowed[metric] and self._steady(index, start, again, n, allowed):
                raise ReceiptError(
                    f"interval {index}: trained again it ends elsewhere: {metric} distance {apart[metric]:.2g}, "
                    f"at most {allowed[metric]:.2g} passes; it moved by {moved[metric]:.2g}"
                )
        return {m: apart[m] / allowed[m] if apart[m] else 0.0 for m in METRICS}

    def _steady(self, index: int, start: State, again: State, n: int, allowed: Mapping[str, float]) -> bool:
        """Whether this interval repeats itself here, so that ending elsewhere says something.

        With another number of threads it has to end ten times nearer to itself than the line.
        """
        with threads(1 if n > 1 else 2):
            own = distances(self.bench.replay(start, index), again)
        return all(own[metric] * MARGIN <= allowed[metric] for metric in METRICS)


def _recorded_threads(links: Sequence[Link]) -> int:
    """By how many threads the last of these links was made: links say so where it changed.

    Sums are added in another order by another number of threads; the first steps of some nets end elsewhere for that.
    """
    said = next((link.environment.get("threads", "") for link in reversed(links) if link.environment), "")
    return min(int(said), MAX_THREADS) if said.isdecimal() and int(said) else torch.get_num_threads()


_here: list[tuple[_Work, Calibration]] = []
"""What a worker process works on."""


def _begin(receipt: Receipt, request: Request, found: Calibration, threads: int) -> None:
    torch.set_num_threads(threads)
    assert request.task is not None
    bench = Bench.of(request.task, receipt.claim, receipt.samples, request.device)
    _here[:] = [(_Work(receipt, request, bench), found)]


def _judge(index: int) -> dict[str, float]:
    work, found = _here[0]
    return work._interval(index, found)
