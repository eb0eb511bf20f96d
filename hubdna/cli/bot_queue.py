"""`hubdna bot queue|show|approve|reject|withdraw|optin|block|log`: what people decide about the bot's words."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli.options import Format, FormatOption
from hubdna.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from hubdna.bot.nouns import Proposal
    from hubdna.bot.state import State

StateOption = Annotated[
    Path | None, typer.Option("--state", help="Folder of the bot's state (default: the user's).", metavar="DIR")
]
Ids = Annotated[list[str], typer.Argument(help="Proposals, as `hubdna bot queue` names them.", metavar="ID")]
By = Annotated[str | None, typer.Option(help="Who decides (default: the user who is logged in).")]


def state_folder(path: Path | None) -> Path:
    """The folder asked for, else the user's."""
    from platformdirs import user_data_path

    return path if path is not None else user_data_path("hubdna") / "bot"


@contextmanager
def _opened(path: Path | None) -> Iterator[State]:
    from hubdna.bot.state import State

    folder = state_folder(path)
    if not (folder / "bot.sqlite").is_file():
        raise UsageError(f"{folder}: expected the state of a bot, found none; `hubdna bot run` makes it")
    with State(folder) as state:
        yield state


def queue(
    state: StateOption = None,
    every: Annotated[bool, typer.Option("--all", help="Also what is posted, rejected, superseded or failed.")] = False,
    format: FormatOption = Format.text,
) -> None:
    """List what waits: for a person, for its turn, or for tomorrow's budget."""
    from typing import get_args

    from hubdna.bot import ledger
    from hubdna.bot.nouns import WAITING, ProposalState

    with _opened(state) as opened:
        found = ledger.listed(opened, get_args(ProposalState) if every else (*WAITING, "failed"))
    if format is Format.json:
        typer.echo(json.dumps({"schema": "hubdna.bot.queue/1", "proposals": [asdict(p) for p in found]}, indent=2))
    else:
        print_proposals(found)


def show(
    proposal_id: Annotated[str, typer.Argument(help="A proposal.", metavar="ID")], state: StateOption = None
) -> None:
    """Print the Markdown that a proposal would put on the Hub."""
    with _opened(state) as opened:
        typer.echo(_found(opened, proposal_id).body)


def approve(ids: Ids, state: StateOption = None, by: By = None) -> None:
    """Let proposals be posted; a bot that runs with --post does it."""
    _decide(ids, state, by, "approved")


def reject(
    ids: Ids,
    state: StateOption = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")] = "",
) -> None:
    """Never post proposals; the same findings are not proposed again."""
    _decide(ids, state, by, "rejected", reason)


def withdraw(
    repo_id: Annotated[str, typer.Argument(help="The model whose comment is taken back.", metavar="REPO_ID")],
    reason: Annotated[str, typer.Option(help="Why; stands in the comment and in the log of corrections.")],
    state: StateOption = None,
    by: By = None,
) -> None:
    """Take a comment back, with a note in it; a bot that runs with --post does it."""
    from hubdna.bot.serve import today
    from hubdna.bot.withdraw import withdraw as take_back

    with _opened(state) as opened:
        made = take_back(opened, repo_id, reason, _who(by), today())
    typer.echo(f"{made.id} approved: the comment on {repo_id} will be withdrawn")


def optin(
    owner: Annotated[str, typer.Argument(help="User or organisation.")],
    rule: Annotated[str, typer.Argument(help="A rule, as HD001.", metavar="RULE")],
    state: StateOption = None,
    off: Annotated[bool, typer.Option("--off", help="End it.")] = False,
    by: By = None,
) -> None:
    """Record that an owner wants findings of a rule on their models without a person's approval."""
    from hubdna.bot import wishes
    from hubdna.bot.policy import NEVER_ALONE
    from hubdna.bot.serve import today
    from hubdna.rules import RULES

    if rule not in RULES:
        raise UsageError(f"{rule!r}: expected one of {', '.join(RULES)}")
    if rule in NEVER_ALONE:
        raise UsageError(f"{rule}: is never posted without a person's approval, whoever asks for it")
    with _opened(state) as opened:
        if off:
            wishes.opt_in_ends(opened, owner, rule)
        else:
            wishes.opt_in(opened, owner, rule, _who(by), today())
    typer.echo(plain(f"{owner}: {rule} {'needs approval again' if off else 'is posted without approval'}"))


