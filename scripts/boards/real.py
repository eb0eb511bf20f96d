"""Board `real`: pretrained models that other people trained and shipped inside packages.

Builds Hub-style repositories from packages (scripts/real_models), serves them with the local Hub, crawls them into an
index, and tests every labelled relation. Names, layouts and dtypes are as shipped: a converted copy shares no tensor
name with its source, and every shape is permuted.

Bar: every related pair `common` at log10 p <= -14.3 or `identical` by bits; no independent pair `common` or
`identical`; each model with a labelled relative finds it at rank 1. Relations labelled `unknown` or `inferred` are
shown, not scored.

    python scripts/boards/real.py [--quick] [--fresh] [--repos DIR]     DIR: repositories that were built before

Building them all (`--fresh` without `--repos`) needs npm and `pip install torch h5py tflite`; `--quick` needs neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import board

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
REAL = Path(__file__).parent.parent / "real_models"
RELATED = {"identical", "finetune", "converted", "sibling", "quantized"}


def build(folder: Path, quick: bool) -> None:
    """Build the repositories with the python of this board's virtual environment."""
    command = [sys.executable, str(REAL / "build.py"), str(folder), *(["--handful"] if quick else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(folder: Path) -> dict[str, dict[str, Any]]:
    """Serve, crawl at `standard`, test every relation, search for every model; rows by key."""
    from hubdna.crawl import crawl
    from hubdna.hub import Hub
    from hubdna.localhub import LocalHub
    from hubdna.store import IndexDir

    rows: dict[str, dict[str, Any]] = {}
    with LocalHub(folder) as server, tempfile.TemporaryDirectory() as place:
        hub = Hub(server.endpoint)
        with IndexDir(Path(place), create=True) as index:
            for step in crawl(hub, index, hub.models(), level="standard"):
                outcome = {"outcome": step.outcome, "mb": round(step.n_bytes / 1e6, 2), "requests": step.n_requests}
                rows[f"model {step.repo_id}"] = outcome | ({"reason": step.reason} if step.reason else {})
            for relation in json.loads((REAL / "catalog.json").read_text())["relations"]:
                rows |= pair_row(index, relation)
            rows |= {f"rank {e.ref.repo_id}": ranks(index, e) for e in index.entries()}
    return rows


def pair_row(index: Any, relation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The verdict on one labelled pair; empty when an end was not built."""
    from hubdna.evidence.compare import compare_dna
    from hubdna.verdict import judge

    ends = [index.get(relation[end]) for end in "ab"]
    if None in ends:
        return {}
    v = judge(compare_dna(*(index.dna(e) for e in ends)))
    row = {"label": relation["relation"], "confidence": relation["confidence"], "origin": v.origin}
    row |= {"relation": v.relation, "log10_p": v.log10_p, "similarity": v.similarity}
    row |= {"tests": [[b.n_axis, b.n_units, b.fixed_points] for b in v.evidence.buckets], "why": v.undecided_because}
    return {f"pair {relation['a']} ~ {relation['b']}": row}


def ranks(index: Any, entry: Any) -> dict[str, Any]:
    """Whom a model finds, nearest first."""
    from hubdna.search import nearest

    return {"found": [m.ref.repo_id for m in nearest(index.dna(entry), index, 3)]}


def is_scored(row: dict[str, Any]) -> bool:
    """Whether a pair's label is firm enough to count."""
    return row["confidence"] not in ("unknown", "inferred") and row["label"] in RELATED | {"independent"}


def pair_holds(row: dict[str, Any]) -> bool:
    """Whether the verdict is what the label demands."""
    if row["label"] == "independent":
        return row["origin"] in ("no-evidence", "undecided")
    return row["origin"] == "identical" or (row["origin"] == "common" and row["log10_p"] <= -14.3)


def rank_misses(rows: dict[str, Any]) -> list[str]:
    """Models whose labelled relative is not at rank 1."""
    relatives: dict[str, set[str]] = {}
    for key, row in rows.items():
        if key.startswith("pair ") and is_scored(row) and row["label"] in RELATED:
            a, b = key.removeprefix("pair ").split(" ~ ")
            relatives.setdefault(a, set()).add(b)
            relatives.setdefault(b, set()).add(a)
    return [m for m, of in sorted(relatives.items()) if not of & set(rows[f"rank {m}"]["found"][:1])]


def main() -> int:
    """Measure what is missing, print, judge."""
    args = board.arguments(__doc__, repos="")
    rows = board.Rows("real", args)
    if not rows:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(args.repos or made)
            if not args.repos:
                build(folder, args.quick)
            rows.update(measure(folder))
            rows.save()
    return report(rows)


def report(rows: dict[str, Any]) -> int:
    """Print the tables; 0 when every bar holds."""
    pairs = {k.removeprefix("pair "): v for k, v in rows.items() if k.startswith("pair ")}
    related = {k: v for k, v in pairs.items() if v["label"] != "independent"}
    independent = {k: v for k, v in pairs.items() if v["label"] == "independent"}
    models = {k.removeprefix("model "): v for k, v in rows.items() if k.startswith("model ")}
    header = ["pair", "label", "verdict", "log10 p", "similarity", "MB"]
    board.table("Related pairs", header, [_line(k, v, models) for k, v in related.items()])
    board.table("Independent pairs", header, [_line(k, v, models) for k, v in independent.items()])
    scored = {k: v for k, v in pairs.items() if is_scored(v)}
    wrong = [k for k, v in scored.items() if not pair_holds(v)]
    misses = rank_misses(rows)
    n_related = sum(v["label"] in RELATED for v in scored.values())
    low = board.interval(n_related - sum(k in related for k in wrong), n_related, 0.95)[0]
    high = board.interval(sum(k in independent for k in wrong), len(independent), 0.95)[1]
    skipped = {k: v["reason"] for k, v in models.items() if v["outcome"] == "skipped"}
    print(f"related pairs found: 95 % interval from {low:.2f}; independent pairs called common: up to {high:.2f}")
    counts = {"n": len(scored), "related": n_related, "independent": len(independent), "models": len(models)}
    return board.finish("real", not wrong and not misses, **counts, wrong=wrong, not_at_rank_1=misses, skipped=skipped)


def _line(key: str, row: dict[str, Any], models: dict[str, Any]) -> list[object]:
    mb = sum(models.get(end, {"mb": 0})["mb"] for end in key.split(" ~ "))
    label = row["label"] + ("" if is_scored(row) else " (not scored)")
    p, similarity = row["log10_p"], row["similarity"]
    verdict = row["origin"] + (f", {row['relation']}" if row["relation"] else "")
    return [
        key,
        label,
        verdict,
        "" if p is None else f"{p:.1f}",
        "" if similarity is None else f"{similarity:.3f}",
        f"{mb:.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
