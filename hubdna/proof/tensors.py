"""States of a training as tensors: taken from a model and its optimiser, written, read back, hashed, compared.

A state file is safetensors: `w.<name>` are the model's weights and buffers, `o.<key>.<name>` what the optimiser keeps
for a parameter. Before one is read, its size is checked against what the verifier's own model needs; after that, every
name, type and shape, and that all numbers are finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from hubdna.errors import ReceiptError
from hubdna.proof.claim import Recipe
from hubdna.proof.task import Batch, Task
from hubdna.roots import N_BYTES, array_digest, digest, merkle_root

OF_WEIGHTS = ("l1", "l2", "linf", "cosine")
METRICS = (*OF_WEIGHTS, "buffers", "state")
ADAM_EPS = 1e-8
KEPT = {
    "SGD": {"momentum_buffer"},
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
}
"""What each optimiser keeps for a parameter; all of it or nothing."""
ALL_KEPT = frozenset().union(*KEPT.values())
HEADER = 400
"""Bytes of a header for each tensor, generously."""

Shape = tuple[torch.dtype, tuple[int, ...]]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class State:
    """Weights and buffers by name; the optimiser's tensors by `key.name`; which are buffers. All on the CPU."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    buffers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Form:
    """What a state of one model must look like, known without allocating it."""

    weights: dict[str, Shape]
    parameters: dict[str, Shape]
    buffers: frozenset[str]

    @property
    def n_bytes(self) -> int:
        """Of the largest state file that can be right."""
        sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in self.weights.values()]
        kept = [3 * (8 + 8 * math.prod(shape)) for _, shape in self.parameters.values()]
        return sum(sizes) + sum(kept) + HEADER * (len(sizes) + 3 * len(kept) + 10)

    def tensor(self, name: str) -> Shape | None:
        """What a tensor of this name in a file must be; None: no such tensor."""
        kind, _, rest = name.partition(".")
        if kind == "w":
            return self.weights.get(rest)
        key, _, parameter = rest.partition(".")
        known = self.parameters.get(parameter) if kind == "o" and key in ALL_KEPT else None
        return (torch.float32, ()) if known and key == "step" else known


def form_of(task: Task, recipe: Recipe) -> Form:
    """Build the model without memory (torch's meta device) and note its shapes. Raises ReceiptError."""
    try:
        with torch.device("meta"):
            model = task.build_model(recipe.config)
    except ReceiptError:
        raise
    except Exception as error:  # a task of the verifier's own, with a config of somebody else's
        raise ReceiptError(f"task {task.name}: builds no model from this config: {str(error)[:120]}") from None
    weights = {name: (t.dtype, tuple(t.shape)) for name, t in model.state_dict().items()}
    parameters = {name: (p.dtype, tuple(p.shape)) for name, p in model.named_parameters()}
    return Form(weights, parameters, buffers_of(model))


def buffers_of(model: torch.nn.Module) -> frozenset[str]:
    """Names in a model's state that are no parameters; two names of one parameter are both parameters."""
    trained = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return frozenset(model.state_dict().keys() - trained)


def build(task: Task, recipe: Recipe, seed: int, device: str = "cpu") -> torch.nn.Module:
    """A fresh model, initialised on the CPU from a seed, in training mode."""
    torch.manual_seed(seed)
    return task.build_model(recipe.config).to(device).train()


def build_optimizer(recipe: Recipe, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser. Raises ReceiptError for settings that torch refuses."""
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in recipe.settings.items()}
    try:
        made = getattr(torch.optim, recipe.optimizer)(model.parameters(), **settings)
    except (ValueError, TypeError) as error:
        raise ReceiptError(f"recipe: {recipe.optimizer}: {str(error)[:120]}") from None
    assert isinstance(made, torch.optim.Optimizer)
    return made


def capture(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """A copy of the present state."""
    kept = {
        f"{key}.{name}": torch.as_tensor(value).detach().cpu().clone()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }
    weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    return State(weights, kept, buffers_of(model))


def restore(state: State, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state back into a model and its fresh optimiser."""
    model.load_state_dict(state.weights)
    kept: dict[int, dict[str, torch.Tensor]] = {}
    places = {name: i for i, (name, _) in enumerate(model.named_parameters())}
    for both, tensor in state.optimizer.items():
        key, _, name = both.partition(".")
        kept.setdefault(places[name], {})[key] = tensor.clone()
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})


