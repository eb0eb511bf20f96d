"""Board `attested`: edges that weights leave undirected, and what checked receipts make of them.

Twenty pairs on handwritten digits, each a base and its fine-tune, both recorded: four widths, two optimisers, other
keys, other recipes. Every pair is an index of its own, crawled from a local Hub. First without any receipt; then the
fine-tune's receipt is verified in full with `hubdna prove verify --save`, and the tree is drawn again.

Twenty-one wrong ways follow, each on a pair of its own index. *Reversed*: the states of the fine-tune's receipt in the
opposite order, from the fine-tune to the base, under commitments and a signature that are in order. *Jump*: from the
fine-tune back to the base over states between them. *Other parent*: the base is another model of the same shape, named
as the parent. *Only signed*: the receipt is pushed and read, and never repeated. *In part*: a tenth is repeated.
*Stranger's record*: somebody else's kept record lies among the user's own. *Cast*: the published model is the last
state in bfloat16.

Bar: all twenty undirected without, attested and right with receipts; none of the wrong ways gives an attested edge.

    python scripts/boards/attested.py [--quick] [--fresh]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).parents[2] / "tests" / "proof"))

import proof_bench as bench
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import load_file, save_file

import board
from hubdna.checked import keep, kept
from hubdna.cli.prove_keep import keep_checked, weights_at
from hubdna.crawl import crawl
from hubdna.dna.read import SCHEME
from hubdna.errors import HubdnaError
from hubdna.hub import Hub
from hubdna.lineage import families
from hubdna.localhub import LocalHub
from hubdna.proof import Recipe, Recorder, open_receipt, verify
from hubdna.proof.keys import public_of
from hubdna.proof.layout import state_name
from hubdna.proof.start import read_weights
from hubdna.proof.tensors import weights_root
from hubdna.records import CheckedReceipt, Edge, ReceiptParent
from hubdna.store import IndexDir

N_PAIRS = 20
WIDTHS = (64, 80, 96, 128)
OWNER = Ed25519PrivateKey.from_private_bytes(b"who trained and published a base")
THIEF = Ed25519PrivateKey.from_private_bytes(b"the thief, who has a key as well")


class Pair:
    """A base and its fine-tune on a shelf, with the fine-tune's receipt."""

    def __init__(self, root: Path, seed: int) -> None:
        width = {"width": WIDTHS[seed % len(WIDTHS)]}
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed + 1]) * 32)
        self.hub, self.records, self.receipt = root / "hub", root / "records", root / "tuned"
        self.base, self.tuned = self.hub / "ann/base", self.hub / "bob/tuned"
        first = Recipe(40, 10, 64, "SGD", {"lr": 0.1, "momentum": 0.9}, seed=seed, config=width)
        adam = seed % 2 == 0
        second = Recipe(
            30, 5, 64, "AdamW" if adam else "SGD", {"lr": 0.002 if adam else 0.05}, seed=100 + seed, config=width
        )
        self._train(root / "base", first, OWNER, self.base)
        self._train(self.receipt, second, key, self.tuned, parent=("ann/base", self.base / "model.safetensors"))

    def _train(self, folder: Path, recipe: Recipe, key: Any, model: Path, **options: Any) -> None:
        recorder = Recorder(folder, bench.MLP, recipe, key, **options)
        bench.train(recorder)
        recorder.finish()
        model.mkdir(parents=True)
        save_file(dict(recorder.model.state_dict()), model / "model.safetensors")

    def edge(self, records: Path | None = None) -> Edge:
        """The only edge of the pair's index, as this user sees it."""
        with LocalHub(self.hub) as hub, tempfile.TemporaryDirectory() as made:
            with IndexDir(Path(made) / "index", create=True) as index:
                client = Hub(hub.endpoint)
                assert all(step.outcome != "skipped" for step in crawl(client, index, client.models()))
                (family,) = families(index, checked=kept(records or self.records))
        (edge,) = family.edges
        return edge

    def check(self, receipt: Path, parent: Path, model: Path, budget: float = 1.0) -> str:
        """Verify and keep, as `hubdna prove verify --save` does; what came of it."""
        try:
            report = verify(receipt, bench.MLP, parent=parent, model=model, budget=budget, top_q=0, challenge=7)
            if report.verdict != "consistent":
                return report.verdict
            os.environ["XDG_DATA_HOME"] = str(self.records / "xdg")
            place = keep_checked(report, parent, model)
            shutil.copytree(place.parent, self.records, dirs_exist_ok=True)
        except HubdnaError as error:
            return str(error).partition(":")[0]
        return "kept"


def right(seed: int) -> dict[str, str]:
    """One pair: without, and with its receipt."""
    with tempfile.TemporaryDirectory() as made:
        pair = Pair(Path(made), seed)
        before = pair.edge()
        outcome = pair.check(pair.receipt, pair.base / "model.safetensors", pair.tuned / "model.safetensors")
        after = pair.edge()
    way = "right" if (after.parent.repo_id, after.child.repo_id) == ("ann/base", "bob/tuned") else "WRONG"
    return {"before": before.certainty, "receipt": outcome, "after": after.certainty, "way": way}


def reversed_(pair: Pair, root: Path) -> str:
    """From the copy back to the victim, over the same states."""
    return _back(pair, root, bench.states_of(open_receipt(pair.receipt))[::-1])


