"""`hubdna search`: the nearest relatives of a model."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import (
    Endpoint,
    Format,
    FormatOption,
    IndexOption,
    MaxDownload,
    Output,
    Read,
    ReadOption,
    Token,
    write,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import RenderableType


Report = tuple["Callable[[], RenderableType]", "Callable[[], str]"]
"""The same as text, and as JSON."""


class By(StrEnum):
    """What relatives are looked for by."""

    weights = "weights"
    behaviour = "behaviour"
    both = "both"


EXAMPLES = "Examples: hubdna search org/name --index DIR | hubdna search org/name --descendants --format json"


def search(
    ref: Annotated[str, typer.Argument(help="org/name, or a path starting with . or /", metavar="REF")],
    index: IndexOption = None,
    descendants: Annotated[
        bool, typer.Option("--descendants", help="Also list what was made from the model, as far as the index tells.")
    ] = False,
    k: Annotated[int, typer.Option("-k", help="Matches listed.", min=1, max=1000)] = 10,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: FormatOption = Format.text,
    output: Output = None,
    by: Annotated[By, typer.Option("--by", help="Origin by weights, likeness by behaviour, or a report on each.")] = (
        By.weights
    ),
    max_download: MaxDownload = 2.0,
) -> None:
    """Find a model's nearest relatives in an index; each one is re-tested exactly."""
    reports = []
    if by is not By.behaviour:
        reports.append(_weights(ref, index, descendants, k, (endpoint, token), read))
    if by is not By.weights:
        reports.append(_behaviour(ref, index, k, (endpoint, token), max_download))
    if format is Format.text:
        from rich.console import Group
        from rich.text import Text

        parts = [part for as_text, _ in reports for part in (Text(), as_text())]
        write_text(output, Group(*parts[1:]))
    elif len(reports) == 1:
        write(output, reports[0][1]())
    else:
        import json

        from hubdna.report.json import dump

        weights, behaviour = (json.loads(as_json()) for _, as_json in reports)
        write(output, dump("hubdna.search-both/1", {"weights": weights, "behaviour": behaviour}))


def _weights(
    ref: str, index: Path | None, descendants: bool, k: int, hub: tuple[str | None, str | None], read: Read
) -> Report:
    """Relatives: each is tested exactly."""
    from rich.console import Group

    from hubdna.checked import kept
    from hubdna.descent import descent
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text, tree
    from hubdna.search import nearest
    from hubdna.seed import describe, open_index

    loader, checked = Loader(*hub, read.value), kept()
    with open_index(index) as store:
        model = loader.load(ModelRef.parse(ref), store)
        found = nearest(model.dna, store, k, loader.rows, checked=checked)
        below = descent(model.snapshot.ref, store, loader.rows, checked) if descendants else None
        where, n = describe(store), sum(1 for _ in store.entries())
    cost = loader.n_bytes_read, loader.n_requests
    return (
        lambda: Group(text.matches(model.dna, found, where, cost), *([tree.descent(below)] if below else [])),
        lambda: json.matches(model.dna.ref, found, where, n, cost, below),
    )


def _behaviour(ref: str, index: Path | None, k: int, hub: tuple[str | None, str | None], max_download: float) -> Report:
    """What behaves alike, which says nothing on an origin."""
    from hubdna.cli.behaviour import Sight, alike
    from hubdna.records import ModelRef
    from hubdna.report import behaviour
    from hubdna.seed import user_index

    place = index or user_index()
    found = alike(ModelRef.parse(ref), place, Sight(*hub, max_download), k)
    return (lambda: behaviour.found_text(found, str(place)), lambda: behaviour.found_json(ref, found, str(place)))
