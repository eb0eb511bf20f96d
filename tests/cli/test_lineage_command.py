"""`hubdna lineage` and `search --descendants` on the demo's models; the truth is that of `hubdna/demo/zoo.toml`."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from cli_models import MODELS, Run

from hubdna.demo import planted
from hubdna.descent import descent
from hubdna.dna import codec
from hubdna.errors import NotFoundError
from hubdna.lineage import families
from hubdna.records import Dna, ModelRef
from hubdna.search import Once
from hubdna.store import Entry, IndexDir

TRUTH = {m["repo_id"]: m for m in planted()}
PARENT, COPY, CHILD, LONER = (
    "bytewright/pyllama-245k", "mirrorhub/fast-code-lm", "quietlab/doc-writer", "streetvision/edge-ocr",
)  # fmt: skip
BASE, PRUNED = "pixelworks/vit-digits", "opticlab/vit-digits-pruned"


@pytest.fixture
def published(index: Path, tmp_path: Path) -> Path:
    """The demo's index without rows of weights."""
    with IndexDir(index) as whole, IndexDir(tmp_path / "published", create=True) as target:
        for entry in whole.entries():
            data = codec.encode(whole.dna(entry), publish=True)
            target.add(replace(entry, dna=codec.digest(data)), data)
    return tmp_path / "published"


def forest(run: Run, index: Path, *args: object) -> list[dict[str, Any]]:
    ran = run("lineage", *args, "--index", index, "--format", "json")
    assert ran.code == 0
    body = json.loads(ran.out)
    assert next(iter(body)) == "schema" and body["schema"] == "hubdna.lineage/1"
    assert body["provenance"]["n_models"] == len(TRUTH)
    found: list[dict[str, Any]] = body["families"]
    return found


class TestTheDemosFamilies:
    def test_are_those_that_were_planted(self, run: Run, index: Path) -> None:
        planted = defaultdict(set)
        for name, model in TRUTH.items():
            planted[model["root"]].add(name)
        found = [{*f["members"], *(c for same in f["copies"] for c in same["copies"])} for f in forest(run, index)]
        assert sorted(map(sorted, found)) == sorted(sorted(names) for names in planted.values() if len(names) > 1)

    def test_no_directed_edge_is_wrong(self, run: Run, index: Path) -> None:
        edges = [e for f in forest(run, index) for e in f["edges"] if e["directed"]]
        assert edges
        assert [e for e in edges if TRUTH[e["child"]].get("parent") != e["parent"]] == []

    @pytest.mark.parametrize("root", sorted({m["root"] for m in TRUTH.values()}))
    def test_without_the_root_no_directed_edge_is_wrong(self, index: Path, tmp_path: Path, root: str) -> None:
        copy = Path(shutil.copytree(index, tmp_path / "index"))
        with IndexDir(copy) as store:
            for name, model in TRUTH.items():
                if name == root or (model.get("parent"), model["relation"]) == (root, "copy"):
                    store.remove(name)
            edges = [e for f in families(store) for e in f.edges if e.certainty != "none"]
        assert [e for e in edges if TRUTH[e.child.repo_id].get("parent") != e.parent.repo_id] == []

    def test_a_merge_is_seen_nowhere(self, run: Run, index: Path) -> None:
        assert [m for f in forest(run, index) for m in f["mixtures"]] == []

    def test_the_command_is_one_call(self, run: Run, index: Path) -> None:
        with IndexDir(index) as store:
            called = [[m.repo_id for m in f.members] for f in families(store)]
        assert [f["members"] for f in forest(run, index)] == called


