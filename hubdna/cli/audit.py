"""`hubdna audit`: does a model's card tell where its weights come from?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import (
    AuditFormat,
    ConfigOption,
    Endpoint,
    IndexOption,
    NoConfig,
    Output,
    Quiet,
    Read,
    ReadOption,
    Token,
    write,
    write_text,
)
from hubdna.errors import HubdnaError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from hubdna.config import Config
    from hubdna.models import Loader
    from hubdna.painting import KeepingLoader
    from hubdna.records import Audit, ModelRef, Painting
    from hubdna.store import IndexDir

EXAMPLES = "Examples: hubdna audit org/name --index DIR --fail-on warning | hubdna audit ./model --fix"


class FailOn(StrEnum):
    """Severities that make the exit code 1."""

    error = "error"
    warning = "warning"
    info = "info"


def audit(
    refs: Annotated[list[str], typer.Argument(help="Models to audit.", metavar="REF")],
    index: IndexOption = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="Exit with 1 on findings of this severity or worse.")] = None,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    format: Annotated[AuditFormat, typer.Option("--format", help="What the report looks like.")] = AuditFormat.text,
    output: Output = None,
    quiet: Quiet = False,
    config: ConfigOption = None,
    no_config: NoConfig = False,
    online: Annotated[
        bool, typer.Option("--online", help="For folders, too: ask the Hub about declared bases and candidates.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the suggested patches; print what was changed.")] = False,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="With --fix: for models on the Hub, open pull requests.")
    ] = False,
) -> None:
    """Compare what cards say with what the weights show; findings carry line, evidence and a suggested patch."""
    from rich.console import Console

    from hubdna.cli.configs import configured
    from hubdna.cli.reports import writer
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.report import text
    from hubdna.seed import describe, open_index, today

    models = [ModelRef.parse(ref) for ref in refs]
    _check_fix(models, fix, create_pr, format, output)
    settings = configured(config, no_config)
    console = Console(stderr=True, quiet=quiet)
    painter = _keeping(endpoint, token, read) if format is AuditFormat.html else None
    loader = painter or Loader(endpoint, token, read.value)
    pictures: list[Painting] = []
    written = writer(format, lambda: loader.hub.endpoint, pictures)
    with open_index(index or settings.index) as store:
        done = []
        for model, audit in zip(models, _audited(models, store, loader, settings, online, console), strict=True):
            done.append(audit)
            if painter:
                pictures.append(painter.painting(model, audit, store))
        _say(console, f"Looked in {describe(store)}.", *settings.describe(today()))
    if output is not None and not fix:
        _say(console, *text.summary(done))
    if not fix or output is not None:
        write(output, written(done)) if written else write_text(output, text.audits(done))
    unfixed = [audit for audit in done if not _fixed(audit, loader, console)] if fix else []
    unread = any(s.subject == str(a.ref) for a in done for s in a.skipped)
    raise typer.Exit(3 if unread or unfixed else 1 if _fails(done, fail_on) else 0)


def _audited(
    models: list[ModelRef], store: IndexDir, loader: Loader, settings: Config, online: bool, console: Console
) -> Iterator[Audit]:
    """The audits, one by one, with receipts and behaviour looked at."""
    from rich.progress import track

    from hubdna.audit import Auditor
    from hubdna.behaviour import judge_stored
    from hubdna.checked import kept
    from hubdna.proof import glance
    from hubdna.seed import foundations

    auditor = Auditor(
        store, loader, frozenset(foundations()), config=settings, online=online,
        glance=glance, judge=judge_stored, checked=kept(),
    )  # fmt: skip
    yield from track(auditor.audit(models), "auditing", total=len(models), console=console, transient=True)


def _fails(done: list[Audit], fail_on: FailOn | None) -> bool:
    """Whether a finding is as grave as `--fail-on`, or graver."""
    severities = list(FailOn)
    grave = severities[: severities.index(fail_on) + 1] if fail_on else []
    return any(FailOn(finding.severity) in grave for audit in done for finding in audit.findings)


def _say(console: Console, *lines: str) -> None:
    """Lines of the summary; what is other people's in them without control characters."""
    from hubdna.report.text import clean

    for line in lines:
        console.print(clean(line), highlight=False, markup=False, soft_wrap=True)


def _keeping(endpoint: str | None, token: str | None, read: Read) -> KeepingLoader:
    from hubdna.painting import KeepingLoader  # brings family trees along, which only a page needs

    return KeepingLoader(endpoint, token, read.value)


def _check_fix(models: list[ModelRef], fix: bool, create_pr: bool, format: AuditFormat, output: Path | None) -> None:
    if create_pr and not fix:
        raise UsageError("--create-pr: expected together with --fix")
    if fix and format is not AuditFormat.text and output is None:
        raise UsageError("--fix prints what was changed on stdout: name a file for the report with --output")
    for ref in models if fix else ():
        if not ref.is_local and not create_pr:
            raise UsageError(f"{ref}: --fix writes cards of folders; add --create-pr to open a pull request on the Hub")


def _fixed(audit: Audit, loader: Loader, console: Console) -> bool:
    """Put one card right, say what was changed; False when that could not be done."""
    from hubdna.fix import fix_folder, open_pull_request
    from hubdna.report.text import clean

    def say(what: str) -> None:
        _say(console, f"{audit.ref}: {what}")

    try:
        done = fix_folder(audit) if audit.ref.is_local else open_pull_request(audit, loader.hub)
    except HubdnaError as error:
        print(f"hubdna: {clean(error)}", file=sys.stderr)  # noqa: T201
        return False
    _print(done.diff)
    for skipped in audit.skipped:
        say(f"skipped: {skipped.reason}")
    for finding in audit.findings:
        say(f"{finding.rule_id} {finding.severity}: {finding.message}")
    if done.url:
        say(f"pull request: {done.url}")
    elif not done.diff:
        say("no patch to make")
    else:
        say(f"README.md is written: {'; '.join(done.reasons)}")
    return True


def _print(diff: str) -> None:
    """To a terminal without escapes; into a file or a pipe as it is, so that it can be applied."""
    from hubdna.report.text import clean

    if sys.stdout.isatty():
        sys.stdout.write(clean(diff.replace("\r", "").replace("\t", "    ")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(diff.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
