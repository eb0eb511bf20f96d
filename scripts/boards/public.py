"""Board `public`: the pair lists that other projects published, through the public Hub.

Three lists, as data in scripts/boards/public: the 111 pairs of Cisco's model-provenance-kit, AWM's 60 + 90, and all 210
pairs of the 21 models of "Independence tests for language models". Each keeps its own labels; where ours differs, the
file says why. Both are scored. `unknown` (nobody can say) is scored by neither. A pair is right when a related one is
`common` or `identical` and an independent one is not.

Bar: 0 independent pairs, by our labels, are `common` or `identical`; no model takes more than 16 MB or 64 requests. A
run that could read no pair does not hold. How many related pairs are found is shown, not barred: some of these models
hold no weights that can tell (adapters), and which repositories are still there is not ours to say.

Needs the Hub and, for Llama and Gemma, a token with access, so it is no part of `make evidence`. One command:

    HF_TOKEN=... python scripts/boards/public.py [--quick] [--fresh] [--endpoint URL] [--lists DIR]

One row a pair, kept as soon as it is measured. A model that is gated, missing or not readable makes `skipped` rows with
the reason; they are tried again on the next start, when a token may have been granted. `--lists` takes other lists and
keeps no rows.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # read when huggingface_hub is imported

import board
from hubdna.compare import compare_models
from hubdna.dna.read import SCHEME
from hubdna.errors import HubdnaError
from hubdna.models import Loaded, Loader
from hubdna.records import ModelRef
from hubdna.store import IndexDir

LISTS = Path(__file__).parent / "public"
LABELS = ("related", "independent", "unknown")
MAX_BYTES, MAX_REQUESTS = 16_000_000, 64
"""What one model may take at `standard`."""
REMEMBERED = 32
"""Models whose DNA stays in memory; the largest set of which all pairs are tested has 21."""


@dataclass(frozen=True)
class Pair:
    """Two models of a list. `listed` is the list's label, `label` ours; `why` is there when they differ."""

    a: str
    b: str
    listed: str
    label: str
    why: str | None = None


def pairs_of(data: dict[str, Any]) -> Iterator[Pair]:
    """The pairs of one list: written out, within sets of independent models, and between and within families."""
    for p in data.get("pairs", ()):
        yield Pair(p["a"], p["b"], p["label"], p.get("corrected", p["label"]), p.get("why"))
    for models in data.get("independent_sets", ()):
        yield from (Pair(a, b, "independent", "independent") for a, b in combinations(models, 2))
    family_of = {model: i for i, family in enumerate(data.get("families", ())) for model in family}
    for a, b in combinations(family_of, 2):
        label = "related" if family_of[a] == family_of[b] else "independent"
        yield Pair(a, b, label, label)


def read_lists(folder: Path) -> dict[str, dict[str, Any]]:
    """All lists of a folder by name, in the order of their files."""
    found = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml"))]
    return {data["name"]: data for data in found}


class Remembering(Loader):
    """A loader that reads each model once: its DNA, or why there is none. `costs`: bytes and requests by model."""

    def __init__(self, endpoint: str | None) -> None:
        super().__init__(endpoint, level="standard")
        self.costs: dict[str, tuple[int, int]] = {}
        self._known: dict[str, Loaded] = {}
        self._failed: dict[str, HubdnaError] = {}

    def load(self, ref: ModelRef, index: IndexDir | None = None) -> Loaded:
        """The model, remembered. Raises HubdnaError, the same one each time."""
        name = str(ref)
        if name in self._failed:
            raise self._failed[name]
        try:
            loaded = self._known.pop(name, None) or super().load(ref, index)
        except HubdnaError as error:
            self._failed[name] = error
            raise
        self.costs.setdefault(name, (loaded.dna.n_bytes_read, loaded.dna.n_requests))
        self._known[name] = loaded  # the latest last
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return loaded


