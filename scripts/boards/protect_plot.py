"""The figure of board `protect`: accuracy on source and target, before and after, pair by pair, as plain SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, LEFT, TOP, ROW, RIGHT = 720, 220, 56, 44, 30
COLOURS = {"SA": "#1b6ca8", "SF": "#588157", "DF": "#7b2d8b", "NTL": "#c8553d"}
CHANCE = 0.1

Four = tuple[float, float, float, float]
"""Source before, after, target before, after."""


def draw(place: Path, pairs: Mapping[str, Mapping[str, Four]]) -> None:
    """Write the figure: for each pair (name -> method -> accuracies in [0, 1]) a row of dots for each method."""

    def x(accuracy: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * accuracy

    body, bottom = [], TOP + ROW * len(pairs)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        body += [
            _line(x(share), TOP - 8, x(share), bottom, "#ddd"),
            _text(x(share), bottom + 16, f"{share:.0%}", "middle"),
        ]
    body += [_line(x(CHANCE), TOP - 8, x(CHANCE), bottom, "#000"), _text(x(CHANCE), bottom + 30, "chance", "middle")]
    for index, (name, methods) in enumerate(pairs.items()):
        top = TOP + ROW * index
        body.append(_text(LEFT - 12, top + ROW / 2, name, "end"))
        for line, (method, colour) in enumerate(COLOURS.items()):
            if method in methods:
                body += _moves(x, top + 4 + 9 * line, methods[method], colour)
    for index, (method, colour) in enumerate(COLOURS.items()):
        body += [_dot(LEFT + 70 * index, 16, colour, True), _text(LEFT + 70 * index + 9, 20, method)]
    body.append(_text(LEFT + 290, 20, "dot: target after; ring: before; square: source after"))
    size = f'viewBox="0 0 {WIDTH} {bottom + 40}" font-family="sans-serif" font-size="12"'
    frame = f'<rect width="{WIDTH}" height="{bottom + 40}" fill="#fff"/>'
    place.write_text("\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', frame, *body, "</svg>"]) + "\n")


def _moves(x: object, y: float, four: Four, colour: str) -> Sequence[str]:
    _, source, before, after = (x(value) for value in four)  # type: ignore[operator]
    square = f'<rect x="{source - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="none" stroke="{colour}"/>'
    return [_line(before, y, after, y, colour), _dot(before, y, colour, False), _dot(after, y, colour, True), square]


def _line(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    return f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{colour}"/>'


def _dot(x: float, y: float, colour: str, full: bool) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour if full else "#fff"}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words.replace(">", "&gt;")}</text>'
