"""Where a training of a mask stands: scores and Adam's two moments, as tensors in a safetensors file, no pickle.

Batches follow from seed and step (`hubdna.protect.data`), so no generator's state is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hubdna.errors import MaskError

MOMENTS = ("exp_avg", "exp_avg_sq")


def save(
    path: Path, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Adam, step: int, weight: float
) -> None:
    """Write; a crash leaves the file before or the file after."""
    found = {f"score.{name}": score.detach() for name, score in trained.items()}
    for name, score in trained.items():
        found |= {f"{key}.{name}": optimizer.state[score][key] for key in MOMENTS}
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(found, temporary, {"step": str(step), "weight": repr(weight)})
    temporary.replace(path)


def load(path: Path, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Adam) -> tuple[int, float] | None:
    """Go on from a file: the next step and the weight; None without a file. Raises MaskError when it is another's."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            step, weight = int(about.get("step", "")), float(about.get("weight", ""))
            for name, score in trained.items():
                with torch.no_grad():
                    score.copy_(_fitting(file.get_tensor(f"score.{name}"), score))
                moments = {key: _fitting(file.get_tensor(f"{key}.{name}"), score).clone() for key in MOMENTS}
                optimizer.state[score] = {"step": torch.tensor(float(step)), **moments}
    except (SafetensorError, ValueError, OSError) as error:
        raise MaskError(f"{path}: not the checkpoint of this training: {str(error)[:120]}; delete it") from None
    return step, weight


def _fitting(found: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    if found.shape != score.shape or not torch.isfinite(found).all():
        raise ValueError(f"expected finite numbers of shape {tuple(score.shape)}, found {tuple(found.shape)}")
    return found.to(score)
