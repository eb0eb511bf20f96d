"""`from hubdna import audit, compare, search`: light until used, the same in every order of imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hubdna.config import Config, Ignore
from hubdna.errors import IndexDirError, UsageError
from hubdna.localhub import LocalHub
from hubdna.records import Audit, Comparison, Match, ModelRef
from hubdna.store import IndexDir

FAULTY, PARENT = "quietlab/doc-writer", "bytewright/pyllama-245k"


def loaded(code: str) -> set[str]:
    """Top-level modules that a piece of code has imported when it is done."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_package_alone_imports_nothing() -> None:
    found = loaded("import hubdna; hubdna.__version__") - loaded("")
    assert found - sys.stdlib_module_names == {"hubdna"}
    assert not found & {"asyncio", "http", "json", "sqlite3"}


def test_using_one_imports_what_it_needs() -> None:
    found = loaded("from hubdna import compare")
    assert "numpy" in found and not found & {"faiss", "torch", "scipy", "huggingface_hub", "starlette"}


@pytest.mark.parametrize("first", ["", "import hubdna.audit, hubdna.search", "from hubdna.audit import Auditor"])
def test_it_is_the_same_whoever_was_imported_first(first: str) -> None:
    code = f"""{first}
import hubdna
from hubdna import audit, compare, search
assert [callable(one) for one in (audit, compare, search)] == [True] * 3
assert hubdna.audit is audit and audit.Auditor and compare.compare_models and search.nearest
import hubdna.audit
assert hubdna.audit is audit
"""
    assert "hubdna" in loaded(code)


def test_other_names_are_not_there() -> None:
    import hubdna

    with pytest.raises(AttributeError, match="'hubdna' has no attribute 'audits'"):
        _ = hubdna.audits  # type: ignore[attr-defined]
    assert set(hubdna.__all__) == {"audit", "compare", "search"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, demo_models: Path):
    """The demo's Hub and an index of it: keywords for a call."""
    from hubdna.crawl import crawl
    from hubdna.hub import Hub

    path = tmp_path_factory.mktemp("api") / "index"
    with LocalHub(demo_models) as hub:
        with IndexDir(path, create=True) as index:
            list(crawl(Hub(hub.endpoint), index, Hub(hub.endpoint).models()))
        yield {"endpoint": hub.endpoint, "index": path}


def test_compare(shop: dict[str, object]) -> None:
    from hubdna import compare

    result = compare(FAULTY, ModelRef(PARENT), endpoint=shop["endpoint"])
    assert isinstance(result, Comparison) and result.verdict.origin == "common"
    with pytest.raises(UsageError, match="is not a model"):
        compare("a b", PARENT)


def test_search(shop: dict[str, object]) -> None:
    from hubdna import search

    found = search(FAULTY, k=2, **shop)
    assert all(isinstance(match, Match) for match in found)
    assert [match.ref.repo_id for match in found] == [PARENT, "bytewright/pyllama-245k-docs"]
    with pytest.raises(IndexDirError):
        search(FAULTY, index="./not/there", endpoint=shop["endpoint"])


def test_audit(shop: dict[str, object], tmp_path: Path) -> None:
    from hubdna import audit

    found = audit(FAULTY, PARENT, "nobody/nothing", **shop)
    assert all(isinstance(one, Audit) for one in found)
    assert ["HD001" in [f.rule_id for f in one.findings] for one in found] == [True, False, False]
    assert [bool(one.skipped) for one in found] == [False, False, True]
    (tmp_path / "own.toml").write_text("[rules]\nHD001 = false")
    for config in (tmp_path / "own.toml", Config(ignores=(Ignore("HD001", "*", "known"),))):
        (one,) = audit(FAULTY, config=config, **shop)
        assert "HD001" not in [f.rule_id for f in one.findings]


def test_the_configuration_of_the_working_directory_is_not_read(shop, tmp_path: Path, monkeypatch) -> None:
    from hubdna import audit

    monkeypatch.chdir(tmp_path)
    (tmp_path / "hubdna.toml").write_text("[rules]\nHD001 = false")
    (one,) = audit(FAULTY, **shop)
    assert "HD001" in [f.rule_id for f in one.findings]


def test_a_call_says_what_the_command_says(shop: dict[str, object]) -> None:
    from hubdna import audit
    from hubdna.report import json as report

    command = [sys.executable, "-m", "hubdna", "audit", FAULTY, "--format", "json", "--no-config"]
    command += ["--index", str(shop["index"]), "--endpoint", str(shop["endpoint"])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert json.loads(report.audits(audit(FAULTY, **shop))) == json.loads(printed)


@pytest.mark.parametrize("name", ["audit", "compare", "search"])
def test_what_is_no_model_is_refused_with_what_was_expected(name: str) -> None:
    import hubdna

    call = getattr(hubdna, name)
    with pytest.raises(UsageError, match="expected a model's name or a ModelRef, found a list"):
        call(["org/a", "org/b"], *(["org/c"] if name == "compare" else []))
