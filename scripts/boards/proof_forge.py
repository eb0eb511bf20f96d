"""Forgeries of board `proof`: receipts whose every commitment is in order, of trainings that were not.

The thief has the victim's receipt, and a key. The tool is that of the tests (tests/proof/proof_bench.py): it writes any
states under chain, root and signature that fit. Costs are training steps by the victim's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save_file

sys.path.append(str(Path(__file__).parents[2] / "tests" / "proof"))

from proof_bench import blend, forge, record, states_of

from hubdna.proof import Recipe, example, open_receipt, verify
from hubdna.proof.keys import public_of
from hubdna.proof.layout import Receipt
from hubdna.proof.replay import Bench
from hubdna.proof.start import initial
from hubdna.proof.tensors import State, distances, sample_digest, weights_root
from hubdna.records import ReceiptParent
from hubdna.roots import merkle_root

MLP = example("digits-mlp")
RECIPE = Recipe(100, 5, 64, "SGD", {"lr": 0.1, "momentum": 0.9}, "CosineAnnealingLR", {"T_max": 110},
                config={"width": 16})  # fmt: skip
THIEF = Ed25519PrivateKey.from_private_bytes(b"the thief, who has a key as well")
N = RECIPE.n_intervals
N_CHALLENGES = 5


@dataclass(frozen=True, slots=True)
class Victim:
    """An honest receipt, which the thief has as well."""

    receipt: Receipt
    states: list[State]
    key: Any

    def claim(self, **changes: Any) -> dict[str, Any]:
        """Changes that make the claim the thief's own."""
        return {"author": public_of(THIEF), **changes}

    def bench(self, **changes: Any) -> Bench:
        """To train under a changed claim."""
        return Bench.of(MLP, replace(self.receipt.claim, **changes), self.receipt.samples)


Forged = tuple[Path, dict[str, Any], float]
"""The receipt, options of `verify`, and what it cost."""


def victim(folder: Path) -> Victim:
    """Train and sign honestly."""
    made, key = record(folder, RECIPE)
    receipt = open_receipt(made)
    return Victim(receipt, states_of(receipt), key)


def _thiefs_start(v: Victim) -> State:
    return State(initial(MLP, replace(v.receipt.claim, **v.claim()), None), {})


def _straight(v: Victim) -> list[State]:
    """From the thief's own initialisation to the stolen weights in equal steps; momentum is the victim's."""
    start = _thiefs_start(v)
    way = [blend(start, v.states[-1], i / N) for i in range(N + 1)]
    return [start, *(State(s.weights, v.states[i].optimizer) for i, s in enumerate(way) if i)]


def random_states(v: Victim, folder: Path) -> Forged:
    """Random checkpoints; only the last one is the stolen model."""
    states = [State(initial(MLP, v.receipt.claim, None, s), v.states[s].optimizer) for s in range(1, N)]
    return forge(folder, v.receipt, [_thiefs_start(v), *states, v.states[-1]], THIEF, **v.claim()), {}, 0.0


def interpolation(v: Victim, folder: Path) -> Forged:
    """A straight line from the thief's initialisation to the stolen weights."""
    return forge(folder, v.receipt, _straight(v), THIEF, **v.claim()), {}, 0.0


def signed_anew(v: Victim, folder: Path) -> Forged:
    """The victim's receipt, order of the data kept, under another key."""
    order = [link.order for link in v.receipt.links]
    return forge(folder, v.receipt, v.states, THIEF, order=order, **v.claim()), {}, 0.0


def signed_anew_thoroughly(v: Victim, folder: Path) -> Forged:
    """The victim's states, with the order of the data that the thief's key gives."""
    return forge(folder, v.receipt, v.states, THIEF, **v.claim()), {}, 0.0


def _tuned(v: Victim, **changes: Any) -> tuple[list[State], Recipe]:
    """Ten steps of real training from the stolen weights."""
    recipe = replace(RECIPE, steps=10, settings={"lr": 0.02, "momentum": 0.9})
    own = v.bench(**v.claim(recipe=recipe, **changes))
    states = [State(v.states[-1].weights, {})]
    for index in range(2):
        states.append(own.replay(states[-1], index))
    return states, recipe


def tuned_from_a_seed(v: Victim, folder: Path) -> Forged:
    """Stolen weights, trained a little; claimed to be the initialiser's."""
    states, recipe = _tuned(v)
    return forge(folder, v.receipt, states, THIEF, **v.claim(recipe=recipe)), {}, 10 / RECIPE.steps


