"""The published JSON Schema of `hubdna.audit/1` holds for what is written, and for nothing else."""

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_audits import HOSTILE, hostile

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
from hubdna.records import Audit
from hubdna.report import json as report
from report_checks import AUDIT_SCHEMA as SCHEMA


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not describe."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return inner | ({"additionalProperties": False} if "properties" in schema else {})
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_real_reports_fit_it_and_hold_no_key_that_it_lacks(demo_audits: list[Audit]) -> None:
    body = json.loads(report.audits(demo_audits))
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(body)
    assert len(body["audits"]) == 17
    assert {a["sha"] for a in body["audits"]} == {a.ref.sha for a in demo_audits}


@pytest.mark.parametrize("text", [t for t in HOSTILE if t != "\ud800"], ids=ascii)
def test_reports_of_hostile_models_fit_it(text: str) -> None:
    body = json.loads(report.audits([hostile(text)]))
    body["audits"][0]["findings"][0]["patch"] = None  # made up, not difflib's
    jsonschema.Draft202012Validator(SCHEMA).validate(body)


def broken(value: Any) -> Iterator[Any]:
    """A report with one thing wrong: a key that is gone, or a value of another kind."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from (value | {key: wrong} for wrong in broken(inner))
    elif isinstance(value, list):
        yield {"not": "a list"}
        for n, inner in enumerate(value[:1]):
            yield from ([*value[:n], wrong, *value[n + 1 :]] for wrong in broken(inner))
    else:
        yield ["not", "a", "scalar"]


def test_whatever_lacks_a_key_or_has_one_of_another_kind_is_refused(demo_audits: list[Audit]) -> None:
    (body,) = [json.loads(report.audits([a])) for a in demo_audits if str(a.ref) == "opticlab/vit-strokes"]
    validator = jsonschema.Draft202012Validator(SCHEMA)
    wrong = list(broken(deepcopy(body)))
    assert len(wrong) > 60
    assert [w for w in wrong if validator.is_valid(w)] == []
