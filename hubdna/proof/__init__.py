"""Proof-of-Learning: training receipts that others can re-check.

A *receipt* says who signed it, what a training started from, on which data and with which settings, and keeps enough
states that anyone with the data can repeat parts of it. The idea is of Jia et al., *Proof-of-Learning: Definitions and
Practice* (IEEE S&P 2021, https://arxiv.org/abs/2103.05633). What it cannot show is in `docs/receipts.md`: a receipt is
consistent or not, and never a proof that somebody is honest.

    recorder = Recorder("receipt", task, recipe, key)
    for batch in recorder.batches():
        recorder.optimizer.zero_grad()
        task.loss(recorder.model, batch).backward()
        recorder.optimizer.step()
    recorder.finish()

    verify("receipt", task).verdict

Nothing is imported before it is used: torch least of all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubdna.errors import MissingExtraError

if TYPE_CHECKING:
    from hubdna.proof.claim import Recipe
    from hubdna.proof.examples import example
    from hubdna.proof.first_look import glance
    from hubdna.proof.keys import create_key, load_key
    from hubdna.proof.layout import Receipt, open_receipt
    from hubdna.proof.record import Recorder
    from hubdna.proof.task import Task
    from hubdna.proof.trainer import ReceiptCallback
    from hubdna.proof.verification import verify

__all__ = [
    "Receipt", "ReceiptCallback", "Recipe", "Recorder", "Task", "create_key", "example", "glance", "load_key",
    "open_receipt", "verify",
]  # fmt: skip

_HOMES = {
    "Receipt": "layout", "ReceiptCallback": "trainer", "Recipe": "claim", "Recorder": "record", "Task": "task",
    "create_key": "keys", "example": "examples", "glance": "first_look", "load_key": "keys",
    "open_receipt": "layout", "verify": "verification",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubdna.proof' has no attribute {name!r}")
    try:
        return getattr(import_module(f"hubdna.proof.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "models" if name == "ReceiptCallback" else "proof") from None
