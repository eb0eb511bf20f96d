"""`hubdna demo`: the whole pipeline on a local Hub, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubdna.cli.options import Quiet

EXAMPLES = "Example: hubdna demo --keep ./hubdna-demo"


def demo(
    keep: Annotated[Path, typer.Option(help="Where index and report are written.", metavar="DIR")] = Path(
        "hubdna-demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Crawl a local Hub of 16 small trained models, index their DNA, find relatives, audit their cards."""
    from hubdna.demo import run_demo

    run_demo(keep, quiet=quiet)
