"""The recurrent language models of the root populations: torch's GRU and LSTM, and the same as forwards over stacks.

`Recurrent` is what is built and initialised; `roots.py --check` compares the forwards with it. Both take ids [M, B, T]
and return scores [M, B * T, vocabulary]. A layer's maps from its input are one product for all steps; only the maps
from its state wait for the step before.
"""

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from stacked import Stack, embed, linear
from torch import nn
from torch.nn import functional

Step = Callable[[Stack, str, torch.Tensor, list[torch.Tensor]], list[torch.Tensor]]


class Recurrent(nn.Module):
    """Embedding, gated layers, what stands behind them, and a head of its own; all as torch initialises them.

    Behind a GRU stands one dense layer as wide as its state, so that both axes of that layer, and one of every map from
    the state, number units of one length. Behind an LSTM stands a feed-forward pair four times as wide as its state:
    as long as the four gates are together.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, wide = config["hidden_size"], config.get("feed_forward")
        self.word_embeddings = nn.Embedding(config["vocab_size"], config["embedding_size"])
        cell = nn.LSTM if wide else nn.GRU
        self.rnn = cell(config["embedding_size"], width, config["num_layers"], batch_first=True)
        behind: dict[str, nn.Module] = {"dense": nn.Linear(width, width), "tanh": nn.Tanh()}
        if wide:
            behind = {"fc1": nn.Linear(width, wide), "gelu": nn.GELU(), "fc2": nn.Linear(wide, width)}
        self.mlp = nn.Sequential(OrderedDict(behind))
        self.head = nn.Linear(width, config["vocab_size"])

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        """Returns the scores of ids [B, T] as `.logits`, [B, T, vocabulary]."""
        return SimpleNamespace(logits=self.head(self.mlp(self.rnn(self.word_embeddings(input_ids))[0])))


def gru(p: Stack, ids: torch.Tensor) -> torch.Tensor:
    """A GRU, a dense layer with tanh, the head."""
    return linear(p, "head", linear(p, "mlp.dense", _layers(p, ids, _gru_step, 1)).tanh())


def lstm(p: Stack, ids: torch.Tensor) -> torch.Tensor:
    """An LSTM, a feed-forward pair with GELU, the head."""
    x = functional.gelu(linear(p, "mlp.fc1", _layers(p, ids, _lstm_step, 2)))
    return linear(p, "head", linear(p, "mlp.fc2", x))


def _layers(p: Stack, ids: torch.Tensor, step: Step, n_states: int) -> torch.Tensor:
    """The states of the last layer, [M, B * T, width]."""
    m, b, t = ids.shape
    x = embed(p["word_embeddings.weight"], ids.flatten(1))
    for layer in range(sum(name.startswith("rnn.weight_ih") for name in p)):
        weight, bias = p[f"rnn.weight_ih_l{layer}"], p[f"rnn.bias_ih_l{layer}"]
        given = torch.baddbmm(bias[:, None], x, weight.mT).view(m, b, t, -1).unbind(2)
        width = p[f"rnn.weight_hh_l{layer}"].shape[-1]
        states, seen = [torch.zeros(m, b, width)] * n_states, []
        for now in given:
            states = step(p, f"_l{layer}", now, states)
            seen.append(states[0])
        x = torch.stack(seen, 2).flatten(1, 2)
    return x


def _gru_step(p: Stack, at: str, given: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Torch's GRU: the reset gate multiplies what the new state gets from the old one."""
    (h,) = states
    own = torch.baddbmm(p["rnn.bias_hh" + at][:, None], h, p["rnn.weight_hh" + at].mT)
    (r, z, new), (own_r, own_z, own_new) = given.chunk(3, -1), own.chunk(3, -1)
    new = torch.addcmul(new, (r + own_r).sigmoid(), own_new).tanh()
    return [torch.lerp(new, h, (z + own_z).sigmoid())]


def _lstm_step(p: Stack, at: str, given: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Torch's LSTM: input, forget, cell and output gate, in this order."""
    h, c = states
    i, f, g, o = (given + torch.baddbmm(p["rnn.bias_hh" + at][:, None], h, p["rnn.weight_hh" + at].mT)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]
