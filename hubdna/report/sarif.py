"""SARIF 2.1.0, for code scanning and editors: one run, a result for each finding, its line in README.md, its fix.

Models are logical locations, cards physical ones; their addresses hang below `HUB`. What was not done is a
notification of the tool. Messages of SARIF may hold links and placeholders, so brackets and braces of others are
escaped. Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from hubdna import __version__
from hubdna.records import Audit, Finding, Ignored, ModelRef, Provenance, ReceiptGlance, Skipped
from hubdna.report.patches import replacements
from hubdna.report.places import PUBLIC_HUB, card_path, hub_address, quote
from hubdna.report.text import clean, skipped
from hubdna.report.wording import receipt

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_LOSSY = re.compile("[\ufffd\ud800-\udfff]")
"""What bytes that are no UTF-8 become in a text: written back, they would be others."""
_ESCAPES = str.maketrans({"\\": "\\\\", "[": "\\[", "]": "\\]", "{": "{{", "}": "}}"})


def audits(results: Iterable[Audit], rules: Mapping[str, str], hub: str = PUBLIC_HUB, pages: str | None = None) -> str:
    """One log with one run.

    Args:
        results: the audits.
        rules: rule id -> what it is about, `name: sentence`.
        hub: address of the Hub that was asked; a password in it is left out.
        pages: address of the folder with the pages of the rules (`HD001.md`), if they are published.
    """
    done = list(results)
    ids = list(rules)
    run = {
        "tool": {"driver": _driver(rules, pages)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"HUB": {"uri": f"{hub_address(hub)}/"}},
        "versionControlProvenance": _commits(done, hub_address(hub)),
        "invocations": [_invocation(done) | _switched_off(done, ids)],
        "results": _results(done, ids),
        "properties": {"provenance": [_provenance(p) for p in dict.fromkeys(a.provenance for a in done) if p]},
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def message(text: str) -> dict[str, str]:
    """A message whose text is taken literally."""
    return {"text": clean(text).translate(_ESCAPES)}


def _driver(rules: Mapping[str, str], pages: str | None) -> dict[str, Any]:
    return {
        "name": "hubdna", "version": __version__, "semanticVersion": __version__,
        "rules": [_rule(rule_id, about, pages) for rule_id, about in rules.items()],
    }  # fmt: skip


def _rule(rule_id: str, about: str, pages: str | None) -> dict[str, Any]:
    name, _, sentence = about.partition(":")
    rule: dict[str, Any] = {"id": rule_id, "name": "".join(word.capitalize() for word in name.split())}
    rule |= {"shortDescription": {"text": name}, "fullDescription": {"text": sentence.strip() or name}}
    rule |= {"help": {"text": f"docs/rules/{rule_id}.md says when it speaks, and what it does not mean."}}
    return rule | ({} if pages is None else {"helpUri": f"{pages.rstrip('/')}/{rule_id}.md"})


def _results(done: list[Audit], ids: list[str]) -> list[dict[str, Any]]:
    """Findings and, suppressed, the ignored ones. Where one result says whether it is suppressed, all have to."""
    found = [(_result(audit, finding, ids), ()) for audit in done for finding in audit.findings]
    aside = [(_result(audit, one.finding, ids), (_suppression(one),)) for audit in done for one in audit.ignored]
    return [result | ({"suppressions": list(why)} if aside else {}) for result, why in [*found, *aside]]


def _suppression(one: Ignored) -> dict[str, Any]:
    known: dict[str, Any] = {"kind": "external", "status": "accepted", "justification": clean(one.reason)}
    return known | ({"properties": {"until": one.until}} if one.until else {})


def _result(audit: Audit, finding: Finding, ids: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule_id, "ruleIndex": ids.index(finding.rule_id), "level": _LEVELS[finding.severity],
        "message": message(finding.message), "locations": [_location(finding.ref, finding.line)],
        "partialFingerprints": {"hubdnaFinding/v1": fingerprint(audit, finding)},
        "properties": {"revision": finding.ref.sha, "evidence": [clean(line) for line in finding.evidence]},
    }  # fmt: skip
    fix = _fix(finding)
    return result | ({"fixes": [fix]} if fix else {})


def fingerprint(audit: Audit, finding: Finding) -> str:
    """The same in every audit that finds the same: of the rule, the model, and the models that the message names."""
    matched = [ref.repo_id for match in audit.matches for ref in (match.ref, *match.copies)]
    named = {name for name in (*audit.claim.base_models, *matched) if name in finding.message}
    return hashlib.sha256(json.dumps([finding.rule_id, finding.ref.repo_id, *sorted(named)]).encode()).hexdigest()


def _location(ref: ModelRef, line: int | None) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": _card(ref)}
    physical |= {} if line is None else {"region": {"startLine": line}}
    return {"physicalLocation": physical, "logicalLocations": [_model(ref)]}


def _model(ref: ModelRef) -> dict[str, str]:
    return {"name": clean(ref.repo_id), "fullyQualifiedName": clean(ref), "kind": "model"}


def _card(ref: ModelRef) -> dict[str, str]:
    return {"uri": card_path(ref)} | ({} if ref.is_local else {"uriBaseId": "HUB"})


def _fix(finding: Finding) -> dict[str, Any] | None:
    """The patch as replacements of whole lines; None where it is none, or a line was not read byte by byte."""
    changes = list(replacements(finding.patch.diff)) if finding.patch else []
    if finding.patch is None or not changes or any(_LOSSY.search(text) for _, _, text in changes):
        return None
    replaced = [
        {
            "deletedRegion": {"startLine": first, "startColumn": 1, "endLine": last, "endColumn": 1},
            "insertedContent": {"text": text},
        }
        for first, last, text in changes
    ]
    change = {"artifactLocation": _card(finding.ref), "replacements": replaced}
    return {"description": message(finding.patch.reason), "artifactChanges": [change]}


def _invocation(done: list[Audit]) -> dict[str, Any]:
    """What could not be done; the run was a success when every model was read."""
    unread = any(one.subject == str(audit.ref) for audit in done for one in audit.skipped)
    said = [_notification(audit.ref, one) for audit in done for one in audit.skipped]
    said += [_receipt(audit.ref, audit.receipt) for audit in done if audit.receipt]
    return {"executionSuccessful": not unread, "toolExecutionNotifications": said}


def _switched_off(done: list[Audit], ids: list[str]) -> dict[str, Any]:
    """Rules that the user's configuration silences."""
    changes = {change for audit in done if audit.provenance for change in audit.provenance.configuration}
    off = [rule for rule in ids if f"{rule}=off" in changes]
    quiet = [
        {"descriptor": {"id": rule, "index": ids.index(rule)}, "configuration": {"enabled": False}} for rule in off
    ]
    return {"ruleConfigurationOverrides": quiet} if quiet else {}


