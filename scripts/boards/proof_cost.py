"""What receipts cost, for board `proof`: recording, storage, verification; and how that grows.

Costs are processor time of the whole process, its threads and all, of runs that take turns: others use this machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubdna.proof import Recipe, Recorder, verify
from hubdna.proof.layout import open_receipt
from hubdna.proof.order import batch_indices
from hubdna.proof.replay import set_rate
from hubdna.proof.task import collate
from hubdna.proof.tensors import build, build_optimizer
from proof_honest import BASES, KEY, task, train


def _seconds(run: Callable[[], Any]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def _plain(base: str, recipe: Recipe, claim: Any) -> None:
    """The same training without a receipt: same batches, same steps."""
    what = task(base.split()[0])
    model = build(what, recipe, recipe.seed)
    optimizer = build_optimizer(recipe, model)
    for step in range(recipe.steps):
        set_rate(optimizer, 0.01)
        batch = collate(what, batch_indices(claim, step).tolist(), "cpu")
        optimizer.zero_grad()
        what.loss(model, batch).backward()
        optimizer.step()


def recording(base: str, steps: int, every: int, storage: str = "plain", turns: int = 2) -> dict[str, Any]:
    """What a state costs in steps of training, and what starting and finishing do."""
    recipe = replace(BASES[base], steps=steps, every=every, storage=storage, clip=0.0, schedule="constant",
                     schedule_settings={})  # fmt: skip
    found: dict[str, list[float]] = {"plain": [], "record": [], "start": [], "finish": []}
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as made:
            box: list[Recorder] = []
            what = task(base.split()[0])
            found["start"].append(_seconds(lambda: box.append(Recorder(Path(made) / "r", what, recipe, KEY))))  # noqa: B023
            found["plain"].append(_seconds(lambda: _plain(base, recipe, box[0].claim)))  # noqa: B023
            found["record"].append(_seconds(lambda: train(box[0])))  # noqa: B023
            found["finish"].append(_seconds(box[0].finish))
    least = {name: min(values) for name, values in found.items()}
    states, step = recipe.n_intervals, least["plain"] / steps
    return {
        "every": every, "share": least["record"] / least["plain"] - 1, "start": least["start"] / step,
        "finish": least["finish"] / step, "state": (least["record"] - least["plain"]) / states / step,
    }  # fmt: skip


def stored(base: str, storage: str) -> dict[str, Any]:
    """Bytes of the states of one training, and its last loss."""
    with tempfile.TemporaryDirectory() as made:
        recipe = replace(BASES[base], storage=storage)
        recorder = Recorder(Path(made) / "r", task(base.split()[0]), recipe, KEY)
        train(recorder)
        recorder.step  # noqa: B018 - waits for the disk
        sizes = [p.stat().st_size for p in sorted((Path(made) / "r" / "states").iterdir())]
        last = recorder._bench.batch(0)
        return {"states": len(sizes), "bytes": sum(sizes[1:]), "loss": float(recorder.task.loss(recorder.model, last))}


def verifying(base: str, steps: int, every: int) -> dict[str, Any]:
    """A verification with all defaults, against the training: in steps and in processor time."""
    recipe = replace(BASES[base], steps=steps, every=every, schedule="constant", schedule_settings={}, clip=0.0)
    with tempfile.TemporaryDirectory() as made:
        what = task(base.split()[0])
        recorder = Recorder(Path(made) / "r", what, recipe, KEY)
        training = min(_seconds(lambda: _plain(base, recipe, recorder.claim)) for _ in range(2))
        train(recorder)
        recorder.finish()
        reports: list[Any] = []
        seconds = min(_seconds(lambda: reports.append(verify(Path(made) / "r", what, challenge=3))) for _ in range(2))
        size = sum(p.stat().st_size for p in (Path(made) / "r").rglob("*") if p.is_file())
        bytes_of_chain = (Path(made) / "r" / "chain.jsonl").stat().st_size
        assert open_receipt(Path(made) / "r").finished
    coverage = reports[0].coverage
    return {
        "verdict": reports[0].verdict, "steps": coverage.steps, "replayed": len(coverage.replayed),
        "intervals": coverage.n_intervals, "share": seconds / training, "per_step": seconds / steps,
        "bytes": size, "chain": bytes_of_chain,
    }  # fmt: skip
