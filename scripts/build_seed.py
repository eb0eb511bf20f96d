"""Build the shipped seed `index/`: published DNA (sketches and hashes, no weights) of models anyone may redistribute.

    python scripts/build_seed.py [--repos DIR]

Takes the demo's models and the permissively licensed real models that ship inside packages (scripts/real_models; DIR:
built before). The recipe of the real index, `index/recipe.toml`, is written by hand and left alone. Dates of the real
models are left out: packages do not tell when a model was first published.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
ROOT = Path(__file__).parent.parent
SEED = ROOT / "index"


def crawl_into(index_dir: Path, repositories: Path) -> None:
    """Serve a folder of repositories and crawl all of it at `standard`."""
    from hubdna.crawl import crawl
    from hubdna.hub import Hub
    from hubdna.localhub import LocalHub
    from hubdna.store import IndexDir

    with LocalHub(repositories) as server, IndexDir(index_dir, create=True) as index:
        hub = Hub(server.endpoint)
        for step in crawl(hub, index, hub.models(), level="standard", workers=2):
            print(f"{step.outcome:9} {step.repo_id} {step.reason or ''}", file=sys.stderr)


def publish(full: Path, seed: Path, dateless: set[str]) -> int:
    """Copy an index without its rows; the number of models."""
    from hubdna.dna import codec
    from hubdna.store import IndexDir

    with IndexDir(full, read_only=True) as source, IndexDir(seed, create=True) as target:
        for entry in source.entries():
            data = codec.encode(source.dna(entry), publish=True)
            created = None if entry.ref.repo_id in dateless else entry.created_at
            target.add(replace(entry, dna=codec.digest(data), created_at=created, n_bytes=0, n_requests=0), data)
        target.catalogue.set_about("published", "yes")
        target.catalogue.compact()
        return sum(1 for _ in target.entries())


def main() -> None:
    """Crawl both sources, publish."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repos", type=Path, help="real models that were built before")
    args = parser.parse_args()
    real = ROOT / "scripts" / "real_models"
    catalogue = json.loads((real / "catalog.json").read_text())["models"]
    permissive = {m["repo"] for m in catalogue if m["permissive"]}
    with tempfile.TemporaryDirectory() as place:
        folder = args.repos or Path(place) / "real"
        if not args.repos:
            subprocess.run([sys.executable, real / "build.py", folder, "--only", *sorted(permissive)], check=True)
        chosen = Path(place) / "chosen"
        for repo in sorted(permissive):
            shutil.copytree(folder / repo, chosen / repo)
        full = Path(place) / "full"
        crawl_into(full, chosen)
        crawl_into(full, ROOT / "hubdna" / "demo" / "models")
        for old in ("dna", "catalogue.sqlite", "sketches.faiss", "sketches.json"):
            shutil.rmtree(SEED / old) if (SEED / old).is_dir() else (SEED / old).unlink(missing_ok=True)
        print(f"{publish(full, SEED, permissive)} models published in {SEED}")


if __name__ == "__main__":
    main()