def named(state: State) -> Tensors:
    """A state's tensors under the names that they have in a file."""
    return {f"w.{name}": t for name, t in state.weights.items()} | {f"o.{n}": t for n, t in state.optimizer.items()}


def unnamed(tensors: Mapping[str, torch.Tensor], buffers: frozenset[str]) -> State:
    """The state whose tensors have these names in a file; others are left out."""
    weights, kept = ({n[2:]: t for n, t in tensors.items() if n.startswith(kind)} for kind in ("w.", "o."))
    return State(weights, kept, buffers)


def encode(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Safetensors."""
    return save({name: t.contiguous() for name, t in tensors.items()})


def decode(raw: bytes, where: str) -> Tensors:
    """Read safetensors. Raises ReceiptError."""
    try:
        return load(raw)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ReceiptError(f"{where}: not safetensors, and nothing else is read: {str(error)[:80]}") from None


def checked(found: Tensors, form: Form, recipe: Recipe, where: str) -> State:
    """A state, when it has the form that it must have. Raises ReceiptError."""
    state = unnamed(found, form.buffers)
    weights, kept = state.weights, state.optimizer
    if len(weights) + len(kept) != len(found) or weights.keys() != form.weights.keys():
        raise ReceiptError(f"{where}: its weights are not those of the task's model")
    for name, tensor in weights.items():
        if (tensor.dtype, tuple(tensor.shape)) != form.weights[name]:
            raise ReceiptError(f"{where}: {name[:80]}: expected {form.weights[name]}, found {tuple(tensor.shape)}")
    _check_kept(kept, form, recipe, where)
    for name, tensor in found.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ReceiptError(f"{where}: {name[:80]} holds numbers that are not finite")
    return state


def _check_kept(kept: Mapping[str, torch.Tensor], form: Form, recipe: Recipe, where: str) -> None:
    keys: dict[str, set[str]] = {}
    for both, tensor in kept.items():
        key, _, name = both.partition(".")
        shape = form.parameters.get(name)
        if shape is None or key not in KEPT[recipe.optimizer]:
            raise ReceiptError(f"{where}: {both[:80]!r} is nothing that {recipe.optimizer} keeps")
        if tuple(tensor.shape) != (() if key == "step" else shape[1]) or not tensor.is_floating_point():
            raise ReceiptError(f"{where}: {both[:80]}: its shape is not its parameter's")
        if key in {"step", "exp_avg_sq"} and bool((tensor < 0).any()):
            raise ReceiptError(f"{where}: {both[:80]} is negative")
        keys.setdefault(name, set()).add(key)
    if any(found != KEPT[recipe.optimizer] for found in keys.values()):
        raise ReceiptError(f"{where}: a parameter lacks a part of what {recipe.optimizer} keeps")


def bytes_of(tensor: torch.Tensor) -> bytes:
    """All bytes of a tensor, rows in C order; of every type, bfloat16 too."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _leaf(name: str, tensor: torch.Tensor) -> bytes:
    return array_digest(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), bytes_of(tensor))


def weights_root(weights: Mapping[str, torch.Tensor]) -> str:
    """Merkle root over named tensors, hexadecimal: one for one model, in however many files it lies."""
    return merkle_root([_leaf(name, weights[name]) for name in sorted(weights)]).hex()


def sample_digest(sample: Batch) -> bytes:
    """Digest of one sample: all bytes of all its tensors."""
    return digest("sample", *(_leaf(name, sample[name]) for name in sorted(sample)))


def sample_digests(task: Task) -> NDArray[np.uint8]:
    """uint8[n_samples, 32]: digests of all samples of a task."""
    raw = b"".join(sample_digest(task.sample(index)) for index in range(len(task)))
    return np.frombuffer(raw, np.uint8).reshape(len(task), N_BYTES)


