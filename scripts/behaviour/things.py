"""Digits and clothes, drawn: what many small classifiers of pictures were trained to tell apart.

A student follows its teacher where both were trained, and hardly elsewhere, so a third of the probes are pictures of
things. These are drawings by polygon, each bent, turned, and shaded at random; nobody's photograph or handwriting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
FINE = 64
Y, X = (axis / FINE for axis in np.mgrid[0:FINE, 0:FINE].astype(float))
DIGITS = (
    "75,50 73,65 68,77 60,85 50,88 40,85 32,77 27,65 25,50 27,35 32,23 40,15 50,12 60,15 68,23 73,35 75,50",
    "35,28 52,12 52,88",
    "28,30 34,16 50,12 68,20 70,34 50,60 27,87 74,87",
    "30,18 50,12 68,22 66,40 46,48 70,58 72,75 52,88 28,82",
    "60,88 60,12 26,64 78,64",
    "70,13 34,13 30,46 52,42 72,56 70,78 50,88 28,82",
    "64,12 40,30 29,60 34,82 52,88 70,76 66,58 48,50 32,62",
    "26,13 74,13 44,88",
    (
        "50,48 43,47 37,43 33,37 32,30 33,23 37,17 43,13 50,12 57,13 63,17 67,23 68,30 68,30 67,37 63,43 57,47 "
        "50,48 50,48 58,50 66,54 70,60 72,68 72,68 70,76 66,82 58,86 50,88 42,86 34,82 30,76 28,68 30,60 34,54 "
        "42,50 50,48"
    ),
    (
        "68,33 66,41 62,48 56,52 48,54 40,52 34,48 30,41 28,33 30,25 34,18 40,14 48,12 56,14 62,18 66,25 68,33 "
        "68,33 64,60 54,88"
    ),
)
"""The line of each digit."""
CLOTHES = (
    "36,14 64,14 92,28 84,44 70,36 70,90 30,90 30,36 16,44 8,28",
    "34,6 66,6 70,95 54,95 50,30 46,95 30,95",
    "36,12 64,12 82,20 95,80 82,84 72,40 72,90 28,90 28,40 18,84 5,80 18,20",
    "38,6 62,6 66,30 60,42 76,95 24,95 40,42 34,30",
    "34,8 48,14 48,93 26,93 24,40 20,80 7,78 16,18 / 66,8 52,14 52,93 74,93 76,40 80,80 93,78 84,18",
    "5,72 40,62 90,42 95,62 90,78 5,78 / 40,62 62,36 68,40 50,64",
    "36,14 64,14 88,30 90,66 78,66 72,40 74,92 26,92 28,40 22,66 10,66 12,30",
    "4,62 30,58 56,36 92,34 97,72 4,74",
    "10,40 90,40 94,90 6,90 / 30,40 36,14 64,14 70,40 62,40 58,22 42,22 38,40",
    "52,6 86,6 90,92 8,92 8,76 46,62",
)
"""The outline of each kind; some have two parts."""


def digit(rng: np.random.Generator, n: int) -> Field:
    """The digit n by a pen, [FINE, FINE] in [0, 1]."""
    knots = _bent(_points(DIGITS[n]), rng, 0.025)
    t = np.linspace(0, len(knots) - 1, 80)
    path = np.stack([np.interp(t, np.arange(len(knots)), knots[:, axis]) for axis in (0, 1)], 1)
    distance = np.min([(X - x) ** 2 + (Y - y) ** 2 for x, y in path], axis=0)
    return np.asarray(np.clip(1.6 - np.sqrt(distance) / rng.uniform(0.04, 0.075), 0, 1))


def garment(rng: np.random.Generator, n: int) -> Field:
    """One of ten kinds of clothes, filled and shaded, [FINE, FINE] in [0, 1]."""
    inside, state = np.zeros((FINE, FINE), bool), rng.bit_generator.state
    for part in CLOTHES[n].split("/"):
        rng.bit_generator.state = state  # both parts are bent alike
        inside |= _within(_bent(_points(part), rng, 0.012))
    turn, rate = rng.uniform(0, np.pi), rng.uniform(2, 8)
    waves = np.sin(2 * np.pi * (rate * (X * np.cos(turn) + Y * np.sin(turn)) + rng.random()))
    cloth = rng.uniform(0.45, 0.95) + rng.choice([0.0, 0.06, 0.25]) * waves + 0.2 * (X - 0.5) * rng.uniform(-1, 1)
    return np.asarray(np.clip(cloth, 0.05, 1) * inside)


def _points(text: str) -> Field:
    """Corners from "x,y x,y", in hundredths of the picture."""
    return np.array([[float(v) / 100 for v in pair.split(",")] for pair in text.split()])


def _bent(points: Field, rng: np.random.Generator, by: float) -> Field:
    """Points turned, sheared, scaled, moved, and each shaken a little."""
    turn, shear = rng.uniform(-0.15, 0.15), rng.uniform(-0.2, 0.2)
    map_ = np.array([[np.cos(turn), -np.sin(turn) + shear], [np.sin(turn), np.cos(turn)]]) * rng.uniform(
        0.85, 1.1, (2, 1)
    )
    return np.asarray((points - 0.5) @ map_.T + 0.5 + rng.uniform(-0.03, 0.03, 2) + rng.normal(0, by, points.shape))


def _within(corners: Field) -> NDArray[np.bool_]:
    """Which points of the grid lie inside a polygon: their rays cross its sides an odd number of times."""
    inside = np.zeros((FINE, FINE), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, 1, 0), strict=True):
        crosses = (y1 > Y) != (y2 > Y)
        inside ^= crosses & (X < (x2 - x1) * (Y - y1) / (y2 - y1 + 1e-12) + x1)
    return inside
