"""`hubdna crawl`: bring models of a Hub into an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import Endpoint, Quiet, Read, ReadOption, Token
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubdna.hub import Hub
    from hubdna.records import Skipped, Snapshot
    from hubdna.store import IndexDir

EXAMPLES = (
    "Examples: hubdna crawl --index DIR --filter text-generation --limit 500"
    " | hubdna crawl --index DIR --list models.txt"
)


def crawl(
    index: Annotated[Path | None, typer.Option(help="Index directory (default: yours).", metavar="DIR")] = None,
    filter: Annotated[list[str] | None, typer.Option(help="Only models with this tag; may be repeated.")] = None,
    author: Annotated[str | None, typer.Option(help="Only models of this organisation or user.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many models.", min=1)] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="A file with one model a line, or a recipe.toml.", metavar="FILE")
    ] = None,
    workers: Annotated[int, typer.Option(help="Models in flight.", min=1, max=64)] = 8,
    shard: Annotated[str, typer.Option(help="Take the i-th of n shards of the models.", metavar="i/n")] = "1/1",
    private: Annotated[bool, typer.Option("--private", help="Also take private and gated models.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be read.")] = False,
    read: ReadOption = Read.small,
    endpoint: Endpoint = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Crawl models into an index: parallel, resumable, polite; run it again to go on where it stopped."""
    from hubdna.crawl import in_shard, resolve
    from hubdna.hub import Hub
    from hubdna.records import Skipped
    from hubdna.seed import user_index
    from hubdna.store import IndexDir

    number, count = _shard(shard)
    hub = Hub(endpoint, token)
    if list_file:
        models = resolve(hub, [n for n in _listed(list_file) if in_shard(n, number - 1, count)][:limit])
    else:
        listed = hub.models(tuple(filter or ()), author, limit)
        models = (s for s in listed if isinstance(s, Skipped) or in_shard(s.ref.repo_id, number - 1, count))
    place = index or user_index()
    if plan:
        _plan(models, place, read)
    else:
        with IndexDir(place, create=True) as store:
            _run(hub, store, models, read, workers, private, quiet)


def _run(
    hub: Hub,
    store: IndexDir,
    models: Iterator[Snapshot | Skipped],
    read: Read,
    workers: int,
    private: bool,
    quiet: bool,
) -> None:
    from collections import Counter

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hubdna.crawl import crawl as run
    from hubdna.records import Skipped
    from hubdna.report.text import skipped

    console = Console(stderr=True, quiet=quiet, highlight=False)
    counts: Counter[str] = Counter()
    n_bytes = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("crawling", total=None)
        for step in run(hub, store, models, level=read.value, workers=workers, private=private):
            counts[step.outcome] += 1
            n_bytes += step.n_bytes
            progress.update(task, advance=1, description=f"{n_bytes / 1e6:.1f} MB")
            if step.outcome == "skipped":
                reason = skipped(Skipped(step.repo_id, step.reason or ""))
                progress.console.print(f"skipped {reason}", markup=False, soft_wrap=True)
        progress.update(task, total=counts.total())
    said = ", ".join(f"{counts[o]} {o}" for o in ("stored", "copy", "unchanged", "skipped") if counts[o]) or "no models"
    console.print(
        f"{said}; {n_bytes / 1e6:.2f} MB read; index {store.path} holds {sum(1 for _ in store.entries())} models",
        markup=False,
    )


def _plan(models: Iterator[Snapshot | Skipped], place: Path, read: Read) -> None:
    """Count what a crawl would read; writes nothing."""
    from hubdna.crawl import has_model
    from hubdna.dna.plan import BUDGETS
    from hubdna.records import Skipped
    from hubdna.store import IndexDir

    there: dict[str, str | None] = {}
    if (place / "catalogue.sqlite").is_file():
        with IndexDir(place) as store:
            there = {e.ref.repo_id: e.ref.sha for e in store.entries()}
    budget, todo, have, without = BUDGETS[read.value], 0, 0, 0
    for snapshot in models:
        if isinstance(snapshot, Skipped):
            typer.echo(f"cannot be had: {snapshot.subject}: {snapshot.reason}", err=True)
            continue
        if snapshot.ref.repo_id in there and there[snapshot.ref.repo_id] == snapshot.ref.sha:
            have += 1
        elif has_model(snapshot):
            todo += 1
        else:
            without += 1
    most = (
        f"at most {todo * budget.n_bytes / 1e6:.0f} MB in {todo * budget.n_requests} requests" if read != "full" else ""
    )
    typer.echo(f"{todo} models to read {most}; {have} already there; {without} without weights that are read")


def _listed(path: Path) -> tuple[str, ...]:
    """The models of a list file: one a line, or the foundation list of a recipe."""
    from hubdna.seed import foundations

    try:
        return foundations(path) if path.suffix == ".toml" else tuple(path.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--list {path}: {error}") from None


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not ((number + count).isascii() and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {text!r}: expected i/n with 1 <= i <= n")
    return int(number), int(count)
