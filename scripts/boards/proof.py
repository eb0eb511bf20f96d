"""Board `proof`: are honest receipts consistent, forged ones not, and what does it cost?

*Honest*: real trainings (digits; ResNet-20 on 2,048 images of Fashion-MNIST, 16 steps of it, since the board runs on
two cores; small decoders on Python's language reference, by transformers' Trainer and by accelerate), each verified in
full, with noise and reference measured again by the verifier. *Repetition*: the largest distance of an interval trained
again, with one thread and with two (epsilon_repr), by the smallest one of another order of the data (d_ref), for each
metric and k: the worst of four intervals. The line is a tenth of d_ref, and of the interval's own movement;
docs/receipts.svg shows both.

*Forgeries*: each is written with a chain, a root and a signature that fit. `full` is the verdict when all intervals
are trained again, `default` how many of five verifications at the default budget rejected it, `cost` what the thief
trains by what the victim trained. Two are true statements and no forgeries (a shorter training by its author; a stolen
model named as the parent), one is a documented limit (pushes below the line); the bar leaves these three out, and asks
that they stay what they are. *Partly forged*: which intervals of a receipt are rejected when they alone are drawn, and
how often 2,000 draws meet one.

*Cost*: processor time, all threads, in runs that take turns; what a state costs in steps of its training says what k
must be for 10 %. Start (hashing all data) and finish (calibration: six intervals) are paid once.

Bar: every honest receipt consistent, noise at most a hundredth of the reference; every forgery rejected in full; every
flipped bit noticed; detection within the 99 % band of its formula; a verification at the defaults at most 10 % of the
training's steps; bytes linear in steps; all tests of the reference code's defects and of hostile receipts pass.

    python scripts/boards/proof.py [--quick] [--fresh]
"""

from __future__ import annotations

import math
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for a busy machine must not count as cost

import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import board
import proof_cost
import proof_forge
import proof_honest
import proof_partly
import proof_plot
import proof_synthetic
from hubdna.proof.choice import detection, draw
from hubdna.proof.claim import STORAGES
from hubdna.proof.tensors import METRICS

ROOT = Path(__file__).parents[2]
SWEEP = {"cnn adamw": (1, 5, 15, 30), "gpt2 adamw": (1, 6, 12), "resnet20 sgd": (1, 4, 8)}
RECORDED = (("mlp sgd", 600, 20), ("mlp sgd", 600, 100), ("cnn adamw", 200, 20), ("gpt2 adamw", 60, 10))
STORED = ("mlp adamw", "cnn adamw", "gpt2 adamw")
GROWTH = (250, 500, 1000)
TRUE = ("stolen weights tuned, named as the parent", "truncated and signed by its author")
LIMIT = ("small pushes below the line",)
BUDGETS = (0.05, 0.1, 0.25, 0.5)


