"""`hubdna rules`: what an audit looks for, and what the configuration makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubdna.cli.options import ConfigOption, Format, FormatOption, NoConfig, emit

if TYPE_CHECKING:
    from rich.text import Text

    from hubdna.config import Config

EXAMPLES = "Example: hubdna rules"


def rules(format: FormatOption = Format.text, config: ConfigOption = None, no_config: NoConfig = False) -> None:
    """List the audit rules: what each says, how gravely, its page in docs/rules, and what is configured."""
    from hubdna.cli.configs import configured
    from hubdna.report import json

    settings = configured(config, no_config)
    rows = _rows(settings)
    used = None if settings.path is None else str(settings.path)
    emit(format, None, lambda: _said(rows, used), lambda: json.table("hubdna.rules/1", rows, configuration=used))


def _rows(settings: Config) -> list[dict[str, Any]]:
    from hubdna.rules import severities, stories

    grave = severities()
    return [
        {
            "rule": rule,
            "about": about,
            "severities": list(grave[rule]),
            "page": f"docs/rules/{rule}.md",
            "configured": settings.levels.get(rule),
            "n_ignored": sum(entry.rule == rule for entry in settings.ignores),
        }
        for rule, about in stories().items()
    ]


def _said(rows: list[dict[str, Any]], used: str | None) -> Text:
    from rich.text import Text

    from hubdna.report.text import clean

    lines = [line for row in rows for line in _about(row)]
    return Text("\n".join([*lines, *([] if used is None else [f"Configured by {clean(used)}."])]))


def _about(row: dict[str, Any]) -> list[str]:
    level, n = row["configured"], row["n_ignored"]
    grave = " or ".join(row["severities"]).replace(" or ", ", ", max(0, len(row["severities"]) - 2))
    set_to = {None: "", "off": "; switched off"}.get(level, f"; configured: at most {level}")
    ignored = f"; {n} entr{'y' if n == 1 else 'ies'} to ignore" if n else ""
    return [
        f"{row['rule']}  {row['about']}",
        f"       {grave}{set_to}{ignored}; {row['page']}",
    ]
