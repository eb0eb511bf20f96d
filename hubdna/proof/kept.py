"""What a verification must have shown before a direction may rest on it.

`attested` is said of a pair of models only after every interval was trained again, with both models' files at hand: the
parent's tensors have the root that the receipt names, the child's are the last state, bit for bit. Less than that (a
budget, a cast, a glance) is told in words and makes no edge.
"""

from __future__ import annotations

from pathlib import Path

from hubdna.errors import ReceiptError
from hubdna.proof.start import read_weights
from hubdna.proof.tensors import weights_root
from hubdna.records import ReceiptReport


def check_attests(report: ReceiptReport, parent: Path | str, model: Path | str) -> None:
    """Raise ReceiptError unless a report says that the model was trained from the parent, each by its exact bytes."""
    if report.verdict != "consistent":
        raise ReceiptError(f"not kept: the receipt is {report.verdict}")
    if report.parent is None:
        raise ReceiptError("not kept: the receipt names no parent, so it leads from no model to another")
    if report.coverage is None or len(report.coverage.replayed) < report.coverage.n_intervals:
        raise ReceiptError("not kept: a direction rests on every interval: verify with --budget 100%")
    if weights_root(read_weights(parent)) != report.parent.root:
        raise ReceiptError(f"not kept: {parent} has not the weights that the receipt starts from")
    if weights_root(read_weights(model)) != report.weights:
        raise ReceiptError(f"not kept: {model} has not the weights that the receipt ends with, bit for bit")
    if report.weights == report.parent.root:
        raise ReceiptError("not kept: the receipt ends with the weights that it starts from")