def tuned_from_a_parent(v: Victim, folder: Path) -> Forged:
    """The same, and says so: the stolen weights are named as its parent."""
    parent = ReceiptParent("thief/found-it", None, weights_root(v.states[-1].weights))
    states, recipe = _tuned(v, parent=parent)
    save_file(v.states[-1].weights, folder.with_suffix(".safetensors"))
    forged = forge(folder, v.receipt, states, THIEF, **v.claim(recipe=recipe, parent=parent))
    return forged, {"parent": folder.with_suffix(".safetensors")}, 10 / RECIPE.steps


class Relabelled(type(MLP)):  # type: ignore[misc]
    """Digits; every seventh is called the next one."""

    def sample(self, index: int) -> Any:
        """As digits have it."""
        found = super().sample(index)
        return {**found, "label": (found["label"] + 1) % 10} if index % 7 == 0 else found


def _other_data(v: Victim, folder: Path) -> Path:
    import numpy as np

    other = Relabelled("digits-mlp")
    rows = [sample_digest(other.sample(i)) for i in range(len(other))]
    samples = np.frombuffer(b"".join(rows), np.uint8).reshape(len(other), 32)
    return forge(folder, v.receipt, v.states, v.key, samples=samples, data=merkle_root(rows).hex())


def swapped_data(v: Victim, folder: Path) -> Forged:
    """The receipt commits to other data than were used; the verifier has the real ones."""
    return _other_data(v, folder), {}, 0.0


def swapped_data_at_hand(v: Victim, folder: Path) -> Forged:
    """Likewise; the verifier was given the others, too."""
    return _other_data(v, folder), {"task": Relabelled("digits-mlp")}, 0.0


def _lie(change: dict[str, Any]) -> Callable[[Victim, Path], Forged]:
    def made(v: Victim, folder: Path) -> Forged:
        return forge(folder, v.receipt, v.states, v.key, recipe=replace(RECIPE, **change)), {}, 0.0

    return made


