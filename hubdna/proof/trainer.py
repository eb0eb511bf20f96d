"""A receipt of a training by transformers' own `Trainer`, as it is.

    recorder = Recorder("receipt", task, recipe, key)
    callback = ReceiptCallback(recorder)
    trainer = Trainer(
        model=recorder.model,
        args=TrainingArguments("out", **callback.arguments()),
        train_dataset=callback.dataset(),
        optimizers=callback.optimizers(),
        callbacks=[callback],
    )
    trainer.train()
    recorder.finish()

The data come as a stream in the order of the author's key (a Trainer shuffles what can be indexed, and no stream), the
optimiser and the rates are the recipe's, and clipping, accumulation and mixed precision are as the recipe says or off.
Trainer's own checkpoints are not needed: the same lines after a crash go on at the last stored state. The task's loss
must be what Trainer computes, `model(**batch).loss`; a training that does something else is not signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from hubdna.errors import ReceiptError
from hubdna.proof.order import batch_indices
from hubdna.proof.replay import rates

if TYPE_CHECKING:
    from hubdna.proof.record import Recorder
    from hubdna.proof.task import Batch


class ReceiptCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Stores states while a Trainer trains, and sees to it that the Trainer trains what the recipe says."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._begin = recorder.step
        recorder.model.accepts_loss_kwargs = False  # type: ignore[assignment]  # else Trainer divides by tokens itself

    def arguments(self) -> dict[str, Any]:
        """For `TrainingArguments`: what must be so; add what you like besides (`logging_steps`, ...)."""
        recipe = self.recorder.claim.recipe
        return {
            "max_steps": recipe.steps - self._begin,
            "per_device_train_batch_size": recipe.batch,
            "gradient_accumulation_steps": 1,
            "max_grad_norm": recipe.clip,
            "learning_rate": recipe.settings["lr"],
            "save_strategy": "no",
            "remove_unused_columns": False,
            "dataloader_num_workers": 0,
            "fp16": False,
            "bf16": False,
            "report_to": "none",
            "use_cpu": self.recorder.device == "cpu",
        }

    def dataset(self) -> torch.utils.data.IterableDataset[Batch]:
        """The samples of all steps that are left, one by one."""
        return _Stream(self.recorder, self._begin)

    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """The recipe's optimiser, and a schedule that gives its rates."""
        recipe, begin = self.recorder.claim.recipe, self._begin
        found = rates(recipe)
        relative = [rate / found[0] if found[0] else 0.0 for rate in [*found[begin:], found[-1]]]
        optimizer = self.recorder.optimizer
        return optimizer, torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: relative[min(step, len(relative) - 1)]
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Refuse what the recipe does not say. Raises ReceiptError."""
        wanted = {n: v for n, v in self.arguments().items() if n not in _FREE}
        wanted |= {"world_size": 1, "label_smoothing_factor": 0.0, "neftune_noise_alpha": None}
        if args.n_gpu > 1:
            raise ReceiptError(
                f"Trainer: a receipt is of one device, this one takes {args.n_gpu} (CUDA_VISIBLE_DEVICES)"
            )
        for name, value in wanted.items():
            if getattr(args, name) != value:
                raise ReceiptError(f"Trainer: {name}: expected {value}, found {getattr(args, name)}")

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Rate and seeds of the step."""
        self.recorder.before(self._begin + state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The state, when an interval is complete (`global_step` counts this step already)."""
        self.recorder.after(self._begin + state.global_step - 1)


_FREE = frozenset({"learning_rate", "report_to", "save_strategy", "use_cpu", "dataloader_num_workers"})
"""Arguments that change nothing of the training."""


class _Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __init__(self, recorder: Recorder, begin: int) -> None:
        self._recorder, self._begin = recorder, begin

    def __iter__(self) -> Iterator[Batch]:
        claim, task = self._recorder.claim, self._recorder.task
        for step in range(self._begin, claim.recipe.steps):
            for index in batch_indices(claim, step).tolist():
                yield dict(task.sample(index))
