"""Who writes the report of an audit in each format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubdna.cli.options import AuditFormat
from hubdna.records import Audit, Painting

Writer = Callable[[list[Audit]], str]


def writer(format: AuditFormat, hub: Callable[[], str], paintings: Sequence[Painting] = ()) -> Writer | None:
    """The function that writes a format; None for text, which is no string but a picture of a terminal.

    Args:
        format: which.
        hub: gives the address of the Hub; called when there is something to write.
        paintings: of HTML, one for each audit; looked at when there is something to write.

    Raises:
        MissingExtraError: the format needs an extra; so ask before the work is done.
    """
    if format is AuditFormat.sarif:
        from hubdna.report import sarif
        from hubdna.rules import stories

        return lambda done: sarif.audits(done, stories(), hub(), rule_pages())
    if format is AuditFormat.cyclonedx:
        from hubdna.report import cyclonedx

        return lambda done: cyclonedx.audits(done, hub())
    if format is AuditFormat.html:
        from hubdna.report import html

        return lambda done: html.audits(zip(done, paintings, strict=True))
    from hubdna.report import csv, json, markdown

    writers: dict[AuditFormat, Writer]
    writers = {AuditFormat.csv: csv.audits, AuditFormat.json: json.audits, AuditFormat.markdown: markdown.audits}
    return writers.get(format)


def rule_pages() -> str | None:
    """The address of docs/rules, where the package says that its documents are published."""
    from importlib.metadata import metadata

    named = (line.partition(", ") for line in metadata("hubdna").get_all("Project-URL", []))
    return next((f"{address.rstrip('/')}/rules" for name, _, address in named if name == "Documentation"), None)
