"""`hubdna prove`: training receipts, made and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubdna.cli.options import Format, FormatOption, Output, Quiet, emit
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.proof import Task

app = typer.Typer(help="Training receipts: make one, check one, look at one.", no_args_is_help=True)
Directory = Annotated[Path, typer.Argument(help="The receipt's folder.", metavar="DIR")]
ParentOption = Annotated[
    Path | None, typer.Option(help="Weights that the training started from: .safetensors, or a folder.", metavar="PATH")
]


@app.command(epilog="Example: hubdna prove record digits-mlp ./receipt --key author.pem")
def record(
    task: Annotated[str, typer.Argument(help="digits-mlp or digits-cnn; your own tasks go in Python.", metavar="TASK")],
    directory: Directory,
    key: Annotated[Path, typer.Option(help="Your Ed25519 key (PEM); made when it is not there.", metavar="FILE")],
    optimizer: Annotated[str, typer.Option(help="SGD, Adam or AdamW.")] = "SGD",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.1,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 200,
    every: Annotated[int, typer.Option(help="Steps between two stored states.", min=1)] = 20,
    batch: Annotated[int, typer.Option(help="Samples a step.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Of the initial weights.", min=0)] = 0,
    storage: Annotated[str, typer.Option(help="Of the states: plain, zstd or bf16.")] = "plain",
    parent: ParentOption = None,
    parent_name: Annotated[str, typer.Option(help="What to call them.", metavar="NAME")] = "",
    quiet: Quiet = False,
) -> None:
    """Train a built-in example and write its receipt; the same command goes on after a crash."""
    from hubdna.proof import Recipe, Recorder, create_key, example, load_key

    recipe = Recipe(steps, every, batch, optimizer, {"lr": lr}, seed=seed, storage=storage)
    author = load_key(key) if key.exists() else create_key(key)
    trained = example(task)
    origin = (parent_name or parent.name, parent) if parent else None
    recorder = Recorder(directory, trained, recipe, author, parent=origin)
    for batch_ in recorder.batches():
        _step(trained, recorder, batch_)
    recorder.finish()
    if not quiet:
        typer.echo(f"{directory}: {steps} steps, signed by {recorder.claim.author}", err=True)


@app.command(epilog="Example: hubdna prove verify ./receipt --budget 5%")
def verify(
    directory: Directory,
    budget: Annotated[str, typer.Option(help="Share of the intervals to train again, drawn at random.")] = "5%",
    top_q: Annotated[
        int | None,
        typer.Option("--top-q", help="Besides, the Q largest updates of each epoch.", min=0),
    ] = None,
    parent: ParentOption = None,
    model: Annotated[
        Path | None, typer.Option(help="A published model that should be the result.", metavar="PATH")
    ] = None,
    recalibrate: Annotated[bool, typer.Option("--recalibrate", help="Measure noise and reference here, too.")] = False,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, ...")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that train intervals side by side.", min=1)] = 1,
    challenge: Annotated[int | None, typer.Option(help="Repeat the draw of another verification.")] = None,
    save: Annotated[
        bool,
        typer.Option("--save", help="Keep it: lineage and compare then know the direction. Needs all of it checked."),
    ] = False,
    format: FormatOption = Format.text,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Check a receipt; exit code 1 when it is inconsistent, 3 when it cannot be checked."""
    from rich.text import Text

    from hubdna.proof import verify as check
    from hubdna.proof import words

    if save and (parent is None or model is None):
        raise UsageError("--save: expected --parent and --model, the weights that the receipt leads from and to")
    with _bar(quiet) as progress:
        report = check(
            directory, parent=parent, model=model, budget=_share(budget), top_q=top_q, recalibrate=recalibrate,
            device=device, workers=workers, challenge=challenge, progress=progress,
        )  # fmt: skip
    emit(format, output, lambda: Text(words.report_text(report)), lambda: words.report_json(report))
    if save and report.verdict == "consistent" and parent and model:
        from hubdna.cli.prove_keep import keep_checked

        typer.echo(f"kept in {keep_checked(report, parent, model)}", err=True)
    raise typer.Exit({"consistent": 0, "inconsistent": 1, "not-checkable": 3}[report.verdict])


@app.command(epilog="Example: hubdna prove inspect ./receipt --format json")
def inspect(directory: Directory, format: FormatOption = Format.text, output: Output = None) -> None:
    """Say what a receipt says of itself; nothing is trained, and torch is not needed."""
    from rich.text import Text

    from hubdna.proof import open_receipt, words

    receipt = open_receipt(directory)
    emit(format, output, lambda: Text(words.receipt_text(receipt)), lambda: words.receipt_json(receipt))


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of intervals on stderr; on anything but a terminal, only its last state."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training intervals again"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, n: bar.update(task, completed=done, total=n)


def _step(task: Task, recorder: Any, batch: Any) -> None:
    recorder.optimizer.zero_grad()
    task.loss(recorder.model, batch).backward()  # type: ignore[no-untyped-call]
    recorder.optimizer.step()


def _share(text: str) -> float:
    """`5%` or `0.05`."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise UsageError(f"--budget {text}: expected a share such as 5% or 0.05") from None
