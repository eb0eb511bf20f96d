"""Licences in a whole audit: real weights, real cards, a Hub over HTTP; what is confirmed is confirmed by the test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hubdna.audit import Auditor
from hubdna.card import apply, read_claim
from hubdna.crawl import crawl
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Finding, ModelRef
from hubdna.store import IndexDir

BASE, CHILD = "bytewright/pyllama-245k", "quietlab/doc-writer"
STRANGER = "northbyte/pyllama-245k-scratch"
"""Trained anew: shares no origin with the base."""
Findings = Callable[..., list[Finding]]


@pytest.fixture
def findings(demo_models: Path, tmp_path: Path) -> Findings:
    """Audits one model of a Hub with these cards; every model but it is in the index, unless told."""

    def audited(cards: dict[str, str], indexed: tuple[str, ...] = (BASE,), **files: str) -> list[Finding]:
        repositories, (name, *_) = tmp_path / "hub", cards
        for repo_id, front in cards.items():
            origin = STRANGER if repo_id.endswith("-anew") else BASE if repo_id.startswith("meta") else repo_id
            folder = shutil.copytree(demo_models / origin, repositories / repo_id)
            (folder / "README.md").write_text(f"---\n{front}\n---\n{files.get('text', 'Hello.')}\n")
        for file, text in files.items():
            if file != "text":
                (repositories / name / file).write_text(text)
        with LocalHub(repositories) as server, IndexDir(tmp_path / "index", create=True) as index:
            client = Hub(server.endpoint)
            listed = [client.snapshot(ModelRef(repo_id)) for repo_id in indexed]
            assert all(step.outcome != "skipped" for step in crawl(client, index, listed))
            (audit,) = Auditor(index, Loader(server.endpoint)).audit([ModelRef(name)])
        return [f for f in audit.findings if f.rule_id in ("HD012", "HD013", "HD014")]

    return audited


@pytest.mark.parametrize("indexed", [(BASE,), ()], ids=["the base is in the index", "the base is read from the Hub"])
def test_a_confirmed_base_without_commerce_below_mit_is_a_warning(findings: Findings, indexed: tuple[str, ...]) -> None:
    (found,) = findings({CHILD: f"license: mit\nbase_model: {BASE}", BASE: "license: cc-by-nc-4.0"}, indexed)
    assert (found.rule_id, found.severity, found.line) == ("HD013", "warning", 2)
    assert found.message == (
        f"The card gives mit; its declared base {BASE} says cc-by-nc-4.0, which does not allow commercial use, "
        "while mit does."
    )


def test_a_declared_base_that_the_weights_do_not_confirm_is_info(findings: Findings) -> None:
    cards = {"me/writer-anew": f"license: mit\nbase_model: {BASE}", BASE: "license: cc-by-nc-4.0"}
    (found,) = findings(cards)
    assert (found.rule_id, found.severity) == ("HD013", "info")
    assert "did not confirm" in found.message


def test_a_stricter_child_is_left_alone(findings: Findings) -> None:
    assert findings({CHILD: f"license: cc-by-nc-4.0\nbase_model: {BASE}", BASE: "license: apache-2.0"}) == []


def test_one_of_two_licences_fits_also_when_the_index_tells_them(findings: Findings) -> None:
    cards = {CHILD: f"license: mit\nbase_model: {BASE}", BASE: "license:\n- cc-by-nc-4.0\n- mit"}
    assert findings(cards) == []


def test_a_share_alike_base_and_no_licence_gives_a_patch(findings: Findings) -> None:
    card = f"base_model: {BASE}"
    (found,) = findings({CHILD: card, BASE: "license: cc-by-sa-4.0"})
    assert (found.rule_id, found.severity) == ("HD012", "warning")
    after = read_claim(apply(f"---\n{card}\n---\nHello.\n", found.patch))
    assert after.license == "cc-by-sa-4.0" and after.base_models == (BASE,)


def test_a_name_that_does_not_begin_as_the_licence_asks(findings: Findings) -> None:
    base = "meta/llama-245k"
    cards = {CHILD: f"license: llama3.1\nbase_model: {base}", base: "license: llama3.1"}
    (found,) = findings(cards, (base,), NOTICE="Llama 3.1 is ...", text="Built with Llama")
    assert (found.rule_id, found.severity) == ("HD014", "warning")
    assert found.message == (
        f"The licence of its declared base {base} is llama3.1. It asks that the name of a model made with it begins "
        'with "Llama"; doc-writer does not.'
    )
