"""Honest trainings of board `proof`: what is recorded, and how each receipt is judged."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save_file

from hubdna.proof import ReceiptCallback, Recipe, Recorder, open_receipt, verify
from hubdna.proof.calibrate import calibrate
from hubdna.proof.tensors import METRICS
from proof_tasks import task

KEY = Ed25519PrivateKey.from_private_bytes(b"the author of all honest trainin")
SGD, ADAMW = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}, {"lr": 0.003, "weight_decay": 0.01}
PLAIN = Recipe(60, 15, 64, "SGD", SGD, "CosineAnnealingLR", {"T_max": 60})
WARM = {"start_factor": 0.1, "end_factor": 1.0, "total_iters": 12}
BASES = {
    "mlp sgd": replace(PLAIN, config={"width": 32}),
    "mlp adamw": replace(PLAIN, optimizer="AdamW", settings=ADAMW, config={"width": 32}),
    "cnn sgd": replace(PLAIN, config={"width": 8}),
    "cnn adamw": Recipe(60, 15, 64, "AdamW", ADAMW, config={"width": 8}),
    "gpt2 adamw": Recipe(24, 6, 16, "AdamW", ADAMW, "LinearLR", WARM, config={"kind": "gpt2", "width": 32}, clip=1.0),
    "llama adamw": Recipe(24, 6, 16, "AdamW", ADAMW, config={"kind": "llama", "width": 32}, clip=1.0),
    "resnet20 sgd": Recipe(16, 4, 16, "SGD", SGD | {"lr": 0.05}),
}


@dataclass(frozen=True, slots=True)
class Honest:
    """One training: `base` of `BASES` with `change`s; how its loop runs, and with how many threads it is checked."""

    base: str
    change: tuple[tuple[str, Any], ...] = ()
    loop: str = "plain"
    threads: tuple[int, int] = (1, 1)
    killed: int = 0
    half: bool = False
    parent: str = ""

    @property
    def name(self) -> str:
        """Key of its row."""
        words = [self.base + ("+bf16" if self.half else ""), *(f"{k}={v}" for k, v in self.change)]
        words += [self.loop] * (self.loop != "plain") + [f"threads={self.threads[0]}/{self.threads[1]}"]
        words += [f"killed={self.killed}"] * bool(self.killed) + [self.parent] * bool(self.parent)
        return ", ".join(words)

    @property
    def task(self) -> Any:
        """Model and data."""
        return task(self.base.split()[0] + ("+bf16" if self.half else ""))

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return replace(BASES[self.base], **dict(self.change))


def honest() -> list[Honest]:
    """All of them."""
    rows = [Honest(b, (("every", k),)) for b in ("mlp sgd", "mlp adamw", "cnn sgd", "cnn adamw") for k in (5, 15, 30)]
    rows += [Honest(b, (("storage", s),)) for b in ("mlp adamw", "cnn sgd", "cnn adamw") for s in ("zstd", "bf16")]
    rows += [Honest("mlp sgd", killed=37), Honest("cnn adamw", (("storage", "bf16"),), killed=52)]
    rows += [Honest(b, threads=t) for b in ("mlp sgd", "cnn adamw") for t in ((2, 1), (1, 2))]
    rows += [
        Honest("cnn sgd", half=True),
        Honest("cnn adamw", half=True),
        Honest("mlp adamw", half=True, threads=(2, 1)),
    ]
    step = (("schedule", "StepLR"), ("schedule_settings", {"step_size": 20, "gamma": 0.2}))
    rows += [
        Honest("mlp sgd", (("settings", {**SGD, "nesterov": True}), *step)),
        Honest("cnn adamw", (("optimizer", "Adam"), ("settings", {"lr": 0.003}))),
        Honest("mlp sgd", (("clip", 0.5),)),
        Honest("mlp sgd", (("settings", {"lr": 0.05}),)),
        Honest("mlp sgd", parent="from a parent"), Honest("mlp adamw", parent="a new head"),
        Honest("gpt2 adamw", loop="Trainer"), Honest("llama adamw", loop="Trainer"),
        Honest("gpt2 adamw", (("storage", "bf16"),), "Trainer", killed=15), Honest("llama adamw", loop="accelerate"),
        Honest("gpt2 adamw", loop="Trainer", threads=(2, 1)),
        Honest("resnet20 sgd"), Honest("resnet20 sgd", (("every", 2), ("storage", "bf16")), threads=(2, 1)),
    ]  # fmt: skip
    return rows


def train(recorder: Recorder, loop: str = "plain", stop: int = 0) -> None:
    """Train what is left, or to before step `stop`, as a killed process does."""
    if loop == "Trainer":
        return _trainer(recorder, stop)
    model, optimizer, backward = recorder.model, recorder.optimizer, torch.Tensor.backward
    if loop == "accelerate":
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=True)
        model, optimizer = accelerator.prepare(model, optimizer)
        backward = accelerator.backward
    for done, batch in enumerate(recorder.batches(), recorder.step):
        if stop and done == stop:
            return None
        optimizer.zero_grad()
        backward(recorder.task.loss(model, batch))
        if recorder.claim.recipe.clip:
            torch.nn.utils.clip_grad_norm_(recorder.model.parameters(), recorder.claim.recipe.clip)
        optimizer.step()
    return None


def _trainer(recorder: Recorder, stop: int) -> None:
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == stop:
                control.should_training_stop = True

    logging.getLogger("transformers").setLevel(logging.ERROR)
    callback = ReceiptCallback(recorder)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=recorder.model,
            args=TrainingArguments(folder, disable_tqdm=True, logging_strategy="no", **callback.arguments()),
            train_dataset=callback.dataset(),
            optimizers=callback.optimizers(),
            callbacks=[callback, Stop()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def record(folder: Path, case: Honest) -> dict[str, Any]:
    """Record one training to its end; the options that `verify` needs."""
    options: dict[str, Any] = {}
    torch.set_num_threads(case.threads[0])
    if case.parent:
        mother = Recorder(folder / "mother", case.task, replace(case.recipe, steps=15, seed=5), KEY)
        train(mother)
        weights = {n: t.detach().clone() for n, t in mother.model.state_dict().items()}
        if case.parent == "a new head":
            weights = {n: t for n, t in weights.items() if not n.startswith("3.")}
        save_file(weights, folder / "parent.safetensors")
        options["parent"] = ("board/mother", folder / "parent.safetensors")
    if case.killed:
        train(Recorder(folder / "receipt", case.task, case.recipe, KEY, **options), case.loop, case.killed)
    recorder = Recorder(folder / "receipt", case.task, case.recipe, KEY, **options)
    train(recorder, case.loop)
    recorder.finish()
    return {"parent": folder / "parent.safetensors"} if case.parent else {}


def judge(case: Honest) -> dict[str, Any]:
    """A row: the verdict at a budget of all intervals, with noise and reference measured by the verifier, too."""
    try:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            options = record(folder, case)
            torch.set_num_threads(case.threads[1])
            report = verify(folder / "receipt", case.task, budget=1.0, recalibrate=True, challenge=7, **options)
            found = open_receipt(folder / "receipt").calibration
    finally:
        torch.set_num_threads(1)
    says = next((c.says for c in report.checks if c.outcome != "passed"), report.checks[-2].says)
    return {"verdict": report.verdict, "says": says, "calibration": found}


def sweep(base: str, k: int, n: int = 4) -> dict[str, Any]:
    """Noise by reference of one training, stored every `k` steps: the worst of `n` intervals, spread over it."""
    case = Honest(base, (("every", k),))
    with tempfile.TemporaryDirectory() as made:
        recorder = Recorder(Path(made) / "receipt", case.task, case.recipe, KEY)
        train(recorder)
        receipt = open_receipt(Path(made) / "receipt")
        last = case.recipe.n_intervals - 1
        chosen = sorted({round(i * last / (n - 1)) for i in range(n)})
        found = calibrate(recorder._bench, receipt, chosen)
    return {"k": k, **{m: [found[m]["noise"], found[m]["reference"]] for m in METRICS}}


os.environ.setdefault("HF_HUB_OFFLINE", "1")
