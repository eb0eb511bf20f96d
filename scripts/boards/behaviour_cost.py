"""What behaviour DNA costs on a CPU, beside what it is compared with. Seconds are of one run: look at their ratios."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zoo_sketches

import behaviour_plain as plain
import behaviour_zest as zest
from behaviour_seen import Model, seen
from hubdna.behaviour import fingerprint, judge
from hubdna.behaviour.devices import DTYPES, placed
from hubdna.behaviour.opening import open_subject
from hubdna.behaviour.relations import look

N_MODELS, BATCHES, GPU_BATCHES = 12, (1, 4, 16, 64), (1, 8, 64, 192)


def cost(modality: str) -> dict[str, Any]:
    """Seconds a model and a pair, of the network and of each plain measure; probes a second by batch."""
    models = [m for m in zoo_sketches.models(modality, zoo_sketches.FRESH) if m.key == "root"][:N_MODELS]
    held = [seen(model) for model in models]
    made = [fingerprint(behaviour) for behaviour in held]
    row: dict[str, Any] = {
        "seeing, a model": float(np.mean([b.seconds for b in held])),
        "peak, MB": float(np.max([b.peak_bytes for b in held]) / 1e6),
        "fingerprint, a model": _each(fingerprint, [(b,) for b in held]),
        "judging, a pair": _each(judge, list(itertools.pairwise(made))),
    }
    for name, measure in plain.MEASURES.items():
        row[f"{name}, a pair"] = _each(measure, list(itertools.pairwise(held)))
    if modality == "vision":
        row["Zest, a model"] = _each(zest.explained, [(m,) for m in models[:4]])
    row["probes a second"] = {str(batch): _throughput(models[0], batch) for batch in BATCHES}
    return row


def on_gpu(modality: str) -> dict[str, dict[str, float]] | None:
    """Probes a second by type and batch; None where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    model = zoo_sketches.models(modality, zoo_sketches.FRESH)[0]
    return {t: {str(n): _throughput(model, n, "cuda", t) for n in GPU_BATCHES} for t in DTYPES}


def _each(run: Callable[..., Any], calls: list[tuple[Any, ...]]) -> float:
    run(*calls[0])  # what is loaded once
    begun = time.perf_counter()
    for call in calls:
        run(*call)
    return (time.perf_counter() - begun) / len(calls)


def _throughput(model: Model, batch: int, device: str = "cpu", dtype: str = "float32") -> float:
    subject = placed(open_subject(model.folder), device, dtype)
    look(subject, 64)
    begun = time.perf_counter()
    for _ in range(3):
        look(subject, batch)
    return 3 * len(subject.inputs) / (time.perf_counter() - begun)
