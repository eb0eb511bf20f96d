"""Draws the picture probes of behaviour DNA: `hubdna/behaviour/probes/pictures.bin`.

    python scripts/behaviour/make_probes.py          # write the file
    python scripts/behaviour/make_probes.py --sheet sheet.png  # and look at it (needs pillow)

192 pictures of 32 x 32 pixels in colour, all computed here, so nobody else has a right in them. 64 are strokes,
outlines and filled shapes, gratings, noise of several scales, gradients, and mixtures; half of these are grey, as
scans are. A model answers most of them with something that no training data fixed, and that is what tells two
trainings of one recipe apart. 64 are digits and 64 are clothes (`things`): there a student follows its teacher.
The file holds the raw bytes, [192, 32, 32, 3], compressed by zlib; its checksum is part of the scheme, so it is never
drawn again for an existing scheme: another numpy may draw other bytes.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from things import digit, garment

TARGET = Path(__file__).resolve().parents[2] / "hubdna" / "behaviour" / "probes" / "pictures.bin"
N_EACH = 64
SIDE, FINE = 32, 64  # drawn twice as large, then averaged: soft edges
Field = NDArray[np.float64]
Y, X = (axis / FINE for axis in np.mgrid[0:FINE, 0:FINE].astype(float))


def stroke(rng: np.random.Generator) -> Field:
    """A curve of a pen: a chain of points on a smooth random path, each a soft disc."""
    knots = rng.uniform(0.15, 0.85, (int(rng.integers(3, 6)), 2))
    t = np.linspace(0, len(knots) - 1, 60)
    path = np.stack([np.interp(t, np.arange(len(knots)), knots[:, axis]) for axis in (0, 1)], 1)
    path = np.stack([np.convolve(np.pad(path[:, axis], 6, "edge"), np.ones(13) / 13, "valid") for axis in (0, 1)], 1)
    width = rng.uniform(0.03, 0.08)
    distance = np.min([(X - x) ** 2 + (Y - y) ** 2 for x, y in path], axis=0)
    return np.clip(1.5 - np.sqrt(distance) / width, 0, 1)


def shape(rng: np.random.Generator) -> Field:
    """A filled or hollow polygon or ellipse, turned."""
    x, y = X - rng.uniform(0.35, 0.65), Y - rng.uniform(0.35, 0.65)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    u, v = x * np.cos(turn) - y * np.sin(turn), (x * np.sin(turn) + y * np.cos(turn)) / stretch
    corners = int(rng.integers(2, 7))
    radius = np.hypot(u, v)
    if corners > 2:  # a regular polygon, as the largest of its sides' distances
        angles = 2 * np.pi * np.arange(corners) / corners
        radius = np.max([u * np.cos(a) + v * np.sin(a) for a in angles], axis=0)
    size = rng.uniform(0.15, 0.35)
    filled = np.clip((size - radius) * FINE / 2, 0, 1)
    return filled if rng.random() < 0.6 else filled - np.clip((0.7 * size - radius) * FINE / 2, 0, 1)


def grating(rng: np.random.Generator) -> Field:
    """Waves of one direction, straight or around a centre."""
    turn, rate = rng.uniform(0, np.pi), rng.uniform(2, 9)
    along = X * np.cos(turn) + Y * np.sin(turn) if rng.random() < 0.6 else np.hypot(X - rng.random(), Y - rng.random())
    wave = np.sin(2 * np.pi * (rate * along + rng.random()))
    return (0.5 + 0.5 * wave) if rng.random() < 0.7 else (wave > 0).astype(float)


def noise(rng: np.random.Generator) -> Field:
    """Noise of one scale, from single pixels to large blots."""
    cells = int(rng.choice([4, 8, 16, 32]))
    grid = rng.random((cells, cells))
    field = np.kron(grid, np.ones((FINE // cells, FINE // cells)))
    for axis in (0, 1):
        field = sum(np.roll(field, k, axis) for k in range(-2, 3)) / 5
    return np.asarray(field)


def gradient(rng: np.random.Generator) -> Field:
    """A plane, or light that falls off from a point."""
    turn = rng.uniform(0, 2 * np.pi)
    plane = 0.5 + 0.7 * ((X - 0.5) * np.cos(turn) + (Y - 0.5) * np.sin(turn))
    spot = np.exp(-((X - rng.random()) ** 2 + (Y - rng.random()) ** 2) / rng.uniform(0.02, 0.2))
    return np.clip(plane if rng.random() < 0.5 else spot, 0, 1)


KINDS = (stroke, stroke, shape, shape, grating, noise, gradient)


def picture(rng: np.random.Generator) -> Field:
    """One picture, [FINE, FINE, 3] in [0, 1]: one or two layers, each with a colour."""
    grey = rng.random() < 0.5
    canvas = np.zeros((FINE, FINE, 3)) + (rng.random(3) if not grey else rng.choice([0.0, 0.0, 1.0, rng.random()]))
    for _ in range(int(rng.integers(1, 3))):
        layer = KINDS[int(rng.integers(len(KINDS)))](rng)[..., None]
        colour = np.full(3, rng.random()) if grey else rng.random(3)
        if np.abs(colour - canvas.mean((0, 1))).max() < 0.3:
            colour = 1 - canvas.mean((0, 1))
        canvas = canvas * (1 - layer) + colour * layer
    return canvas


def thing(field: Field) -> Field:
    """A drawing as a grey picture, light on dark."""
    return np.repeat(field[..., None], 3, 2)


def draw_all(rng: np.random.Generator, each: int = N_EACH) -> NDArray[np.uint8]:
    """So many of each kind, uint8 [3 * each, SIDE, SIDE, 3]."""
    made = [picture(rng) for _ in range(each)]
    made += [thing(digit(rng, n % 10)) for n in range(each)]
    made += [thing(garment(rng, n % 10)) for n in range(each)]
    small = np.stack(made).reshape(-1, SIDE, 2, SIDE, 2, 3).mean((2, 4))
    return np.asarray(np.rint(255 * small).clip(0, 255).astype(np.uint8))


def main() -> None:
    """Draws and writes all pictures."""
    parser = argparse.ArgumentParser(description="Draw the picture probes.")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet")
    options = parser.parse_args()
    rng = np.random.default_rng(2308_02121)
    pictures = draw_all(rng)
    TARGET.write_bytes(zlib.compress(pictures.tobytes(), 9))
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")
    if options.sheet:
        from PIL import Image

        sheet = pictures.reshape(12, 16, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4).reshape(12 * SIDE, 16 * SIDE, 3)
        Image.fromarray(sheet).save(options.sheet)


if __name__ == "__main__":
    main()