class TestLineage:
    def test_a_model_asked_for_gives_its_family_only(self, run: Run, index: Path) -> None:
        (one,) = forest(run, index, PRUNED)
        assert PRUNED in one["members"] and PARENT not in one["members"]
        (copy,) = forest(run, index, COPY)
        assert copy["copies"] == [{"model": PARENT, "copies": [COPY]}]
        (alone,) = forest(run, index, LONER)
        assert alone["members"] == [LONER] and alone["edges"] == []

    def test_a_model_that_is_not_there_is_a_mistake_of_usage_with_a_next_step(self, run: Run, index: Path) -> None:
        for ref in ("nobody/nothing", "./folder", f"{PARENT}@v2"):
            ran = run("lineage", ref, PARENT, "--index", index)
            assert (ran.code, ran.out) == (2, "")
            assert len(ran.err.splitlines()) == 1
            assert "crawl" in ran.err or "search" in ran.err

    def test_a_malformed_request_is_a_mistake_of_usage(self, run: Run, index: Path, tmp_path: Path) -> None:
        assert run("lineage", "--index", index, "--format", "pdf").code == 2
        assert run("lineage", "--index", index, "--format", "svg", "-o", tmp_path / "no" / "x.svg").code == 2
        assert run("lineage", "a/b/c", "--index", index).code == 2
        assert run("lineage", "--index", tmp_path / "none").code == 3

    @pytest.mark.parametrize("form", ["text", "json", "graphml", "mermaid", "dot", "svg"])
    def test_every_format_is_all_of_stdout_or_goes_to_the_file(
        self, run: Run, index: Path, tmp_path: Path, form: str
    ) -> None:
        args = ["lineage", PRUNED, "--index", index, "--format", form]
        plain, target = run(*args), tmp_path / "report"
        ran = run(*args, "--output", target)
        assert (ran.code, ran.out) == (0, "")
        assert target.read_text("utf-8") == plain.out
        assert PRUNED in plain.out and "\x1b" not in plain.out
        if form == "svg":
            assert ET.fromstring(plain.out).tag.endswith("svg")
        if form == "graphml":
            assert nx.read_graphml(BytesIO(plain.out.encode())).number_of_edges() == 3

    def test_quiet_is_quiet_and_the_text_names_the_index(self, run: Run, index: Path) -> None:
        ran = run("lineage", "--index", index, "--quiet")
        assert ran.err == ""
        assert f"Looked in {index}" in ran.out

    def test_models_of_a_published_index_are_read_again_once_each(
        self, run: Run, index: Path, published: Path, endpoint: str
    ) -> None:
        ran = run("lineage", "--index", published, "--endpoint", endpoint, "--format", "json")
        body = json.loads(ran.out)
        assert body["families"] == forest(run, index)
        with IndexDir(index) as store:
            assert 0 < body["n_bytes_read"] <= sum(e.n_bytes for e in store.entries())

    def test_what_cannot_be_read_again_is_counted(self, published: Path) -> None:
        asked: list[str] = []

        def gone(entry: Entry) -> Dna:
            asked.append(entry.ref.repo_id)
            raise NotFoundError("gone")

        with IndexDir(published) as store:
            rows = Once(gone)
            found = list(families(store, rows=rows))
        assert [f.edges for f in found] == [()]  # the copy is known by its hash
        assert len(asked) == len(set(asked)) and rows.failed == set(asked)


class TestDescendants:
    def search(self, run: Run, index: Path, endpoint: str, ref: str, *args: object) -> Any:
        ran = run("search", ref, "--index", index, "--endpoint", endpoint, "--descendants", *args, "--format", "json")
        assert ran.code == 0
        return json.loads(ran.out)

    def test_are_children_of_the_model_or_of_one_with_its_weights(self, run: Run, index: Path, endpoint: str) -> None:
        for ref in (PARENT, COPY):
            body = self.search(run, index, endpoint, ref)
            assert body["descendants_of"] == PARENT
            assert all(TRUTH[e["child"]]["root"] == PARENT for e in body["descendants"])
            assert len(body["descendants"]) + body["n_undirected"] == 3  # docs, LoRA and writer
        (edge,) = [e for e in self.search(run, index, endpoint, BASE)["descendants"] if e["child"] == PRUNED]
        assert edge["parent"] == BASE and edge["directed"]

    def test_a_child_has_none(self, run: Run, index: Path, endpoint: str) -> None:
        assert self.search(run, index, endpoint, CHILD)["descendants"] == []

    def test_are_not_told_unless_asked_for(self, run: Run, index: Path, endpoint: str) -> None:
        ran = run("search", PARENT, "--index", index, "--endpoint", endpoint, "--format", "json")
        assert "descendants" not in json.loads(ran.out)

    def test_of_a_model_outside_the_index_are_not_listed_and_the_reason_is(
        self, run: Run, index: Path, endpoint: str
    ) -> None:
        body = self.search(run, index, endpoint, str(MODELS / CHILD))
        assert body["matches"] and body["descendants"] is None
        assert "local file" in body["descendants_because"]
        text = run("search", str(MODELS / CHILD), "--index", index, "--endpoint", endpoint, "--descendants").out
        assert "No descendants are listed" in text

    def test_of_another_commit_are_not_listed(self, index: Path) -> None:
        with IndexDir(index) as store:
            other = descent(ModelRef(PARENT, sha="0" * 40), store)
            absent = descent(ModelRef("nobody/nothing"), store)
        assert other.edges is None and "crawl it again" in (other.because or "")
        assert absent.edges is None and "hubdna crawl" in (absent.because or "")
