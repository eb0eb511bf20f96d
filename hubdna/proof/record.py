"""Recording: a receipt is written while a plain PyTorch loop trains.

    recorder = Recorder("receipt", task, recipe, key)
    for batch in recorder.batches():
        recorder.optimizer.zero_grad()
        task.loss(recorder.model, batch).backward()
        recorder.optimizer.step()
    recorder.finish()

The recorder builds model and optimiser from the recipe, sets the learning rate of each step, and says which samples are
next. After every interval it hands a copy of the state to a thread of its own, which writes the state (temporary file,
fsync, rename) and then a link of the chain (a line, fsync). A training that was killed goes on with the same lines:
what the chain does not hold yet is trained again.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hubdna.errors import ReceiptError
from hubdna.proof.calibrate import N_CALIBRATED, Calibration, calibrate, too_noisy
from hubdna.proof.chain import Chain
from hubdna.proof.claim import Claim, Recipe
from hubdna.proof.keys import public_of, sign
from hubdna.proof.layout import (
    CALIBRATION,
    CHAIN,
    CLAIM,
    SAMPLES,
    SIGNATURE,
    STATES,
    check_states,
    open_receipt,
    read_claim,
    root_of,
    state_name,
    write,
)
from hubdna.proof.order import derive
from hubdna.proof.replay import Bench, seed_interval, set_rate
from hubdna.proof.start import initial, missing, read_weights
from hubdna.proof.storage import KEYFRAME
from hubdna.proof.task import Task
from hubdna.proof.tensors import (
    State,
    build,
    build_optimizer,
    capture,
    restore,
    sample_digests,
    weights_root,
)
from hubdna.records import ReceiptParent
from hubdna.roots import canonical, merkle_root

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from hubdna.proof.task import Batch


class Recorder:
    """Writes one receipt, or goes on with it.

    Attributes:
        model: the recipe's, with its weights where the training stands; in training mode.
        optimizer: the recipe's, likewise.
        claim: all that is fixed before the first step.
        task, device: as given.
        step: training steps that are done; stored ones only, after a crash.
    """

    def __init__(
        self,
        folder: Path | str,
        task: Task,
        recipe: Recipe,
        key: Ed25519PrivateKey,
        *,
        parent: tuple[str, Path | str] | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ) -> None:
        """Start a receipt, or find the place where it stopped.

        Args:
            folder: new, empty, or of this same training.
            task: model, data and loss.
            recipe: how the training goes.
            key: the author's.
            parent: name of the model to start from, and its .safetensors file or folder.
            revision: of the parent, on the Hub.
            device: where to train.

        Raises:
            ReceiptError: the folder holds something else, or a finished receipt.
        """
        self.folder, self.key, self.task, self.device = Path(folder), key, task, device
        samples = sample_digests(task)
        data = merkle_root([row.tobytes() for row in samples]).hex()
        weights = read_weights(parent[1]) if parent else None
        origin = ReceiptParent(parent[0], revision, weights_root(weights)) if parent and weights is not None else None
        claim = Claim(public_of(key), task.name, recipe, len(task), data, origin)
        if weights is not None:
            fresh = missing(initial(task, claim, None), weights)
            claim = Claim(public_of(key), task.name, recipe, len(task), data, origin, fresh)
        self.claim = claim
        self._bench = Bench.of(task, claim, samples, device)
        self._bench.seen.update(range(len(task)))  # they were hashed just now
        self.model = build(task, recipe, recipe.seed, device)
        self.optimizer = build_optimizer(recipe, self.model)
        if (self.folder / CLAIM).exists():
            self._resume()
        else:
            self._start(State(initial(task, claim, weights), {}, self._bench.form.buffers))

    @property
    def step(self) -> int:
        """Stored training steps; waits until all is on the disk."""
        return self._chain.links()[-1].step

    def batches(self) -> Iterator[Batch]:
        """The batches that are still to be trained on; a state is stored when an interval is complete.

        Train exactly one optimiser step on each. Whoever leaves early can make a new Recorder and go on.
        """
        try:
            for step in range(self.step, self.claim.recipe.steps):
                self.before(step)
                yield self._bench.batch(step)
                self.after(step)
        finally:
            self._chain.links()

    def before(self, step: int) -> None:
        """What a loop that draws its batches elsewhere must call before it trains a step (from 0)."""
        if step % self.claim.recipe.every == 0:
            seed_interval(self.claim, step // self.claim.recipe.every)
        set_rate(self.optimizer, self._bench.rates[step])

    def after(self, step: int) -> None:
        """Likewise after the step: the state is stored when an interval is complete."""
        if (step + 1) % self.claim.recipe.every == 0 or step + 1 == self.claim.recipe.steps:
            state = capture(self.model, self.optimizer)
            stored = self._chain.add(state, environment(self.device))
            if stored is not state:
                restore(stored, self.model, self.optimizer)

    def finish(self) -> Calibration:
        """Calibrate and sign.

        Returns:
            For each metric the noise of repetitions and the reference.

        Raises:
            ReceiptError: steps are missing, or repetitions lie too far apart: a loop that does something else than
                the recipe says shows here, as noise.
        """
        if self.step != self.claim.recipe.steps:
            raise ReceiptError(f"{self.folder}: {self.step} of {self.claim.recipe.steps} steps are stored: train on")
        receipt = open_receipt(self.folder)
        chosen = {derive(self.claim, "calibration", i) % self.claim.recipe.n_intervals for i in range(N_CALIBRATED)}
        found = calibrate(self._bench, receipt, sorted(chosen))
        if noisy := too_noisy(found):
            raise ReceiptError(
                f"{self.folder}: not signed, since nobody could check it: an interval trained again ends elsewhere "
                f"({', '.join(noisy)}). Does the loop do what the recipe says, one step a batch? Is the device "
                "reproducible (torch.use_deterministic_algorithms)?"
            )
        raw = canonical(found)
        root = root_of(self.claim, receipt.links[-1].digest(), raw)
        write(self.folder, CALIBRATION, raw)
        write(self.folder, SIGNATURE, canonical({"root": root.hex(), "signature": sign(self.key, root)}))
        return found

    def _start(self, state: State) -> None:
        (self.folder / STATES).mkdir(parents=True, exist_ok=True)
        begun = {STATES, SAMPLES, CHAIN, f"{SAMPLES}.tmp", f"{CLAIM}.tmp"}  # all that a crash in here can leave
        if strangers := {p.name for p in self.folder.iterdir()} - begun:
            raise ReceiptError(f"{self.folder}: expected a new folder, found {sorted(strangers)[0]!r} in it")
        first = Path(state_name(0, self.claim.recipe.storage)).name
        if strangers := {p.name for p in (self.folder / STATES).iterdir()} - {first, f"{first}.tmp"}:
            raise ReceiptError(f"{self.folder}/{STATES}: expected no states, found {sorted(strangers)[0]!r} in it")
        (self.folder / CHAIN).unlink(missing_ok=True)
        write(self.folder, SAMPLES, self._bench.samples.tobytes())
        restore(state, self.model, self.optimizer)
        self._chain = Chain(self.folder, self._bench)
        self._chain.add(state, environment(self.device))
        self._chain.links()
        write(self.folder, CLAIM, canonical(self.claim.to_json()))  # last: from here on it can be resumed

    def _resume(self) -> None:
        if read_claim(self.folder) != self.claim:
            raise ReceiptError(f"{self.folder}: holds the receipt of another training (recipe, data, start or author)")
        _mend(self.folder, self.claim)
        receipt = open_receipt(self.folder)
        if receipt.finished:
            raise ReceiptError(f"{self.folder}: this receipt is finished")
        check_states(receipt, receipt.links[-KEYFRAME:])
        last = self._bench.load(receipt, receipt.links[-1].index)
        self._chain = Chain(self.folder, self._bench, receipt.links, last)
        restore(last, self.model, self.optimizer)


def environment(device: str) -> dict[str, str]:
    """What can change the last bits of a training: versions, threads, device. No names of people or machines."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "device": name, "threads": str(torch.get_num_threads()), "system": platform.system(),
    }  # fmt: skip


def _mend(folder: Path, claim: Claim) -> None:
    """Undo what a crash left half done: a cut line, a state without its link, temporary files."""
    chain = (folder / CHAIN).read_bytes()
    whole = chain[: chain.rfind(b"\n") + 1]
    if whole != chain:
        write(folder, CHAIN, whole)
    known = {Path(state_name(index, claim.recipe.storage)).name for index in range(whole.count(b"\n"))}
    for place in [*folder.glob("*.tmp"), *(folder / STATES).iterdir()]:
        if place.name not in known:
            place.unlink()
