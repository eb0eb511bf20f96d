"""Search: the nearest relative is first, independents are not listed, and an index without rows says so."""

import shutil
from dataclasses import replace
from io import StringIO
from json import loads
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from hubdna.crawl import crawl
from hubdna.demo import planted
from hubdna.dna import codec
from hubdna.errors import NotFoundError
from hubdna.hub import Hub
from hubdna.inquiry import Inquiry
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Claim, ModelRef, Skipped, Snapshot
from hubdna.report import json, text
from hubdna.search import nearest
from hubdna.store import IndexDir

PARENT, CHILD = "bytewright/pyllama-245k", "quietlab/doc-writer"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, demo_models: Path):
    with LocalHub(demo_models) as server, IndexDir(tmp_path_factory.mktemp("index"), create=True) as index:
        hub = Hub(server.endpoint)
        list(crawl(hub, index, hub.models()))
        yield index


@pytest.mark.parametrize("model", [m for m in planted() if "parent" in m], ids=lambda m: m["repo_id"])
def test_a_parent_is_among_the_nearest(model, index: IndexDir) -> None:
    found = nearest(index.dna(index.get(model["repo_id"])), index)
    root = {m["repo_id"]: m["root"] for m in planted()}
    assert found and model["parent"] in {m.ref.repo_id for m in found}
    assert root[found[0].ref.repo_id] == model["root"]
    assert [m.rank for m in found] == list(range(1, len(found) + 1))


def test_a_renamed_transposed_shuffled_copy_is_found(index: IndexDir, demo_models: Path, tmp_path: Path) -> None:
    tensors = load_file(demo_models / "pixelworks/vit-digits/model.safetensors")
    rng = np.random.default_rng(0)
    names = rng.permutation(sorted(tensors))
    disguised = {f"t{i}": np.ascontiguousarray(np.asarray(tensors[n], np.float32).T) for i, n in enumerate(names)}
    save_file(disguised, tmp_path / "model.safetensors")
    match = nearest(Loader().load(ModelRef(str(tmp_path))).dna, index)[0]
    assert match.ref.repo_id == "pixelworks/vit-digits" and match.verdict.origin in ("common", "identical")
    assert match.verdict.relation == "converted" and match.verdict.similarity > 0.999


def test_a_model_never_finds_itself(index: IndexDir) -> None:
    assert PARENT not in {m.ref.repo_id for m in nearest(index.dna(index.get(PARENT)), index, 50)}


def test_a_weak_relative_is_found_by_many_weak_votes(index: IndexDir, demo_models: Path, tmp_path: Path) -> None:
    tensors = load_file(demo_models / PARENT / "model.safetensors")
    rng = np.random.default_rng(1)
    noisy = {k: np.asarray(v, np.float32) for k, v in tensors.items()}
    noisy = {k: (0.3 * v + 0.954 * v.std() * rng.standard_normal(v.shape)).astype(np.float32) for k, v in noisy.items()}
    save_file(noisy, tmp_path / "model.safetensors")
    found = nearest(Loader().load(ModelRef(str(tmp_path))).dna, index)
    assert PARENT in {m.ref.repo_id for m in found} and found[0].verdict.similarity < 0.45


@pytest.fixture
def published(index: IndexDir, tmp_path: Path):
    with IndexDir(tmp_path / "published", create=True) as target:
        for entry in index.entries():
            data = codec.encode(index.dna(entry), publish=True)
            target.add(replace(entry, dna=codec.digest(data)), data)
        yield target


def test_a_published_index_holds_no_weights(published: IndexDir) -> None:
    for entry in published.entries():
        dna = published.dna(entry)
        assert dna.blocks == () and all(g.rows is None and g.scales is None for g in dna.genes)


def test_without_rows_a_relative_is_undecided_but_a_copy_is_identical(index: IndexDir, published: IndexDir) -> None:
    verdicts = {m.ref.repo_id: m.verdict for m in nearest(index.dna(index.get(PARENT)), published)}
    assert verdicts["mirrorhub/fast-code-lm"].origin == "identical"
    assert all(v.origin in ("identical", "undecided") for v in verdicts.values())
    assert all("rows not at hand" in v.undecided_because for v in verdicts.values() if v.origin == "undecided")


