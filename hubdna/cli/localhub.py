"""`hubdna localhub`: serve a folder of repositories as a Hub on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubdna.errors import UsageError

EXAMPLES = "Example: hubdna localhub ./repos --port 8080   then: HF_ENDPOINT=http://127.0.0.1:8080 hf download org/name"


def localhub(
    directory: Annotated[Path, typer.Argument(help="Folder with org/name/... repositories.", metavar="DIR")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=0, max=65535)] = 8080,
) -> None:
    """Serve a folder as a Hub that the real huggingface_hub client can use; stop it with Ctrl-C."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder")
    from hubdna.localhub import serve

    def announce(endpoint: str) -> None:
        typer.echo(f"{directory} is served at {endpoint}; stop with Ctrl-C", err=True)

    try:
        serve(directory, port=port, announce=announce)
    except OSError as error:
        raise UsageError(f"port {port}: {error.strerror or error}; choose another with --port") from None
