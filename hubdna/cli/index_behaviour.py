"""`hubdna index behaviour`: run models of the Hub on probes, and keep their vectors. Run it again to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hubdna.cli.options import Device, DeviceOption, Dtype, DtypeOption, Endpoint, MaxDownload, Quiet, Token
from hubdna.errors import BehaviourError, HubError, SourceError, UsageError

if TYPE_CHECKING:
    from hubdna.hub import Hub
    from hubdna.records import BehaviourDNA, ModelRef
    from hubdna.store.behaviours import BehaviourVectors

EXAMPLES = "Examples: hubdna index behaviour DIR org/a org/b | hubdna index behaviour DIR --list models.txt"
Outcome = Literal["stored", "unchanged", "skipped"]
Step = tuple[str, Outcome, str]


def behaviour(
    directory: Annotated[Path, typer.Argument(help="Index directory.", metavar="DIR")],
    refs: Annotated[list[str] | None, typer.Argument(help="org/name, one or more.", metavar="[REF]...")] = None,
    list_file: Annotated[Path | None, typer.Option("--list", help="A file with one model a line.")] = None,
    max_download: MaxDownload = 2.0,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.float32,
    endpoint: Endpoint = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Run models on probes and keep what they compute as vectors; run it again to go on where it stopped."""
    from hubdna.behaviour import fingerprint
    from hubdna.cli.behaviour import Sight
    from hubdna.store.behaviours import BehaviourVectors

    names = [*(refs or []), *(_listed(list_file) if list_file else [])]
    if not names:
        raise UsageError("expected models: org/name, or --list FILE")
    seeing = Sight(endpoint, token, max_download, device=device.value, dtype=dtype.value)
    with seeing as sight, BehaviourVectors(directory, create=True) as vectors:
        steps = fill(vectors, sight.hub, names, lambda ref: fingerprint(sight.see(ref)), f"{sight.limit} bytes")
        _told(steps, len(names), quiet)


def fill(
    vectors: BehaviourVectors, hub: Hub, names: Iterable[str], see: Callable[[ModelRef], BehaviourDNA], limits: str
) -> Iterator[Step]:
    """See models one after the other; each is stored, or skipped with its reason, before the next is begun.

    Args:
        vectors: where they go.
        hub: resolves names to commits.
        names: `org/name` or `org/name@revision`.
        see: gives the vector of a model at a commit.
        limits: under which models are tried; one that was skipped is tried again under others, or at another commit.

    Raises:
        IndexDirError: the index holds another scheme.
        MissingExtraError: nothing can be run here.
    """
    from hubdna.records import ModelRef

    for name in names:
        try:
            ref = ModelRef.parse(name)
            if ref.is_local:
                raise UsageError(f"{name}: an index holds models of the Hub only")
            found = hub.snapshot(ref).ref
        except (HubError, UsageError) as error:
            yield name, "skipped", str(error)
            continue
        if vectors.is_done(found, limits):
            yield name, "unchanged", ""
            continue
        yield _one(vectors, found, see, limits)


def _one(vectors: BehaviourVectors, found: ModelRef, see: Callable[[ModelRef], BehaviourDNA], limits: str) -> Step:
    """See one. What the Hub did not give may come tomorrow; what a model is stays so at that commit."""
    try:
        vectors.add(found, see(replace(found, revision=found.sha or found.revision)))
    except (BehaviourError, SourceError) as error:
        vectors.skip(found, str(error), limits)
        return str(found), "skipped", str(error)
    except HubError as error:
        return str(found), "skipped", str(error)
    return str(found), "stored", ""


def _told(steps: Iterator[Step], total: int, quiet: bool) -> None:
    """Show how far it is, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from hubdna.report.text import clean

    console = Console(stderr=True, quiet=quiet, highlight=False)
    counts: Counter[str] = Counter()
    with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=total)
        for name, outcome, reason in steps:
            counts[outcome] += 1
            progress.advance(task)
            if outcome == "skipped":
                progress.console.print(f"skipped {clean(name)}: {clean(reason)}", markup=False, soft_wrap=True)
    console.print(", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())), markup=False)


def _listed(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--list {path}: {error}") from None
