"""Reports on what models compute, and how alike: measures, and what they do not mean."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hubdna.records import ModelRef
from hubdna.records.behaviour import PLACES, Behaviour, BehaviourDNA, BehaviourPair, Likeness
from hubdna.report.json import dump
from hubdna.report.text import clean

SHOWN = {"vision": "pictures", "text": "texts"}
MEANING = (
    "Behaviour is no evidence of origin: models that learned the same data may behave alike.\n"
    "`hubdna compare A B` tests the origin by weights."
)
OWN = (
    "judged      not at all: the classifier learned from the shipped probes, and says nothing of others.\n"
    "            So there is no vector and no probability, and no rate of error."
)


def text(pair: BehaviourPair) -> RenderableType:
    """One pair, for people."""
    lines = [
        Text.assemble("A  ", (clean(pair.a), "bold")),
        Text.assemble("B  ", (clean(pair.b), "bold")),
        Text(),
        Text(f"Behaviour on {pair.n_probes} {SHOWN[pair.modality]} {_source(pair)} (1: alike, 0: unrelated)"),
        *(Text(f"  {place:15}{_number(value)}") for place, value in zip(PLACES, pair.alignment, strict=True)),
    ]
    same = "answers of unlike kinds" if pair.agreement is None else f"{pair.agreement:.0%} of the likeliest answers"
    judged = [Text(OWN)] if pair.probes is not None else _judged(pair.likeness)
    lines += [Text(f"  {'the same':15}{same}"), Text(), *judged, Text(MEANING)]
    lines += [Text(f"note        {name}: {clean(n)}") for name, ns in zip("AB", pair.notes, strict=True) for n in ns]
    return Group(*lines, Text(f"cost        {pair.seconds:.1f} s of computing"))


def json(pair: BehaviourPair) -> str:
    """`hubdna.behaviour/1`."""
    body = {
        "a": pair.a, "b": pair.b, "scheme": pair.scheme, "modality": pair.modality, "n_probes": pair.n_probes,
        "alignment": {place.replace(" ", "_"): v for place, v in zip(PLACES, pair.alignment, strict=True)},
        "agreement": pair.agreement, "notes_a": list(pair.notes[0]), "notes_b": list(pair.notes[1]),
        "seconds": pair.seconds, "likeness": pair.likeness and _said(pair.likeness), "probes": pair.probes,
    }  # fmt: skip
    return dump("hubdna.behaviour/1", body)


def _source(pair: BehaviourPair) -> str:
    return "that were made for this" if pair.probes is None else f"of {clean(pair.probes)}"


def _judged(said: Likeness | None) -> list[Text]:
    """What the classifier says of B as something made from A."""
    if said is None:
        return []
    rate = "" if said.error_rate is None else f" (at {said.error_rate:.0%} error)"
    chance = "" if said.probability is None else f", probability {said.probability:.2f}"
    return [
        Text(f"judged      {said.verdict}{rate}: similarity {said.similarity:.3f}{chance}"),
        Text(f"            {said.reason}"),
    ]


def _said(said: Likeness) -> dict[str, object]:
    return {
        "similarity": said.similarity, "probability": said.probability, "verdict": said.verdict,
        "error_rate": said.error_rate, "reason": said.reason,
    }  # fmt: skip


def one_text(name: str, seen: Behaviour, made: BehaviourDNA) -> RenderableType:
    """One model, for people."""
    places = ", ".join(place for place, is_seen in zip(PLACES, seen.seen, strict=True) if is_seen)
    lines = [
        Text.assemble((clean(name), "bold")),
        Text(f"behaviour   {seen.scheme}, opened by {seen.loader}"),
        Text(f"seen        {places}; answers out of {seen.answers.shape[1]}"),
        Text(f"vector      {len(made.vector)} numbers of {made.scheme}"),
        Text(f"familiar    {made.familiar:.2f} (to what the network learned from, at most 1)"),
        *(Text(f"note        {clean(note)}") for note in seen.notes),
        Text(f"cost        {seen.seconds:.1f} s of computing, {seen.peak_bytes / 1e6:.0f} MB at most"),
    ]
    return Group(*lines)


def one(name: str, seen: Behaviour, made: BehaviourDNA) -> str:
    """`hubdna.behaviour-dna/1`."""
    body = {
        "ref": name, "behaviour_scheme": seen.scheme, "modality": seen.modality, "loader": seen.loader,
        "n_probes": len(seen.top), "n_answers": seen.answers.shape[1],
        "seen": [place.replace(" ", "_") for place, is_seen in zip(PLACES, seen.seen, strict=True) if is_seen],
        "scheme": made.scheme, "familiar": made.familiar, "vector": [float(x) for x in made.vector],
        "notes": list(seen.notes),
        "seconds": seen.seconds, "peak_bytes": seen.peak_bytes,
    }  # fmt: skip
    return dump("hubdna.behaviour-dna/1", body)


Found = Sequence[tuple[ModelRef, Likeness]]
NO_ORIGIN = "What behaves alike need not share an origin: models that learned the same data do, too."


def found_text(found: Found, where: str) -> RenderableType:
    """What behaves like a model, for people."""
    if not found:
        return Text(f"No vectors of behaviour of this kind in {clean(where)}")
    table = Table(box=None, pad_edge=False)
    for column in ("model", "similarity", "probability", "behaviour"):
        table.add_column(column, no_wrap=column != "model")
    for ref, said in found:
        rate = "" if said.error_rate is None else f" (at {said.error_rate:.0%} error)"
        chance = "" if said.probability is None else f"{said.probability:.2f}"
        table.add_row(clean(str(ref)), f"{said.similarity:.3f}", chance, f"{said.verdict}{rate}")
    return Group(Text(f"Behaviour, in {clean(where)}"), table, Text(NO_ORIGIN))


def found_json(name: str, found: Found, where: str) -> str:
    """`hubdna.search-behaviour/1`."""
    rows = [{"ref": str(ref)} | _said(said) for ref, said in found]
    return dump("hubdna.search-behaviour/1", {"ref": name, "index": where, "matches": rows})


def _number(value: float | None) -> str:
    return "not seen" if value is None else f"{value:.3f}"
