"""What lineage says of the releases of board `protect`: real crawl, compare, search and audit over HTTP and folders.

All parents are published on the local Hub and crawled into one index, so each release has as many wrong parents there
as there are other nets. Nets of one kind and seed start from the same weights, whatever they are trained on: those
are relatives, and are counted apart; nets of other seeds are strangers. Releases are folders that `write_release`
wrote, with their cards. Beside each: the release on an 8-bit grid (one scale a row, round to nearest), and, where
there is one, the release tuned on a tenth of the target.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"

import numpy as np
from safetensors.numpy import load_file, save_file

import protect_attacks as attacks
import protect_run as run
from hubdna import audit, compare, search
from hubdna.crawl import crawl
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.protect import files
from hubdna.protect.arrays import arrays
from hubdna.protect.release import Terms, write_release
from hubdna.store import IndexDir

Cell = tuple[str, str, str, int, str]
"""Net, source, target, seed, method."""


def parents(root: Path, cells: list[Cell]) -> None:
    """Publish the nets that releases were made of."""
    for kind, source, seed in sorted({(kind, source, seed) for kind, source, _, seed, _ in cells}):
        folder = root / _name(kind, source, seed)
        folder.mkdir(parents=True)
        save_file(arrays(run.net(kind, source, seed)), folder / "model.safetensors", {"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"architecture": f"small_{kind}", "num_classes": 10}))
        (folder / "README.md").write_text("---\nlicense: mit\nlibrary_name: timm\n---\n# A small classifier\n")


def tell(place: Path, cells: list[Cell]) -> dict[Cell, dict[str, Any]]:
    """All releases against all parents."""
    parents(place / "hub", cells)
    found = {}
    with LocalHub(place / "hub") as server:
        client = Hub(server.endpoint)
        with IndexDir(place / "index", create=True) as index:
            steps = list(crawl(client, index, client.models()))
        if any(step.outcome != "stored" for step in steps):
            raise RuntimeError(f"not all parents were stored: {[step.outcome for step in steps]}")
        for cell in cells:
            found[cell] = _release(place, cell, server.endpoint) | {"parents": len(steps)}
    return found


def _release(place: Path, cell: Cell, endpoint: str) -> dict[str, Any]:
    kind, source, target, seed, method = cell
    parent, folder = _name(kind, source, seed), place / " ".join(map(str, cell))
    mask = files.read_mask(run.MASKS / f"{kind} {source} {target} {seed} {method}.safetensors")
    write_release(place / "hub" / parent, mask, Terms(parent, "mit", source, "timm"), folder)
    verdict = compare(str(folder), parent, endpoint=endpoint).verdict
    near = search(str(folder), index=place / "index", endpoint=endpoint)
    (told,) = audit(str(folder), index=place / "index", endpoint=endpoint)
    gone = sum(int((~kept).sum()) for kept in mask.kept.values())
    row = {
        "gone": gone, "compare": [verdict.origin, verdict.relation, verdict.direction, verdict.certainty],
        "search": [near[0].ref.repo_id == parent, near[0].verdict.relation] if near else None,
        "masks": sum(m.verdict.relation == "mask-of" for m in near),
        "strangers": sum(m.verdict.origin == "common" and _stranger(m.ref.repo_id, parent) for m in near),
        "findings": [f.kind if hasattr(f, "kind") else str(f)[:60] for f in told.findings],
        "skipped": len(told.skipped),
        "audit": [told.matches[0].ref.repo_id == parent, told.matches[0].verdict.relation] if told.matches else None,
        "int8": _changed(place, folder, parent, endpoint, _int8(load_file(folder / "model.safetensors"))),
    }  # fmt: skip
    tuned = attacks.tuned_file(kind, source, target, seed)
    if method == "SA" and tuned.exists():
        row["tuned"] = _changed(place, folder, parent, endpoint, load_file(tuned))
    return row


def _changed(place: Path, folder: Path, parent: str, endpoint: str, weights: dict[str, np.ndarray]) -> list[Any]:
    """[origin, relation] of a changed release and its parent, and log10 p."""
    changed = place / "changed"
    shutil.rmtree(changed, ignore_errors=True)
    changed.mkdir()
    shutil.copy(folder / "config.json", changed)
    save_file(weights, changed / "model.safetensors", {"format": "pt"})
    verdict = compare(str(changed), parent, endpoint=endpoint).verdict
    p = verdict.log10_p
    return [verdict.origin, verdict.relation, None if p is None else round(float(p), 1)]


def _int8(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every matrix on 255 levels a row."""
    made = {}
    for name, w in weights.items():
        rows = w.reshape(len(w), -1) if w.ndim > 1 else None
        if rows is None or rows.shape[1] < 2:
            made[name] = w
            continue
        step = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
        made[name] = (np.rint(rows / step) * step).reshape(w.shape).astype(w.dtype)
    return made


def _stranger(name: str, parent: str) -> bool:
    """Whether two nets started from different weights."""
    (kind, *_, seed), (own, *_, seed_own) = name.split("-"), parent.split("-")
    return (kind, seed) != (own, seed_own)


def _name(kind: str, source: str, seed: int) -> str:
    return f"board/{kind}-{source}-{seed}"