def norm(weights: Mapping[str, torch.Tensor]) -> float:
    """Euclidean norm over all floating-point weights."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in weights.values() if t.is_floating_point()))


def moved(a: State, b: State) -> float:
    """The l2 distance of `distances`, alone."""
    pairs = [(a.weights[n], b.weights[n]) for n in a.weights if n not in a.buffers and a.weights[n].is_floating_point()]
    return math.sqrt(sum(float((x.double() - y.double()).square().sum()) for x, y in pairs))


def distances(a: State, b: State) -> dict[str, float]:
    """How far two states lie apart, for each of `METRICS`; what is not a number counts as infinitely far.

    The first four are over all trained weights as one vector; `cosine` is 1 - <a, b> / (|a| |b|). Buffers (running
    means and the like) have a scale of their own, so they stand apart: `buffers` is their l2 distance by the larger
    norm. `state` is the largest such distance of anything the optimiser keeps.
    """
    l1 = l2 = linf = dot = aa = bb = 0.0
    for name, tensor in a.weights.items():
        if name in a.buffers or not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        x, y = tensor.double(), b.weights[name].double()
        gap = (x - y).abs()
        l1, l2, linf = l1 + float(gap.sum()), l2 + float(gap.square().sum()), max(linf, _number(gap.max()))
        dot, aa, bb = dot + float((x * y).sum()), aa + float(x.square().sum()), bb + float(y.square().sum())
    floats = [{n: s.weights[n] for n in s.buffers if s.weights[n].is_floating_point()} for s in (a, b)]
    found = {"l1": l1, "l2": l2**0.5, "linf": linf, "cosine": _cosine(dot, aa, bb), "buffers": _apart(*floats)}
    mine, other = _memory(a), _memory(b)
    found["state"] = max(
        [_apart(mine.get(key, {}), other.get(key, {})) for key in mine.keys() | other.keys()], default=0.0
    )
    return {metric: math.inf if math.isnan(d) else d for metric, d in found.items()}


def _cosine(dot: float, aa: float, bb: float) -> float:
    """Distance from inner products; two zero vectors are equal, a zero vector is at right angles to all others."""
    if aa == 0 or bb == 0:
        return float(aa != bb)
    distance = 1 - dot / math.sqrt(aa * bb)
    return 0.0 if distance < 0 else distance  # rounding; `max` would lose what is not a number


def _number(value: torch.Tensor) -> float:
    return math.inf if math.isnan(float(value)) else float(value)


def _memory(state: State) -> dict[str, dict[str, torch.Tensor]]:
    """What the optimiser keeps, key by key; of Adam also the step it would take from there.

    Second moments are tiny beside first ones, and one set to zero makes the next step a jump. In one sum with the
    others that would not show; in the step it does.
    """
    kept: dict[str, dict[str, torch.Tensor]] = {}
    for both, tensor in state.optimizer.items():
        key, _, name = both.partition(".")
        if key != "step":
            kept.setdefault(key, {})[name] = tensor.double()
    if "exp_avg_sq" in kept:
        first, second = kept["exp_avg"], kept["exp_avg_sq"]
        kept["direction"] = {name: m / (second[name].sqrt() + ADAM_EPS) for name, m in first.items()}
    return kept


def _apart(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    """l2 distance by the larger norm; what one side lacks is zero there."""
    gap = aa = bb = 0.0
    for name in a.keys() | b.keys():
        zero = torch.zeros((), dtype=torch.float64)
        x, y = a.get(name, zero).double(), b.get(name, zero).double()
        gap, aa, bb = gap + float((x - y).square().sum()), aa + float(x.square().sum()), bb + float(y.square().sum())
    largest = _number(torch.tensor([aa, bb], dtype=torch.float64).max())
    return 0.0 if largest == 0 else (gap / largest) ** 0.5


def counters_equal(a: State, b: State) -> bool:
    """Whether everything that counts, and is not measured, is the same: integer buffers, steps of the optimiser."""

    def counters(state: State) -> dict[str, torch.Tensor]:
        steps = {n: t for n, t in state.optimizer.items() if n.startswith("step.")}
        return steps | {f"w.{n}": t for n, t in state.weights.items() if not t.is_floating_point()}

    x, y = counters(a), counters(b)
    return x.keys() == y.keys() and all(bool(torch.equal(x[n], y[n])) for n in x)
