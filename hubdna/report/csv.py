"""An organisation in one sheet: a row for each finding, each model without any, and each thing that was not done.

RFC 4180. A spreadsheet runs a cell that starts with `=`, `+`, `-` or `@` as a formula, and cells here are other
people's text: such a sign gets an apostrophe in front, which spreadsheets read as "this is text".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from hubdna.records import Audit, Finding, Ignored, Skipped
from hubdna.report.text import clean
from hubdna.report.wording import receipt

COLUMNS = (
    "model", "sha", "outcome", "rule", "severity", "line", "message", "evidence", "suggestion", "base_models",
    "license", "index_digest", "n_models", "scheme", "version", "date", "configuration",
    "ignored_because", "ignored_until", "receipt",
)  # fmt: skip
"""`outcome` is `finding`, `ignored`, `clean` or `skipped`."""

_FORMULA = re.compile("(^|[,;] ?)(?=[=+@\uff1d\uff0b\uff0d\uff20-])")
"""Also behind the separators, one of which starts a cell in countries with a decimal comma, and at full width."""


def audits(results: Iterable[Audit]) -> str:
    """A header and the rows; lines end with CR LF."""
    sheet = StringIO(newline="")
    writer = csv.DictWriter(sheet, COLUMNS, restval="")
    writer.writeheader()
    for audit in results:
        for row in _rows(audit):
            writer.writerow({column: cell(value) for column, value in (_common(audit) | row).items()})
    return sheet.getvalue()


def cell(value: object) -> str:
    """Text on one line that no spreadsheet runs; of None, nothing."""
    if value is None:
        return ""
    return _FORMULA.sub(r"\1'", " ".join(clean(value).split()))


def _rows(audit: Audit) -> Iterator[dict[str, Any]]:
    yield from (_finding(finding) for finding in audit.findings)
    yield from (_ignored(one) for one in audit.ignored)
    yield from (_skipped(one) for one in audit.skipped)
    if not audit.findings and not audit.skipped and not audit.ignored:
        yield {"outcome": "clean"}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "outcome": "finding", "rule": finding.rule_id, "severity": finding.severity, "line": finding.line,
        "message": finding.message, "evidence": "; ".join(finding.evidence),
        "suggestion": finding.patch and finding.patch.reason,
    }  # fmt: skip


def _ignored(one: Ignored) -> dict[str, Any]:
    why = {"outcome": "ignored", "ignored_because": one.reason, "ignored_until": one.until}
    return _finding(one.finding) | why


def _skipped(one: Skipped) -> dict[str, Any]:
    return {"outcome": "skipped", "message": one.reason, "evidence": one.subject}


def _common(audit: Audit) -> dict[str, Any]:
    made, claim = audit.provenance, audit.claim
    row: dict[str, Any] = {"model": str(audit.ref), "sha": audit.ref.sha, "license": claim.license}
    row |= {"base_models": "; ".join(claim.base_models), "receipt": audit.receipt and receipt(audit.receipt)}
    if made is not None:
        row |= {"index_digest": made.index_digest, "n_models": made.n_models, "scheme": made.scheme}
        row |= {"version": made.version, "date": made.date, "configuration": "; ".join(made.configuration)}
    return row
