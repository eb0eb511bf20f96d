"""`hubdna compare`: do two models share an origin?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    Endpoint,
    MaxDownload,
    Output,
    PairFormat,
    Read,
    ReadOption,
    Token,
    write,
    write_text,
)
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hubdna.cli.behaviour import Sight
    from hubdna.records import ModelRef

EXAMPLES = "Examples: hubdna compare org/child org/parent | hubdna compare ./a ./b --format html -o pair.html"


def compare(
    a: Annotated[str, typer.Argument(help="One model: org/name, or a path starting with . or /", metavar="A")],
    b: Annotated[str, typer.Argument(help="The other model.", metavar="B")],
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: Annotated[PairFormat, typer.Option("--format", help="What the report looks like.")] = PairFormat.text,
    output: Output = None,
    behaviour: Annotated[
        bool, typer.Option("--behaviour", help="Run both on probes instead, and say how alike they behave.")
    ] = False,
    max_download: MaxDownload = 2.0,
    probes: Annotated[
        str | None,
        typer.Option(
            help="With --behaviour: your own probes; measures only.", metavar="DATASET_OR_FOLDER[:SPLIT[:COLUMN]]"
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.float32,
) -> None:
    """Test whether two models share an origin, and explain what the answer rests on."""
    from hubdna.checked import kept
    from hubdna.cli.behaviour import Sight
    from hubdna.compare import compare_models
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text

    pair = ModelRef.parse(a), ModelRef.parse(b)
    if probes is not None and not behaviour:
        raise UsageError("--probes: expected together with --behaviour; weights need none")
    if behaviour:
        _behaviour(pair, Sight(endpoint, token, max_download, probes, device.value, dtype.value), format, output)
        return
    if format is PairFormat.html:
        write(output, _page(pair, endpoint, token, read))
        return
    result = compare_models(*pair, Loader(endpoint, token, read.value), kept())
    if format is PairFormat.json:
        write(output, json.comparison(result))
    else:
        write_text(output, text.comparison(result))


def _behaviour(pair: tuple[ModelRef, ModelRef], sight: Sight, format: PairFormat, output: Path | None) -> None:
    """Another question, another report: it never says anything about an origin."""
    from hubdna.cli.behaviour import compare_behaviour
    from hubdna.report import behaviour as report

    if format is PairFormat.html:
        raise UsageError("--behaviour has no html report; take text or json")
    result = compare_behaviour(*pair, sight)
    if format is PairFormat.json:
        write(output, report.json(result))
    else:
        write_text(output, report.text(result))


def _page(refs: tuple[ModelRef, ModelRef], endpoint: str | None, token: str | None, read: Read) -> str:
    """The pair as a page. An adapter has no layers of its own to paint."""
    import datetime

    from hubdna import __version__
    from hubdna.checked import kept
    from hubdna.compare import compare_models
    from hubdna.painting import KeepingLoader, pair
    from hubdna.records import Painting
    from hubdna.report import html

    loader = KeepingLoader(endpoint, token, read.value)
    result = compare_models(*refs, loader, kept())
    a, b = (loader.kept(ref) for ref in refs)
    note = "an adapter alone holds no layers to compare"
    picture = pair(a, b, result.verdict) if a and b else Painting(result.a, note=note)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return html.comparison(result, picture, a.scheme if a else "", __version__, today)
