"""Runs mergekit on a list of configurations; needs the Python that mergekit is installed in, and nothing of ours.

    PYTHON merge_run.py JOBS.json

A job is {"config": YAML file, "out": folder, "kept": .npz file, "seed": n}. Paths in the YAML are relative to the
working directory. Folders that exist are left alone; a folder appears under its name only when it is complete. The
merge itself is mergekit's, untouched. What a method that drops weights kept is written down beside it: one packed
array of bits per tensor and parent, `TENSOR|NUMBER`, for the truth.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.merge_methods import generalized_task_arithmetic as arithmetic
from mergekit.options import MergeOptions

KEPT: dict[str, np.ndarray] = {}
MERGE_GROUP, SPARSIFY = arithmetic.GeneralizedTaskArithmeticMerge.merge_group, arithmetic.sparsify


def _merge_group(self: Any, group: Any, /, **parameters: Any) -> torch.Tensor:
    """Mergekit's own function, with the name of the tensor noted while it runs."""
    number = iter(range(len(group.non_base)))

    def sparsify(*args: Any, **options: Any) -> torch.Tensor:
        kept = SPARSIFY(*args, **options)
        KEPT[f"{group.metadata.name}|{next(number)}"] = np.packbits((kept != 0).flatten().numpy())
        return kept

    arithmetic.sparsify = sparsify
    return MERGE_GROUP(self, group, **parameters)


def run(job: dict[str, Any]) -> None:
    """Makes one merge."""
    out, kept = Path(job["out"]), Path(job["kept"])
    if out.is_dir():
        return
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    KEPT.clear()
    source = Path(job["config"]).read_text(encoding="utf-8")
    options = MergeOptions(write_model_card=False, random_seed=job["seed"], quiet=True)
    run_merge(MergeConfiguration.model_validate(yaml.safe_load(source)), str(temporary), options, source)
    if KEPT:
        kept.parent.mkdir(exist_ok=True)
        np.savez_compressed(kept, **KEPT)
    temporary.rename(out)


def main() -> None:
    """Makes all merges of the list, in its order."""
    torch.set_num_threads(1)
    arithmetic.GeneralizedTaskArithmeticMerge.merge_group = _merge_group
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        run(job)


if __name__ == "__main__":
    main()
