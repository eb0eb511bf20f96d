"""Direction by receipt: only what this user repeated in full, between exact bytes, never against a contradiction."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import proof_bench as bench
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from hubdna.checked import folder as records
from hubdna.checked import keep, kept
from hubdna.cli import app
from hubdna.cli.prove_keep import weights_at
from hubdna.crawl import crawl
from hubdna.errors import ReceiptError, UsageError
from hubdna.evidence.attested import attested_child, receipts
from hubdna.evidence.topology import tie
from hubdna.hub import Hub
from hubdna.lineage import families
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.proof import Recipe, Recorder, open_receipt
from hubdna.proof.layout import state_name
from hubdna.records import CheckedReceipt, Edge, Mark, ModelRef
from hubdna.store import IndexDir

WIDE = Recipe(30, 10, 64, "SGD", {"lr": 0.1, "momentum": 0.9}, config={"width": 96})
TUNE = Recipe(20, 10, 64, "AdamW", {"lr": 0.002}, seed=5, config={"width": 96})
OTHER = Ed25519PrivateKey.from_private_bytes(b"another author's order of data..")
CARD = "---\nlicense: mit\n---\n# Digits\n"


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of this user go into the test's folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "mine"))


@pytest.fixture(scope="session")
def pair(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A base and its fine-tune with both receipts, on a Hub's shelf; do not write into it."""
    root = tmp_path_factory.mktemp("pair")
    base, tuned = root / "hub/ann/base", root / "hub/bob/tuned"
    base.mkdir(parents=True)
    tuned.mkdir(parents=True)
    first, _ = bench.record(root / "first", WIDE)
    publish(first, base)
    recorder = Recorder(root / "second", bench.MLP, TUNE, OTHER, parent=("ann/base", base / "model.safetensors"))
    bench.train(recorder)
    recorder.finish()
    publish(root / "second", tuned)
    return SimpleNamespace(root=root, hub=root / "hub", base=base, tuned=tuned, receipt=root / "second", first=first)


def publish(receipt: Path, folder: Path) -> None:
    """The last state's weights as a model."""
    found = load_file(receipt / state_name(open_receipt(receipt).links[-1].index))
    save_file({n[2:]: t for n, t in found.items() if n.startswith("w.")}, folder / "model.safetensors")
    (folder / "README.md").write_text(CARD)


@pytest.fixture
def hub(pair: SimpleNamespace) -> Iterator[LocalHub]:
    with LocalHub(pair.hub) as running:
        yield running


@pytest.fixture
def index(hub: LocalHub, tmp_path: Path) -> Path:
    client = Hub(hub.endpoint)
    with IndexDir(tmp_path / "index", create=True) as made:
        assert all(step.outcome != "skipped" for step in crawl(client, made, client.models()))
    return tmp_path / "index"


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit | typer.Exit):
        raise done.exception
    return done.exit_code, done.stdout


def verify(pair: SimpleNamespace, *more: object, budget: str = "100%", model: Path | None = None) -> int:
    files = "--parent", pair.base / "model.safetensors", "--model", model or pair.tuned / "model.safetensors"
    return run("prove", "verify", pair.receipt, *files, "--budget", budget, "--quiet", "--save", *more)[0]


def edge(index: Path, checked: tuple[CheckedReceipt, ...]) -> Edge:
    with IndexDir(index) as store:
        (family,) = families(store, checked=checked)
    (found,) = family.edges
    return found


def by_hand(parent: Path, child: Path, author: str = "ab" * 32) -> CheckedReceipt:
    """What a verification would have kept, made up: to see what contradictions lead to."""
    return CheckedReceipt(
        author, "cd" * 32, "x/y", weights_at(parent, "1" * 64), weights_at(child, "2" * 64), 9, "2027"
    )


def test_weights_alone_leave_it_undirected_and_a_checked_receipt_attests_it(
    pair: SimpleNamespace, index: Path, hub: LocalHub
) -> None:
    assert edge(index, kept()).certainty == "none"
    assert verify(pair) == 0
    found = edge(index, kept())
    assert (found.parent.repo_id, found.child.repo_id, found.certainty) == ("ann/base", "bob/tuned", "attested")
    key = open_receipt(pair.receipt).claim.author
    assert any(key in words and "all its 2 intervals were trained again here" in words for words in found.because)


