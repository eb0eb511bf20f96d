"""`hubdna index`: look at an index, check every bit of it, rebuild what is derived, forget a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubdna.cli import index_behaviour
from hubdna.cli.options import Format, FormatOption, emit

app = typer.Typer(help="Look at an index, check it, rebuild it, forget a model.", no_args_is_help=True)
app.command("behaviour", epilog=index_behaviour.EXAMPLES)(index_behaviour.behaviour)
Directory = Annotated[Path, typer.Argument(help="Index directory.", metavar="DIR")]


@app.command(epilog="Example: hubdna index info DIR --format json")
def info(directory: Directory, format: FormatOption = Format.text) -> None:
    """Say what an index holds, and its canonical digest."""
    from hubdna.report import json, text
    from hubdna.store import IndexDir

    with IndexDir(directory) as index:
        found, skips = index.info(), index.skips()
    emit(format, None, lambda: text.index_info(found, skips), lambda: json.index_info(found, skips))


@app.command(epilog="Example: hubdna index verify DIR")
def verify(directory: Directory, format: FormatOption = Format.text) -> None:
    """Check every bit that matters; exit code 1 when something is wrong."""
    from rich.text import Text

    from hubdna.report import json
    from hubdna.store import IndexDir
    from hubdna.store.behaviours import FILE, BehaviourVectors

    with IndexDir(directory) as index:
        problems = index.verify()
    if (directory / FILE).is_file():
        with BehaviourVectors(directory) as vectors:
            problems += vectors.verify()
    said = "\n".join(problems) if problems else "every row, DNA file and vector is sound"
    rows = [{"problem": p} for p in problems]
    emit(format, None, lambda: Text(said), lambda: json.table("hubdna.verify/1", rows, ok=not problems))
    raise typer.Exit(1 if problems else 0)


@app.command(epilog="Example: hubdna index rebuild DIR")
def rebuild(directory: Directory) -> None:
    """Make the FAISS file anew from the DNA files, and drop files that no model needs."""
    from hubdna.store import IndexDir

    with IndexDir(directory) as index:
        dropped = index.drop_orphans()
        typer.echo(f"vectors of {index.rebuild()} models made anew; {dropped} orphaned files dropped")


@app.command(epilog="Example: hubdna index remove DIR org/name")
def remove(directory: Directory, repo_id: Annotated[str, typer.Argument(help="org/name", metavar="REPO_ID")]) -> None:
    """Forget a model: its row, its DNA, its vectors."""
    from hubdna.errors import NotFoundError
    from hubdna.store import IndexDir

    with IndexDir(directory) as index:
        if not index.remove(repo_id):
            raise NotFoundError(f"{directory}: holds no model {repo_id}")
    typer.echo(f"{repo_id} removed")
