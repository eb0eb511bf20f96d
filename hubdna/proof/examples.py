"""Tasks that come with hubdna, so that a receipt can be made and checked from the command line.

The data are the 1,797 handwritten digits that scikit-learn ships (8 x 8 pixels, ten classes; UCI, CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from hubdna.errors import MissingExtraError, ReceiptError

if TYPE_CHECKING:
    import torch

    from hubdna.proof.task import Batch, Task

EXAMPLES = ("digits-mlp", "digits-cnn")
MAX_WIDTH = 1024


def example(name: str) -> Task:
    """One of `EXAMPLES`. Raises ReceiptError for another name, MissingExtraError without torch or scikit-learn."""
    if name not in EXAMPLES:
        raise ReceiptError(
            f"task {name[:80]!r} is not one of {', '.join(EXAMPLES)}: bring it along in Python "
            "(hubdna.proof.verify takes a Task)"
        )
    return Digits(name)


class Digits:
    """Which digit is this? `config`: `width`, 1 to 1,024 units of the hidden layer (MLP) or channels (CNN)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._images, self._labels = _digits()

    def __len__(self) -> int:
        return len(self._labels)

    def sample(self, index: int) -> Batch:
        """`image`: float32[1, 8, 8] in [0, 1]; `label`: int64[]."""
        return {"image": self._images[index], "label": self._labels[index]}

    def build_model(self, config: Mapping[str, Any]) -> torch.nn.Module:
        """A small network on 8 x 8 pixels."""
        from torch import nn

        width = config.get("width", 32)
        if type(width) is not int or not 1 <= width <= MAX_WIDTH or config.keys() - {"width"}:
            raise ReceiptError(f"task {self.name}: config takes width, 1 to {MAX_WIDTH}, and nothing else")
        if self.name == "digits-mlp":
            return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1),
            nn.Linear(16 * width, 10),
        )  # fmt: skip

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(model(batch["image"]), batch["label"])


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    try:
        import torch
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError(str(error.name), "proof") from None
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(found.target, dtype=torch.int64)
