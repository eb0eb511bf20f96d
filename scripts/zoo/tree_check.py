"""Checks that every edge of a tree is on disk what the table says: zeros, prefixes, equal layers, low ranks.

    python scripts/zoo/tree_check.py [TREE ...]   # of the trees that are complete

What was read from the files is compared, not what was meant to be written. A contradiction raises ValueError.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pair_files
import torch
from changes import INNER, LAYERS
from make_pairs import ADAPTED
from pair_catalog import cache
from pair_files import DTYPES
from pair_kinds import State
from tree_catalog import TREES
from tree_changes import LOWER
from tree_rows import Row, Tree

TOKENS = r"(?:model\.embed_tokens|lm_head)\.weight"


def check(tree: Tree, folder: Path) -> None:
    """Looks at every edge between two models that can be read back (int4 and GGUF cannot)."""
    for row in tree.rows:
        if not _readable(row):
            continue
        parent, child = (pair_files.read(folder / tree.id_of(key)).state for key in (row.parent, row.key))
        if not CHECKS[row.kind](tree, row, parent, child):
            raise ValueError(f"{tree.name}/{row.key}: the files do not show the edge `{row.kind}`")


def _readable(row: Row) -> bool:
    """Tells whether a model's file can be read back here."""
    return row.layout not in ("int4", "gguf")


def _same(a: State, b: State, but: str = "") -> bool:
    """Tells whether two models are equal bit for bit, as float32, apart from some tensors."""
    if a.keys() ^ b.keys():
        return False
    return all(torch.equal(a[n].float(), b[n].float()) for n in a if not re.fullmatch(but, n))


def _trained(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Most matrices inside the blocks moved; those of a float32 file have more digits than a 16-bit one could hold."""
    inner = [n for n in parent if re.fullmatch(INNER[tree.kind_of(row.key)], n)]
    if tree.dtype_of(row.key) == "F32" and any(torch.equal(child[n], child[n].bfloat16().float()) for n in inner):
        return False
    return sum(not torch.equal(parent[n].float(), child[n].float()) for n in inner) > len(inner) / 2


def _frozen(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """The lower tensors stand still (statistics of batches may move), upper ones moved."""
    lower = [n for n in parent if re.fullmatch(LOWER[tree.kind], n) and not re.search("running|tracked", n)]
    return len(lower) > 2 and _same({n: parent[n] for n in lower}, {n: child[n] for n in lower}) != _same(parent, child)


def _low_rank(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Only adapted matrices moved, by the rank; bfloat16 hides the rank."""
    adapted = [n for n in parent if any(n.endswith(f"{part}.weight") for part in ADAPTED[tree.kind])]
    if not _same(parent, child, "|".join(map(re.escape, adapted))):
        return False
    if tree.dtype_of(row.key) != "F32":
        return _trained(tree, row, *({n: s[n] for n in adapted} for s in (parent, child)))
    ranks = [torch.linalg.matrix_rank((child[n] - parent[n]).double(), rtol=1e-4) for n in adapted]
    return all(int(rank) == row.rank for rank in ranks)


def _cast(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """The parent, rounded."""
    return _same({n: t.to(DTYPES[row.dtype]) if t.is_floating_point() else t for n, t in parent.items()}, child)


def _rounded(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Inner matrices have few levels a group (at 8 bits: a row), and every row lies close to the parent's."""
    for name in (n for n in parent if re.fullmatch(INNER[tree.kind], n)):
        old, new = parent[name].float().flatten(1), child[name].float().flatten(1)
        if torch.nn.functional.cosine_similarity(old, new).min() < 1 - 8 / 4 ** row.detail["bits"]:
            return False
        group = 32 if row.detail["bits"] == 4 and new.shape[1] % 32 == 0 else new.shape[1]
        if max(len(part.unique()) for part in new.reshape(-1, group)) >= 2 ** row.detail["bits"]:
            return False
    return True


def _pruned(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """What is not zero is the parent's; about half is zero."""
    for name in (n for n in parent if re.fullmatch(INNER[tree.kind_of(row.key)], n)):
        kept = child[name] != 0
        if not torch.equal(torch.where(kept, parent[name], 0).float(), child[name].float()):
            return False
        fours = parent[name][0].numel() % 4 == 0
        if abs(kept.float().mean() - 0.5) > 0.01 and (row.kind == "pruned" or fours):
            return False
        if row.kind == "pruned-2:4" and fours and int(kept.reshape(-1, 4).sum(1).max()) > 2:
            return False
    return _same(parent, child, INNER[tree.kind_of(row.key)])


def _pruned_tuned(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Half is zero, the rest moved."""
    inner = [child[n] for n in parent if re.fullmatch(INNER[tree.kind_of(row.key)], n)]
    return all(abs(float((t == 0).float().mean()) - 0.5) < 0.01 for t in inner) and _trained(tree, row, parent, child)


def _tokens(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """The tokens that both have, and all else, are equal; the shorter table is shorter."""
    for name in (n for n in parent if re.fullmatch(TOKENS, n)):
        old, new = parent[name], child[name]
        n = min(len(old), len(new))
        if len(new) != row.detail["words"] or len(new) == len(old) or not torch.equal(old[:n], new[:n]):
            return False
    return _same(parent, child, TOKENS)


def _layers(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Every layer is the parent's that the order names."""
    pattern, order = re.compile(LAYERS[tree.kind]), row.detail["order"]

    def origin(name: str) -> str:
        match = pattern.fullmatch(name)
        return f"{match[1]}{order[int(match[2])]}{match[3]}" if match else name

    return _same({n: parent[origin(n)] for n in child}, child)


def _upcycled(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """Every expert is the dense hidden layer."""
    dense = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    experts = [n for n in child if ".experts." in n]
    origin = {n: re.sub(r"block_sparse_moe\.experts\.\d+\.(w\d)", lambda m: f"mlp.{dense[m[1]]}", n) for n in experts}
    return bool(experts) and all(torch.equal(child[n], parent[origin[n]]) for n in experts)


def _head(tree: Tree, row: Row, parent: State, child: State) -> bool:
    """A body that moved; the head of other classes has another shape."""
    classes = row.options["classes"]
    fits = any(len(t) == classes for t in child.values() if t.ndim)
    return _trained(tree, row, parent, child) and (fits or not classes)


CHECKS: dict[str, Callable[[Tree, Row, State, State], bool]] = {
    "finetune": _trained,
    "frozen": _frozen,
    "lora-merged": _low_rank,
    "quantized": _rounded,
    "cast": _cast,
    "upcast": lambda tree, row, parent, child: _same(parent, child),
    "pruned": _pruned,
    "pruned-2:4": _pruned,
    "pruned-tuned": _pruned_tuned,
    "vocabulary-cut": _tokens,
    "vocabulary-extended": _tokens,
    "depth-up": _layers,
    "depth-pruned": _layers,
    "upcycled": _upcycled,
    "head": _head,
}


def main() -> None:
    """Checks the complete trees, or those named."""
    for name, tree in TREES.items():
        folder = cache() / "trees" / name
        if (folder / "truth.json").exists() and (not sys.argv[1:] or name in sys.argv[1:]):
            check(tree, folder)
            print(f"{name}: {sum(map(_readable, tree.rows))} of {len(tree.rows)} edges are what they are called")


if __name__ == "__main__":
    main()
