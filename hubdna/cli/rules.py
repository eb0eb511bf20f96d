"""`hubdna rules`: what an audit looks for."""

from __future__ import annotations

from hubdna.cli.options import Format, FormatOption, emit

EXAMPLES = "Example: hubdna rules"


def rules(format: FormatOption = Format.text) -> None:
    """List the audit rules; each has a page in docs/rules."""
    import inspect

    from rich.text import Text

    from hubdna.report import json
    from hubdna.rules import RULES

    rows = []
    for rule_id, rule in RULES.items():
        module = inspect.getmodule(rule)
        story = ((module and module.__doc__) or "").splitlines()[0].removeprefix(rule_id).strip()
        rows.append({"rule": rule_id, "about": story, "page": f"docs/rules/{rule_id}.md"})
    said = "\n".join(f"{r['rule']}  {r['about']}" for r in rows)
    emit(format, None, lambda: Text(said), lambda: json.table("hubdna.rules/1", rows))