def test_every_drawing_and_pair_says_so(pair: SimpleNamespace, index: Path, hub: LocalHub) -> None:
    assert verify(pair) == 0
    said = {
        f: run("lineage", "--index", index, "--format", f, "--quiet")[1]
        for f in ("text", "json", "mermaid", "dot", "svg", "graphml")
    }
    assert "bob/tuned  attested" in said["text"]
    assert "attested: by a receipt that was trained again here in full" in said["text"]
    (drawn,) = json.loads(said["json"])["families"][0]["edges"]
    assert (drawn["parent"], drawn["directed"], drawn["certainty"]) == ("ann/base", True, "attested")
    assert "n0 --o|" in said["mermaid"]
    assert "style=bold, arrowhead=normalodot" in said["dot"]
    assert 'class="attested" marker-end' in said["svg"]
    assert ">attested<" in said["graphml"]
    for a, b, way in (("bob/tuned", "ann/base", "a-from-b"), ("ann/base", "bob/tuned", "b-from-a")):
        told = json.loads(run("compare", a, b, "--endpoint", hub.endpoint, "--format", "json")[1])
        assert (told["origin"], told["direction"], told["certainty"]) == ("common", way, "attested")
        assert any("a receipt signed by the key" in line for line in told["evidence"])
    found = json.loads(run("search", "bob/tuned", "--index", index, "--endpoint", hub.endpoint, "--format", "json")[1])
    assert found["matches"][0]["certainty"] == "attested"
    assert "attested B from A" in run("compare", "ann/base", "bob/tuned", "--endpoint", hub.endpoint)[1]


def test_a_receipt_that_was_not_repeated_in_full_is_not_kept(
    pair: SimpleNamespace, index: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReceiptError, match="every interval"):
        verify(pair, "--top-q", 0, budget="10%")
    cast = tmp_path / "cast.safetensors"
    save_file({n: t.bfloat16() for n, t in load_file(pair.tuned / "model.safetensors").items()}, cast)
    with pytest.raises(ReceiptError, match="not the weights that the receipt ends with, bit for bit"):
        verify(pair, model=cast)
    with pytest.raises(UsageError, match="--save: expected --parent and --model"):
        run("prove", "verify", pair.receipt, "--save")
    given = "--model", pair.base / "model.safetensors", "--parent", pair.base / "model.safetensors"
    code, _ = run("prove", "verify", pair.first, *given, "--budget", "100%", "--quiet", "--save")
    assert code == 1  # a parent was given, the receipt claims to start from a seed
    assert verify(pair, model=pair.base / "model.safetensors") == 1
    assert kept() == ()
    assert edge(index, kept()).certainty == "none"


