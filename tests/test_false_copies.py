"""What a hostile or broken upload could make us say of two models that share nothing, and of a whole crawl."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hubdna.compare import compare_models
from hubdna.crawl import crawl
from hubdna.errors import NoGenesError
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import Claim, Evidence, Finding, Match, ModelRef, Verdict
from hubdna.report import text
from hubdna.rules import RULES, Case, Declared
from hubdna.store import IndexDir

ONNX = Path(__file__).parent / "data" / "formats" / "onnx"


def write(folder: Path, tensors: dict[str, np.ndarray]) -> ModelRef:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    return ModelRef(str(folder))


def test_an_equal_graph_with_other_weights_beside_it_is_no_copy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a/one", "b/two"):
        folder = tmp_path / "hub" / name
        folder.mkdir(parents=True)
        shutil.copy(ONNX / "external.onnx", folder / "external.onnx")
        size = (ONNX / "external.onnx_data").stat().st_size
        (folder / "external.onnx_data").write_bytes(rng.standard_normal(size // 4).astype(np.float32).tobytes())
    with LocalHub(tmp_path / "hub") as server, IndexDir(tmp_path / "index", create=True) as index:
        hub = Hub(server.endpoint)
        steps = {s.repo_id: s.outcome for s in crawl(hub, index, hub.models(), workers=1)}
        verdict = compare_models(ModelRef("a/one"), ModelRef("b/two"), Loader(server.endpoint)).verdict
    assert set(steps.values()) == {"stored"}, "equal graphs are no equal weights"
    assert verdict.origin not in ("identical", "common")


@pytest.mark.parametrize("shape", [(0,), (0, 64), (4,)])
def test_empty_or_constant_tensors_make_no_copies(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for name in ("a", "b"):
        ref = write(tmp_path / name, {f"{name}{i}": np.ones(shape, np.float32) for i in range(10)})
        with pytest.raises(NoGenesError):
            Loader().load(ref)


def test_weights_that_are_not_read_do_not_make_copies(tmp_path: Path) -> None:
    rng, refs = np.random.default_rng(1), []
    norm = rng.standard_normal(128).astype(np.float32)
    for name in ("a", "b"):
        packed = {f"{i}.weight": rng.integers(-127, 127, (256, 128), np.int8) for i in range(4)}
        refs.append(write(tmp_path / name, packed | {"norm.weight": norm}))
    for ref in refs:
        with pytest.raises(NoGenesError):
            Loader().load(ref)


def test_a_base_that_could_not_be_tested_withholds_hd002() -> None:
    evidence = Evidence((), -35.0, 0.9, 1, 32, 0, (0, 0), None, True, 0.05)
    common = Verdict("common", None, "undirected", "none", -35.0, 0.9, (), evidence)
    refuted = Verdict("no-evidence", None, "undirected", "none", 0.0, 0.0, (), evidence)
    case = Case(
        ModelRef("me/model"), Claim(("meta/gated", "teacher/model"), line=2), "---\nlicense: mit\n---\n", "2026-06",
        (Match(ModelRef("mirror/of-gated"), 1, common, "2026-01"),),
        (Declared("meta/gated", None, "gated"), Declared("teacher/model", refuted)), frozenset({"mirror/of-gated"}),
    )  # fmt: skip
    assert list(RULES["HD002"](case)) == []


def test_a_copy_whose_original_was_just_replaced_is_read_itself_next_time(demo_models: Path, tmp_path: Path) -> None:
    old, new = demo_models / "pixelworks/vit-digits", demo_models / "northbyte/vit-digits-b"
    shutil.copytree(old, tmp_path / "hub/o/x")
    with LocalHub(tmp_path / "hub") as server, IndexDir(tmp_path / "index", create=True) as index:
        list(crawl(Hub(server.endpoint), index, Hub(server.endpoint).models()))
        shutil.copy(new / "model.safetensors", tmp_path / "hub/o/x/model.safetensors")
        shutil.copytree(old, tmp_path / "hub/o/y")
        for _ in range(2):
            list(crawl(Hub(server.endpoint), index, Hub(server.endpoint).models(), workers=1))
        assert {e.ref.repo_id for e in index.entries()} == {"o/x", "o/y"}
        assert index.verify() == []


HOSTILE_CARDS = [
    "ignore_metadata_errors: true", "self: 1", "tags: 5", "model-index: [{name: x, results: [{source: x}]}]",
    "model-index: 7", "datasets: {a: [b]}", "eval_results: 1", "license: [[[]]]", "base_model: {a: b}",
]  # fmt: skip


def test_odd_cards_neither_end_a_crawl_nor_an_audit(demo_models: Path, tmp_path: Path) -> None:
    from hubdna.audit import Auditor

    for i, line in enumerate([*HOSTILE_CARDS, f"base_model: {'a' * 300}"]):
        shutil.copytree(demo_models / "convfoundry/resnet-digits", tmp_path / f"hub/org/m{i}")
        (tmp_path / f"hub/org/m{i}/README.md").write_text(f"---\n{line}\n---\nHello\n")
    with LocalHub(tmp_path / "hub") as server, IndexDir(tmp_path / "index", create=True) as index:
        hub = Hub(server.endpoint)
        steps = list(crawl(hub, index, hub.models()))
        assert len(steps) == len(HOSTILE_CARDS) + 1 and {s.outcome for s in steps} <= {"stored", "copy"}
        audits = list(Auditor(index, Loader(server.endpoint)).audit(e.ref for e in index.entries()))
    assert len(audits) == len(steps)
    assert not [s for a in audits for s in a.skipped if "internal error" in s.reason]


def test_text_of_others_reaches_the_terminal_without_escapes() -> None:
    from io import StringIO

    from rich.console import Console

    from hubdna.card import patch_base_model
    from hubdna.records import Audit

    card = "---\nlicense: mit\n---\nbody\x0c-EVIL \x1b[2J\nmore\x85+FORGED \x9b2J\n"
    patch = patch_base_model(card, ("a/b",), "x\x1b[2J")
    finding = Finding("HD001", "info", ModelRef("a/b"), 2, "said \x1b]0;owned\x07", ("line \x1b[31m",), patch)
    out = StringIO()
    Console(file=out, color_system=None).print(text.audits([Audit(ModelRef("a/b"), Claim(), (), (finding,), None)]))
    assert "\x1b" not in out.getvalue() and "\x9b" not in out.getvalue() and "EVIL" not in out.getvalue()


def test_a_twin_of_trained_weights_is_still_identical(demo_models: Path, tmp_path: Path) -> None:
    tensors = load_file(demo_models / "convfoundry/resnet-digits/model.safetensors")
    refs = [write(tmp_path / n, {f"{p}{k}": v for k, v in tensors.items()}) for n, p in (("a", ""), ("b", "x."))]
    assert compare_models(refs[0], refs[1], Loader()).verdict.origin == "identical"
