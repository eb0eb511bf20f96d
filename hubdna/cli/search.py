"""`hubdna search`: the nearest relatives of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from hubdna.cli.options import (
    Endpoint,
    Format,
    FormatOption,
    IndexOption,
    Output,
    Read,
    ReadOption,
    Token,
    emit,
)

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
) -> None:
    """Find a model's nearest relatives in an index; each one is re-tested exactly."""
    from rich.console import Group

    from hubdna.checked import kept
    from hubdna.descent import descent
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text, tree
    from hubdna.search import nearest
    from hubdna.seed import describe, open_index

    loader, checked = Loader(endpoint, token, read.value), kept()
    with open_index(index) as store:
        model = loader.load(ModelRef.parse(ref), store)
        found = nearest(model.dna, store, k, loader.rows, checked=checked)
        below = descent(model.snapshot.ref, store, loader.rows, checked) if descendants else None
        where, n = describe(store), sum(1 for _ in store.entries())
    cost = loader.n_bytes_read, loader.n_requests
    emit(
        format,
        output,
        lambda: Group(text.matches(model.dna, found, where, cost), *([tree.descent(below)] if below else [])),
        lambda: json.matches(model.dna.ref, found, where, n, cost, below),
    )