def jump(pair: Pair, root: Path) -> str:
    """From the copy back to the victim, over states between."""
    states = bench.states_of(open_receipt(pair.receipt))
    n = len(states) - 1
    return _back(pair, root, [bench.blend(states[-1], states[0], i / n) for i in range(n)] + [states[0]])


def _back(pair: Pair, root: Path, states: list[Any]) -> str:
    start = replace(states[0], optimizer={})
    parent = ReceiptParent("bob/tuned", None, weights_root(start.weights))
    forged = bench.forge(
        root / "forged", open_receipt(pair.receipt), [start, *states[1:]], THIEF, author=public_of(THIEF), parent=parent
    )
    return pair.check(forged, pair.tuned / "model.safetensors", pair.base / "model.safetensors")


def other_parent(pair: Pair, root: Path) -> str:
    """The named parent is another model; the user brings what the index holds."""
    stranger = root / "stranger.safetensors"
    save_file({n: torch.randn_like(t) for n, t in load_file(pair.base / "model.safetensors").items()}, stranger)
    receipt = open_receipt(pair.receipt)
    parent = ReceiptParent("ann/base", None, weights_root(read_weights(stranger)))
    forged = bench.forge(
        root / "forged", receipt, bench.states_of(receipt), THIEF, author=public_of(THIEF), parent=parent
    )
    return pair.check(forged, pair.base / "model.safetensors", pair.tuned / "model.safetensors")


def only_signed(pair: Pair, root: Path) -> str:
    """It lies beside the model, is read at a glance, and nobody repeats it."""
    shutil.copytree(pair.receipt, pair.tuned / "receipt")
    return "read only"


def in_part(pair: Pair, root: Path) -> str:
    """A tenth of the intervals."""
    return pair.check(pair.receipt, pair.base / "model.safetensors", pair.tuned / "model.safetensors", 0.1)


def strangers_record(pair: Pair, root: Path) -> str:
    """A record that somebody else's key made, among one's own."""
    sides = [weights_at(p / "model.safetensors", "00" * 32) for p in (pair.base, pair.tuned)]
    keep(CheckedReceipt("11" * 32, "22" * 32, "x/y", *sides, 6, "2027-01-31"), root / "stranger")
    keep(CheckedReceipt("11" * 32, "33" * 32, "x/y", *sides[::-1], 6, "2027-01-31"), pair.records)
    for place in pair.records.glob("*.json"):
        place.unlink()
    for place in (root / "stranger").glob("*.json"):
        shutil.copy(place, pair.records)
    return "copied"


def cast(pair: Pair, root: Path) -> str:
    """What is published is the last state, rounded."""
    place = pair.tuned / "model.safetensors"
    save_file({n: t.bfloat16() for n, t in load_file(place).items()}, place)
    return pair.check(pair.receipt, pair.base / "model.safetensors", place)


WRONG: dict[str, Callable[[Pair, Path], str]] = {
    "reversed": reversed_, "jump": jump, "other parent": other_parent, "only signed": only_signed, "in part": in_part,
    "stranger's record": strangers_record, "cast": cast,
}  # fmt: skip


def wrong(name: str, seed: int) -> dict[str, str]:
    """One wrong way."""
    with tempfile.TemporaryDirectory() as made:
        pair = Pair(Path(made), seed)
        outcome = WRONG[name](pair, Path(made))
        return {"receipt": outcome, "after": pair.edge().certainty}


def main() -> int:
    """Measure what is missing; print the tables."""
    args = board.arguments(__doc__)
    rows = board.Rows("attested", args, f"{SCHEME}; {state_name(0)}; 1")
    torch.set_num_threads(1)
    n_pairs, n_wrong = (2, 1) if args.quick else (N_PAIRS, 3)
    for seed in range(n_pairs):
        rows.measure(f"pair {seed}", lambda seed=seed: right(seed))
    for name in WRONG:
        for seed in range(n_wrong):
            rows.measure(f"{name} {seed}", lambda name=name, seed=seed: wrong(name, seed))
    good = [rows[f"pair {seed}"] for seed in range(n_pairs)]
    before, after = (Counter(row[key] for row in good) for key in ("before", "after"))
    n_right = sum(row["after"] == "attested" and row["way"] == "right" for row in good)
    board.table(
        "Recorded pairs", ["without a receipt", "with one", "attested and right"],
        [[_counted(before), _counted(after), f"{n_right} of {n_pairs}"]],
    )  # fmt: skip
    bad = {name: [rows[f"{name} {seed}"] for seed in range(n_wrong)] for name in WRONG}
    board.table(
        "Wrong ways", ["way", "n", "outcome of the check", "attested"],
        [[name, len(those), _counted(Counter(r["receipt"] for r in those)), _n_attested(those)]
         for name, those in bad.items()],
    )  # fmt: skip
    n_false = sum(map(_n_attested, bad.values()))
    ok = before == {"none": n_pairs} and n_right == n_pairs and n_false == 0
    return board.finish("attested", ok, n_pairs=n_pairs, right=n_right, wrong_ways=len(WRONG) * n_wrong, false=n_false)


def _n_attested(found: list[dict[str, str]]) -> int:
    return sum(row["after"] == "attested" for row in found)


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{n} {name.replace('none', 'undirected')}" for name, n in found.most_common())


if __name__ == "__main__":
    sys.exit(main())
