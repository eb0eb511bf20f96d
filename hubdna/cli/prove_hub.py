"""`hubdna prove push` and `pull`: receipts between this machine and the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import Endpoint, Quiet, Token
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.hub import Hub
    from hubdna.proof import Receipt
    from hubdna.records import ModelRef

PUSH = "Example: hubdna prove push ./receipt org/name"
PULL = "Example: hubdna prove pull org/name ./receipt"
Repo = Annotated[str, typer.Argument(help="Model on the Hub: org/name or org/name@revision.", metavar="REPO")]
MaxSize = Annotated[float, typer.Option(help="Gigabytes that a receipt may have.", metavar="GB", min=0)]


def push(
    directory: Annotated[Path, typer.Argument(help="The receipt's folder.", metavar="DIR")],
    repo: Repo,
    endpoint: Endpoint = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Put a finished receipt into the folder receipt/ of a model, in one commit."""
    from hubdna.hub import Hub
    from hubdna.hub.folder import replace_folder
    from hubdna.proof.transfer import FOLDER, outgoing

    files, ref = outgoing(directory), _on_hub(repo)
    size = sum(path.stat().st_size for path in files.values())
    said = f"Training receipt, {len(files)} files"
    url = replace_folder(Hub(endpoint, token), ref, FOLDER, files, said)
    if not quiet:
        typer.echo(f"{ref}/{FOLDER}: {len(files)} files, {size / 1e6:.1f} MB: {url}", err=True)


def pull(
    repo: Repo,
    directory: Annotated[Path, typer.Argument(help="A new folder for the receipt.", metavar="DIR")],
    max_size: MaxSize = 20.0,
    endpoint: Endpoint = None,
    token: Token = None,
    quiet: Quiet = False,
) -> None:
    """Fetch the receipt of a model; the same command goes on after it was cut off. Nothing is trained yet: verify."""
    from hubdna.hub import Hub

    receipt = pulled(Hub(endpoint, token), _on_hub(repo), directory, max_size, quiet)
    if not quiet:
        said = f"{len(receipt.links)} states, signed by {receipt.claim.author}; not replayed: hubdna prove verify"
        typer.echo(f"{directory}: {said} {directory}", err=True)


def pulled(hub: Hub, ref: ModelRef, directory: Path, max_size: float, quiet: bool) -> Receipt:
    """Fetch a receipt into a new folder, with a bar on stderr. Raises HubdnaError."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from hubdna.hub.folder import fetch, list_folder
    from hubdna.proof.transfer import FOLDER, receive

    ref = hub.snapshot(ref).ref
    sizes, reader = list_folder(hub, ref, FOLDER), hub.reader(ref)
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True) as progress:
        bar = progress.add_task("fetching", total=sum(sizes.values()))

        def get(name: str, size: int, place: Path) -> None:
            fetch(reader, f"{FOLDER}/{name}", size, place, lambda n: progress.advance(bar, n))

        return receive(sizes, get, directory, int(max_size * 1e9))


def _on_hub(repo: str) -> ModelRef:
    from hubdna.records import ModelRef

    ref = ModelRef.parse(repo)
    if ref.is_local:
        raise UsageError(f"{repo}: expected a model on the Hub (org/name), found a path")
    return ref
