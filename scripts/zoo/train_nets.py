"""Trains the small networks of the test suite and writes them to `tests/data/nets`.

    python scripts/zoo/train_nets.py            # whatever is missing
    python scripts/zoo/train_nets.py --force    # everything again

All read the 8x8 scikit-learn digits; `nets` says what each architecture is there for. The README beside the files
is written from the same table, with the accuracy of the stored weights.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import images
import torch
from nets import MAKERS
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

TARGET = Path(__file__).resolve().parents[2] / "tests" / "data" / "nets"
INTRO = """\
# Small trained networks

Positives and hard negatives for the lineage test, all trained on the scikit-learn digits by
`scripts/zoo/train_nets.py`. Tensor names are those of torch's `state_dict`. Files of one series are independent
trainings: nothing in them is related, however alike they may look.

Related on purpose:

- `twin-a` and `twin-b` share an initialisation (`twin-init`), not a training;
- `ft-of-mlp-seed0` and `ft-of-mlp-seed0-heavy` descend from `mlp-seed0`.
"""


@dataclass(frozen=True)
class Net:
    """One file: what is trained, from where, on what.

    Attributes:
        name: of the file, without its ending.
        kind: a key of ``nets.MAKERS``.
        seed: of the initialisation.
        note: what it is, for the README.
        order: seed of the order of the data.
        epochs: passes over the training pictures; 0 leaves the initialisation.
        lr: learning rate.
        half: which half of the training pictures, or None for all.
        start: the file whose weights the training begins with.
        dtype: of the stored tensors.
    """

    name: str
    kind: str
    seed: int
    note: str
    order: int
    epochs: int = 20
    lr: float = 2e-3
    half: int | None = None
    start: str | None = None
    dtype: torch.dtype = torch.bfloat16


def _series(prefix: str, kind: str, count: int, first_seed: int, note: str, epochs: int = 20) -> list[Net]:
    """Returns independent trainings of one architecture, which differ in their seeds only."""
    seeds = range(first_seed, first_seed + count)
    return [Net(f"{prefix}{n}", kind, seed, note, order=seed, epochs=epochs) for n, seed in enumerate(seeds)]


MLP = "MLP 64-96-96-96-10"
NETS = [
    Net("mlp-seed0", "mlp", 1000, f"{MLP}, independent", order=1000, dtype=torch.float32),
    *_series("mlp-seed", "mlp", 6, 1000, f"{MLP}, independent")[1:],
    Net("twin-init", "mlp", 1100, f"{MLP}, untrained: where both twins start", order=0, epochs=0, dtype=torch.float32),
    Net("twin-a", "mlp", 1100, f"{MLP}, from twin-init on one half of the data", order=1101, half=0, epochs=40),
    Net("twin-b", "mlp", 1100, f"{MLP}, from twin-init on the other half", order=1102, half=1, epochs=40),
    *_series("residual-", "residual", 3, 1200, "residual MLP, x + W2 relu(W1 x), three blocks, independent"),
    *_series("residual-direct-", "direct", 3, 1300, "residual MLP, relu(x + W x), four maps, independent"),
    *_series("gru-", "gru", 3, 1400, "GRU, two layers of 64, reads the rows, independent", epochs=30),
    *_series("lstm-", "lstm", 3, 1500, "LSTM, two layers of 64, reads the rows, independent", epochs=30),
    *_series("rnn-identity-", "irnn", 2, 1600, "IRNN of 96, recurrent matrix started as the identity", epochs=30),
    *_series("dirac-", "dirac", 3, 1700, "CNN of width 48, convolutions started near the identity"),
    Net("ft-of-mlp-seed0", "parity", 1800, "mlp-seed0 fine-tuned on odd or even, new head", order=1800, epochs=6,
        lr=1e-3, start="mlp-seed0"),
    Net("ft-of-mlp-seed0-heavy", "parity", 1800, "the same with ten times the steps", order=1800, epochs=60,
        lr=1e-3, start="mlp-seed0"),
]  # fmt: skip


def start_of(net: Net) -> nn.Module:
    """Returns the weights a training begins with."""
    torch.manual_seed(net.seed)
    model = MAKERS[net.kind]()
    if net.start:
        parent = load_file(TARGET / f"{net.start}.safetensors")
        fresh = model.state_dict()
        model.load_state_dict({n: parent[n] if parent[n].shape == fresh[n].shape else fresh[n] for n in fresh})
    return model


def task_of(net: Net) -> str:
    """Returns what the net learns: ``digit`` or ``parity``."""
    return "parity" if net.kind == "parity" else "digit"


def train(net: Net, model: nn.Module) -> None:
    """Trains a net with AdamW at a rate that falls along a cosine."""
    x, y, _, _ = images.digits()
    if net.half is not None:
        x, y = x[net.half :: 2], y[net.half :: 2]
    x, y = x * 2 - 1, images.labels(y, task_of(net))
    gen = torch.Generator().manual_seed(net.order)
    optimiser = torch.optim.AdamW(model.parameters(), lr=net.lr, weight_decay=0.01)
    steps = max(1, net.epochs * math.ceil(len(x) / 32))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(net.epochs):
        for rows in torch.randperm(len(x), generator=gen).split(32):
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()


@torch.no_grad()
def accuracy(net: Net, model: nn.Module) -> float:
    """Returns the share of the 360 held-out digits that the net gets right."""
    _, _, x, y = images.digits()
    return float((model(x * 2 - 1).argmax(1) == images.labels(y, task_of(net))).float().mean())


def make(net: Net) -> None:
    """Trains one net, rounds it to its stored precision, measures it and writes it."""
    begun = time.perf_counter()
    model = start_of(net)
    train(net, model)
    tensors = {name: tensor.to(net.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(tensors)
    found = accuracy(net, model)
    facts = {"net": json.dumps({"seed": net.seed, "accuracy": round(found, 4)})}
    save_file(tensors, TARGET / f"{net.name}.safetensors", metadata=facts)
    print(f"{net.name:24s} accuracy {found:.3f}  {time.perf_counter() - begun:.1f} s", flush=True)


def write_readme() -> None:
    """Writes the table of all files, from what their headers say."""
    lines = [INTRO, "| file | what it is | seed | stored | held-out accuracy |", "|---|---|---|---|---|"]
    for net in NETS:
        with safe_open(TARGET / f"{net.name}.safetensors", "pt") as file:
            facts = json.loads(file.metadata()["net"])
        share = f"{100 * facts['accuracy']:.1f} %"
        stored = "F32" if net.dtype == torch.float32 else "BF16"
        lines.append(f"| `{net.name}` | {net.note} | {net.seed} | {stored} | {share} |")
    (TARGET / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Makes every net that is missing, then the README."""
    parser = argparse.ArgumentParser(description="Train the small networks of the test suite.")
    parser.add_argument("--force", action="store_true", help="train again what is already there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    TARGET.mkdir(parents=True, exist_ok=True)
    for net in NETS:
        if options.force or not (TARGET / f"{net.name}.safetensors").exists():
            make(net)
    write_readme()
    size = sum(path.stat().st_size for path in TARGET.iterdir())
    print(f"{len(NETS)} nets, {size / 1e6:.2f} MB in {TARGET}")


if __name__ == "__main__":
    main()