def inside(run: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Run with a temporary folder after the first argument."""

    def made() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return run(args[0], Path(folder) / "receipt", *args[1:])

    return made


def honest(rows: board.Rows, quick: bool) -> bool:
    """Verdicts of honest receipts."""
    cases = proof_honest.honest()[:: 13 if quick else 1]
    found = {c.name: rows.measure(f"honest {c.name}", lambda c=c: proof_honest.judge(c)) for c in cases}
    table, room = [], 0.0
    for name, row in found.items():
        ratios = [v["noise"] / v["reference"] for v in row["calibration"].values() if v["reference"]]
        room = max(room, *ratios)
        table.append([name[:95], row["verdict"], f"{max(ratios):.0e}"])
    board.table("Honest receipts, all intervals trained again", ["training", "verdict", "noise / reference"], table)
    n = sum(row["verdict"] == "consistent" for row in found.values())
    print(f"{n} of {len(found)} consistent; noise by reference at most {room:.1e}")
    return n == len(found) and room <= 0.01


def repetition(rows: board.Rows, quick: bool) -> bool:
    """epsilon_repr by d_ref for each metric and k; the plot."""
    wanted = [(b, k) for b, ks in SWEEP.items() for k in ks][: 1 if quick else None]
    found = [(b, rows.measure(f"sweep {b} k={k}", lambda b=b, k=k: proof_honest.sweep(b, k))) for b, k in wanted]
    ratios = [(b, r["k"], {m: r[m][0] / r[m][1] if r[m][1] else None for m in METRICS}) for b, r in found]
    cells = [[b, k, *("-" if v is None else f"{v:.0e}" for v in r.values())] for b, k, r in ratios]
    board.table("epsilon_repr / d_ref (the line stands at 1e-01)", ["training", "k", *METRICS], cells)
    if not quick:
        proof_plot.draw(ROOT / "docs" / "receipts.svg", ratios)
    return all(v is None or v <= 0.01 for _, _, r in ratios for v in r.values())


def forgeries(rows: board.Rows, quick: bool) -> bool:
    """Verdicts of forgeries, with costs."""
    names = list(proof_forge.FORGERIES)[:: 7 if quick else 1]
    shares = () if quick else (2, 5)
    extra = ["tampered", *(f"partly {n}" for n in shares), *([] if quick else ["synthetic"])]
    with tempfile.TemporaryDirectory() as folder:
        victim = None
        if any(f"forged {name}" not in rows for name in [*names, *extra]):
            victim = proof_forge.victim(Path(folder))
        found = {n: rows.measure(f"forged {n}", inside(_attempt, victim, n)) for n in names}
        if not quick:
            run = inside(proof_synthetic.synthesised, victim)
            found["synthesised data (Zhang et al.)"] = rows.measure("forged synthetic", run)
        bits = rows.measure("forged tampered", inside(proof_partly.tampered, victim, 30 if quick else 300))
        parts = [rows.measure(f"forged partly {n}", inside(proof_partly.partly, victim, n)) for n in shares]
    _told(found)
    print(f"tampered: {bits['noticed']} of {bits['flips']} single flipped bits noticed, in {bits['files']} files")
    stopped = all((r["full"] == "inconsistent") != (n in TRUE + LIMIT) for n, r in found.items())
    return stopped and bits["noticed"] == bits["flips"] and _all_detected(parts)


def _told(found: dict[str, Any]) -> None:
    of = proof_forge.N_CHALLENGES
    board.table(
        "Forgeries", ["forgery", "full", "refuted by", "default", "cost"],
        [[n, r["full"], r["by"], f"{r['default']} of {of}" if "default" in r else "-", f"{r['cost']:.0%}"]
         for n, r in found.items()],
    )  # fmt: skip
    for name, row in found.items():
        if "way" in row:
            begun, ended, honest = row["way"]
            print(f"{name}: {begun:.2f} from the stolen weights at the start, {ended:.2f} after the whole training;")
            print(f"    the same training without pushes ends at {honest:.2f}")
        if "miss" in row:
            least, mean, most = row["miss"]
            print(f"{name}: {row['near']} of {proof_synthetic.STEPS} steps hit within a tenth of their length; ")
            print(f"    they are missed by {least:.2f} to {most:.2f} of it, {mean:.2f} on average")


def _attempt(victim: Any, folder: Path, name: str) -> dict[str, Any]:
    return proof_forge.attempt(victim, name, folder)


def _all_detected(parts: list[dict[str, Any]]) -> bool:
    found = [_detected(part) for part in parts]  # each has a table to print
    return all(found)


def _detected(part: dict[str, Any]) -> bool:
    n, caught, table, fits = proof_forge.N, set(part["caught"]), [], part["caught"] == part["forged"]
    rng = random.Random(3)
    for budget in BUDGETS:
        hits = sum(bool(caught & set(draw(n, budget, rng.getrandbits(53)))) for _ in range(2000))
        formula = detection(n, len(draw(n, budget, 0)), len(part["forged"]) / n)
        least, most = board.band(formula, 2000)
        fits = fits and least <= hits <= most
        table.append([f"{budget:.0%}", f"{hits / 2000:.3f}", f"{formula:.3f}"])
    title = f"{len(part['forged'])} of {n} intervals forged: {len(caught)} of them rejected when drawn alone, no other"
    board.table(title, ["budget", "draws that meet one", "formula"], table)
    return fits


def cost(rows: board.Rows, quick: bool) -> bool:
    """Recording, storage, verification, growth."""
    recorded = [
        (b, n, rows.measure(f"cost record {b} {n} {k}", lambda b=b, n=n, k=k: proof_cost.recording(b, n, k)))
        for b, n, k in RECORDED[: 1 if quick else None]
    ]
    board.table(
        "Recording; start, finish and a state in steps of the training",
        ["training", "steps", "k", "share", "start", "finish", "state", "k for 10 %"],
        [[b, n, r["every"], f"{r['share']:.1%}", *(f"{r[x]:.1f}" for x in ("start", "finish", "state")),
          max(1, math.ceil(r["state"] / 0.1))] for b, n, r in recorded],
    )  # fmt: skip
    if quick:
        return True
    for base in STORED:
        kept = {
            s: rows.measure(f"cost store {base} {s}", lambda b=base, s=s: proof_cost.stored(b, s)) for s in STORAGES
        }
        whole = kept["plain"]["bytes"]
        says = ", ".join(f"{s} {r['bytes'] / whole:.0%} (loss {r['loss']:.4f})" for s, r in kept.items())
        print(f"states of {base}, {whole // (kept['plain']['states'] - 1):,} bytes each: {says}")
    grown = {n: rows.measure(f"cost verify {n}", lambda n=n: proof_cost.verifying("cnn adamw", n, 5)) for n in GROWTH}
    board.table(
        "Verification at the defaults (cnn adamw, k = 5), by the training",
        ["steps", "intervals trained again", "steps again", "processor time", "bytes / step"],
        [[n, f"{r['replayed']} of {r['intervals']}", f"{r['steps']:.1%}", f"{r['share']:.0%}", f"{r['bytes'] / n:.0f}"]
         for n, r in grown.items()],
    )  # fmt: skip
    per_step = [r["bytes"] / n for n, r in grown.items()]
    even = max(per_step) <= 1.25 * min(per_step)
    return even and all(r["steps"] <= 0.1 and r["verdict"] == "consistent" for r in grown.values())


def tests(rows: board.Rows) -> bool:
    """The tests that cover the reference code's defects, and hostile receipts."""
    ok = True
    for name in ("defects", "hostile", "storage"):
        row = rows.measure(f"tests {name}", lambda name=name: _tests(f"tests/proof/test_proof_{name}.py"))
        print(f"tests/proof/test_proof_{name}.py: {row['says']}")
        ok = ok and row["code"] == 0
    return ok


def _tests(file: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return {"code": done.returncode, "says": done.stdout.strip().splitlines()[-1].split(" in ")[0]}


def main() -> int:
    """All tables."""
    args, started = board.arguments(__doc__), time.perf_counter()
    rows = board.Rows("proof", args, "hubdna.receipt/1 of 2026-11-30")
    torch.set_num_threads(1)
    parts = {
        "honest": honest(rows, args.quick), "repetition": repetition(rows, args.quick),
        "forgeries": forgeries(rows, args.quick), "cost": cost(rows, args.quick), "tests": args.quick or tests(rows),
    }  # fmt: skip
    return board.finish("proof", all(parts.values()), started, parts=parts)


if __name__ == "__main__":
    sys.exit(main())