def cut_short(v: Victim, folder: Path) -> Forged:
    """The last interval taken away, the signature left."""
    forge(folder, v.receipt, v.states, v.key)
    lines = (folder / "chain.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "chain.jsonl").write_bytes(b"".join(lines[:-1]))
    (folder / "states" / f"{N:05d}.safetensors").unlink()
    return folder, {}, 0.0


def cut_short_and_signed(v: Victim, folder: Path) -> Forged:
    """By the author, under a shorter recipe: true of the model that it ends with."""
    recipe = replace(RECIPE, steps=95)
    return forge(folder, v.receipt, v.states[:-1], v.key, recipe=recipe), {}, 0.95


def _ordered(order: list[int]) -> Callable[[Victim, Path], Forged]:
    def made(v: Victim, folder: Path) -> Forged:
        states = [v.states[i] for i in order]
        states[0] = State(states[0].weights, {})
        return forge(folder, v.receipt, states, v.key), {}, 0.0

    return made


def reversed_receipt(v: Victim, folder: Path) -> Forged:
    """From the copy back to the victim: the victim's start is shown as trained from its end, named as the parent."""
    parent = ReceiptParent("thief/older", None, weights_root(v.states[-1].weights))
    states = [State(v.states[-1].weights, {}), *(v.states[i] for i in range(N - 1, -1, -1))]
    states[-1] = State(v.states[0].weights, v.states[1].optimizer)
    save_file(v.states[-1].weights, folder.with_suffix(".safetensors"))
    forged = forge(folder, v.receipt, states, THIEF, **v.claim(parent=parent))
    return forged, {"parent": folder.with_suffix(".safetensors")}, 0.0


def blind_top_q(v: Victim, folder: Path) -> Forged:
    """Fang et al.: real training where updates are largest (one interval an epoch), small forged steps between."""
    own, states, steps = v.bench(**v.claim()), [_thiefs_start(v)], 0
    for index in range(N):
        left = N - index
        if index in (0, 6, 12, 17):
            states.append(own.replay(states[-1], index))
            steps += 5
        else:
            way = blend(states[-1], v.states[-1], 1 / left)
            states.append(State(way.weights, v.states[index + 1].optimizer))
    return forge(folder, v.receipt, states, THIEF, **v.claim()), {}, steps / RECIPE.steps


def _infinitesimal(rate: float) -> Callable[[Victim, Path], Forged]:
    """Fang et al.: a rate so small that any small step lies within an absolute line."""

    def made(v: Victim, folder: Path) -> Forged:
        start = _thiefs_start(v)
        states = [
            start,
            *(State(blend(start, v.states[-1], 1e-5 * i).weights, v.states[i].optimizer) for i in range(1, N + 1)),
        ]
        recipe = replace(RECIPE, settings={"lr": rate, "momentum": 0.9}, schedule="constant", schedule_settings={})
        return forge(folder, v.receipt, states, THIEF, **v.claim(recipe=recipe)), {}, 0.0

    return made


def small_pushes(v: Victim, folder: Path) -> Forged:
    """Real training from another seed, and at each interval's end a push towards the stolen weights, below the line."""
    changes = v.claim(recipe=replace(RECIPE, seed=1))
    states = pushed(v, changes, 0.085)
    return forge(folder, v.receipt, states, THIEF, **changes), {}, 1.0


def pushed(v: Victim, changes: dict[str, Any], share: float) -> list[State]:
    """A training each of whose intervals ends a share of its movement nearer to the stolen weights; 0: honest."""
    own = v.bench(**changes)
    states = [State(initial(MLP, own.claim, None), {})]
    for index in range(N):
        end = own.replay(states[-1], index)
        room = distances(states[-1], end)
        way = {n: v.states[-1].weights[n] - t for n, t in end.weights.items()}
        full = distances(end, State({n: end.weights[n] + w for n, w in way.items()}, {}))
        part = min(1.0, share * min(room[m] / full[m] for m in ("l1", "l2", "linf")))
        states.append(State({n: t + part * way[n] for n, t in end.weights.items()}, end.optimizer))
    return states


FORGERIES: dict[str, Callable[[Victim, Path], Forged]] = {
    "random checkpoints": random_states,
    "interpolation to stolen weights": interpolation,
    "someone else's receipt, signed anew": signed_anew,
    "the same, order of the data made the thief's": signed_anew_thoroughly,
    "stolen weights tuned, called an initialiser's": tuned_from_a_seed,
    "stolen weights tuned, named as the parent": tuned_from_a_parent,
    "swapped data": swapped_data,
    "swapped data, given to the verifier": swapped_data_at_hand,
    "swapped learning rate": _lie({"settings": {"lr": 0.05, "momentum": 0.9}}),
    "swapped momentum": _lie({"settings": {"lr": 0.1, "momentum": 0.8}}),
    "swapped weight decay": _lie({"settings": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}}),
    "swapped schedule": _lie({"schedule_settings": {"T_max": 200}}),
    "swapped optimiser": _lie({"optimizer": "AdamW", "settings": {"lr": 0.003}}),
    "truncated": cut_short,
    "truncated and signed by its author": cut_short_and_signed,
    "re-ordered intervals": _ordered([0, 2, 1, *range(3, N + 1)]),
    "re-used intervals": _ordered([0, 1, 2, 3, 3, *range(5, N + 1)]),
    "reversed": reversed_receipt,
    "top-Q evasion (Fang et al.)": blind_top_q,
    "infinitesimal updates, rate 1e-12 (Fang et al.)": _infinitesimal(1e-12),
    "infinitesimal updates, rate 1e-6": _infinitesimal(1e-6),
    "small pushes below the line": small_pushes,
}


def attempt(v: Victim, name: str, folder: Path) -> dict[str, Any]:
    """A row: what full verification says of a forgery, how often the default budget rejects it, its cost."""
    forged, options, cost = FORGERIES[name](v, folder)
    options.setdefault("task", MLP)
    report = verify(forged, budget=1.0, challenge=1, **options)
    checks = [c for c in report.checks if c.outcome != "passed"]
    found = [verify(forged, challenge=c, **options).verdict for c in range(N_CHALLENGES)]
    row = {"full": report.verdict, "default": sum(f != "consistent" for f in found), "cost": cost}
    if name.startswith("small pushes"):
        honest = pushed(v, v.claim(recipe=replace(RECIPE, seed=1)), 0.0)
        reached = [*states_of(open_receipt(forged))[::N], honest[-1]]
        row["way"] = [distances(state, v.states[-1])["l2"] for state in reached]
    return row | {"by": checks[0].name if checks else "", "says": checks[0].says if checks else ""}
