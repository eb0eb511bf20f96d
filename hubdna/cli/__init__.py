"""The command line: one small file per command, each one library call. Here: the app, exit codes, error messages.

Exit codes: 0 clean, 1 findings (`audit --fail-on`), 2 usage, 3 could not finish. Nothing heavy is imported before a
command runs: `--help` needs neither numpy nor the Hub client.
"""

from __future__ import annotations

import sys

import typer

from hubdna.cli import (
    audit,
    bot,
    compare,
    crawl,
    demo,
    dna,
    index,
    lineage,
    localhub,
    protect,
    prove,
    prove_hub,
    rules,
    search,
)
from hubdna.cli.options import version
from hubdna.errors import HubdnaError, NotFoundError, UsageError

EXIT_USAGE, EXIT_UNFINISHED = 2, 3

app = typer.Typer(
    name="hubdna",
    help="Where does a model come from? Reads a few MB of its weights and says who shares its origin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: hubdna demo",
)
app.callback()(version)
app.command("dna", epilog=dna.EXAMPLES)(dna.dna)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("crawl", epilog=crawl.EXAMPLES)(crawl.crawl)
app.add_typer(index.app, name="index")
app.command("search", epilog=search.EXAMPLES)(search.search)
app.command("lineage", epilog=lineage.EXAMPLES)(lineage.lineage)
app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.add_typer(bot.app, name="bot")
prove.app.command("push", epilog=prove_hub.PUSH)(prove_hub.push)
prove.app.command("pull", epilog=prove_hub.PULL)(prove_hub.pull)
app.add_typer(prove.app, name="prove")
app.add_typer(protect.app, name="protect")
app.command("rules", epilog=rules.EXAMPLES)(rules.rules)
app.command("localhub", epilog=localhub.EXAMPLES)(localhub.localhub)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)


def _say(error: HubdnaError) -> None:
    """One message on stderr; names in it are other people's, so control characters go."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    if isinstance(error, NotFoundError) and not text.startswith((".", "/")):
        text += " (a folder on this machine is named with ./ in front)"
    print(f"hubdna: {text}", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Run the command line; the only place where errors become messages and exit codes."""
    try:
        app()
    except UsageError as error:
        _say(error)
        raise SystemExit(EXIT_USAGE) from None
    except HubdnaError as error:
        _say(error)
        raise SystemExit(EXIT_UNFINISHED) from None
