"""How far apart are two repetitions, and how far two different trainings? The line lies between, far from both.

*Noise* (the paper's epsilon_repr) is the largest distance between a stored state and its interval trained again, with
one thread and with all. *Reference* (d_ref) is the smallest distance between a stored state and its interval trained
in another order of the data. An interval passes when its replay is at least ten times nearer to the stored state than
the reference, and than the interval's own movement: so the author's figures can only make the line stricter than a
tenth of what the interval moved, and steps that move nothing earn no tolerance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from hubdna.proof.layout import Receipt
from hubdna.proof.replay import Bench
from hubdna.proof.tensors import METRICS, distances

MARGIN = 10.0
"""Between noise and line, and between line and reference."""
MIN_MOVED = 1e-7
"""Each interval's update, by the norm of the weights, must not be below: float32 hardly holds smaller ones."""
N_CALIBRATED = 2
"""Intervals that are repeated."""

Calibration = dict[str, dict[str, float]]


def calibrate(bench: Bench, receipt: Receipt, indices: Sequence[int]) -> Calibration:
    """Measure noise and reference on some intervals; each is trained three times."""
    noise, reference = dict.fromkeys(METRICS, 0.0), dict.fromkeys(METRICS, float("inf"))
    for index in indices:
        start, end = bench.load(receipt, index), bench.load(receipt, index + 1)
        for n in (1, max(2, os.cpu_count() or 1)):
            with threads(n):
                again = distances(bench.replay(start, index), end)
            noise = {m: max(noise[m], again[m]) for m in METRICS}
        other = distances(bench.replay(start, index, "reference"), end)
        reference = {m: min(reference[m], other[m]) for m in METRICS}
    return {m: {"noise": _finite(noise[m]), "reference": _finite(reference[m])} for m in METRICS}


def stricter(a: Calibration, b: Calibration) -> Calibration:
    """More noise and smaller references of two measurements."""
    return {
        m: {"noise": max(a[m]["noise"], b[m]["noise"]), "reference": min(a[m]["reference"], b[m]["reference"])}
        for m in METRICS
    }


def too_noisy(found: Calibration) -> list[str]:
    """Metrics whose noise is nearer than a hundredth of the reference: the line has no room there."""
    return [m for m in METRICS if found[m]["noise"] * MARGIN**2 > found[m]["reference"]]


def lines(found: Calibration, moved: Mapping[str, float]) -> dict[str, float]:
    """The largest distance that still passes, for each metric of an interval that moved this far."""
    return {m: min(found[m]["reference"], moved[m]) / MARGIN for m in METRICS}


def _finite(value: float) -> float:
    return min(value, 1e300)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """So many threads inside torch's operations, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
