"""`hubdna dna`: compute and show a model's weight DNA, or what it computes on probes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    Endpoint,
    Format,
    FormatOption,
    MaxDownload,
    Read,
    ReadOption,
    Token,
    emit,
    write_file,
)

if TYPE_CHECKING:
    from hubdna.cli.behaviour import Sight
    from hubdna.records import ModelRef

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
    behaviour: Annotated[
        bool, typer.Option("--behaviour", help="Run it on probes instead; the file is a behaviour (safetensors).")
    ] = False,
    max_download: MaxDownload = 2.0,
    device: DeviceOption = Device.auto,
    dtype: DtypeOption = Dtype.float32,
) -> None:
    """Compute a model's weight DNA from a few MB of ranged reads, and show what it holds and cost."""
    from hubdna.dna.codec import encode
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import json, text

    if behaviour:
        from hubdna.cli.behaviour import Sight

        sight = Sight(endpoint, token, max_download, device=device.value, dtype=dtype.value)
        _behaviour(ModelRef.parse(ref), sight, output, format)
        return
    result = Loader(endpoint, token, read.value).load(ModelRef.parse(ref)).dna
    if output is not None:
        write_file(output, encode(result))
    emit(format, None, lambda: text.dna(result), lambda: json.dna(result))


def _behaviour(ref: ModelRef, sight: Sight, output: Path | None, format: Format) -> None:
    """What a model computes on the probes, and its vector."""
    from hubdna.behaviour import fingerprint
    from hubdna.behaviour.codec import store
    from hubdna.errors import UsageError
    from hubdna.report import behaviour as report

    with sight:
        seen = sight.see(ref)
    made = fingerprint(seen)
    if output is not None:
        try:
            store(output, seen)
        except OSError as error:
            raise UsageError(f"--output {output}: {error.strerror}") from None
    emit(format, None, lambda: report.one_text(str(ref), seen, made), lambda: report.one(str(ref), seen, made))
