"""Board `traffic`: what a read of a 7B-shaped model costs, counted by the server.

A sharded repository with the headers and sizes of a 7B language model (sparse files, noise where a reader looks) is
served by the local Hub. Requests are those that reach `/resolve/`, redirects not counted; the second column counts
every request for bytes, also those that went straight to the signed address.

Bar: `standard` at most 16 MB and 64 requests, `small` at most 4 MB and 6 requests, by the stricter count.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import board
from llama_shape import write_repository

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
BARS = {"small": (4.0, 6), "standard": (16.0, 64)}


def measure(level: str) -> dict[str, Any]:
    """Read one model at one level; the server's counts and the client's own."""
    from hubdna.dna import codec
    from hubdna.localhub import LocalHub
    from hubdna.models import Loader
    from hubdna.records import ModelRef

    with tempfile.TemporaryDirectory() as folder:
        size = write_repository(Path(folder) / "board" / "llama-7b")
        with LocalHub(Path(folder)) as hub:
            dna = Loader(hub.endpoint, level=level).load(ModelRef("board/llama-7b")).dna
            traffic = hub.traffic
            weights = [r for r in traffic.requests if (r.path or "").endswith(".safetensors")]
    n_resolve = sum(r.is_resolve for r in weights)
    return {
        "model_gb": round(size / 1e9, 2), "mb": round(sum(r.n_bytes for r in weights) / 1e6, 3), "resolve": n_resolve,
        "for_bytes": dna.n_requests, "said_mb": round(dna.n_bytes_read / 1e6, 3), "genes": len(dna.genes),
        "dna_kib": round(len(codec.encode(dna)) / 1024, 1),
    }  # fmt: skip


def main() -> int:
    """Measure both levels, print, judge."""
    args = board.arguments(__doc__)
    rows = board.Rows("traffic", args)
    for level in BARS:
        rows.measure(level, lambda level=level: measure(level))
    header = ["read", "model GB", "MB", "resolve", "for bytes", "client MB", "genes", "DNA KiB"]
    board.table("One 7B-shaped model, counted by the server", header, [[k, *rows[k].values()] for k in BARS])
    ok = all(rows[k]["mb"] <= mb and max(rows[k]["resolve"], rows[k]["for_bytes"]) <= n for k, (mb, n) in BARS.items())
    return board.finish("traffic", ok, n=len(BARS), rows={k: rows[k] for k in BARS})


if __name__ == "__main__":
    sys.exit(main())
