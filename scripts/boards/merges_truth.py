"""How far an answer of `unmix` is from the truth of a merge family (`scripts/zoo/merge_truth.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hubdna.records import Member, Mixture

NOTHING = 0.005
"""A coefficient that counts as zero."""
CLOSE = 0.01
Truth = dict[str, Any]
VIEWS = ("with all", "without its parent", "without all of its parent")
"""From where a model that is no merge is looked at."""


def score(truth: Truth, merge: Truth, found: Mixture | None) -> dict[str, Any]:
    """Whether the answer is right, whether it names the true members, and the error of its shares."""
    same = _copies(truth)
    wanted = {same.get(i, i) for i in _sources(merge)}
    members = (
        {} if found is None else {m.ref.repo_id: m for m in (*found.parents, *((found.base,) if found.base else ()))}
    )
    given = {same.get(Path(k).name, Path(k).name): m for k, m in members.items()}
    row = {"members": set(given) == wanted, "parents": len(wanted), "error": None}
    row["findable"] = all(i in {m["id"] for m in (*truth["members"], *truth["merges"])} for i in wanted)
    row["right"] = row["members"]
    row |= _named(merge, found, same)
    if found is not None and found.kind == "layers":
        row["right"] = row["members"] and _map(found, same) == [
            (i, same.get(r, r), s) for i, (r, s) in enumerate(merge["layers"])
        ]
    elif found is not None and row["members"]:
        row["error"] = _error(merge, given, found.tensors, same)
    elif found is not None and merge["leaves"]:
        row["error"] = _leaves_error(truth, merge, given, same)
        row["right"] = row["error"] <= CLOSE
    return row


def _copies(truth: Truth) -> dict[str, str]:
    """Files of another one's weights, and whose: copies, casts, and stacks of all layers of one model in order."""
    same = {m["id"]: m["parent"] for m in truth["members"] if m["relation"] in ("identical", "cast")}
    depth = truth["shape"]["num_hidden_layers"]
    for m in truth["merges"]:
        if m["method"] == "passthrough" and m["layers"] == [[m["parents"][0], i] for i in range(depth)]:
            same[m["id"]] = same.get(m["parents"][0], m["parents"][0])
    return same


def _named(merge: Truth, found: Mixture | None, same: dict[str, str]) -> dict[str, int]:
    """How many parents, a base apart, are called; how many of them are true, and how many there are."""
    called = found is not None and found.directed
    given = {same.get(i, i) for i in (Path(m.ref.repo_id).name for m in found.parents)} if found and called else set()
    true = {same.get(i, i) for i in merge["parents"]} - {merge["base"]}
    given -= {merge["base"]}
    return {"given": len(given), "hits": len(given & true), "true": len(true)}


def hidings(truth: Truth, model: Truth) -> Iterator[tuple[str, set[str]]]:
    """What to take out of the index before asking again: a name, and the folders."""
    if "method" not in model:
        parent = model["parent"]
        yield VIEWS[0], set()
        if parent:
            yield VIEWS[1], {parent}
            if parent != truth["root"]:
                yield VIEWS[2], made_from(truth, parent) - {model["id"]}
        return
    own = {m["id"] for m in (*truth["members"], *truth["merges"])}
    for parent in model["parents"]:
        if parent in own and parent != truth["root"]:
            yield f"without {parent}", made_from(truth, parent) - {model["id"]}


def reads_through(truth: Truth, merge: Truth, named: Iterable[str], gone: set[str]) -> bool:
    """Whether the parents that are named are the true ones, with its own parents for one that is gone; bases apart."""
    same, made = _copies(truth), {m["id"]: m for m in truth["merges"]}
    wanted, bases = set[str](), {truth["root"]}
    for parent in merge["parents"]:
        wanted |= set(made[parent]["parents"] if parent in gone and parent in made else [parent])
    return {same.get(i, i) for i in named} - bases == {same.get(i, i) for i in wanted} - bases


def made_from(truth: Truth, parent: str) -> set[str]:
    """A model, what was saved along its training, and all that came from these: members and merges."""
    name = next((m["name"] for m in truth["members"] if m["id"] == parent), "")
    gone = {parent} | {m["id"] for m in truth["members"] if name and m["along"] == name}
    for m in (*truth["members"], *truth["merges"]):  # parents come first
        if gone & set(m.get("sources") or [m.get("parent")]):
            gone.add(m["id"])
    return gone


def _sources(merge: Truth) -> list[str]:
    """Who is in it with a share."""
    if not merge["coefficients"]:
        return list(merge["sources"])
    return [i for i, c in zip(merge["sources"], merge["coefficients"], strict=True) if abs(c) > NOTHING]


def _map(found: Mixture, same: dict[str, str]) -> list[tuple[int, str, int]]:
    named = ((s.layer, Path(s.ref.repo_id).name, s.source_layer) for s in found.layers)
    return [(layer, same.get(name, name), source) for layer, name, source in named]


def _error(merge: Truth, given: dict[str, Member], tensors: tuple[str, ...], same: dict[str, str]) -> float:
    """Largest error of a share; of one that differs between tensors, the median over these.

    A method that makes up for what it drops multiplies what it keeps: that product is what a share has to be.
    """
    order = [same.get(i, i) for i in merge["sources"]]
    rows = [merge["tensors"][t] for t in tensors]
    if any(row.get("rescaled") for row in rows):
        parts = np.array([np.multiply(row["formula"][:-1], row["rescaled"]) for row in rows])
        each = np.column_stack([parts, 1 - parts.sum(axis=1)])
    elif merge["coefficients"]:
        true = dict(zip(order, merge["coefficients"], strict=True))
        return max(abs(m.share - true[i]) for i, m in given.items())
    else:
        each = np.array([row["formula"] for row in rows])
    return max(float(np.median(np.abs(np.array(m.shares) - each[:, order.index(i)]))) for i, m in given.items())


def _leaves_error(truth: Truth, merge: Truth, given: dict[str, Member], same: dict[str, str]) -> float:
    """The same after merges among the members are replaced by their parents; 1 where that cannot be done."""
    merges = {m["id"]: m for m in truth["merges"]}
    total: Counter[str] = Counter()
    for name, member in given.items():
        leaves = {name: 1.0} if name not in merges else merges[name]["leaves"]
        if leaves is None:
            return 1.0
        for leaf, share in leaves.items():
            total[same.get(leaf, leaf)] += member.share * share  # type: ignore[assignment]
    true = {same.get(i, i): c for i, c in merge["leaves"].items()}
    return max(abs(total[i] - true.get(i, 0.0)) for i in total.keys() | true.keys())
