"""Board `audits`: what an audit costs for each model, and how that grows with the index.

A hundred models on the local Hub: ten in the shape and size of a 7B language model (sparse files), ninety of a few
hundred kilobytes (the demo's models with noise of 5 % of each matrix's size). A third of the cards declare the base, a
third another model, a third nothing. They are audited against indexes of 200, 2,000 and 20,000 models: the demo's
sixteen, the rest synthetic (Gaussian weights, half of them in the demo models' shapes). Bytes and requests are counted
by the server; `resolve` are requests to `/resolve/`, as budgets count them. Processor time is the auditing thread's,
with one thread for linear algebra, and is told as a ratio to the smallest index.

Then the same ninety against an index that was published, without rows: a hundred models that the Hub holds, whose rows
are read again by range.

Bar: bytes and requests do not grow with the index, processor time grows by no more than half from 200 to 20,000 models.
(The base that a third of the large models declares is read once more, for all of them: hence more than board `traffic`
counts for one model.)

    python scripts/boards/audits.py [--quick] [--fresh]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from safetensors.numpy import load_file, save_file

import board
import llama_shape
import search_models
from hubdna.audit import Auditor
from hubdna.crawl import crawl
from hubdna.demo import HERE
from hubdna.dna import codec
from hubdna.dna.read import SCHEME
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Claim, ModelRef
from hubdna.store import Entry, IndexDir

DEMO = HERE / "models"
SIZES = (200, 2_000, 20_000)
N_SMALL, N_LARGE, NOISE, MAX_GROWTH = 90, 10, 0.05, 1.5


def publish(root: Path, n_small: int, n_large: int) -> dict[str, list[str]]:
    """The audited models, on disk: kind -> names. The demo's models stand beside them."""
    shutil.copytree(DEMO, root)
    parents = sorted(p.parent for p in DEMO.glob("*/*/model.safetensors"))
    rng = np.random.default_rng(5)
    names: dict[str, list[str]] = {"small": [], "7B": []}
    for i in range(n_small):
        parent = parents[i % len(parents)]
        folder = root / "audited" / f"small-{i}"
        folder.mkdir(parents=True)
        for file in parent.glob("*.json"):
            shutil.copy(file, folder)
        save_file(_noised(parent / "model.safetensors", rng), folder / "model.safetensors")
        _write_card(folder, i, str(parent.relative_to(DEMO)))
        names["small"].append(f"audited/small-{i}")
    for i in range(n_large):
        folder = root / "audited" / f"llama-{i}"
        llama_shape.write_repository(folder, seed=i)
        _write_card(folder, i, "audited/llama-0")
        names["7B"].append(f"audited/llama-{i}")
    return names


def _noised(path: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    tensors = {k: np.asarray(v, np.float32) for k, v in load_file(path).items()}
    for name, w in tensors.items():
        if w.ndim > 1:
            tensors[name] = w + np.float32(NOISE * w.std()) * rng.standard_normal(w.shape, np.float32)
    return tensors


def _write_card(folder: Path, i: int, base: str) -> None:
    bases = ("", f"base_model: {base}\n", "base_model: convfoundry/resnet-digits\n")
    (folder / "README.md").write_text(f"---\nlicense: mit\n{bases[i % 3]}---\nA model.\n")
    about = folder / ".hub.json"
    known = json.loads(about.read_text()) if about.exists() else {}
    about.write_text(json.dumps(known | {"created_at": "2026-10-01T00:00:00.000Z"}))


def fill(index: IndexDir, server: LocalHub, n: int) -> None:
    """The demo's models by a crawl, synthetic ones with rows up to n."""
    loader = Loader(server.endpoint)
    models = [s for s in loader.hub.models() if not getattr(s, "ref", ModelRef("a/b")).repo_id.startswith("audited/")]
    list(crawl(loader.hub, index, models))
    templates = [index.dna(e) for e in index.entries()]
    some = search_models.synthetic(templates, n - len(templates), np.random.default_rng(8))
    for i, bare in enumerate(some):
        dna = search_models.with_rows(bare, i)
        data = codec.encode(dna)
        index.add(Entry(dna.ref, codec.digest(data), Claim(), len(dna.genes), "standard", dna.content), data)
    index.sync()


def audit(server: LocalHub, index: IndexDir, names: list[str]) -> dict[str, Any]:
    """Audit models one after the other; means for each."""
    auditor = Auditor(index, Loader(server.endpoint))
    list(auditor.audit([ModelRef(names[0])]))  # imports, connections, caches
    server.reset_traffic()
    started = time.thread_time()
    done = list(auditor.audit(ModelRef(name) for name in names))
    seconds = time.thread_time() - started
    requests, n = server.traffic.requests, len(names)
    return {
        "n": n, "cpu_s": seconds / n, "mb": sum(r.n_bytes for r in requests) / n / 1e6, "requests": len(requests) / n,
        "resolve": sum(r.is_resolve for r in requests) / n,
        "findings": sum(len(a.findings) for a in done), "skipped": sum(len(a.skipped) for a in done),
    }  # fmt: skip


def measure(size: int, n_small: int, n_large: int, published: bool = False) -> dict[str, Any]:
    """Both kinds of models against one index."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "hub")
        names = publish(root, n_small, n_large)
        with LocalHub(root) as server, IndexDir(Path(place, "index"), create=True) as index:
            if published:
                hub = Loader(server.endpoint).hub
                list(crawl(hub, index, [s for s in hub.models() if "llama" not in str(getattr(s, "ref", ""))]))
                with IndexDir(Path(place, "published"), create=True) as bare:
                    for entry in index.entries():
                        data = codec.encode(index.dna(entry), publish=True)
                        bare.add(replace(entry, dna=codec.digest(data)), data)
                    bare.sync()
                    return {"small": audit(server, bare, names["small"])}
            fill(index, server, size)
            return {kind: audit(server, index, some) for kind, some in names.items() if some}


def main() -> int:
    """Measure all indexes, print, judge."""
    started = time.perf_counter()
    args = board.arguments(__doc__)
    rows = board.Rows("audits", args, SCHEME)
    sizes, n_small, n_large = (SIZES[:2], 9, 1) if args.quick else (SIZES, N_SMALL, N_LARGE)
    for size in sizes:
        rows.measure(str(size), lambda size=size: measure(size, n_small, n_large))
    rows.measure("published", lambda: measure(0, n_small, 0, published=True))
    first = rows[str(sizes[0])]
    lines = []
    for key in (*map(str, sizes), "published"):
        for kind, row in rows[key].items():
            growth = row["cpu_s"] / first[kind]["cpu_s"]
            asked = (row[what] for what in ("mb", "requests", "resolve"))
            lines.append([f"{key}, {kind}", row["n"], growth, *asked])
    header = ["index, models", "n", "time", "MB", "requests", "resolve"]
    board.table("An audit, for each model", header, lines)
    last = rows[str(sizes[-1])]
    growth = {k: last[k]["cpu_s"] / first[k]["cpu_s"] for k in last}
    same = all(abs(last[k][what] - first[k][what]) < 0.01 * first[k][what] for k in last for what in ("mb", "requests"))
    ok = same and max(growth.values()) <= MAX_GROWTH
    return board.finish("audits", ok, started, growth={k: round(v, 2) for k, v in growth.items()})


if __name__ == "__main__":
    sys.exit(main())
