"""A Hub with copies of the demo's trained models, an index of them, and bots on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_bench import CHILD, TWIN, Bench, MakeBench, make_bench

from hubdna.crawl import crawl
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.store import IndexDir


@pytest.fixture(scope="session")
def models(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of language and of digits: enough relatives, and few to copy."""
    root = tmp_path_factory.mktemp("bot-models")
    for owner in ("bytewright", "quietlab", "mirrorhub", "northbyte", "pixelworks"):
        shutil.copytree(demo_models / owner, root / owner)
    return root


@pytest.fixture(scope="session")
def index(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexDir]:
    with LocalHub(models) as hub, IndexDir(tmp_path_factory.mktemp("bot") / "index", create=True) as index:
        client = Hub(hub.endpoint)
        assert all(step.outcome != "skipped" for step in crawl(client, index, client.models()))
        yield index


@pytest.fixture
def root(models: Path, tmp_path: Path) -> Path:
    """A Hub's folder of its own, for discussions are written into it."""
    root = Path(shutil.copytree(models, tmp_path / "hub"))
    shutil.copytree(root / CHILD, root / TWIN)
    return root


@pytest.fixture
def hub(root: Path) -> Iterator[LocalHub]:
    with LocalHub(root) as hub:
        yield hub


@pytest.fixture
def make(hub: LocalHub, root: Path, index: IndexDir, tmp_path: Path) -> Iterator[MakeBench]:
    """A bot; a second one on the same folder is the first one after a restart."""
    made: list[Bench] = []

    def build(folder: str = "state", **more: object) -> Bench:
        made.append(make_bench(hub, root, index, tmp_path / folder, **more))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for bench in made:
        bench.state.close()


@pytest.fixture
def bench(make: MakeBench) -> Bench:
    return make()
