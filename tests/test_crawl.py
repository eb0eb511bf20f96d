"""A crawl finishes whatever the Hub does, says what it could not have, and never takes a whole file by accident."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hubdna.crawl import crawl, in_shard
from hubdna.errors import HubError
from hubdna.hub import Hub
from hubdna.localhub import Fault, LocalHub
from hubdna.store import IndexDir

PARENT, SHARDED = "bytewright/pyllama-245k", "bytewright/pyllama-245k-docs"


def crawl_all(hub: LocalHub, folder: Path, **options: object) -> dict[str, tuple[str, str | None]]:
    client = Hub(hub.endpoint, timeout=httpx2.Timeout(1.0))
    with IndexDir(folder, create=True) as index:
        return {s.repo_id: (s.outcome, s.reason) for s in crawl(client, index, client.models(), **options)}


def digest(folder: Path) -> str:
    with IndexDir(folder) as index:
        return index.digest()


def weights(hub: LocalHub) -> list[str]:
    return [r.repo or r.path for r in hub.traffic.requests if r.path.endswith(".safetensors")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, demo_models: Path) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    with LocalHub(demo_models) as hub:
        assert {o for o, _ in crawl_all(hub, folder).values()} == {"stored"}
    return digest(folder)


def test_a_second_crawl_reads_no_weights(demo_hub: LocalHub, tmp_path: Path) -> None:
    crawl_all(demo_hub, tmp_path)
    demo_hub.reset_traffic()
    assert {o for o, _ in crawl_all(demo_hub, tmp_path).values()} == {"unchanged"}
    assert weights(demo_hub) == []


def test_the_digest_does_not_depend_on_workers(demo_hub: LocalHub, tmp_path: Path, undisturbed: str) -> None:
    crawl_all(demo_hub, tmp_path, workers=1)
    assert digest(tmp_path) == undisturbed


def test_config_json_is_never_downloaded(demo_hub: LocalHub, tmp_path: Path) -> None:
    crawl_all(demo_hub, tmp_path)
    assert not [r for r in demo_hub.traffic.requests if r.path.endswith("config.json")]


def test_an_exact_copy_costs_no_weight_bytes(demo_models: Path, tmp_path: Path) -> None:
    for name in ("a/original", "b/copy"):
        shutil.copytree(demo_models / PARENT, tmp_path / "hub" / name)
        shutil.copytree(demo_models / SHARDED, tmp_path / "hub" / f"{name}-sharded")
    with LocalHub(tmp_path / "hub") as hub:
        steps = crawl_all(hub, tmp_path / "index", workers=1)
        copies = {repo for repo, (outcome, _) in steps.items() if outcome == "copy"}
        stored = {repo for repo, (outcome, _) in steps.items() if outcome == "stored"}
        assert len(copies) == len(stored) == 2
        sent = sum(r.n_bytes for r in hub.traffic.requests if r.repo in copies and r.path.endswith(".safetensors"))
        assert sent == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("429", times=3, seconds=0.2),
        Fault("429-retry-after", path="*.safetensors", times=2, seconds=0.2),
        Fault("500", path="*.safetensors", times=4),
        Fault("hang", path="*.safetensors", times=2, seconds=3),
        Fault("cut", path="*.safetensors", times=5),
        Fault("truncated", path="*.safetensors", times=3),
        Fault("expired", times=3),
    ],
    ids=lambda f: f.kind,
)
def test_passing_trouble_leaves_no_trace(fault: Fault, demo_hub: LocalHub, tmp_path: Path, undisturbed: str) -> None:
    demo_hub.misbehave(fault)
    assert {o for o, _ in crawl_all(demo_hub, tmp_path).values()} == {"stored"}
    assert digest(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("429", repo=PARENT, path="*.safetensors", seconds=0), "429"),
        (Fault("500", repo=PARENT, path="*.safetensors"), "500"),
        (Fault("hang", repo=PARENT, path="*.safetensors", seconds=2), "Timeout"),
        (Fault("cut", repo=PARENT, path="*.safetensors"), "given up"),
        (Fault("truncated", repo=PARENT, path="*.safetensors"), "given up"),
        (Fault("ignore-range", repo=PARENT, path="*.safetensors"), "whole file"),
        (Fault("wrong-range", repo=PARENT, path="*.safetensors"), "Content-Range"),
        (Fault("gated", repo=PARENT), "gated"),
        (Fault("vanished", repo=PARENT, path="*.safetensors"), "no such file"),
    ],
    ids=lambda f: f.kind if isinstance(f, Fault) else "",
)
def test_lasting_trouble_is_one_skipped_row(fault: Fault, reason: str, demo_hub: LocalHub, tmp_path: Path) -> None:
    demo_hub.misbehave(fault)
    steps = crawl_all(demo_hub, tmp_path)
    skipped = {repo: why for repo, (outcome, why) in steps.items() if outcome == "skipped"}
    assert list(skipped) == [PARENT] and reason in (skipped[PARENT] or "")
    with IndexDir(tmp_path) as index:
        assert [(s.subject, s.reason) for s in index.skips()] == [(PARENT, skipped[PARENT])]
    demo_hub.calm()
    assert crawl_all(demo_hub, tmp_path)[PARENT] == ("stored", None)


def test_a_server_that_ignores_ranges_never_sends_a_whole_big_file(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "big" / "model"
    folder.mkdir(parents=True)
    big = {
        "layers.0.up.weight": np.ones((4096, 4096), np.float32),
        "layers.0.down.weight": np.ones((4096, 64), np.float32),
    }
    save_file(big, folder / "model.safetensors")
    with LocalHub(tmp_path / "hub") as hub:
        hub.misbehave(Fault("ignore-range", path="*.safetensors"))
        assert crawl_all(hub, tmp_path / "index")["big/model"][0] == "skipped"
        taken = sum(r.n_bytes for r in hub.traffic.requests if r.path.endswith(".safetensors"))
    assert taken < 10_000_000, "the connection must be closed, not drained"


def test_a_listing_that_fails_keeps_what_was_stored(demo_models: Path, tmp_path: Path) -> None:
    with LocalHub(demo_models, page_size=4) as hub:
        client = Hub(hub.endpoint, timeout=httpx2.Timeout(0.5))

        def models():
            for i, snapshot in enumerate(client.models()):
                if i == 6:
                    raise HubError("the listing: given up")
                yield snapshot

        with IndexDir(tmp_path, create=True) as index, pytest.raises(HubError):
            list(crawl(client, index, models(), workers=1))
        with IndexDir(tmp_path) as index:
            assert 0 < sum(1 for _ in index.entries()) <= 6


def test_bad_repositories_are_skipped_with_reasons(demo_models: Path, tmp_path: Path) -> None:
    root = tmp_path / "hub"
    good = load_file(demo_models / PARENT / "model.safetensors")
    for name, content in {
        "bad/not-safetensors": b"hello",
        "bad/huge-header": (2**63 - 1).to_bytes(8, "little") + b"{}",
        "bad/empty": b"",
        "bad/pickle-only": None,
    }.items():
        (root / name).mkdir(parents=True)
        file = "pytorch_model.bin" if content is None else "model.safetensors"
        (root / name / file).write_bytes(content or b"x")
    (root / "bad/nan").mkdir()
    save_file({k: np.full(v.shape, np.nan, np.float32) for k, v in good.items()}, root / "bad/nan/model.safetensors")
    shutil.copytree(demo_models / SHARDED, root / "bad/absent-shard")
    (root / "bad/absent-shard/model-00002-of-00002.safetensors").unlink()
    shutil.copytree(demo_models / PARENT, root / "good/model")
    with LocalHub(root) as hub:
        steps = crawl_all(hub, tmp_path / "index")
        hub.reset_traffic()
        assert crawl_all(hub, tmp_path / "index")["bad/not-safetensors"] == ("unchanged", None), (
            "its reason is permanent"
        )
        assert weights(hub) == []
    assert steps.pop("good/model") == ("stored", None)
    for repo, word in {
        "bad/not-safetensors": "8 bytes", "bad/huge-header": "header length", "bad/empty": "8 bytes",
        "bad/pickle-only": "pytorch_model.bin", "bad/nan": "NaN", "bad/absent-shard": "00002-of-00002",
    }.items():  # fmt: skip
        assert steps[repo][0] == "skipped" and word in (steps[repo][1] or ""), (repo, steps[repo])


def test_gated_and_private_models_stay_out_unless_asked(demo_models: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_models / PARENT, tmp_path / "hub" / "org" / "gated")
    (tmp_path / "hub/org/gated/.hub.json").write_text('{"gated": "auto"}')
    with LocalHub(tmp_path / "hub") as hub:
        assert crawl_all(hub, tmp_path / "index")["org/gated"][0] == "skipped"
        assert weights(hub) == []


def test_shards_of_a_crawl_partition_the_models() -> None:
    names = [f"org/model-{i}" for i in range(300)]
    parts = [{n for n in names if in_shard(n, i, 3)} for i in range(3)]
    assert set.union(*parts) == set(names) and sum(map(len, parts)) == 300 and min(map(len, parts)) > 60


def _many_models(demo_models: Path, root: Path, n: int) -> None:
    """n small models with weights of their own, so that a crawl takes a while."""
    tensors = load_file(demo_models / "convfoundry/resnet-digits/model.safetensors")
    for i in range(n):
        folder = root / "org" / f"model-{i:02d}"
        folder.mkdir(parents=True)
        save_file({k: np.asarray(v + np.float32(i) / 1000) for k, v in tensors.items()}, folder / "model.safetensors")


def _stored(index: Path) -> set[str]:
    if not (index / "catalogue.sqlite").exists():
        return set()
    try:
        with sqlite3.connect(index / "catalogue.sqlite") as db:
            return {r[0] for r in db.execute("SELECT repo_id FROM models")}
    except sqlite3.OperationalError:  # killed before the tables were made
        return set()


def test_a_crawl_killed_twenty_times_ends_as_an_undisturbed_one(demo_models: Path, tmp_path: Path) -> None:
    _many_models(demo_models, tmp_path / "hub", 60)
    rng, refetched, interrupted = random.Random(20), set(), 0
    with LocalHub(tmp_path / "hub") as hub:
        crawl_all(hub, tmp_path / "undisturbed")
        command = [
            sys.executable,
            "-m",
            "hubdna",
            "crawl",
            "--index",
            str(tmp_path / "index"),
            "--endpoint",
            hub.endpoint,
        ]
        hub.misbehave(Fault("hang", path="*.safetensors", host="cdn", seconds=0.25))
        for _ in range(20):
            before = _stored(tmp_path / "index")
            hub.reset_traffic()
            process = subprocess.Popen([*command, "-q", "--workers", "2"], stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 20
            while not weights(hub) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)  # the random moment counts from the first request for weights
            time.sleep(rng.uniform(0, 1.2))
            process.send_signal(signal.SIGKILL)
            interrupted += process.wait() == -signal.SIGKILL
            refetched |= before & set(weights(hub))
        hub.calm()
        before = _stored(tmp_path / "index")
        hub.reset_traffic()
        subprocess.run([*command, "-q"], check=True)
        refetched |= before & set(weights(hub))
    assert interrupted == 20 and 0 < len(before) < 60, "the kills must have hit a crawl under way"
    assert not refetched
    assert digest(tmp_path / "index") == digest(tmp_path / "undisturbed")
    with IndexDir(tmp_path / "index") as index:
        index.drop_orphans()
        assert index.verify() == []
