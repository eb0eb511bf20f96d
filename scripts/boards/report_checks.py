"""Whether a report of an audit is what its format says, by readers that are not ours; faults in words, or none."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import jsonschema

ROOT = Path(__file__).parents[2]
AUDIT_SCHEMA = json.loads((ROOT / "docs" / "schemas" / "audit-1.schema.json").read_text("utf-8"))
SARIF_SCHEMA = json.loads((ROOT / "tests" / "data" / "schemas" / "sarif-2.1.0.json").read_text("utf-8"))
AUDIT = jsonschema.Draft202012Validator(AUDIT_SCHEMA)
SARIF = jsonschema.Draft7Validator(SARIF_SCHEMA, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
MARKDOWN_TAGS = {"h3", "p", "strong", "code", "pre", "ul", "li"}


def json_faults(text: str) -> list[str]:
    """Against the published JSON Schema of `hubdna.audit/1`."""
    return [error.message for error in AUDIT.iter_errors(json.loads(text))]


def sarif_faults(text: str) -> list[str]:
    """Against the standard's schema; and sarif-tools has to find as many results as there are."""
    from sarif.loader import load_sarif_file

    log = json.loads(text)
    faults = [error.message for error in SARIF.iter_errors(log)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.sarif"
        path.write_text(text, "utf-8")
        read = load_sarif_file(str(path)).get_result_count()
    n = sum(len(run["results"]) for run in log["runs"])
    faults += [] if read == n else [f"sarif-tools reads {read} of {n} results"]
    rules = [rule for run in log["runs"] for rule in run["tool"]["driver"]["rules"]]
    return faults + [f"{rule['id']} names no page" for rule in rules if "helpUri" not in rule]


def cyclonedx_faults(text: str) -> list[str]:
    """By the validator of cyclonedx-python-lib; read and written again it has to be the same."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        return [str(error)]
    again = JsonV1Dot6(Bom.from_json(json.loads(text))).output_as_string(indent=2)
    return [] if f"{again}\n" == text else ["another document after reading and writing"]


def csv_faults(text: str) -> list[str]:
    """RFC 4180: every row has the header's cells, lines end with CR LF; no cell is a formula."""
    header, *rows = csv.reader(StringIO(text, newline=""), strict=True)
    faults = [f"row {n} has {len(row)} cells" for n, row in enumerate(rows, 1) if len(row) != len(header)]
    faults += [] if text.count("\r\n") == text.count("\n") == len(rows) + 1 else ["an end of line that is not CR LF"]
    return faults + [f"a formula: {cell}" for row in rows for cell in row if re.match("[=+@\t\r-]", cell)]


def markdown_faults(text: str) -> list[str]:
    """Read by markdown-it with links for all that looks like one: nothing but the report's own elements."""
    from markdown_it import MarkdownIt

    html = MarkdownIt("gfm-like", {"html": True, "linkify": True}).render(text)
    return sorted(f"an element <{tag}>" for tag in set(re.findall(r"<(\w+)", html)) - MARKDOWN_TAGS)


def html_faults(text: str) -> list[str]:
    """Opened in Chromium, everything unfolded: nothing is asked for, nothing complained about. Needs Chromium."""
    import chromium

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "audit.html"
        page.write_text(text, "utf-8")
        with chromium.started(Path(folder) / "profile") as browser:
            chromium.opened(browser, page)
            browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
            faults = [f"asked for {url}" for url in chromium.asked_for(browser)] + chromium.complaints(browser)
            sections = browser.execute_script("return document.querySelectorAll('section').length")
    return faults if sections else [*faults, "no section"]


CHECKS: dict[str, Callable[[str], list[str]]] = {
    "json": json_faults, "sarif": sarif_faults, "cyclonedx": cyclonedx_faults, "csv": csv_faults,
    "markdown": markdown_faults, "html": html_faults,
}  # fmt: skip
