"""The same model has the same DNA, byte for byte, whether it lies in a folder or behind a Hub and its CDN."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import hubdna.demo
from hubdna.dna.codec import encode
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel

MODELS = Path(hubdna.demo.__file__).parent / "models"
ONE_FILE, SHARDED = "convfoundry/resnet-digits", "bytewright/pyllama-245k-docs"


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(MODELS) as running:
        yield running


@pytest.mark.parametrize("level", ["small", "standard", "full"])
@pytest.mark.parametrize("model", [ONE_FILE, SHARDED])
def test_folder_and_hub_give_the_same_bytes(hub: LocalHub, model: str, level: ReadLevel) -> None:
    remote = Loader(hub.endpoint, level=level).load(ModelRef(model)).dna
    local = Loader(level=level).load(ModelRef(str(MODELS / model))).dna
    assert encode(remote) == encode(local)
    assert remote.n_bytes_read == local.n_bytes_read
    assert remote.skipped == local.skipped


def test_ranges_over_http_are_those_of_the_file(hub: LocalHub) -> None:
    snapshot = Hub(hub.endpoint).snapshot(ModelRef(ONE_FILE))
    reader = Hub(hub.endpoint).reader(snapshot.ref)
    whole = (MODELS / ONE_FILE / "model.safetensors").read_bytes()
    for start, stop in [(0, 8), (1000, 1001), (len(whole) - 5, len(whole)), (len(whole) - 5, len(whole) + 100)]:
        assert reader.read("model.safetensors", start, stop) == whole[start:stop]
    assert reader.size("model.safetensors") == len(whole)
    assert reader.n_bytes == 8 + 1 + 5 + 5


def test_a_small_read_of_a_model_over_http_costs_few_requests(hub: LocalHub) -> None:
    hub.reset_traffic()
    dna = Loader(hub.endpoint, level="small").load(ModelRef(ONE_FILE)).dna
    assert dna.n_requests <= 6
    assert dna.n_bytes_read <= 4_000_000
    assert len([r for r in hub.traffic.requests if "/resolve/" in r.path]) <= 6
