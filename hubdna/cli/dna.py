"""`hubdna dna`: compute and show a model's weight DNA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubdna.cli.options import Endpoint, Format, FormatOption, Read, ReadOption, Token, emit, write_file

EXAMPLES = "Examples: hubdna dna org/name -o name.dna | hubdna dna ./my-model --format json"


def dna(
    ref: Annotated[
        str, typer.Argument(help="org/name, org/name@revision, or a path starting with . or /", metavar="REF")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a .dna file.", metavar="FILE.dna")
    ] = None,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: FormatOption = Format.text,
) -> None:
    """Compute a model's weight DNA from a few MB of ranged reads, and show what it holds and cost."""
    from hubdna.dna.codec import encode
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text

    result = Loader(endpoint, token, read.value).load(ModelRef.parse(ref)).dna
    if output is not None:
        write_file(output, encode(result))
    emit(format, None, lambda: text.dna(result), lambda: json.dna(result))
