"""Honest trainings to record, and the forger's tool: states of any kind under commitments that are all in order."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hubdna.proof import Recipe, Recorder, example
from hubdna.proof.claim import Claim
from hubdna.proof.keys import sign
from hubdna.proof.layout import (
    CALIBRATION,
    CLAIM,
    SAMPLES,
    SIGNATURE,
    STATES,
    Link,
    Receipt,
    append_link,
    root_of,
    state_name,
    write,
)
from hubdna.proof.order import order_digest
from hubdna.proof.replay import Bench
from hubdna.proof.tensors import METRICS, State, distances, encode, named, weights_root
from hubdna.roots import canonical, file_digest

MLP = example("digits-mlp")
SGD = Recipe(
    40, 5, 64, "SGD", {"lr": 0.1, "momentum": 0.9}, "CosineAnnealingLR", {"T_max": 40}, config={"width": 16}
)  # 8 intervals, an epoch and a half
ADAM = Recipe(24, 5, 64, "AdamW", {"lr": 0.003, "betas": [0.9, 0.99]}, seed=3, config={"width": 4})
KEY = Ed25519PrivateKey.from_private_bytes(b"the same order of data each time")
"""The author of all honest receipts; exactly 32 bytes."""
GENEROUS = {m: {"noise": 0.0, "reference": 1e9} for m in METRICS}
"""The calibration that a forger would like."""


def train(recorder: Recorder, steps: int | None = None) -> None:
    """The plain loop; leaves in the middle of it after `steps`, as a crash does."""
    for done, batch in enumerate(recorder.batches()):
        if done == steps:
            return
        recorder.optimizer.zero_grad()
        recorder.task.loss(recorder.model, batch).backward()
        recorder.optimizer.step()


def record(folder: Path, recipe: Recipe = SGD, task=MLP, **options) -> tuple[Path, object]:
    """A finished receipt in `folder`/receipt, and its author's key."""
    recorder = Recorder(folder / "receipt", task, recipe, KEY, **options)
    train(recorder)
    recorder.finish()
    return folder / "receipt", KEY


def states_of(receipt: Receipt, task=MLP) -> list[State]:
    bench = Bench.of(task, receipt.claim, receipt.samples)
    return [bench.load(receipt, link.index) for link in receipt.links]


def forge(folder: Path, like: Receipt, states: Sequence[State | bytes], key: object, **forged: object) -> Path:
    """Write a receipt whose every commitment is right, of whatever states.

    Args:
        folder: where.
        like: the receipt whose claim and samples are taken.
        states: what is claimed to be the training; bytes are written as they are.
        key: signs.
        forged: fields of the claim that are changed; `calibration`, `moved`, `order`, `roots` (of the links).
    """
    calibration = forged.pop("calibration", GENEROUS)
    moved, order = forged.pop("moved", None), forged.pop("order", None)
    roots = forged.pop("roots", None)
    samples = forged.pop("samples", like.samples)
    claim: Claim = replace(like.claim, **forged)
    (folder / STATES).mkdir(parents=True)
    write(folder, CLAIM, canonical(claim.to_json()))
    write(folder, SAMPLES, samples.tobytes())
    previous, before = claim.digest().hex(), None
    for index, state in enumerate(states):
        raw = state if isinstance(state, bytes) else encode(named(state))
        write(folder, state_name(index, claim.recipe.storage), raw)
        steps = claim.recipe.interval(index - 1) if index else range(0)
        known = isinstance(state, State)
        link = Link(
            index,
            min(index * claim.recipe.every, claim.recipe.steps),
            file_digest([raw]).hex(),
            roots[index] if roots else weights_root(state.weights) if known else "0" * 64,
            order[index] if order else order_digest(claim, steps, samples).hex(),
            moved[index] if moved else distances(before, state)["l2"] if before and known else float(index > 0),
            {},
            previous,
        )
        append_link(folder, link)
        previous, before = link.digest(), state if known else None
    raw = canonical(calibration)
    write(folder, CALIBRATION, raw)
    root = root_of(claim, previous, raw)
    write(folder, SIGNATURE, canonical({"root": root.hex(), "signature": sign(key, root)}))
    return folder


def blend(a: State, b: State, share: float) -> State:
    """Weights on the way from a to b; the optimiser's of a."""
    return State({n: torch.lerp(t, b.weights[n], share) for n, t in a.weights.items()}, a.optimizer, a.buffers)


def failed(report) -> str:
    """Name and words of the check that refuted a receipt."""
    assert report.verdict == "inconsistent", report
    return next(f"{c.name}: {c.says}" for c in report.checks if c.outcome == "failed")
