"""`hubdna compare`: do two models share an origin?"""

from __future__ import annotations

from typing import Annotated

import typer

from hubdna.cli.options import Endpoint, Format, FormatOption, Output, Read, ReadOption, Token, emit

EXAMPLES = "Examples: hubdna compare org/child org/parent | hubdna compare ./a ./b --format json"


def compare(
    a: Annotated[str, typer.Argument(help="One model: org/name, or a path starting with . or /", metavar="A")],
    b: Annotated[str, typer.Argument(help="The other model.", metavar="B")],
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: FormatOption = Format.text,
    output: Output = None,
) -> None:
    """Test whether two models share an origin, and explain what the answer rests on."""
    from hubdna.compare import compare_models
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text

    result = compare_models(ModelRef.parse(a), ModelRef.parse(b), Loader(endpoint, token, read.value))
    emit(format, output, lambda: text.comparison(result), lambda: json.comparison(result))
