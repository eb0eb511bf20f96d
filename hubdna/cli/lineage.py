"""`hubdna lineage`: the families of an index, and how their models descend from each other."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import Endpoint, IndexOption, Output, Quiet, Token, write, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from hubdna.records import CheckedReceipt, Family, ModelRef
    from hubdna.search import Once
    from hubdna.store import IndexDir

EXAMPLES = (
    "Examples: hubdna lineage --index DIR | hubdna lineage org/name --index DIR --format svg --output tree.svg"
    " | hubdna lineage --index DIR --format graphml -o families.graphml"
)

WIDTH = 1000
"""Letters of a line outside a terminal: a branch is cut off at the edge, other than a table."""


class Drawing(StrEnum):
    """What a family tree looks like."""

    text = "text"
    json = "json"
    graphml = "graphml"
    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


def lineage(
    refs: Annotated[
        list[str] | None, typer.Argument(help="Only families of these models of the index.", metavar="REF")
    ] = None,
    index: IndexOption = None,
    endpoint: Endpoint = None,
    token: Token = None,
    format: Annotated[Drawing, typer.Option("--format", help="What the trees look like.")] = Drawing.text,
    remarks: Annotated[
        bool, typer.Option("--remarks", help="Say of members that look like merges that a parent may be missing.")
    ] = False,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Draw family trees: which models of an index are of one origin, and which was made from which."""
    from rich.console import Console

    from hubdna.checked import kept
    from hubdna.descent import members
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, tree
    from hubdna.search import Once
    from hubdna.seed import describe, open_index, provenance

    asked = [ModelRef.parse(ref) for ref in refs or ()]
    loader, console = Loader(endpoint, token), Console(stderr=True, quiet=quiet, highlight=False)
    with open_index(index) as store:
        checked = kept(say=lambda text: console.print(text, markup=False, soft_wrap=True))
        found = _find(store, members(store, asked), Once(loader.rows), console, remarks, checked)
        where, origin = describe(store), provenance(store)
    paid = loader.n_bytes_read, loader.n_requests
    if format is Drawing.text:
        write_text(output, tree.lineage(found, where, paid), WIDTH)
    elif format is Drawing.json:
        write(output, json.lineage(found, origin, paid))
    else:
        write(output, _drawn(format, found))


def _drawn(format: Drawing, found: Sequence[Family]) -> str:
    """The trees as a picture or a graph."""
    from hubdna.report import diagrams, svg

    forms = {
        Drawing.graphml: diagrams.graphml,
        Drawing.mermaid: diagrams.mermaid,
        Drawing.dot: diagrams.dot,
        Drawing.svg: svg.svg,
    }
    return forms[format](found)


def _find(
    store: IndexDir,
    asked: Sequence[ModelRef],
    rows: Once,
    console: Console,
    remarks: bool,
    checked: Sequence[CheckedReceipt],
) -> list[Family]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hubdna.lineage import families

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("comparing", total=None if asked else sum(1 for _ in store.entries()))

        def step(name: str) -> None:
            entry = store.get(name)
            progress.update(task, advance=len(store.copies(entry)) if entry else 1)

        found = list(families(store, asked, rows, step, remarks, checked))
    if rows.failed:
        console.print(
            f"{len(rows.failed)} models could not be read again from the Hub; the index holds no rows of them, so"
            " their relatives may be missing",
            markup=False,
        )
    return found
