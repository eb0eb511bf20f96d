"""`hubdna rules`: what an audit looks for."""

from __future__ import annotations

from hubdna.cli.options import Format, FormatOption, emit

EXAMPLES = "Example: hubdna rules"


def rules(format: FormatOption = Format.text) -> None:
    """List the audit rules; each has a page in docs/rules."""
    from rich.text import Text

    from hubdna.report import json
    from hubdna.rules import stories

    rows = [{"rule": r, "about": about, "page": f"docs/rules/{r}.md"} for r, about in stories().items()]
    said = "\n".join(f"{r['rule']}  {r['about']}" for r in rows)
    emit(format, None, lambda: Text(said), lambda: json.table("hubdna.rules/1", rows))