def test_other_files_with_the_same_weights_are_the_same_model(
    pair: SimpleNamespace, index: Path, tmp_path: Path
) -> None:
    """Roots and contents are over tensors: two shards, another order, another file name."""
    weights = load_file(pair.tuned / "model.safetensors")
    names = sorted(weights)
    folder = tmp_path / "shards"
    folder.mkdir()
    shards = {"model-00001-of-00002.safetensors": names[2:], "model-00002-of-00002.safetensors": names[:2]}
    for file, inside in shards.items():
        save_file({n: weights[n] for n in inside}, folder / file)
    where = {n: file for file, inside in shards.items() for n in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert verify(pair, model=folder) == 0
    assert edge(index, kept()).certainty == "attested"


def test_the_model_that_is_verified_is_the_model_that_is_told_of(pair: SimpleNamespace, tmp_path: Path) -> None:
    """A folder in which receipts would read one file and hubdna another is refused."""
    folder = tmp_path / "two"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(pair.tuned / "model.safetensors", folder / "optimizer.safetensors")
    shutil.copy(pair.base / "model.safetensors", folder / "sub/model.safetensors")
    with pytest.raises(UsageError, match=r"expected the model's \.safetensors files and no others"):
        verify(pair, model=folder)
    assert kept() == ()


def test_records_from_elsewhere_do_not_count(pair: SimpleNamespace, index: Path, tmp_path: Path) -> None:
    assert verify(pair) == 0
    (place,) = records().glob("*.json")
    raw = place.read_bytes()
    assert (records() / "key").stat().st_mode & 0o077 == 0
    said: list[str] = []
    for harmed in (raw.replace(b'"n_intervals":2', b'"n_intervals":3'), b"{}", b"[1]", b"x" * 200_000, b"[" * 50_000):
        place.write_bytes(harmed)
        assert harmed != raw
        assert kept(say=said.append) == ()
    assert "not a record that this user's hubdna made" in said[-1]
    place.write_bytes(raw)
    assert len(kept()) == 1
    stranger = tmp_path / "stranger"
    keep(by_hand(pair.tuned, pair.base), stranger)
    for file in stranger.glob("*.json"):
        shutil.copy(file, records())
    assert len(kept(say=said.append)) == 1
    (records() / "key").write_bytes(b"k" * 32)
    assert kept() == ()


def test_receipts_that_contradict_each_other_give_no_direction_and_both_are_named(
    pair: SimpleNamespace, index: Path, hub: LocalHub
) -> None:
    there = by_hand(pair.base, pair.tuned, "aa" * 32)
    back = by_hand(pair.tuned, pair.base, "bb" * 32)
    assert edge(index, (there,)).certainty == "attested"
    assert edge(index, (back,)).parent.repo_id == "bob/tuned"
    found = edge(index, (there, back))
    assert found.certainty == "none"
    said = " ".join(found.because)
    assert "aa" * 32 in said and "bb" * 32 in said and "contradict each other" in said
    keep(there)
    keep(back)
    told = json.loads(run("compare", "ann/base", "bob/tuned", "--endpoint", hub.endpoint, "--format", "json")[1])
    assert (told["direction"], told["certainty"]) == ("undirected", "none")
    assert any("these contradict each other" in line for line in told["evidence"])


def test_a_receipt_against_a_certain_mark_gives_no_direction(pair: SimpleNamespace, tmp_path: Path) -> None:
    """Rounding cannot be undone, whatever is signed."""
    (tmp_path / "hub/c/rounded").mkdir(parents=True)
    shutil.copytree(pair.base, tmp_path / "hub/c/base")
    rounded = {n: t.bfloat16() for n, t in load_file(pair.base / "model.safetensors").items()}
    save_file(rounded, tmp_path / "hub/c/rounded/model.safetensors")
    with LocalHub(tmp_path / "hub") as hub, IndexDir(tmp_path / "index", create=True) as made:
        client = Hub(hub.endpoint)
        assert all(step.outcome != "skipped" for step in crawl(client, made, client.models()))
    against = by_hand(tmp_path / "hub/c/rounded", tmp_path / "hub/c/base")
    along = by_hand(tmp_path / "hub/c/base", tmp_path / "hub/c/rounded")
    sure = edge(tmp_path / "index", ())
    assert (sure.certainty, sure.child.repo_id) == ("certain", "c/rounded")
    assert edge(tmp_path / "index", (along,)).certainty == "certain"
    found = edge(tmp_path / "index", (against,))
    assert found.certainty == "none"
    assert any("a receipt signed by" in words for words in found.because)
    assert set(sure.because) <= set(found.because)


def test_what_contradicts_what() -> None:
    there, back = Mark("receipt", 1, "there"), Mark("receipt", 0, "back")
    assert attested_child([there], []) == attested_child([there, there], [Mark("cast", 1, "")]) == 1
    assert attested_child([back], []) == 0
    assert (
        attested_child([there, back], [])
        is attested_child([there], [Mark("cast", 0, "")])
        is attested_child([], [])
        is None
    )


def test_a_model_read_in_part_is_known_by_the_hashes_of_its_files(pair: SimpleNamespace) -> None:
    one = by_hand(pair.base, pair.tuned)
    a, b = (Loader().load(ModelRef.of(str(p))).dna for p in (pair.base, pair.tuned))
    assert [m.child for m in receipts(a, b, [one])] == [1]
    assert [m.child for m in receipts(b, a, [one])] == [0]
    part = replace(b, content=None, weights_sha256=one.child.sha256)
    assert [m.child for m in receipts(a, part, [one])] == [1]
    assert receipts(a, replace(b, content=None), [one]) == ()
    assert receipts(a, replace(b, content=None, weights_sha256=("",)), [one]) == ()
    assert receipts(a, a, [one]) == receipts(b, b, [one]) == ()
    assert receipts(a, replace(b, scheme="weight-1", weights_sha256=("f" * 64,)), [one]) == ()


def test_an_attested_pair_becomes_neighbours_and_the_longest_other_edge_goes() -> None:
    graph = nx.Graph([(0, 1), (1, 2), (2, 3)])
    squared = np.array([[0, 1, 9, 9], [1, 0, 5, 9], [9, 5, 0, 2], [9, 9, 2, 0]], float)
    tie(graph, squared, [(0, 3)])
    assert {tuple(sorted(e)) for e in graph.edges} == {(0, 1), (2, 3), (0, 3)}
    tie(graph, squared, [(0, 1), (0, 3)])
    assert graph.number_of_edges() == 3


def test_rules_speak_to_the_child_and_leave_the_parent_alone(pair: SimpleNamespace, index: Path, hub: LocalHub) -> None:
    def found(name: str) -> list[tuple[str, str, list[str]]]:
        said = run("audit", name, "--index", index, "--endpoint", hub.endpoint, "--format", "json", "--no-config")[1]
        (told,) = json.loads(said)["audits"]
        return [(f["rule"], f["severity"], f["evidence"]) for f in told["findings"] if f["rule"] == "HD001"]

    assert [(r, s) for r, s, _ in found("bob/tuned")] == [("HD001", "info")]
    assert verify(pair) == 0
    ((rule, severity, evidence),) = found("bob/tuned")
    assert (rule, severity) == ("HD001", "warning")
    assert any("a receipt signed by the key" in line for line in evidence)
    assert found("ann/base") == []
