"""Reports on how alike two models behave: measures, and what they do not mean."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from hubdna.records.behaviour import PLACES, BehaviourPair
from hubdna.report.json import dump
from hubdna.report.text import clean

SHOWN = {"vision": "pictures", "text": "texts"}
MEANING = (
    "No verdict: models that learned the same data may behave more alike than a parent and its child, and no error\n"
    "rate has been measured yet. Behaviour is no evidence of origin; `hubdna compare A B` tests that."
)


def text(pair: BehaviourPair) -> RenderableType:
    """One pair, for people."""
    lines = [
        Text.assemble("A  ", (clean(pair.a), "bold")),
        Text.assemble("B  ", (clean(pair.b), "bold")),
        Text(),
        Text(f"Behaviour on {pair.n_probes} {SHOWN[pair.modality]} that were made for this (1: alike, 0: unrelated)"),
        *(Text(f"  {place:15}{_number(value)}") for place, value in zip(PLACES, pair.alignment, strict=True)),
    ]
    same = "answers of unlike kinds" if pair.agreement is None else f"{pair.agreement:.0%} of the likeliest answers"
    lines += [Text(f"  {'the same':15}{same}"), Text(), Text(MEANING)]
    lines += [Text(f"note        {name}: {clean(n)}") for name, ns in zip("AB", pair.notes, strict=True) for n in ns]
    return Group(*lines, Text(f"cost        {pair.seconds:.1f} s of computing"))


def json(pair: BehaviourPair) -> str:
    """`hubdna.behaviour/1`."""
    body = {
        "a": pair.a, "b": pair.b, "scheme": pair.scheme, "modality": pair.modality, "n_probes": pair.n_probes,
        "alignment": {place.replace(" ", "_"): v for place, v in zip(PLACES, pair.alignment, strict=True)},
        "agreement": pair.agreement, "notes_a": list(pair.notes[0]), "notes_b": list(pair.notes[1]),
        "seconds": pair.seconds,
    }  # fmt: skip
    return dump("hubdna.behaviour/1", body)


def _number(value: float | None) -> str:
    return "not seen" if value is None else f"{value:.3f}"
