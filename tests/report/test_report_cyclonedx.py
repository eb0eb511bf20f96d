"""A bill of materials that its library holds to be valid, and whose pedigree never says more than card and weights."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from report_audits import HOSTILE, MADE, hostile, verdict

from hubdna.records import Audit, Claim, Match, ModelRef
from hubdna.report import cyclonedx

VALID = JsonStrictValidator(SchemaVersion.V1_6)


def bom(audits: list[Audit], **more: str) -> dict[str, Any]:
    text = cyclonedx.audits(audits, **more)
    assert VALID.validate_str(text) is None
    return json.loads(text)


def components(audits: list[Audit]) -> dict[str, dict[str, Any]]:
    """Component of each model by its name."""
    return {f"{c.get('group', '')}/{c['name']}": c for c in bom(audits)["components"]}


def values(component: dict[str, Any], name: str) -> list[str]:
    return [p["value"] for p in component.get("properties", []) if p["name"] == f"hubdna:{name}"]


def ancestors(component: dict[str, Any]) -> list[str]:
    return [f"{a['group']}/{a['name']}" for a in component.get("pedigree", {}).get("ancestors", [])]


def test_the_validator_refuses_what_is_not_a_bom(demo_audits: list[Audit]) -> None:
    body = bom(demo_audits)
    body["components"][0]["type"] = "model"
    assert VALID.validate_str(json.dumps(body)) is not None


def test_every_model_is_one_component(demo_audits: list[Audit]) -> None:
    found = components(demo_audits)
    assert found.keys() == {str(audit.ref) for audit in demo_audits}
    for audit in demo_audits:
        component = found[str(audit.ref)]
        assert component["type"] == "machine-learning-model"
        assert component.get("version") == audit.ref.sha
        assert values(component, "declared-base") == sorted(audit.claim.base_models)
        assert {r["type"] for r in component["externalReferences"]} == {"model-card", "distribution"}
        assert values(component, "skipped") == [s.reason for s in audit.skipped]
        for n, finding in enumerate(audit.findings, 1):
            assert values(component, f"finding:{n}:message") == [finding.message]
            assert values(component, f"finding:{n}:severity") == [finding.severity]
            assert values(component, f"finding:{n}:evidence") == sorted(finding.evidence)


def test_licences_of_the_hub_become_spdx_ids(demo_audits: list[Audit]) -> None:
    said = {a.claim.license for a in demo_audits if a.claim.license}
    found = {c["licenses"][0]["license"]["id"] for c in components(demo_audits).values() if "licenses" in c}
    assert {i.lower() for i in found} == said == {"mit", "apache-2.0", "bsd-3-clause"}
    own = replace(demo_audits[0], claim=Claim(license="my own licence"))
    (component,) = bom([own])["components"]
    assert component["licenses"] == [{"license": {"name": "my own licence", "acknowledgement": "declared"}}]


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://x.example/LICENSE-2.0?v=1#a", "https://x.example/LICENSE-2.0?v=1#a"),
        ("https://x.example/a b", None),
        ("javascript:alert(1)", None),
        ("LICENSE", None),
    ],
)
def test_a_licence_keeps_its_address_if_it_is_one(demo_audits: list[Audit], link: str, url: str | None) -> None:
    linked = replace(demo_audits[0], claim=Claim(license="own", license_link=link))
    (component,) = bom([linked])["components"]
    assert component["licenses"][0]["license"].get("url") == url


def test_an_ancestor_is_declared_by_the_card_and_borne_out_by_the_weights(demo_audits: list[Audit]) -> None:
    found = components(demo_audits)
    assert ancestors(found["opticlab/vit-digits-pruned"]) == ["pixelworks/vit-digits"]
    n_ancestors = 0
    for audit in demo_audits:
        related = {r.repo_id for m in audit.matches for r in (m.ref, *m.copies)}
        assert set(ancestors(found[str(audit.ref)])) == related & set(audit.claim.base_models)
        n_ancestors += len(ancestors(found[str(audit.ref)]))
        assert set(values(found[str(audit.ref)], "shares-its-origin-with")) <= related
    assert n_ancestors >= 4


def test_a_sibling_of_a_pruned_model_is_no_ancestor(demo_audits: list[Audit]) -> None:
    audit = next(a for a in demo_audits if str(a.ref) == "opticlab/vit-digits-pruned")
    sibling = next(m for m in audit.matches if str(m.ref) == "opticlab/vit-strokes")
    assert (sibling.verdict.relation, sibling.verdict.direction) == ("pruned", "undirected")
    (component,) = bom([audit])["components"]
    assert "opticlab/vit-strokes" in values(component, "shares-its-origin-with")
    assert "opticlab/vit-strokes" not in ancestors(component)
    assert "a-from-b" not in json.dumps(component)


@pytest.mark.parametrize(
    ("origin", "direction", "base", "expected"),
    [
        ("common", "undirected", "big/base", ["big/base"]),
        ("identical", "undirected", "big/base", ["big/base"]),
        ("common", "a-from-b", "big/base", ["big/base"]),
        ("common", "b-from-a", "big/base", []),
        ("common", "a-from-b", "other/base", []),
        ("no-evidence", "undirected", "big/base", []),
        ("undecided", "undirected", "big/base", []),
        ("identical", "undirected", "mirror/base", ["mirror/base"]),
        ("common", "undirected", "me/model", []),
    ],
)
def test_what_makes_an_ancestor(origin: str, direction: str, base: str, expected: list[str]) -> None:
    copies = (ModelRef("mirror/base", sha="b" * 40), ModelRef("me/model"))
    match = Match(ModelRef("big/base", sha="a" * 40), 1, verdict(origin, direction), None, copies)
    (component,) = bom([Audit(ModelRef("me/model"), Claim((base,)), (match,), (), MADE)])["components"]
    assert ancestors(component) == expected


def test_the_library_reads_what_it_wrote(demo_audits: list[Audit]) -> None:
    text = cyclonedx.audits(demo_audits)
    again = Bom.from_json(json.loads(text))
    assert len(again.components) == len(demo_audits)
    assert f"{JsonV1Dot6(again).output_as_string(indent=2)}\n" == text


def test_the_serial_number_follows_from_the_content(demo_audits: list[Audit]) -> None:
    assert cyclonedx.audits(demo_audits) == cyclonedx.audits(iter(demo_audits))
    serials = {bom(demo_audits[:n])["serialNumber"] for n in range(1, 4)}
    assert len(serials) == 3


def test_provenance_is_in_it_and_the_folder_of_the_index_is_not(demo_audits: list[Audit]) -> None:
    body, made = bom(demo_audits), demo_audits[0].provenance
    meta = body["metadata"]
    assert values(meta, "index-digest") == [made.index_digest] and values(meta, "scheme") == [made.scheme]
    assert meta["timestamp"].startswith(made.date)
    assert meta["tools"]["components"][0]["version"] == made.version
    assert made.index_location not in json.dumps(body)


def test_package_addresses_name_another_hub_and_no_password(demo_audits: list[Audit]) -> None:
    (component,) = bom(demo_audits[:1])["components"]
    assert component["purl"] == f"pkg:huggingface/{demo_audits[0].ref.repo_id}@{demo_audits[0].ref.sha}"
    body = bom(demo_audits[:1], hub="https://me:secret@hub.example/")
    assert "repository_url=https%3A%2F%2Fhub.example" in body["components"][0]["purl"].replace("://", "%3A%2F%2F")
    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_leaves_the_bom_valid(text: str) -> None:
    audit = hostile(text)
    (component,) = bom([audit])["components"]
    assert component["type"] == "machine-learning-model"
    assert len(values(component, "finding:1:message")) == 1
    assert "\x1b" not in json.dumps(component, ensure_ascii=False)
    on_hub = replace(audit, ref=ModelRef("me/model", sha=text))
    assert len(bom([on_hub])["components"]) == 1


def test_a_model_named_twice_is_one_component(demo_audits: list[Audit]) -> None:
    assert len(bom([demo_audits[0], demo_audits[0]])["components"]) == 1


def test_without_the_extra_the_error_names_it() -> None:
    code = "import sys; sys.modules['cyclonedx'] = None; import hubdna.report.cyclonedx"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "MissingExtraError" in done.stderr and "pip install 'hubdna[report]'" in done.stderr
