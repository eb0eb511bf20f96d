"""Options that mean the same in every command, and how a report leaves the program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna import __version__
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType


class Read(StrEnum):
    """How much of a model's weights is read."""

    small = "small"
    standard = "standard"
    full = "full"


class Format(StrEnum):
    """What a report looks like."""

    text = "text"
    json = "json"


class AuditFormat(StrEnum):
    """What the report of an audit looks like."""

    text = "text"
    json = "json"
    markdown = "markdown"
    csv = "csv"
    sarif = "sarif"
    cyclonedx = "cyclonedx"
    html = "html"


class PairFormat(StrEnum):
    """What the report on a pair looks like."""

    text = "text"
    json = "json"
    html = "html"


class Device(StrEnum):
    """What a model runs on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Dtype(StrEnum):
    """What a model computes in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


Endpoint = Annotated[str | None, typer.Option(help="Base address of the Hub (default: HF_ENDPOINT).", metavar="URL")]
Token = Annotated[str | None, typer.Option(help="Access token (default: the one you are logged in with).")]
ReadOption = Annotated[Read, typer.Option(help="How much to read: 4 MB, 16 MB, or everything.")]
FormatOption = Annotated[Format, typer.Option("--format", help="What the report looks like.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report there instead of stdout.")]
MaxDownload = Annotated[
    float, typer.Option(help="Most that is fetched of one model to run it, in GB.", min=0.0001, metavar="GB")
]
DeviceOption = Annotated[Device, typer.Option(help="Where models run; auto takes a GPU if there is one.")]
DtypeOption = Annotated[
    Dtype, typer.Option(help="What they compute in; bfloat16 takes half the memory, and is less exact.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration (default: the nearest hubdna.toml or pyproject.toml).", metavar="FILE"
    ),
]
NoConfig = Annotated[bool, typer.Option("--no-config", help="Read no configuration.")]
IndexOption = Annotated[
    Path | None, typer.Option("--index", help="Index directory (default: yours, else the shipped seed).", metavar="DIR")
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hubdna {__version__}")
        raise typer.Exit


def version(
    show: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Where does a model come from? Reads a few MB of its weights and says who shares its origin."""


def emit(
    format: Format, output: Path | None, as_text: Callable[[], RenderableType], as_json: Callable[[], str]
) -> None:
    """Write one report, to stdout or to a file; the file is opened only when the report is complete."""
    if format is Format.json:
        write(output, as_json())
    else:
        write_text(output, as_text())


def write_text(output: Path | None, report: RenderableType, width: int | None = None) -> None:
    """Write a report for people; `width` is for what is no terminal. Raises UsageError."""
    from rich.console import Console

    if output is None:
        terminal = sys.stdout.isatty()
        Console(highlight=False, soft_wrap=not terminal, width=None if terminal else width).print(report)
        return
    buffer = StringIO()
    Console(file=buffer, highlight=False, width=width or 120, color_system=None).print(report)
    write_file(output, buffer.getvalue().encode())


def write(output: Path | None, report: str) -> None:
    """Write a report for programs, as it is. Raises UsageError."""
    if output is None:
        sys.stdout.write(report)
    else:
        write_file(output, report.encode())


def write_file(path: Path, data: bytes) -> None:
    """Write a result where the user asked for it. Raises UsageError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}") from None
