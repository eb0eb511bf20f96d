"""Training an interval again: the same order, the same settings, the same seeds, from a stored state.

`train` is the loop that a receipt describes: whatever loop an author wrote must come to the same. At the start of an
interval all generators of torch are seeded anew, from the author's key and the interval's number; so no state of a
generator needs to be stored, and a hostile one never reaches torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hubdna.errors import ReceiptError
from hubdna.proof.claim import Claim, Recipe
from hubdna.proof.layout import Receipt, read, state_name
from hubdna.proof.order import batch_indices, derive
from hubdna.proof.storage import alone, settle, unpack
from hubdna.proof.task import Task, collate
from hubdna.proof.tensors import (
    Form,
    State,
    build,
    build_optimizer,
    capture,
    form_of,
    restore,
    sample_digest,
)

SEEDS = "interval"
"""Purpose of the seeds that every interval begins with."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What it takes to train intervals of one claim again.

    Attributes:
        samples: uint8[n_samples, 32], the digests that the claim commits to; a sample is hashed before its first use.
        seen: indices of the samples that were hashed and found right.
        latest: the state that was read last, by folder and number: the next one may be a difference from it.
    """

    task: Task
    claim: Claim
    samples: NDArray[np.uint8]
    device: str
    form: Form
    rates: Sequence[float]
    seen: set[int] = field(default_factory=set)
    latest: dict[tuple[Path, int], State] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, claim: Claim, samples: NDArray[np.uint8], device: str = "cpu") -> Bench:
        """Raises ReceiptError when task and claim do not belong together."""
        if task.name != claim.task:
            raise ReceiptError(f"task: the receipt is of {claim.task!r}, not of {task.name!r}")
        if len(task) != claim.n_samples:
            raise ReceiptError(f"data: the receipt is of {claim.n_samples} samples, these are {len(task)}")
        return cls(task, claim, samples, device, form_of(task, claim.recipe), rates(claim.recipe))

    def load(self, receipt: Receipt, index: int) -> State:
        """A stored state, checked against the model's form. Raises ReceiptError."""
        recipe, first = self.claim.recipe, index
        while (receipt.folder, first) not in self.latest and recipe.storage != "plain" and not alone(first):
            first -= 1
        state = self.latest.get((receipt.folder, first))
        for i in range(first if state is None else first + 1, index + 1):
            name = state_name(i, recipe.storage)
            state = unpack(read(receipt.folder, name, self.form.n_bytes), state, self.form, recipe, i, name)
        assert state is not None
        self.latest.clear()
        self.latest[receipt.folder, index] = state
        return state

    def train(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, index: int, purpose: str = "order"
    ) -> None:
        """Train interval `index`; another `purpose` takes another order of the data."""
        seed_interval(self.claim, index)
        for step in self.claim.recipe.interval(index):
            batch = self.batch(step, purpose)
            set_rate(optimizer, self.rates[step])
            optimizer.zero_grad()
            self.task.loss(model, batch).backward()  # type: ignore[no-untyped-call]
            if self.claim.recipe.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), self.claim.recipe.clip)
            optimizer.step()

    def batch(self, step: int, purpose: str = "order") -> dict[str, torch.Tensor]:
        """The samples of a step, on the device. Raises ReceiptError when one is not as committed."""
        indices = batch_indices(self.claim, step, purpose)
        for index in set(indices.tolist()) - self.seen:
            self.check_sample(index)
        return collate(self.task, indices.tolist(), self.device)

    def check_sample(self, index: int) -> None:
        """Hash one sample. Raises ReceiptError when it is not the one that the receipt commits to."""
        if sample_digest(self.task.sample(index)) != self.samples[index].tobytes():
            raise ReceiptError(f"data: sample {index} is not the one that the receipt commits to")
        self.seen.add(index)

    def replay(self, start: State, index: int, purpose: str = "order") -> State:
        """The state after interval `index`, trained from `start`, as it would be stored.

        The caller's generators stay as they were.
        """
        with torch.random.fork_rng():
            model = build(self.task, self.claim.recipe, 0, self.device)
            optimizer = build_optimizer(self.claim.recipe, model)
            restore(start, model, optimizer)
            self.train(model, optimizer, index, purpose)
            return settle(capture(model, optimizer), start, self.claim.recipe, index + 1)[1]


def seed_interval(claim: Claim, index: int) -> None:
    """Seed all generators of torch for an interval."""
    torch.manual_seed(derive(claim, SEEDS, index))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of a step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def rates(recipe: Recipe) -> list[float]:
    """The learning rate of every step, from torch's own scheduler. Raises ReceiptError."""
    if recipe.schedule == "constant":
        return [float(recipe.settings["lr"])] * recipe.steps
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.settings["lr"])
    try:
        kind: Any = getattr(torch.optim.lr_scheduler, recipe.schedule)
        schedule = kind(optimizer, **recipe.schedule_settings)
        found = []
        for _ in range(recipe.steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ReceiptError(f"recipe: {recipe.schedule}: {str(error)[:120]}") from None
    if not all(0 <= rate < math.inf for rate in found):
        raise ReceiptError(f"recipe: {recipe.schedule} gives learning rates below 0 or beyond all numbers")
    return found