def _notification(ref: ModelRef, one: Skipped) -> dict[str, Any]:
    level = "error" if one.subject == str(ref) else "warning"
    return {"level": level, "message": message(skipped(one)), "locations": [{"logicalLocations": [_model(ref)]}]}


def _receipt(ref: ModelRef, seen: ReceiptGlance) -> dict[str, Any]:
    """What a training receipt says, as a note of the tool: it is no finding."""
    places = [{"logicalLocations": [_model(ref)]}]
    return {"level": "note", "message": message(f"{ref}: {receipt(seen)}"), "locations": places}


def _commits(done: list[Audit], hub: str) -> list[dict[str, Any]]:
    """Which commit of each model was read."""
    refs = dict.fromkeys(audit.ref for audit in done if audit.ref.sha and not audit.ref.is_local)
    return [
        {
            "repositoryUri": f"{hub}/{quote(ref.repo_id)}",
            "revisionId": clean(ref.sha),
            "mappedTo": {"uri": card_path(ref).removesuffix("README.md"), "uriBaseId": "HUB"},
        }
        for ref in refs
    ]


def _provenance(made: Provenance) -> dict[str, Any]:
    """All but the folder of the index, which is nobody else's business."""
    return {key: value for key, value in asdict(made).items() if key != "index_location"}
