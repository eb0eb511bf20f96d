"""Receipts of trainings by transformers' Trainer as it is, and by accelerate's loop, on real text."""

from pathlib import Path

import proof_bench as bench
import pytest
import torch
from proof_text import Text
from transformers import Trainer, TrainingArguments

from hubdna.errors import ReceiptError
from hubdna.proof import ReceiptCallback, Recipe, Recorder, open_receipt, verify

ADAMW = Recipe(
    12, 4, 8, "AdamW", {"lr": 3e-3, "weight_decay": 0.1}, "LinearLR",
    {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 12}, config={"kind": "gpt2", "width": 16}, clip=1.0,
)  # fmt: skip


def trainer(folder: Path, recorder: Recorder, **options: object) -> Trainer:
    callback = ReceiptCallback(recorder)
    arguments = TrainingArguments(
        str(folder / "out"), **({"disable_tqdm": True, "logging_steps": 1} | callback.arguments() | options)
    )
    return Trainer(
        model=recorder.model,
        args=arguments,
        train_dataset=callback.dataset(),
        optimizers=callback.optimizers(),
        callbacks=[callback],
    )


@pytest.fixture(scope="module")
def trained(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer]:
    folder = tmp_path_factory.mktemp("trainer")
    recorder = Recorder(folder / "receipt", Text(), ADAMW, bench.KEY)
    made = trainer(folder, recorder)
    made.train()
    recorder.finish()
    return folder / "receipt", made


def test_a_trainer_with_dropout_clipping_and_a_schedule_is_consistent(trained) -> None:
    folder, made = trained
    report = verify(folder, Text(), budget=1.0, recalibrate=True)
    assert report.verdict == "consistent", report
    assert report.coverage.replayed == (0, 1, 2)
    last = bench.states_of(open_receipt(folder), Text())[-1].weights
    assert all(torch.equal(t, last[n]) for n, t in made.model.state_dict().items()), "the Trainer's model is the result"


def test_the_trainer_logs_the_rates_of_the_recipe(trained) -> None:
    logged = [row["learning_rate"] for row in trained[1].state.log_history if "learning_rate" in row]
    assert logged == pytest.approx([3e-3 * (1 - 0.9 * step / 12) for step in range(12)])


def test_the_plain_loop_is_the_same_training_bit_for_bit(trained, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "receipt", Text(), ADAMW, bench.KEY)
    for batch in recorder.batches():
        recorder.optimizer.zero_grad()
        recorder.task.loss(recorder.model, batch).backward()
        torch.nn.utils.clip_grad_norm_(recorder.model.parameters(), 1.0)
        recorder.optimizer.step()
    mine, theirs = open_receipt(tmp_path / "receipt"), open_receipt(trained[0])
    assert [link.weights for link in mine.links] == [link.weights for link in theirs.links]


def test_a_trainer_that_was_killed_goes_on(trained, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    recorder = Recorder(tmp_path / "receipt", Text(), ADAMW, bench.KEY)
    made = trainer(tmp_path, recorder)
    step = recorder.after
    recorder.after = lambda n: step(n) if n < 5 else (_ for _ in ()).throw(KilledError)
    with pytest.raises(KilledError):
        made.train()
    again = Recorder(tmp_path / "receipt", Text(), ADAMW, bench.KEY)
    assert again.step == 4
    trainer(tmp_path, again).train()
    again.finish()
    assert open_receipt(tmp_path / "receipt").links == open_receipt(trained[0]).links


@pytest.mark.parametrize(
    "option",
    [
        {"gradient_accumulation_steps": 2}, {"max_grad_norm": 0.5}, {"max_steps": 5}, {"bf16": True},
        {"per_device_train_batch_size": 4}, {"label_smoothing_factor": 0.1},
    ],
)  # fmt: skip
def test_arguments_that_the_recipe_does_not_say_are_refused(option: dict, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "receipt", Text(), ADAMW, bench.KEY)
    with pytest.raises(ReceiptError, match=next(iter(option))):
        trainer(tmp_path, recorder, **option).train()


def test_a_trainer_with_a_loss_of_its_own_is_not_signed(tmp_path: Path) -> None:
    class Halved(Trainer):
        def compute_loss(self, *args, **options):
            return super().compute_loss(*args, **options) / 2

    recipe = Recipe(8, 4, 8, "SGD", {"lr": 0.1}, config={"kind": "gpt2", "width": 16})
    recorder = Recorder(tmp_path / "receipt", Text(), recipe, bench.KEY)
    callback = ReceiptCallback(recorder)
    Halved(
        model=recorder.model,
        args=TrainingArguments(str(tmp_path / "out"), disable_tqdm=True, **callback.arguments()),
        train_dataset=callback.dataset(),
        optimizers=callback.optimizers(),
        callbacks=[callback],
    ).train()
    with pytest.raises(ReceiptError, match="not signed"):
        recorder.finish()


def test_a_loop_of_accelerate_is_consistent(tmp_path: Path) -> None:
    from accelerate import Accelerator

    recipe = Recipe(8, 4, 8, "AdamW", {"lr": 3e-3}, config={"kind": "llama", "width": 16}, clip=1.0)
    recorder = Recorder(tmp_path / "receipt", Text(), recipe, bench.KEY)
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(recorder.model, recorder.optimizer)
    for batch in recorder.batches():
        optimizer.zero_grad()
        accelerator.backward(recorder.task.loss(model, batch))
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    recorder.finish()
    assert verify(tmp_path / "receipt", Text(), budget=1.0, recalibrate=True).verdict == "consistent"
