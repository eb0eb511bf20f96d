"""`hubdna protect`: masks under which a classifier works in its authorised domain only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import Format, FormatOption, Output, Quiet, emit
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.protect.measure import Protection
    from hubdna.protect.watermark import Ownership

app = typer.Typer(help="Release a model that works in its authorised domain only.", no_args_is_help=True)
Model = Annotated[Path, typer.Argument(help="The original: a folder with config.json and model.safetensors.")]
MaskFile = Annotated[Path, typer.Argument(help="The mask.", metavar="MASK")]
SourceOption = Annotated[
    Path | None, typer.Option(help="Pictures of the authorised domain, a folder for each class.", metavar="DIR")
]
TargetOption = Annotated[
    Path | None, typer.Option(help="Pictures of an unauthorised domain, a folder for each class.", metavar="DIR")
]
MIN_KEY, MAX_KEY = 16, 1024
KeyOption = Annotated[Path | None, typer.Option(help="The owner's secret: a file of random bytes.", metavar="FILE")]


@app.command(epilog="Example: hubdna protect train ./model mask.safetensors --source ./ours --target ./theirs")
def train(
    model: Model,
    mask: MaskFile,
    source: SourceOption = None,
    target: TargetOption = None,
    key: KeyOption = None,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 400,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    quiet: Quiet = False,
) -> None:
    """Learn a mask: from both domains' pictures, from one of them, or from none; run it again to go on."""
    from hubdna.protect import Recipe, train_mask, write_mask
    from hubdna.protect.folder import load_classifier, load_pictures

    if mask.is_dir():
        raise UsageError(f"{mask}: expected a file for the mask, found a folder")
    secret = _secret(key)
    loaded = load_classifier(model)
    pictures = {
        name: load_pictures(folder, loaded) for name, folder in (("source", source), ("target", target)) if folder
    }
    unfinished = mask.with_name(f"{mask.name}.unfinished")
    with _progress(steps, quiet) as step:
        made = train_mask(
            loaded.model, **pictures, shape=loaded.shape, key=secret, checkpoint=unfinished, progress=step,
            recipe=Recipe(steps=steps, seed=seed, pixels=loaded.pixels),
        )  # fmt: skip
    write_mask(mask, loaded.of_file(made))
    unfinished.unlink(missing_ok=True)
    if not quiet:
        typer.echo(f"{mask}: {made.facts['setting']}, {made.sparsity:.1%} of {made.n_weights} weights go", err=True)


@app.command(
    epilog="Example: hubdna protect apply ./model mask.safetensors ./masked.safetensors --keep taken.safetensors"
)
def apply(
    model: Model,
    mask: MaskFile,
    output: Annotated[Path, typer.Argument(help="Where the masked model is written.", metavar="FILE")],
    keep: Annotated[
        Path | None, typer.Option(help="Write what is taken away there; it stays with you.", metavar="FILE")
    ] = None,
) -> None:
    """Set the weights that a mask takes to zero. No torch is needed."""
    from hubdna.protect import apply as put_on
    from hubdna.protect import complement, read_mask, read_model
    from hubdna.protect.files import write

    weights, found = read_model(model), read_mask(mask)
    masked = put_on(found, weights)
    if keep:
        write(keep, complement(found, weights))
    write(output, masked, {"format": "pt"})


@app.command(
    epilog="Example: hubdna protect remove ./release mask.safetensors taken.safetensors ./original.safetensors"
)
def remove(
    release: Annotated[Path, typer.Argument(help="The masked model: a file, or a folder of safetensors.")],
    mask: MaskFile,
    complement: Annotated[Path, typer.Argument(help="What was taken away.", metavar="COMPLEMENT")],
    output: Annotated[Path, typer.Argument(help="Where the original is written.", metavar="FILE")],
) -> None:
    """Turn a release back into the original, bit for bit, or say why not. No torch is needed."""
    from hubdna.protect import read_mask, read_model
    from hubdna.protect import remove as take_off
    from hubdna.protect.files import read_complement, write

    write(output, take_off(read_mask(mask), read_model(release), read_complement(complement)), {"format": "pt"})


