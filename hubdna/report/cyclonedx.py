"""CycloneDX 1.6 ML-BOM: one component a model, with licence, addresses, pedigree; evidence as `hubdna:` properties.

`pedigree.ancestors` says "was made from", so a match becomes one only when the card names it as a base *and* the
weights share its origin: then the author says so, and the weights bear it out. All else that was found is a property
that has no direction. Importing this module needs the extra `report`.

The document is written as JSON, read by cyclonedx-python-lib, and written again by it; so it is what the library
holds, in the library's order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from hubdna.errors import MissingExtraError
from hubdna.records import Audit, Finding, Ignored, Match, ModelRef, Provenance
from hubdna.report.places import PUBLIC_HUB, card_path, hub_address, purl, quote
from hubdna.report.text import clean, skipped
from hubdna.report.wording import evidence_lines, receipt

try:
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.spdx import fixup_id
except ImportError:
    raise MissingExtraError("cyclonedx-python-lib", "report") from None

_ADDRESS = re.compile(r"https://[a-z0-9][a-z0-9.-]*(/[\w./?=&~+-]*)?(#[\w-]*)?", re.ASCII | re.IGNORECASE)
"""Links of cards that are kept; odder ones make the document invalid."""
_NOTE = (
    "Ancestors are bases that the card declares and whose origin the weights share. Who came first is the card's word: "
    "the weights show a common origin, not its direction."
)


def audits(results: Iterable[Audit], hub: str = PUBLIC_HUB) -> str:
    """One BOM of several audits; its serial number follows from its content. `hub` is the Hub that was asked."""
    done = {str(audit.ref): audit for audit in results}.values()
    made = next((audit.provenance for audit in done if audit.provenance), None)
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": _metadata(made),
        "components": [_component(audit, hub_address(hub)) for audit in done],
    }  # fmt: skip
    serial = uuid5(NAMESPACE_URL, json.dumps(bom, sort_keys=True))
    held = Bom.from_json({**bom, "serialNumber": f"urn:uuid:{serial}"})  # type: ignore[attr-defined]
    return str(JsonV1Dot6(held).output_as_string(indent=2)) + "\n"


def _metadata(made: Provenance | None) -> dict[str, Any]:
    if made is None:
        return {}
    tool = {"type": "application", "name": "hubdna", "version": made.version}
    return {
        "timestamp": f"{made.date}T00:00:00+00:00",
        "tools": {"components": [tool]},
        "properties": [
            _property("index-digest", made.index_digest),
            _property("index-models", made.n_models),
            _property("scheme", made.scheme),
            *(_property("configured", change) for change in made.configuration),
        ],
    }


def _component(audit: Audit, hub: str) -> dict[str, Any]:
    ancestors = list(_ancestors(audit, hub))
    component = _named(audit.ref, hub)
    component |= {
        "bom-ref": clean(f"{audit.ref}#{audit.ref.sha}" if audit.ref.sha else audit.ref),
        "properties": list(_properties(audit)),
    }
    if audit.claim.license:
        component["licenses"] = [_license(audit.claim.license, audit.claim.license_link)]
    if not audit.ref.is_local:
        home = f"{hub}/{quote(audit.ref.repo_id)}"
        component["externalReferences"] = [
            {"type": "model-card", "url": f"{hub}/{card_path(audit.ref)}"},
            {"type": "distribution", "url": f"{home}/tree/{quote(audit.ref.sha or audit.ref.revision)}"},
        ]
    if ancestors:
        component["pedigree"] = {"ancestors": ancestors, "notes": _NOTE}
    return component


def _ancestors(audit: Audit, hub: str) -> Iterator[dict[str, Any]]:
    """Models that the card names as a base, where the weights bear it out and do not say the reverse."""
    for match in audit.matches:
        if match.verdict.origin not in ("identical", "common") or match.verdict.direction == "b-from-a":
            continue
        properties = [_property("because", "declared by the card; the weights share the origin")]
        properties += [_property("evidence", line) for line in evidence_lines(match)]
        for ref in (match.ref, *match.copies):
            if ref.repo_id in audit.claim.base_models and ref.repo_id != audit.ref.repo_id:
                yield {**_named(ref, hub), "properties": properties}


def _named(ref: ModelRef, hub: str) -> dict[str, Any]:
    group, _, name = (".", "", ref.repo_id) if ref.is_local else ref.repo_id.rpartition("/")
    component: dict[str, Any] = {"type": "machine-learning-model", "name": clean(name)}
    component |= {"group": clean(group)} if group and not ref.is_local else {}
    component |= {"version": clean(ref.sha)} if ref.sha else {}
    address = purl(ref, hub)
    return component | ({"purl": address} if address else {})


def _license(said: str, link: str | None) -> dict[str, Any]:
    """The SPDX id where the Hub's word is one (`mit` is `MIT`), else the word as a name; with its address."""
    known = fixup_id(said)
    named = {"id": known} if known else {"name": clean(said)}
    named |= {"url": link} if link and _ADDRESS.fullmatch(link) else {}
    return {"license": {**named, "acknowledgement": "declared"}}


def _properties(audit: Audit) -> Iterator[dict[str, str]]:
    yield from (_property("declared-base", base) for base in audit.claim.base_models)
    for match in audit.matches:
        yield from _relative(match)
    for n, finding in enumerate(audit.findings, 1):
        yield from _found(f"finding:{n}", finding)
    for n, aside in enumerate(audit.ignored, 1):
        yield from _found(f"ignored:{n}", aside.finding)
        yield from _set_aside(f"ignored:{n}", aside)
    yield from (_property("skipped", skipped(one)) for one in audit.skipped)
    if audit.receipt:
        yield _property("receipt", receipt(audit.receipt))


def _relative(match: Match) -> Iterator[dict[str, str]]:
    """What the test said of one model of the index; a common origin is told without a direction."""
    v, key = match.verdict, f"match:{match.rank}"
    names = [match.ref.repo_id, *(ref.repo_id for ref in match.copies)]
    if v.origin in ("identical", "common"):
        said = "same-weights-as" if v.origin == "identical" else "shares-its-origin-with"
        yield from (_property(said, name) for name in names)
    values = {"ref": str(match.ref), "origin": v.origin, "relation": v.relation, "log10-p": v.log10_p}
    values |= {"undecided-because": v.undecided_because}
    yield from (_property(f"{key}:{name}", value) for name, value in values.items() if value is not None)
    yield from (_property(f"{key}:evidence", line) for line in evidence_lines(match))


def _found(key: str, finding: Finding) -> Iterator[dict[str, str]]:
    values = {"rule": finding.rule_id, "severity": finding.severity, "line": finding.line, "message": finding.message}
    yield from (_property(f"{key}:{name}", value) for name, value in values.items() if value is not None)
    yield from (_property(f"{key}:evidence", line) for line in finding.evidence)


def _set_aside(key: str, one: Ignored) -> Iterator[dict[str, str]]:
    yield _property(f"{key}:reason", one.reason)
    if one.until:
        yield _property(f"{key}:until", one.until)


def _property(name: str, value: object) -> dict[str, str]:
    return {"name": f"hubdna:{name}", "value": clean(value)}
