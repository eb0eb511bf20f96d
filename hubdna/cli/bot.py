"""`hubdna bot`: look at models once or on webhooks, queue what would be said, post what was approved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubdna.cli import bot_queue
from hubdna.cli.bot_queue import StateOption, state_folder
from hubdna.cli.options import ConfigOption, Endpoint, IndexOption, NoConfig, Quiet, Read, ReadOption, Token
from hubdna.errors import UsageError

if TYPE_CHECKING:
    from hubdna.bot.serve import Settings

app = typer.Typer(help="Comment on model cards: queued, approved by a person, posted once.", no_args_is_help=True)
Post = Annotated[bool, typer.Option("--post", help="Write to the Hub what is approved (default: a dry run).")]
PullRequest = Annotated[
    bool, typer.Option("--pull-request", help="Where there is a patch, open a pull request instead of a discussion.")
]
Contact = Annotated[str, typer.Option(help="How to reach the people who run this bot; stands in the comment.")]
PerOwner = Annotated[int, typer.Option(help="Most discussions opened for one owner in a day.", min=0)]
PerDay = Annotated[int, typer.Option(help="Most discussions opened in a day.", min=0)]
Patience = Annotated[float, typer.Option(help="Seconds before an audit is tried again; doubled.", min=0.01)]
Settle = Annotated[float, typer.Option(help="Seconds before a post is tried again; longer than a request.", min=0.01)]


@app.command(epilog="Example: hubdna bot run org/name --index DIR   then: hubdna bot queue")
def run(
    refs: Annotated[list[str] | None, typer.Argument(help="Models to look at; none: only post.", metavar="REF")] = None,
    state: StateOption = None,
    index: IndexOption = None,
    post: Post = False,
    pull_request: PullRequest = False,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    contact: Contact = "",
    config: ConfigOption = None,
    no_config: NoConfig = False,
    per_owner: PerOwner = 3,
    per_day: PerDay = 50,
    quiet: Quiet = False,
) -> None:
    """Audit models once and queue what would be said; with --post, write to the Hub what is approved."""
    from hubdna.bot.once import run_once
    from hubdna.bot.policy import Budget
    from hubdna.bot.serve import Settings, working
    from hubdna.cli.configs import configured

    settings = Settings(
        state_folder(state), index, endpoint, token, read.value, post, Budget(per_owner, per_day), contact,
        pull_requests=pull_request, config=configured(config, no_config),
    )  # fmt: skip
    with working(settings) as worker:
        done = run_once(worker, refs or [])
    if not quiet:
        bot_queue.print_proposals(done.waiting)
    for repo_id, reason in done.unread:
        typer.echo(bot_queue.plain(f"{repo_id}: {reason}"), err=True)
    raise typer.Exit(3 if done.unread else 0)


@app.command(epilog="Example: HUBDNA_WEBHOOK_SECRET=... hubdna bot serve --index DIR --port 8090 --post")
def serve(
    state: StateOption = None,
    index: IndexOption = None,
    post: Post = False,
    pull_request: PullRequest = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 8090,
    secret_file: Annotated[
        Path | None, typer.Option(help="File with the webhook's secret (default: HUBDNA_WEBHOOK_SECRET).")
    ] = None,
    read: ReadOption = Read.standard,
    endpoint: Endpoint = None,
    token: Token = None,
    contact: Contact = "",
    config: ConfigOption = None,
    no_config: NoConfig = False,
    per_owner: PerOwner = 3,
    per_day: PerDay = 50,
    patience: Patience = 30.0,
    settle: Settle = 30.0,
) -> None:
    """Take webhooks of the Hub at /, audit what changed, queue or post; /health and /metrics tell how it is."""
    import os

    from hubdna.bot import logs
    from hubdna.bot.policy import Budget
    from hubdna.bot.serve import Settings
    from hubdna.bot.serve import serve as serve_bot
    from hubdna.cli.configs import configured

    secret = _secret(secret_file)
    logs.start((secret, token or "", os.environ.get("HF_TOKEN", "")))
    settings: Settings = Settings(
        state_folder(state), index, endpoint, token, read.value, post, Budget(per_owner, per_day), contact,
        patience, settle, pull_request, configured(config, no_config),
    )  # fmt: skip
    serve_bot(settings, secret, host, port)


def _secret(path: Path | None) -> str:
    import os

    if path is None:
        return os.environ.get("HUBDNA_WEBHOOK_SECRET", "")
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--secret-file {path}: {error}") from None


bot_queue.add_to(app)
