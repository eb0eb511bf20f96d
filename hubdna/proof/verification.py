"""Checking a receipt, cheapest first: files and chain, signature, floors, start, data, then training again.

Every check ends as `passed`, `failed` or `not-checkable`, with words. A receipt is `consistent` when all passed. That
says: nothing contradicts what its author signed, as far as was looked. It does not say that the author is honest, nor
that the author is the first to have these weights (`docs/receipts.md`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubdna.errors import MissingExtraError, ReceiptError
from hubdna.proof.keys import signed_by
from hubdna.proof.layout import Receipt, check_states, open_receipt
from hubdna.proof.order import order_digest
from hubdna.records import ReceiptCheck, ReceiptReport

if TYPE_CHECKING:
    from hubdna.proof.task import Task

BUDGET = 0.05
"""Share of the intervals that is drawn and trained again unless told otherwise. With half as many by size, and one for
the author, a tenth of a training's cost buys it."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What a verifier asks for; `verify` says what each means."""

    task: Task | None
    parent: Path | str | None
    model: Path | str | None
    budget: float
    top_q: int | None
    recalibrate: bool
    device: str
    workers: int
    challenge: int
    progress: Progress | None


def verify(
    folder: Path | str,
    task: Task | None = None,
    *,
    parent: Path | str | None = None,
    model: Path | str | None = None,
    budget: float = BUDGET,
    top_q: int | None = None,
    recalibrate: bool = False,
    device: str = "auto",
    workers: int = 1,
    challenge: int | None = None,
    progress: Progress | None = None,
) -> ReceiptReport:
    """Check a receipt.

    Args:
        folder: the receipt.
        task: model, data and loss; without it one of `hubdna.proof.examples`, if the receipt names one.
        parent: .safetensors file or folder of the model that the training is said to have started from.
        model: likewise of a published model, to be the receipt's last state.
        budget: share of the intervals to train again, drawn at random; 1 for all.
        top_q: besides, the Q largest updates of each epoch and metric. Unless given: the largest one of each epoch, but
            no more than half as many as are drawn: those that are largest by their epoch's median.
        recalibrate: measure noise and reference here, too, and take the stricter ones.
        device: where to train; `auto`: on a GPU when there is one, which repeats a CPU's training up to rounding.
        workers: processes that train intervals side by side; the task must be one that they can import.
        challenge: seed of the draw, to repeat a verification; drawn anew unless given.
        progress: called with (intervals done, intervals in all).

    Returns:
        The report; a receipt that is hostile, broken or forged gives one, too.

    Raises:
        UsageError: the request makes no sense.
        ReceiptError: the verifier's own files (`parent`, `model`) cannot be read.
        MissingExtraError: torch or cryptography is not installed.
    """
    request = Request(
        task, parent, model, budget, top_q, recalibrate, device, max(1, workers),
        secrets.randbits(53) if challenge is None else challenge, progress,
    )  # fmt: skip
    try:
        receipt = open_receipt(folder)
        check_states(receipt)
        _check_order(receipt)
    except ReceiptError as error:
        return ReceiptReport((ReceiptCheck("structure", "failed", str(error)),))
    said = f"{len(receipt.links)} states and {receipt.claim.n_samples} samples, all as committed to"
    checks = [ReceiptCheck("structure", "passed", said), _signature(receipt)]
    coverage = None
    if checks[-1].outcome == "passed":
        try:
            from hubdna.proof.rerun import rerun
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), "proof") from None
        more, coverage = rerun(receipt, request)
        checks += more
    claim, last = receipt.claim, receipt.links[-1].weights
    return ReceiptReport(tuple(checks), claim.author, receipt.root or "", claim.task, claim.parent, last, coverage)


def _check_order(receipt: Receipt) -> None:
    """The order of the data must be the one that follows from the author's key. Raises ReceiptError."""
    for link in receipt.links:
        steps = receipt.claim.recipe.interval(link.index - 1) if link.index else range(0)
        if link.order != order_digest(receipt.claim, steps, receipt.samples).hex():
            raise ReceiptError(f"chain.jsonl: link {link.index}: another order of the data than the author's key gives")


def _signature(receipt: Receipt) -> ReceiptCheck:
    if receipt.root is None or receipt.signature is None:
        return ReceiptCheck("signature", "not-checkable", "the training is not finished: nothing is signed yet")
    if not signed_by(receipt.claim.author, bytes.fromhex(receipt.root), receipt.signature):
        return ReceiptCheck("signature", "failed", "not a signature of the named author over these files")
    return ReceiptCheck("signature", "passed", f"signed by {receipt.claim.author}")
