"""The real client against the real server: every test here talks HTTP over loopback."""

import os

# Before huggingface_hub is imported: it reads its environment once. Xet cannot be negotiated down, only switched off.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi
from safetensors.numpy import save

from hubdna.localhub import LocalHub

CARD = """---
license: apache-2.0
language: [en, "no"]
library_name: transformers
pipeline_tag: text-generation
base_model: acme/base
tags:
- tiny
---
# A model
"""


def weights(seed: int, rows: int = 64) -> bytes:
    """A safetensors file, the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    return save({f"layer.{seed}.weight": values}, metadata={"format": "pt"})


MakeRepo = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    return folder


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
def hub(root: Path) -> Iterator[LocalHub]:
    with LocalHub(root, page_size=2) as running:
        yield running


@pytest.fixture
def api(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token="hf_alice")
