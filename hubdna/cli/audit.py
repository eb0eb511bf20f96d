"""`hubdna audit`: does a model's card tell where its weights come from?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hubdna.cli.options import (
    Endpoint,
    Format,
    FormatOption,
    IndexOption,
    Output,
    Quiet,
    Read,
    ReadOption,
    Token,
    emit,
)

EXAMPLES = "Examples: hubdna audit org/name --index DIR --fail-on warning | hubdna audit org/a org/b --format json"


class FailOn(StrEnum):
    """Severities that make the exit code 1."""

    error = "error"
    warning = "warning"
    info = "info"


def audit(
    refs: Annotated[list[str], typer.Argument(help="Models to audit.", metavar="REF")],
    index: IndexOption = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on findings of this severity or worse.")] = None,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: FormatOption = Format.text,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Compare what cards say with what the weights show; findings carry line, evidence and a suggested patch."""
    from rich.console import Console
    from rich.progress import track

    from hubdna.audit import Auditor
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text
    from hubdna.seed import describe, foundations, open_index

    models = [ModelRef.parse(ref) for ref in refs]
    console = Console(stderr=True, quiet=quiet)
    with open_index(index) as store:
        auditor = Auditor(store, Loader(endpoint, token, read.value), frozenset(foundations()))
        done = list(track(auditor.audit(models), "auditing", total=len(models), console=console, transient=True))
        console.print(f"Looked in {describe(store)}.", highlight=False, markup=False)
    emit(format, output, lambda: text.audits(done), lambda: json.audits(done))
    severities = list(FailOn)
    worst = [
        f
        for a in done
        for f in a.findings
        if fail_on and severities.index(FailOn(f.severity)) <= severities.index(fail_on)
    ]
    unread = any(s.subject == str(a.ref) for a in done for s in a.skipped)
    raise typer.Exit(3 if unread else 1 if worst else 0)
