"""Build Hub-style repositories from real pretrained models that ship inside PyPI and npm packages.

    python scripts/real_models/build.py OUT [--only ORG/NAME ...] [--handful] [--cache DIR]

Lineage is best tested on models that someone else trained. A few dozen can be had without any model host:
they travel inside packages. Each becomes `OUT/<org>/<name>/` with `model.safetensors`, a card that says
where the weights come from and nothing about their ancestry, `config.json` where one is known, and
`.hub.json` with the date the local Hub reports. `--handful` builds the eight ANI networks from one package
and needs only numpy and safetensors; the others need torch, h5py, tflite or npm, by layout. Progress goes
to stderr, one line per model to stdout; the exit status is 1 if any model failed, 2 if the call was wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from catalog import Catalog, Model, Package, load
from packages import default_cache, folder
from readers import READERS
from safetensors.numpy import save_file

CARD = """{front}# {title}

Weights as shipped in the {registry} package `{package}` {version}, in `{path}`.
Stored as safetensors, with the tensor names and shapes they were shipped with.

{stated}
"""


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def card(model: Model, package: Package) -> str:
    """The model card: license and source, no ancestry."""
    known = model.license != "unknown"
    stated = f"License, as stated in the package: {model.license}." if known else "The package states no license."
    return CARD.format(
        front=f"---\nlicense: {model.license}\n---\n\n" if known else "",
        title=model.repo.split("/")[1],
        registry={"pypi": "PyPI", "npm": "npm"}[package.registry],
        package=package.name,
        version=package.version,
        path=model.path,
        stated=stated,
    )


def config(model: Model, shipped: Path) -> dict[str, Any] | None:
    """The model's config: stated in the catalogue, shipped in the package, or none."""
    if isinstance(model.config, str):
        return json.loads((shipped / model.config).read_text(encoding="utf-8"))
    return model.config


def build(model: Model, catalog: Catalog, out: Path, cache: Path) -> dict[str, np.ndarray]:
    """Write one repository, complete or not at all.

    Args:
        model: what to build.
        catalog: where its package is listed.
        out: parent of the org folders.
        cache: folder of the unpacked packages.

    Returns:
        The tensors written.
    """
    package = catalog.packages[model.package]
    shipped = folder(package, cache, say)
    tensors = {k: np.ascontiguousarray(v) for k, v in READERS[model.reader](shipped / model.path).items()}
    target = out / model.repo
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as scratch:
        repo = Path(scratch) / "repo"
        repo.mkdir()
        save_file(tensors, repo / "model.safetensors", metadata={"format": "pt"})
        _describe(model, package, shipped, repo)
        if target.exists():
            shutil.rmtree(target)
        repo.rename(target)
    return tensors


def _describe(model: Model, package: Package, shipped: Path, repo: Path) -> None:
    """The files beside the weights."""
    (repo / "README.md").write_text(card(model, package), encoding="utf-8")
    _write_json(repo / ".hub.json", {"created_at": model.created_at})
    if (settings := config(model, shipped)) is not None:
        _write_json(repo / "config.json", settings)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def build_all(models: list[Model], catalog: Catalog, out: Path, cache: Path) -> int:
    """Build models one after the other; returns how many failed."""
    failed = 0
    for number, model in enumerate(models, 1):
        say(f"[{number}/{len(models)}] {model.repo}")
        try:
            tensors = build(model, catalog, out, cache)
        except Exception as error:  # one bad package must not end the run
            failed += 1
            print(f"{model.repo:40} FAILED {type(error).__name__}: {error}", flush=True)
            continue
        values = sum(t.size for t in tensors.values())
        megabytes = sum(t.nbytes for t in tensors.values()) / 1e6
        print(f"{model.repo:40} {len(tensors):4} tensors {values:11,} values {megabytes:6.1f} MB", flush=True)
    return failed


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build Hub-style repositories of real models.")
    parser.add_argument("out", type=Path, help="folder to fill with org/name folders")
    parser.add_argument("--only", nargs="+", metavar="ORG/NAME", help="build these models only")
    parser.add_argument("--handful", action="store_true", help="build the small subset that needs numpy only")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=default_cache(), help="unpacked packages")
    options = parser.parse_args()
    catalog = load()
    try:
        models = catalog.select(options.only, options.handful)
    except ValueError as error:
        parser.error(str(error))
    return 1 if build_all(models, catalog, options.out, options.cache) else 0


if __name__ == "__main__":
    sys.exit(main())
