"""What an author claims: the recipe of a training, where it started, the data. Parsed as strictly as if by an enemy.

The whole claim is under the signed root, so a verifier replays what the author claimed and not what some flag says.
Optimisers and schedules are named from short lists: nothing in a receipt is code. Every number has a bound that is
checked before anything is allocated or repeated that often.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hubdna.errors import ReceiptError
from hubdna.records import ReceiptParent
from hubdna.roots import canonical, digest, is_hex

SCHEMA = "hubdna.receipt/1"
MAX_STEPS, MAX_INTERVALS, MAX_SAMPLES, MAX_BATCH = 1_000_000, 20_000, 4_000_000, 65_536
MAX_DRAWN = 10**9
"""Samples taken in all steps together: each is hashed by every verifier. ImageNet for 90 epochs takes 1.2 10^8."""
MAX_FACTS, MAX_TEXT = 64, 200
STORAGES = ("plain", "zstd", "bf16")
"""How states are stored: `hubdna.proof.storage`."""

Scalar = bool | int | float | str
OPTIMISERS: dict[str, frozenset[str]] = {
    "SGD": frozenset({"lr", "momentum", "dampening", "weight_decay", "nesterov"}),
    "Adam": frozenset({"lr", "betas", "eps", "weight_decay"}),
    "AdamW": frozenset({"lr", "betas", "eps", "weight_decay"}),
}
"""Classes of torch.optim, with the settings that a recipe may give."""
SCHEDULES: dict[str, frozenset[str]] = {
    "constant": frozenset(),
    "StepLR": frozenset({"step_size", "gamma"}),
    "ExponentialLR": frozenset({"gamma"}),
    "CosineAnnealingLR": frozenset({"T_max", "eta_min"}),
    "LinearLR": frozenset({"start_factor", "end_factor", "total_iters"}),
}
"""Classes of torch.optim.lr_scheduler (and no schedule at all), stepped once a training step."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a training goes; every field is part of what is signed.

    Attributes:
        steps: training steps in all, at most 10^6.
        every: steps between two stored states (the paper's k); the last interval may be shorter.
        batch: samples a step; the rest of an epoch that fills no batch is left out.
        optimizer: one of `OPTIMISERS`, with `settings` (`lr` is required; `betas` is a list of two).
        schedule: one of `SCHEDULES`, with `schedule_settings`.
        seed: of the initial weights. Order of the data and dropout follow from it *and* from the author's key.
        config: what `Task.build_model` takes: at most 64 names with numbers, texts or truth values.
        clip: largest norm of a step's gradient (`torch.nn.utils.clip_grad_norm_`); 0: gradients are taken as they are.
        storage: of the states: `plain`, `zstd` (exact, compressed) or `bf16` (rounded differences, compressed).
    """

    steps: int
    every: int
    batch: int
    optimizer: str = "SGD"
    settings: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "constant"
    schedule_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    config: Mapping[str, Scalar] = field(default_factory=dict)
    clip: float = 0.0
    storage: str = "plain"

    def __post_init__(self) -> None:
        _whole("steps", self.steps, 1, MAX_STEPS)
        _whole("every", self.every, 1, MAX_STEPS)
        _whole("batch", self.batch, 1, MAX_BATCH)
        _whole("seed", self.seed, 0, 2**63 - 1)
        if self.steps * self.batch > MAX_DRAWN:
            raise ReceiptError(f"recipe: {self.steps} steps of {self.batch} samples are more than {MAX_DRAWN} in all")
        if self.n_intervals > MAX_INTERVALS:
            raise ReceiptError(f"recipe: {self.n_intervals} intervals, at most {MAX_INTERVALS}: save less often")
        _settings("optimizer", self.optimizer, self.settings, OPTIMISERS)
        if not isinstance(self.settings.get("lr"), int | float):
            raise ReceiptError("recipe: settings give no lr (the learning rate)")
        _settings("schedule", self.schedule, self.schedule_settings, SCHEDULES)
        _facts("config", self.config)
        if type(self.clip) not in (int, float) or not 0 <= self.clip <= 2**53:
            raise ReceiptError(f"clip: expected a number of at least 0, found {str(self.clip)[:40]}")
        if self.storage not in STORAGES:
            raise ReceiptError(f"storage: {str(self.storage)[:40]!r} is not one of {', '.join(STORAGES)}")

    @property
    def n_intervals(self) -> int:
        """Stored states less the initial one."""
        return -(-self.steps // self.every)

    def interval(self, index: int) -> range:
        """Training steps (from 0) between states `index` and `index + 1`."""
        return range(index * self.every, min((index + 1) * self.every, self.steps))


@dataclass(frozen=True, slots=True)
class Claim:
    """Everything that is fixed before the first step.

    Attributes:
        author: hexadecimal Ed25519 public key.
        task: name of the task; says nothing about where its code is.
        n_samples: of the data; `data` is the Merkle root over their digests, hexadecimal.
        parent: None: trained from the initialiser at `recipe.seed`.
        fresh: weights that the parent does not have (a new head): initialised at `recipe.seed`.
    """

    author: str
    task: str
    recipe: Recipe
    n_samples: int
    data: str
    parent: ReceiptParent | None = None
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _hex("author", self.author)
        _hex("data", self.data)
        _text("task", self.task)
        _whole("n_samples", self.n_samples, 1, MAX_SAMPLES)
        if self.recipe.batch > self.n_samples:
            raise ReceiptError(f"recipe: batch of {self.recipe.batch} samples, the data has {self.n_samples}")
        if self.parent:
            _text("parent", self.parent.repo_id)
            _hex("parent's root", self.parent.root)
            if self.parent.revision is not None:
                _text("parent's revision", self.parent.revision)
        if len(self.fresh) > MAX_INTERVALS or (self.fresh and not self.parent):
            raise ReceiptError("claim: fresh weights are those that a parent lacks")
        for name in self.fresh:
            _text("fresh weight", name)

    def to_json(self) -> dict[str, Any]:
        """What is written and hashed."""
        return {"schema": SCHEMA, **asdict(self)}

    def digest(self) -> bytes:
        """What the chain of intervals starts from."""
        return digest("claim", canonical(self.to_json()))


def parse_claim(found: Any) -> Claim:
    """A claim from JSON. Raises ReceiptError for anything that is not exactly one."""
    try:
        fields = dict(found)
        if fields.pop("schema", None) != SCHEMA:
            raise ReceiptError(f"claim: expected schema {SCHEMA}, found {str(dict(found).get('schema'))[:40]!r}")
        fields["recipe"] = Recipe(**fields["recipe"])
        fields["fresh"] = tuple(fields["fresh"])
        if fields["parent"] is not None:
            fields["parent"] = ReceiptParent(**fields["parent"])
        claim = Claim(**fields)
        if canonical(claim.to_json()) != canonical(found):
            raise ReceiptError("claim: not in the form it would be written in")
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ReceiptError(f"claim: not what a claim holds: {str(error)[:120]}") from None
    return claim


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ReceiptError(f"{name}: expected a whole number from {least} to {most}, found {str(value)[:40]}")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise ReceiptError(f"{name}: expected a printable text of at most {MAX_TEXT} characters")


def _hex(name: str, value: Any) -> None:
    if not is_hex(value):
        raise ReceiptError(f"{name}: expected 64 hexadecimal digits, found {str(value)[:80]!r}")


def _facts(where: str, facts: Any) -> None:
    """A small flat table: texts, finite numbers, truth values."""
    if not isinstance(facts, Mapping) or len(facts) > MAX_FACTS:
        raise ReceiptError(f"{where}: expected a table of at most {MAX_FACTS} entries")
    for name, value in facts.items():
        _text(f"{where}: name", name)
        if isinstance(value, str):
            _text(f"{where}.{name}", value)
        elif not isinstance(value, bool | int | float) or not math.isfinite(value) or abs(value) > 2**53:
            raise ReceiptError(f"{where}.{name}: expected a number, text or truth value, found {str(value)[:40]}")


def _settings(where: str, name: Any, settings: Any, known: Mapping[str, frozenset[str]]) -> None:
    if not isinstance(name, str) or name not in known:
        raise ReceiptError(f"{where}: {str(name)[:40]!r} is not one of {', '.join(known)}")
    betas = settings.get("betas", [0.9, 0.999]) if isinstance(settings, Mapping) else None
    if not isinstance(betas, list) or len(betas) != 2:
        raise ReceiptError(f"{where}: betas is a list of two numbers")
    if strangers := set(settings) - known[name]:
        raise ReceiptError(f"{where}: {name} takes {', '.join(sorted(known[name]))}, found {sorted(strangers)[0]!r}")
    _facts(where, {n: v for n, v in settings.items() if n != "betas"} | {"beta1": betas[0], "beta2": betas[1]})
    if any(isinstance(v, str) for v in settings.values()):
        raise ReceiptError(f"{where}: settings are numbers and truth values")
