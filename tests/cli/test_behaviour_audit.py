"""HD017 from end to end: real models, the shipped network, an index without the weights of their relatives."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from cli_models import Run

from hubdna import audit
from hubdna.behaviour import judge_stored
from hubdna.records import Finding

LM, DOCS, WRITER = "bytewright/pyllama-245k", "bytewright/pyllama-245k-docs", "quietlab/doc-writer"


@pytest.fixture
def vectors(run: Run, endpoint: str, tmp_path: Path) -> Path:
    """An index of pictures by weights, and of language models by behaviour."""
    crawled = run("crawl", "--index", tmp_path, "--author", "pixelworks", "--endpoint", endpoint, "--quiet")
    seen = run("index", "behaviour", tmp_path, LM, DOCS, WRITER, "--endpoint", endpoint, "--quiet")
    assert (crawled.code, seen.code) == (0, 0), crawled.err + seen.err
    return tmp_path


def test_what_behaves_alike_is_named_where_weights_say_nothing(
    run: Run, endpoint: str, vectors: Path, index: Path
) -> None:
    done = run("audit", WRITER, "--index", vectors, "--endpoint", endpoint, "--format", "json")
    assert done.code == 0, done.err
    (finding,) = json.loads(done.out)["audits"][0]["findings"]
    assert (finding["rule"], finding["severity"], finding["patch"]) == ("HD017", "info", None)
    assert DOCS in finding["message"] and "2 vectors were compared" in finding["message"]
    assert "no evidence of origin" in finding["message"] and "derived" not in done.out

    shutil.copytree(index, vectors / "known")  # the same vectors beside the weights of the relatives
    shutil.copy(vectors / "behaviour.sqlite", vectors / "known")
    known = run("audit", WRITER, "--index", vectors / "known", "--endpoint", endpoint, "--format", "json")
    rules = {f["rule"] for f in json.loads(known.out)["audits"][0]["findings"]}
    assert "HD001" in rules and "HD017" not in rules


def test_the_library_looks_when_it_is_asked_to(endpoint: str, vectors: Path) -> None:
    def told(**more: object) -> list[Finding]:
        (one,) = audit(WRITER, index=vectors, endpoint=endpoint, **more)  # type: ignore[arg-type]
        assert not one.skipped
        return [f for f in one.findings if f.rule_id == "HD017"]

    assert told() == []
    assert [f.severity for f in told(judge=judge_stored)] == ["info"]


def test_vectors_that_are_damaged_cost_no_audit(run: Run, endpoint: str, vectors: Path) -> None:
    def change(statement: str) -> str:
        with sqlite3.connect(vectors / "behaviour.sqlite") as db:
            db.execute(statement)
        done = run("audit", WRITER, "--index", vectors, "--endpoint", endpoint, "--format", "json")
        assert done.code == 0, done.err
        (one,) = json.loads(done.out)["audits"]
        assert not one["findings"] and one["skipped"][0]["subject"] == "vectors of behaviour"
        return str(one["skipped"][0]["reason"])

    assert "is damaged" in change("UPDATE vectors SET familiar = 0.9")
    (vectors / "behaviour.sqlite").unlink()
    assert "cannot be used" in change("CREATE TABLE other (here TEXT)")