def test_rows_of_a_published_index_are_read_again_from_the_hub(
    index: IndexDir, published: IndexDir, demo_hub: LocalHub
) -> None:
    loader = Loader(demo_hub.endpoint)
    found = nearest(index.dna(index.get(CHILD)), published, rows=loader.rows)
    assert found[0].ref.repo_id == PARENT and found[0].verdict.origin == "common"


def test_a_candidate_that_vanished_stays_undecided(index: IndexDir, published: IndexDir) -> None:
    def gone(entry):
        raise NotFoundError(f"{entry.ref}: gone")

    verdicts = [m.verdict for m in nearest(index.dna(index.get(CHILD)), published, rows=gone)]
    assert all(v.origin != "common" for v in verdicts)


def test_rows_are_taken_from_a_copy_when_the_first_has_vanished(index: IndexDir, published: IndexDir) -> None:
    def gone(entry):
        if entry.ref.repo_id == PARENT:
            raise NotFoundError(f"{entry.ref}: gone")
        return index.dna(index.get(entry.ref.repo_id))

    first = nearest(index.dna(index.get(CHILD)), published, rows=gone)[0]
    assert (first.ref.repo_id, first.verdict.origin) == (PARENT, "common")
    assert [r.repo_id for r in first.copies] == ["mirrorhub/fast-code-lm"]


def test_reports_say_how_many_identical_copies_there_are(index: IndexDir) -> None:
    dna = index.dna(index.get(CHILD))
    found = nearest(dna, index, 2)
    console = Console(width=120, record=True, file=StringIO())
    console.print(text.matches(dna, found, "somewhere"))
    assert console.export_text().count("and 1 identical copy") == 1
    (first, second) = loads(json.matches(dna.ref, found, "somewhere", 16))["matches"]
    assert first["copies"] == ["mirrorhub/fast-code-lm"] and second["copies"] == []


def test_a_model_of_which_nothing_can_be_tested_is_not_said_to_have_no_relatives(index: IndexDir) -> None:
    whole = index.dna(index.get(CHILD))
    mute = replace(whole, genes=(), content=None, weights_sha256=(), skipped=(Skipped("w", "too small"),) * 2)
    console = Console(width=200, record=True, file=StringIO())
    console.print(text.matches(mute, nearest(mute, index), "somewhere"))
    said = console.export_text()
    assert "nothing of it can be tested (tensors set aside: 2 too small)" in said and "No relatives" not in said


def test_a_base_that_is_named_as_a_copy_is_still_the_likely_parent(index: IndexDir) -> None:
    """The audit looks at every copy: here the second one is on the foundation list."""
    dna = index.dna(index.get(CHILD))
    inquiry = Inquiry(index, Loader(), frozenset({"mirrorhub/fast-code-lm"}), online=False)
    found = inquiry.case(Snapshot(dna.ref, ()), dna, Claim(), "", nearest(dna, index, 1), None, None).matches
    assert [m.ref.repo_id for m in found] == [PARENT, "mirrorhub/fast-code-lm"]
    assert found[1].created_at == index.get("mirrorhub/fast-code-lm").created_at and found[1].copies == ()


def test_an_empty_index_finds_nothing(tmp_path: Path, index: IndexDir) -> None:
    with IndexDir(tmp_path / "empty", create=True) as empty:
        assert nearest(index.dna(index.get(PARENT)), empty) == []


def test_a_copy_without_testable_units_is_still_known(demo_models: Path, tmp_path: Path) -> None:
    head = {"weight": np.arange(5000, dtype=np.float32).reshape(10, 500)}
    for name in ("a/one", "b/two"):
        (tmp_path / "hub" / name).mkdir(parents=True)
        save_file(head, tmp_path / "hub" / name / "model.safetensors", {"of": name})
    shutil.copytree(demo_models / PARENT, tmp_path / "hub" / PARENT)
    with LocalHub(tmp_path / "hub") as server, IndexDir(tmp_path / "index", create=True) as index:
        hub = Hub(server.endpoint)
        list(crawl(hub, index, hub.models()))
        found = nearest(index.dna(index.get("a/one")), index)
    assert [(m.ref.repo_id, m.verdict.origin) for m in found] == [("b/two", "identical")]
