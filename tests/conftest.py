"""Shared pieces: the environment of the Hub client, the demo's Hub, its models' folders."""

import os

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when huggingface_hub is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HF_ENDPOINT", None)
os.environ.pop("HF_TOKEN", None)

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hubdna.demo import HERE
from hubdna.localhub import LocalHub

DEMO = HERE / "models"

# A run that decides over a submission tries the same examples every time; a developer's run looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("steady" if os.environ.get("CI") else "searching")


@pytest.fixture(scope="session")
def demo_models() -> Path:
    """Folder of the demo's repositories: org/name/model.safetensors."""
    return DEMO


@pytest.fixture
def demo_hub() -> Iterator[LocalHub]:
    """The demo's Hub, with counters at zero and no faults."""
    with LocalHub(DEMO) as hub:
        yield hub