@app.command(epilog="Example: hubdna protect measure ./model mask.safetensors --source ./ours --target ./theirs")
def measure(
    model: Model,
    mask: MaskFile,
    source: Annotated[Path, typer.Option(help="Held-out pictures of the authorised domain.", metavar="DIR")],
    target: Annotated[Path, typer.Option(help="Held-out pictures of an unauthorised domain.", metavar="DIR")],
    key: KeyOption = None,
    format: FormatOption = Format.text,
    output: Output = None,
) -> None:
    """Accuracy in both domains before and after, ST-D, and whether the mask carries an owner's key."""
    from hubdna.protect import words

    shown, owned = _measured(model, mask, source, target, _secret(key))
    emit(format, output, lambda: words.table(shown, owned), lambda: words.as_json(shown, owned))


@app.command(
    epilog="Example: hubdna protect release ./model mask.safetensors ./release --base org/model --licence mit "
    "--domain 'our scanners'"
)
def release(
    model: Model,
    mask: MaskFile,
    folder: Annotated[Path, typer.Argument(help="The new folder, to be uploaded.", metavar="DIR")],
    base: Annotated[str, typer.Option(help="The original's name on the Hub.", metavar="ORG/NAME")],
    licence: Annotated[str, typer.Option("--licence", "--license", help="Its licence, as the Hub writes it.")],
    domain: Annotated[str, typer.Option(help="What the release is authorised for, in words.")],
    keep: Annotated[Path | None, typer.Option(help="A folder of yours for what was taken away.", metavar="DIR")] = None,
    source: SourceOption = None,
    target: TargetOption = None,
) -> None:
    """Write a folder for the Hub: masked model, mask, and a card with base model, domain and licence."""
    from hubdna.protect import read_mask
    from hubdna.protect.files import library, read_config
    from hubdna.protect.release import Terms, check_terms, write_complement, write_release

    if (source is None) != (target is None):
        raise UsageError("--source and --target: the card shows both domains or none")
    if keep and keep.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"--keep {keep}: lies in the folder that is published; what was taken away stays with you")
    terms = Terms(base, licence, domain, library(read_config(model)))
    check_terms(terms, folder)
    shown = _measured(model, mask, source, target, None)[0] if source and target else None
    found = read_mask(mask)
    if keep:
        write_complement(model, found, keep)
    write_release(model, found, terms, folder, shown)


def _measured(
    model: Path, mask: Path, source: Path, target: Path, key: bytes | None
) -> tuple[Protection, Ownership | None]:
    from hubdna.protect import apply as put_on
    from hubdna.protect import read_mask, read_model
    from hubdna.protect.folder import load_classifier, load_pictures
    from hubdna.protect.measure import Protection, score
    from hubdna.protect.watermark import verify

    loaded = load_classifier(model)
    ours, theirs = load_pictures(source, loaded), load_pictures(target, loaded)
    before = score(loaded, ours), score(loaded, theirs)
    loaded.put(put_on(read_mask(mask), read_model(model)))
    after = score(loaded, ours), score(loaded, theirs)
    owned = verify(loaded, ours, key) if key else None
    return Protection(before[0], after[0], before[1], after[1], loaded.n_classes), owned


def _secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            found = file.read(MAX_KEY + 1)
    except OSError as error:
        raise UsageError(f"--key {path}: {error.strerror}") from None
    if not MIN_KEY <= len(found) <= MAX_KEY:
        size = len(found) if len(found) <= MAX_KEY else "more"
        raise UsageError(f"--key {path}: expected {MIN_KEY} to {MAX_KEY} random bytes, found {size}")
    return found


class _progress:  # noqa: N801  # used like a function
    """A bar on stderr; gives the function that moves it."""

    def __init__(self, steps: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), disable=quiet, transient=True)
        self._task = self._bar.add_task("learning the mask", total=steps)

    def __enter__(self) -> Callable[[int, float, float], None]:
        self._bar.start()
        return self._step

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def _step(self, step: int, kept: float, spoilt: float) -> None:
        self._bar.update(self._task, completed=step, description=f"spared {kept:.3f}, spoilt {spoilt:.2f}")
