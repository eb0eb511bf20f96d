"""The small networks behind the test suite's positives and hard negatives.

Each one is here because it tempts a naive lineage test into a mistake: matrices that lean towards the identity
make strangers look related (residual maps, IRNN, Dirac convolutions), gates share a layout (GRU, LSTM), and twins
share an initialisation without sharing a training.
"""

import torch
from torch import nn


class Mlp(nn.Module):
    """Three hidden layers of 96."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 96)
        self.fc2 = nn.Linear(96, 96)
        self.fc3 = nn.Linear(96, 96)
        self.head = nn.Linear(96, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        x = x.flatten(1)
        for layer in (self.fc1, self.fc2, self.fc3):
            x = layer(x).relu()
        return self.head(x)


class Block(nn.Module):
    """One residual step: x + W2 relu(W1 x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the residual stream, one step on."""
        return x + self.down(self.up(x).relu())


class Residual(nn.Module):
    """A residual MLP with an inner layer: stream 96, inner 96, three blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(64, 96)
        self.blocks = nn.ModuleList(Block(96) for _ in range(3))
        self.head = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        x = self.embed(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class ResidualDirect(nn.Module):
    """A residual MLP without inner layers: relu(x + W x), so both sides of W are the same stream."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(64, 96)
        self.maps = nn.ModuleList(nn.Linear(96, 96) for _ in range(4))
        self.head = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        x = self.embed(x.flatten(1)).relu()
        for step in self.maps:
            x = (x + step(x)).relu()
        return self.head(x)


class Recurrent(nn.Module):
    """Two gated layers that read a digit row by row, top to bottom."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        cell = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
        self.rnn = cell(8, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        return self.head(self.rnn(x.squeeze(1))[0][:, -1])


class Irnn(nn.Module):
    """A plain ReLU recurrence whose matrix starts as the identity (Le, Jaitly and Hinton, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(8, 96, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(96, 10)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        return self.head(self.rnn(x.squeeze(1))[0][:, -1])


class DiracCnn(nn.Module):
    """A plain CNN of width 48 whose square convolutions start near the identity, with a little noise."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 48, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(48, 48, 3, padding=1) for _ in range(3))
        self.head = nn.Linear(48, 10)
        for conv in self.convs:
            nn.init.dirac_(conv.weight)
            conv.weight.data += 0.02 * torch.randn_like(conv.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the scores of pictures [n, 1, 8, 8]."""
        x = self.stem(x).relu()
        for conv in self.convs:
            x = conv(x).relu()
        return self.head(x.mean((2, 3)))


MAKERS = {
    "mlp": Mlp,
    "parity": lambda: Mlp(classes=2),
    "residual": Residual,
    "direct": ResidualDirect,
    "gru": lambda: Recurrent("gru"),
    "lstm": lambda: Recurrent("lstm"),
    "irnn": Irnn,
    "dirac": DiracCnn,
}
