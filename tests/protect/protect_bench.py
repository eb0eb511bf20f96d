"""A small classifier of two domains, digits and the same digits inverted, that can be masked in seconds."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from hubdna.protect.arrays import arrays
from hubdna.protect.data import Pictures

Arrays = dict[str, np.ndarray]
SHAPE = (1, 8, 8)


class Net(nn.Module):
    """Two convolutions with batch norms, and a head."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(48 * 4, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


@dataclass(frozen=True)
class Bench:
    weights: Arrays
    source: Pictures
    target: Pictures
    held_source: Pictures
    held_target: Pictures

    def net(self) -> Net:
        net = Net()
        net.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.weights.items()})
        return net.eval()


@cache
def bench() -> Bench:
    data = load_digits()
    x = torch.from_numpy(data.images).float()[:, None] / 8 - 1
    y = torch.from_numpy(data.target).long()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    both = Pictures(torch.cat([x[:1400], -x[:1400]]), torch.cat([y[:1400], y[:1400]]))
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    for step in range(250):
        batch, classes = both.batch(64, 0, step)
        optimizer.zero_grad()
        functional.cross_entropy(net(batch), classes).backward()
        optimizer.step()
    held = x[1400:], y[1400:]
    return Bench(
        {name: array.copy() for name, array in arrays(net.eval()).items()},
        Pictures(x[:1400], y[:1400]), Pictures(-x[:1400], y[:1400]), Pictures(*held), Pictures(-held[0], held[1]),
    )  # fmt: skip
