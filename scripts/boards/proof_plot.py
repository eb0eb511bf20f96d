"""The figure of board `proof`: noise by reference over k, on a logarithmic scale, as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 360, 70, 30, 170, 50
DECADES = (-14, 0)
COLOURS = {
    "l1": "#1b6ca8",
    "l2": "#0b3954",
    "linf": "#c8553d",
    "cosine": "#588157",
    "buffers": "#a68a64",
    "state": "#7b2d8b",
}
DASHES = ("", "6 3", "2 3")

Point = tuple[str, int, Mapping[str, float | None]]


def draw(place: Path, points: Sequence[Point]) -> None:
    """Write the figure.

    Args:
        place: file to write.
        points: (training, k, metric -> noise by reference; None: the metric has no reference).
    """
    top = max(k for _, k, _ in points)
    trainings = list(dict.fromkeys(name for name, _, _ in points))

    def x(k: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(k) / math.log(top)

    def y(ratio: float) -> float:
        share = (max(DECADES[0], math.log10(ratio) if ratio else -99) - DECADES[1]) / (DECADES[0] - DECADES[1])
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    def text(a: float, b: float, words: str, anchor: str = "start") -> str:
        return f'<text x="{a:.0f}" y="{b:.0f}" text-anchor="{anchor}">{words}</text>'

    def line(path: str, colour: str, width: int = 1, dash: str = "") -> str:
        return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'

    end, body = WIDTH - RIGHT, []
    for decade in range(DECADES[0], DECADES[1] + 1, 2):
        body += [line(f"M{LEFT} {y(10.0**decade):.0f}H{end}", "#ddd")]
        body += [text(LEFT - 8, y(10.0**decade) + 4, f"1e{decade}", "end")]
    for ratio, width, words in ((0.1, 2, "the line"), (0.01, 1, "noise must be below")):
        body += [line(f"M{LEFT} {y(ratio):.0f}H{end}", "#000", width), text(end + 6, y(ratio) + 4, words)]
    body += [text(x(k), HEIGHT - BOTTOM + 18, str(k), "middle") for k in sorted({k for _, k, _ in points})]
    for name, dash in zip(trainings, DASHES, strict=False):
        for metric, colour in COLOURS.items():
            at = [(x(k), y(row[metric] or 0.0)) for n, k, row in points if n == name and row[metric] is not None]
            if at:
                body += [line("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in at), colour, 1, dash)]
    keys = [(colour, "", metric) for metric, colour in COLOURS.items()]
    keys += [("#000", dash, name) for name, dash in zip(trainings, DASHES, strict=False)]
    for i, (colour, dash, words) in enumerate(keys):
        body += [line(f"M{end + 8} {TOP + 90 + 18 * i}h26", colour, 2, dash), text(end + 40, TOP + 94 + 18 * i, words)]
    body += [text((end + LEFT) / 2, HEIGHT - 12, "k, steps an interval", "middle")]
    body += [text(LEFT, 18, "epsilon_repr / d_ref: an interval trained again, by another order of the data")]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    place.write_text("\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', frame, *body, "</svg>"]) + "\n")
