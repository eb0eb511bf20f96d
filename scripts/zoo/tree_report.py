"""What is told of the family trees: the truth of one tree, and tables of all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tree_rows import Row, Tree

Notes = dict[str, dict[str, Any]]


def notes(folder: Path) -> Notes:
    """Returns what is known of the models that were made, by id."""
    path = folder / "models.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def truth(tree: Tree, made: Notes) -> dict[str, Any]:
    """Returns truth.json of a tree; its fields are explained in the README."""
    return {
        "tree": tree.name,
        "split": tree.split,
        "architecture": tree.kind,
        "root": tree.id_of(tree.root.key),
        "models": {
            tree.id_of(row.key): {
                "key": row.key,
                "generation": tree.generation(row.key),
                "seeds": {purpose: tree.seed_of(row.key, purpose) for purpose in ("init", "change", "order")},
                "dtype": tree.dtype_of(row.key),
                "layout": row.layout,
            }
            for row in (tree.root, *tree.rows)
        },
        "edges": [
            {
                "child": tree.id_of(row.key),
                "parent": tree.id_of(row.parent),
                "kind": row.kind,
                "details": _details(tree, row, made[tree.id_of(row.key)]),
            }
            for row in tree.rows
        ],
    }


def _details(tree: Tree, row: Row, note: dict[str, Any]) -> dict[str, Any]:
    """Returns the facts of an edge."""
    facts = dict(row.detail)
    if tree.dtype_of(row.key) != tree.dtype_of(row.parent):
        facts["dtypes"] = [tree.dtype_of(row.parent), tree.dtype_of(row.key)]
    if row.data:
        facts |= {"data": row.data, "effort": row.effort, "decay": row.decay}
        facts |= {key: note[key] for key in ("steps", "lr", "loss_before", "loss_after")}
    return facts


def plan(trees: dict[str, Tree]) -> str:
    """Returns how many models and edges of which kinds there are to make."""
    lines = [f"{t.name} ({t.kind}, {t.split}): {len(t.rows) + 1} models, {len(t.rows)} edges" for t in trees.values()]
    for split in ("tune", "test"):
        kinds = Counter(row.kind for tree in trees.values() if tree.split == split for row in tree.rows)
        told = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
        lines.append(f"{split}: {kinds.total()} edges: {told}")
    return "\n".join(lines)


def made(trees: dict[str, Tree], folder: Path) -> str:
    """Returns a table, in Markdown, of the trees that are complete."""
    lines = [
        "| tree | architecture | split | root stored as | models | generations | root's loss | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, tree in trees.items():
        known = notes(folder / name)
        if not (folder / name / "truth.json").exists():
            continue
        first = known[tree.id_of(tree.root.key)]
        stored = tree.root.dtype if tree.layout == "plain" else tree.layout
        deepest = max(tree.generation(row.key) for row in tree.rows)
        loss = f"{first['loss_before']:.2f} to {first['loss_after']:.2f}"
        spent = sum(note["cpu_seconds"] for note in known.values())
        cells = [name, tree.kind, tree.split, stored, len(tree.rows) + 1, deepest + 1, loss, f"{spent:.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
