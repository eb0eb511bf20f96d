"""The real client against the real server: every test here talks HTTP over loopback."""

import os

# Before huggingface_hub is imported: it reads its environment once. Xet cannot be negotiated down, only switched off.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from localhub_repos import CARD, MakeRepo, weights

from hubdna.localhub import LocalHub


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads stay in the test."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, Path]]:
    """One Hub for all tests: stopping takes uvicorn two tenths of a second, and there are hundreds of tests."""
    root = tmp_path_factory.mktemp("around") / "hub"
    root.mkdir()
    with LocalHub(root, page_size=2) as hub:
        yield hub, root


@pytest.fixture
def root(running: tuple[LocalHub, Path]) -> Path:
    """The Hub's folder, empty."""
    for path in running[1].iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return running[1]


@pytest.fixture
def make_repo(root: Path) -> MakeRepo:
    """Put a repository on disk, as any user would: files in a folder."""

    def make(repo_id: str, files: dict[str, bytes | str] | None = None, **meta: object) -> Path:
        folder = root / repo_id
        for name, content in (files or {"README.md": CARD, "model.safetensors": weights(1)}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        if meta:
            (folder / ".hub.json").write_text(json.dumps(meta))
        return folder

    return make


@pytest.fixture
def hub(running: tuple[LocalHub, Path], root: Path) -> LocalHub:
    """The Hub, behaving, with nothing counted."""
    running[0].calm()
    running[0].settle()
    running[0].reset_traffic()
    return running[0]


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_alice")
