"""Tables of board `search`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import board


def share(rows: list[dict[str, Any]], what: Callable[[dict[str, Any]], bool]) -> str:
    """`k/n`."""
    return f"{sum(map(what, rows))}/{len(rows)}"


def sure_share(rows: list[dict[str, Any]], what: Callable[[dict[str, Any]], bool]) -> str:
    """Of those that pass the test directly, with its exact interval of 95 %."""
    passing = [r for r in rows if r["direct"]]
    low, high = board.interval(sum(map(what, passing)), len(passing), 0.95)
    return f"{share(passing, what)} ({low:.3f}-{high:.3f})" if passing else "-"


def proposed(row: dict[str, Any]) -> bool:
    """Whether the class is among the candidates."""
    return row["place"] is not None


def listed(row: dict[str, Any]) -> bool:
    """Whether it is among the matches."""
    return row["rank"] is not None


def first(row: dict[str, Any]) -> bool:
    """Whether it is the first match."""
    return row["rank"] == 0


def claimed(row: dict[str, Any]) -> bool:
    """Whether the match settles the origin without a full read."""
    return row["said"] in ("common", "identical")


HEADER = ["passing", "candidate", "among ten", "first", "settled"]
"""Passing the test directly, proposed by sketches; of what passes: listed, listed first; `common` or `identical`."""


def _cells(some: list[dict[str, Any]]) -> list[str]:
    direct = share(some, lambda r: r["direct"])
    return [direct, share(some, proposed), sure_share(some, listed), sure_share(some, first), share(some, claimed)]


def queries(rows: list[dict[str, Any]]) -> None:
    """By what was done, then by correlation."""
    kinds: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["due"]:
            kinds[row["kind"], row["rho"]].append(row)
    done = {kind: some for (kind, _), some in sorted(kinds.items()) if not kind.startswith("noise")}
    noise = {key: kinds[key] for key in sorted(kinds, key=lambda k: (k[0], -k[1])) if key[0].startswith("noise")}
    done |= {"all": [row for some in done.values() for row in some]}
    board.table("Models of the pair sets", ["what was done", *HEADER], [[k, *_cells(s)] for k, s in done.items()])
    lines = [[f"{kind.removeprefix('noise, ')}, {rho}", *_cells(some)] for (kind, rho), some in noise.items()]
    board.table("Children by noise", ["disguised, correlation", *HEADER], lines)


def others(rows: board.Rows) -> dict[str, Any]:
    """Reads in part, growth, odd indexes; the ratios."""
    part: dict[str, list[list[bool]]] = defaultdict(list)
    for key, found in rows.items():
        for name, both in found.items() if key.startswith("part ") else ():
            part[name].append(both)
    board.table("Read in part", ["query's level and model", "first candidate", "among ten"], [
        [name, f"{sum(a for a, _ in some)}/{len(some)}", f"{sum(b for _, b in some)}/{len(some)}"]
        for name, some in part.items()])  # fmt: skip
    small, large = (r for k, r in rows.items() if k.startswith("size "))
    ratio = [round(b / a, 2) for a, b in zip(small["seconds"], large["seconds"], strict=True)]
    board.table("Growth", ["models", "memory KiB a model", "file KiB a model", "time: proposing, all"], [
        [r["models"], r["memory_kib"], r["file_kib"], times]
        for r, times in ((small, "1, 1"), (large, ", ".join(map(str, ratio))))])  # fmt: skip
    odd_ones = [(k, r) for k, r in rows.items() if k.startswith(("copies ", "odd "))]
    board.table("Odd indexes", ["index", "re-tested", "matches (with copies)"], [
        [k, r["tested"], ", ".join(f"{n} (+{c})" for n, c in zip(r["found"], r.get("copies", [0] * 9), strict=False))]
        for k, r in odd_ones])  # fmt: skip
    one, many = (r for k, r in odd_ones if k.startswith("copies "))
    return {
        "time_ratio": ratio, "memory_kib": round(large["memory_kib"], 3),
        "copies_time_ratio": round(many["seconds"] / one["seconds"], 2),
        "copies_same_matches": many["found"][0] == one["found"][0] and many["found"][1:] == one["found"][1:],
        "odd_right": [rows["odd empty"]["found"], rows["odd one stranger"]["found"], rows["odd other shapes"]["found"]]
        == [[], [], []] and len(rows["odd one relative"]["found"]) == 1,
    }  # fmt: skip