def measure(pair: Pair, loader: Remembering) -> dict[str, Any]:
    """One row: the labels, what hubdna says, and what each model took. Work that cannot be done is `skipped`."""
    row: dict[str, Any] = {"listed": pair.listed, "label": pair.label}
    try:
        c = compare_models(ModelRef.parse(pair.a), ModelRef.parse(pair.b), loader)
    except HubdnaError as error:
        return row | {"origin": "skipped", "why": f"{type(error).__name__}: {error}"[:300]}
    v = c.verdict
    return row | {
        "origin": v.origin, "said": v.relation, "direction": v.direction, "log10_p": v.log10_p,
        "disguise": list(v.disguise), "why": v.undecided_because, "at": [c.a.sha, c.b.sha],
        "cost": {name: loader.costs[name] for name in (pair.a, pair.b) if name in loader.costs},
    }  # fmt: skip


def outcome(row: dict[str, Any], label: str) -> str:
    """What a row counts as under a label: hit, miss, false, right, undecided, unknown or skipped."""
    if row["origin"] == "skipped" or label == "unknown":
        return "skipped" if row["origin"] == "skipped" else "unknown"
    found = row["origin"] in ("common", "identical")
    if label == "independent":
        return "false" if found else "right" if row["origin"] == "no-evidence" else "undecided (independent)"
    return "hit" if found else "miss" if row["origin"] == "no-evidence" else "undecided (related)"


COLUMNS = ("hit", "miss", "undecided (related)", "right", "false", "undecided (independent)", "unknown", "skipped")


def score(rows: dict[str, dict[str, Any]], by: str) -> Counter[str]:
    """Counts of outcomes by the labels `listed` or `label`."""
    return Counter(outcome(row, row[by]) for row in rows.values())


def main() -> int:
    """Measure what is missing, print, judge."""
    args = board.arguments(__doc__, endpoint="", lists="")
    first_only, args.quick = args.quick, args.quick or bool(args.lists)  # a quick run's rows are not kept
    rows, loader = board.Rows("public", args, SCHEME), Remembering(args.endpoint or None)
    for key in [k for k, row in rows.items() if k != "scheme" and row["origin"] == "skipped"]:
        del rows[key]
    lists = read_lists(Path(args.lists) if args.lists else LISTS)
    for name, data in lists.items():
        for pair in list(pairs_of(data))[: 3 if first_only else None]:
            rows.measure(f"{name} {pair.a} {pair.b}", partial(measure, pair, loader))
    return report({name: {k: r for k, r in rows.items() if k.startswith(f"{name} ")} for name in lists})


def report(rows: dict[str, dict[str, dict[str, Any]]]) -> int:
    """Print the tables; 0 when every bar holds. Rows by list and key."""
    counts = {(name, by): score(of, by) for name, of in rows.items() for by in ("listed", "label")}
    words = {"listed": "as listed", "label": "as corrected"}
    lines = [[name, words[by], *(count[c] for c in COLUMNS)] for (name, by), count in counts.items()]
    board.table("Pairs of each list", ["list", "labels", *(c.replace("independent", "indep.") for c in COLUMNS)], lines)
    everything = {key: row for of in rows.values() for key, row in of.items()}
    failed = ("false", "miss", "undecided (related)", "skipped")
    wrong = {key: row for key, row in everything.items() if outcome(row, row["label"]) in failed}
    board.table("Not found, not read, or false, as corrected", ["pair", "label", "said", "why"], [
        [key, row["label"], row["origin"], (row["why"] or "")[:70]] for key, row in wrong.items()])  # fmt: skip
    costs = {model: tuple(cost) for row in everything.values() for model, cost in row.get("cost", {}).items()}
    n_bytes, n_requests = (max((cost[i] for cost in costs.values()), default=0) for i in (0, 1))
    dear = [model for model, (size, asked) in costs.items() if size > MAX_BYTES or asked > MAX_REQUESTS]
    false = [key for key, row in everything.items() if outcome(row, row["label"]) == "false"]
    total = {by: sum((score(of, by) for of in rows.values()), Counter()) for by in words}
    measured = sum(row["origin"] != "skipped" for row in everything.values())
    return board.finish(
        "public", not (false or dear) and measured > 0, n=len(everything), measured=measured, models=len(costs),
        listed=dict(total["listed"]), corrected=dict(total["label"]), false_common=false, too_dear=dear,
        mb=round(sum(size for size, _ in costs.values()) / 1e6, 2), most_mb=round(n_bytes / 1e6, 2),
        requests=sum(asked for _, asked in costs.values()), most_requests=n_requests,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