def block(
    owner: Annotated[str, typer.Argument(help="User or organisation.")],
    state: StateOption = None,
    off: Annotated[bool, typer.Option("--off", help="Take them off the list.")] = False,
    by: By = None,
) -> None:
    """Never speak to an owner; what waits for their models is dropped."""
    from hubdna.bot import wishes
    from hubdna.bot.serve import today

    with _opened(state) as opened:
        if off:
            wishes.unblock(opened, owner)
        else:
            wishes.block(opened, owner, _who(by), today())
    typer.echo(plain(f"{owner} {'is not on' if off else 'is on'} the block list"))


def log(state: StateOption = None, format: FormatOption = Format.text) -> None:
    """Print the log of corrections: every statement that was taken back, when, by whom, and why."""
    from hubdna.bot import ledger

    with _opened(state) as opened:
        found = ledger.corrections(opened)
    if format is Format.json:
        typer.echo(json.dumps({"schema": "hubdna.bot.log/1", "corrections": [asdict(c) for c in found]}, indent=2))
        return
    for one in found:
        rules = ", ".join(dict.fromkeys(s.rule_id for s in one.was))
        told = "" if one.told else f" (not in the discussion: {one.note})"
        typer.echo(plain(f"{one.at} {one.repo_id}#{one.num} {rules} withdrawn by {one.by}: {one.reason}{told}"))
    if not found:
        typer.echo("nothing was withdrawn")


def print_proposals(found: Sequence[Proposal]) -> None:
    """A few lines for each proposal."""
    for one in found:
        typer.echo(plain(f"{one.id}  {one.state}  {one.kind}  {one.repo_id}" + (f"  by {one.by}" if one.by else "")))
        for said in one.said:
            typer.echo(plain(f"    {said.rule_id} {said.severity}: {said.message}"))
        if one.reason and one.state != "queued":
            typer.echo(plain(f"    {one.reason}"))
    if not found:
        typer.echo("nothing waits")


def plain(text: str) -> str:
    """One line in which nothing of others moves the cursor or turns the reading direction."""
    from hubdna.bot.words import shown

    return shown(text).replace("\n", " ")


def add_to(app: typer.Typer) -> None:
    """Enter the commands."""
    for command, example in (
        (queue, "hubdna bot queue --format json"),
        (show, "hubdna bot show 0123456789ab"),
        (approve, "hubdna bot approve 0123456789ab --by alice"),
        (reject, "hubdna bot reject 0123456789ab --reason 'the base is named in the text'"),
        (withdraw, "hubdna bot withdraw org/name --reason 'the base was indexed under a wrong name'"),
        (optin, "hubdna bot optin my-org HD001"),
        (block, "hubdna bot block some-org"),
        (log, "hubdna bot log --format json"),
    ):
        app.command(epilog=f"Example: {example}")(command)


def _decide(ids: list[str], path: Path | None, by: str | None, to: str, reason: str = "") -> None:
    from hubdna.bot import ledger
    from hubdna.bot.serve import today

    with _opened(path) as opened:
        for one in ids:
            found = _found(opened, one)
            if not ledger.decide(opened, one, to, _who(by), today(), reason):  # type: ignore[arg-type]
                raise UsageError(f"{one}: is {found.state}, so it cannot be {to} any more")
            typer.echo(plain(f"{one} {to}: {found.kind} {found.repo_id}"))


def _found(state: State, proposal_id: str) -> Proposal:
    from hubdna.bot import ledger

    found = ledger.get(state, proposal_id)
    if found is None:
        raise NotFoundError(f"{proposal_id!a}: no such proposal; `hubdna bot queue --all` lists them")
    return found


def _who(by: str | None) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("--by: expected a name, since nobody is logged in here") from None
