"""Board `search`: is a relative found among twenty thousand models, and in indexes that are odd?

The index holds trained models (455: bases and independents of nine pair sets, 60 roots each of seven populations) and
20,000 synthetic ones: Gaussian weights, half in the trained ones' shapes. Queries go the way of `hubdna search`: read
at `standard`, candidates by sketches, each re-tested exactly. They are every other model of the pair sets; children
by noise of every matrix, of the bases, of their disguised copies and of ten roots a population, down to a correlation
of 0.1; and roots that have no relative in the index. A class is all models of one origin. A test counts as passed
when the verdict is `common` or `identical`, or `undecided` at log10 p <= -14.3: copies with shuffled units are only
settled with `--read full`. Each query is also tested against its origin directly (`passing`): what passes and is not
listed was lost by the index (`among ten` and `first` are shares of what passes). Units and residual stream disguised
at once leave no test without tokens that no training saw.

Beside them: models that are read in part, an index grown tenfold, copies, an empty index, one model, strangers'
shapes.

Bar: of what passes the test directly, the class is among the first ten matches for all undisguised children at
correlation 0.3 and above, and is the first match for 99 % of the pair sets' models; undisguised children at 0.3 and
above are candidates whether they pass or not; no `common` outside the class, none for models without a relative; at
most 1.2 KiB of memory a model; a thousand copies of one model hide no match and at most double the time of a query.

Disguised children are shown and stand outside the bar. With the residual stream rotated or shuffled all that pass are
found from 0.4 up; at 0.3 half of them are: fewer views of the weights are left, whose sketches do not stand out
among twenty thousand models. More bits a gene, or more re-tests a query, may find them. What hides units and
stream at once passes no test from 0.4 down, so that there is nothing to find.

    HUBDNA_ZOO=DIR python scripts/boards/search.py [--quick] [--fresh]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import board
import search_models as models
import search_report as report
from hubdna.dna import codec
from hubdna.dna.read import SCHEME
from hubdna.records import Claim, Dna, Match, ModelRef
from hubdna.search import MIN_CANDIDATES, nearest, retest
from hubdna.store import Entry, IndexDir
from hubdna.verdict import COMMON_LOG10_P

ZOO = Path(os.environ.get("HUBDNA_ZOO", Path.home() / ".cache" / "hubdna-zoo"))
N_SYNTHETIC, N_ROOTS, N_PARENTS, N_STRANGERS, N_COPIES, K = 20_000, 60, 10, 20, 1_000, 10
PART, SHARES = ("ft_a", "ft_heavy", "cpt", "rotated", "perm_mlp"), (1 / 8, 1 / 3)
"""Queries that are read in part too, and the shares of a model that `small` and `standard` then read."""
TIMED = 20
"""Queries whose time is taken, spread over all."""


def put(index: IndexDir, dna: Dna) -> None:
    """Store a model."""
    data = codec.encode(dna)
    index.add(Entry(dna.ref, codec.digest(data), Claim(), len(dna.genes), "standard", dna.content), data)


def fill(index: IndexDir, trained: Iterable[Dna], n_synthetic: int) -> None:
    """Trained models, and synthetic ones of their shapes."""
    templates = list(trained)
    for dna in templates:
        put(index, dna)
    for dna in models.synthetic(templates, n_synthetic, np.random.default_rng(8)):
        put(index, dna)
    index.sync()


def ask(index: IndexDir, dna: Dna, k: int = K) -> list[Match]:
    """What `hubdna search` does; rows of synthetic models are read again, as those of a published index are."""
    return nearest(dna, index, k, lambda entry: models.with_rows(index.dna(entry), entry.id))


def answer(index: IndexDir, query: models.Query) -> dict[str, Any]:
    """One query, judged."""
    dna = query.dna()
    found = ask(index, dna)
    names = [{m.ref.repo_id, *(r.repo_id for r in m.copies)} for m in found]
    right = [
        i for i, (match, name) in enumerate(zip(found, names, strict=True)) if name & query.origins and sure(match)
    ]
    false = [m.ref.repo_id for m, name in zip(found, names, strict=True) if claims(m) and not name & query.origins]
    proposed = [e.ref.repo_id for e in index.candidates(dna, MIN_CANDIDATES)]
    places = [i for i, name in enumerate(proposed) if name in _with_copies(index, query.origins)]
    return {
        "kind": query.kind, "rho": query.rho, "due": bool(query.origins), "direct": passes(index, query, dna),
        "place": min(places, default=None), "rank": min(right, default=None), "false": false, "tested": len(proposed),
        "said": found[min(right)].verdict.origin if right else None,
    }  # fmt: skip


def _with_copies(index: IndexDir, names: frozenset[str]) -> set[str]:
    return {e.ref.repo_id for name in names if (entry := index.get(name)) for e in index.copies(entry)}


def sure(match: Match) -> bool:
    """Whether an exact test was passed, whatever it settles."""
    return claims(match) or (match.verdict.log10_p is not None and match.verdict.log10_p <= COMMON_LOG10_P)


def claims(match: Match) -> bool:
    """Whether a common origin of the models is claimed."""
    return match.verdict.origin in ("common", "identical")


def passes(index: IndexDir, query: models.Query, dna: Dna) -> bool:
    """Whether a test against its origin, without a search, is passed."""
    found = (retest(dna, entry, index) for name in query.origins if (entry := index.get(name)))
    return any(sure(Match(dna.ref, 1, verdict)) for verdict in found)


def growth(index: IndexDir, queries: list[models.Query]) -> dict[str, Any]:
    """Time of proposing and of the whole query, memory and disk a model."""
    n = sum(1 for _ in index.entries())
    dnas = [q.dna() for q in queries[:: max(len(queries) // TIMED, 1)]]
    ask(index, dnas[0])  # loads what is loaded once
    vote = statistics.median(_seconds(lambda dna=dna: index.candidates(dna, MIN_CANDIDATES)) for dna in dnas)
    whole = statistics.median(_seconds(lambda dna=dna: ask(index, dna)) for dna in dnas)
    file = (index.path / "sketches.faiss").stat().st_size
    memory = index.vectors.table.n_bytes / len(index.vectors.table.models)
    return {"models": n, "seconds": [vote, whole], "memory_kib": memory / 1024, "file_kib": file / 1024 / n}


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def copies(place: Path, base: Dna, query: models.Query, n: int) -> dict[str, Any]:
    """Ten strangers, a weak relative, and n copies of one model."""
    with IndexDir(place / f"copies{n}", create=True) as index:
        roots = [models.load(path, name) for name, path in models.members(ZOO, 10) if name.startswith("decoder/")]
        for dna in [*roots, models.noised(ZOO / "pairs" / query.name.split("/")[0] / "base", 0.4, "weak/child")]:
            put(index, dna)
        for i in range(n):
            put(index, replace(base, ref=ModelRef(f"copy/{i:04d}", "main", "0" * 40)))
        index.sync()
        dna = query.dna()
        found = ask(index, dna)
        seconds = statistics.median(_seconds(lambda: ask(index, dna)) for _ in range(5))
        return {
            "found": [m.ref.repo_id for m in found], "copies": [len(m.copies) for m in found], "seconds": seconds,
            "tested": len(index.candidates(dna, MIN_CANDIDATES)), "rows": len(index.vectors.table.ids),
            "distinct": len(index.vectors.table.starts), "dna_files": len(list(index.path.glob("dna/*/*"))),
        }  # fmt: skip


def odd(place: Path, dnas: list[Dna], query: Dna) -> dict[str, Any]:
    """What an index of a few models answers."""
    with IndexDir(place, create=True) as index:
        for dna in dnas:
            put(index, dna)
        index.sync()
        return {
            "found": [m.ref.repo_id for m in ask(index, query)],
            "tested": len(index.candidates(query, MIN_CANDIDATES)),
        }


def in_part(place: Path, name: str) -> dict[str, Any]:
    """An index and queries that were read in part, as large models are: by level of the query, who found its base."""
    folders = {m: ZOO / "pairs" / name / m for m in (*models.ORIGINS, *PART)}
    sizes = {m: path for m, path in folders.items() if (path / "model.safetensors").exists()}
    found: dict[str, Any] = {}
    with IndexDir(place / f"part {name}", create=True) as index, models.scarce(folders["base"], *SHARES):
        for member in models.ORIGINS:
            if member in sizes:
                put(index, models.load(sizes[member], f"{name}/{member}"))
        index.sync()
        for level in ("small", "standard", "full"):
            for query in PART:
                if query in sizes:
                    dna = models.load(sizes[query], f"{name}/{query}", level)  # type: ignore[arg-type]
                    first = [e.ref.repo_id for e in index.candidates(dna, 1)]
                    matches = [m.ref.repo_id for m in ask(index, dna) if sure(m)]
                    found[f"{level} {query}"] = [first == [f"{name}/base"], f"{name}/base" in matches]
    return found


def measure(rows: board.Rows, quick: bool) -> None:
    """Whatever is missing."""
    sets = models.SETS[:1] if quick else models.SETS
    queries = [q for name in sets for q in (*models.relatives(ZOO, name), *models.children(ZOO, name))]
    queries = (queries[::4] if quick else queries) + list(models.strangers(ZOO, N_ROOTS, 1 if quick else N_STRANGERS))
    queries += [] if quick else models.root_children(ZOO, N_PARENTS)
    n_roots, sizes = (2, (100, 300)) if quick else (N_ROOTS, (N_SYNTHETIC // 10, N_SYNTHETIC))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if all(f"query {q.name}" in rows for q in queries) and all(f"size {n}" in rows for n in sizes):
            return
        trained = [models.load(path, name) for name, path in models.members(ZOO, n_roots)]
        for n in sizes:
            with IndexDir(place / str(n), create=True) as index:
                fill(index, trained, n)
                rows.measure(f"size {n}", lambda index=index: growth(index, queries))
                for query in queries if n == sizes[-1] else ():
                    rows.measure(f"query {query.name}", lambda q=query, index=index: answer(index, q))
        by_name = {dna.ref.repo_id: dna for dna in trained}
        for set_name in [name for name in sets if name.startswith(("decoder", "moe"))]:
            rows.measure(f"part {set_name}", lambda n=set_name: in_part(place, n))
        base, tune = by_name[f"{sets[0]}/base"], next(q for q in queries if q.name.endswith("/ft_a"))
        for n in (1, 100 if quick else N_COPIES):
            rows.measure(f"copies {n}", lambda n=n: copies(place, base, tune, n))
        child, other = tune.dna(), by_name["mlp/000"]
        cases = {"empty": [], "one relative": [base], "one stranger": [by_name[f"{sets[0]}/indep"]],
                 "other shapes": [other, by_name["resnet/000"]]}  # fmt: skip
        for case, dnas in cases.items():
            rows.measure(f"odd {case}", lambda c=case, dnas=dnas: odd(place / c, dnas, child))


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("search", args, SCHEME)
    measure(rows, args.quick)
    asked = {k: r for k, r in rows.items() if k.startswith("query ")}
    every = list(asked.values())
    report.queries(every)
    facts = report.others(rows)
    plain = [r for r in every if r["kind"] == "noise, nothing" and r["rho"] >= 0.3]
    passing = [r for r in plain if r["direct"]]
    changed = [r for r in every if r["due"] and r["direct"] and not r["kind"].startswith("noise")]
    false = {k: r["false"] for k, r in asked.items() if r["false"]}
    free = [r for r in every if not r["due"]]
    board.table("Models without a relative in the index", ["queries", "any `common`", "re-tested (median)"], [
        [len(free), sum(bool(r["false"]) for r in free), statistics.median(r["tested"] for r in every)]])  # fmt: skip
    recall, right = sum(map(report.listed, passing)) / len(passing), sum(map(report.first, changed)) / len(changed)
    ok = recall == 1 and all(map(report.proposed, plain)) and right >= 0.99 and not false and facts["memory_kib"] <= 1.2
    ok = ok and facts["copies_time_ratio"] <= 2 and facts["copies_same_matches"] and facts["odd_right"]
    return board.finish("search", ok, n=len(every), recall_from_0_3=recall, right_first=right, false=false, **facts)


if __name__ == "__main__":
    sys.exit(main())
