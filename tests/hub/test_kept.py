"""Files of a model for running it: data only, within bounds, from a real Hub over HTTP."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hubdna.errors import BehaviourError, FormatError, HubError
from hubdna.hub import Hub
from hubdna.hub.kept import _make_room, keep
from hubdna.localhub import LocalHub
from hubdna.localhub.faults import Fault
from hubdna.records import ModelRef

Serve = Callable[[dict[str, bytes]], LocalHub]
REF = ModelRef("org/model")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a Hub with one model of these files."""
    with ExitStack() as running:

        def start(files: dict[str, bytes]) -> LocalHub:
            for name, data in files.items():
                path = tmp_path / "hub/org/model" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return running.enter_context(LocalHub(tmp_path / "hub"))

        yield start


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_data_is_fetched_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    weights = bytes(range(256)) * 50_000  # more than one request takes
    others = ["modeling.py", "pytorch_model.bin", "other/model.safetensors", "adapter_model.safetensors"]
    files = {"config.json": b"{}", "model.safetensors": weights, "tokenizer.json": b"{}"}
    local = serve(files | dict.fromkeys(others, b"x"))
    place = keep(Hub(local.endpoint), REF, at=tmp_path / "kept")
    assert names(place) == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (place / "model.safetensors").read_bytes() == weights


def test_what_is_kept_is_not_fetched_again_and_what_is_cut_off_is(serve: Serve, tmp_path: Path) -> None:
    hub = Hub(serve({"config.json": b"{}", "model.safetensors": b"w" * 99}).endpoint)
    taken: list[int] = []
    place = keep(hub, REF, at=tmp_path / "kept", taken=taken.append)
    assert sum(taken) == 101
    keep(hub, REF, at=tmp_path / "kept", taken=taken.append)
    assert sum(taken) == 101
    (place / "model.safetensors").write_bytes(b"w")
    keep(hub, REF, at=tmp_path / "kept", taken=taken.append)
    assert (place / "model.safetensors").read_bytes() == b"w" * 99


def test_shards_are_those_of_the_index(serve: Serve, tmp_path: Path) -> None:
    table = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    index = json.dumps({"weight_map": table}).encode()
    shards = dict.fromkeys([*table.values(), "model-3.safetensors"], b"x")
    hub = Hub(serve({"config.json": b"{}", "model.safetensors.index.json": index} | shards).endpoint)
    place = keep(hub, REF, at=tmp_path / "kept")
    assert names(place) == {"config.json", "model.safetensors.index.json", *table.values()}
    with pytest.raises(BehaviourError, match="more than the limit"):
        keep(hub, REF, limit=len(index) + 3, at=tmp_path / "again")


@pytest.mark.parametrize("shard", ["../../../escaped.safetensors", "/etc/passwd", "model.bin", "a\nb.safetensors"])
def test_an_index_that_points_elsewhere_is_refused(serve: Serve, tmp_path: Path, shard: str) -> None:
    index = json.dumps({"weight_map": {"a": shard}}).encode()
    hub = Hub(serve({"config.json": b"{}", "model.safetensors.index.json": index}).endpoint)
    with pytest.raises(FormatError, match="weight_map names something"):
        keep(hub, REF, at=tmp_path / "kept")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("config.json", "pytorch_model.bin"), "only pickled weights: they are never loaded"),
        (("README.md",), "expected config.json with model.safetensors beside it, or an ONNX file; found neither"),
        (("model.safetensors",), "found neither"),
    ],
)
def test_a_model_without_such_files_is_refused(
    serve: Serve, tmp_path: Path, files: tuple[str, ...], reason: str
) -> None:
    hub = Hub(serve(dict.fromkeys(files, b"x")).endpoint)
    with pytest.raises(BehaviourError, match=reason):
        keep(hub, REF, at=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_one_onnx_file_is_taken(serve: Serve, tmp_path: Path) -> None:
    hub = Hub(serve({"onnx/a.onnx": b"x", "onnx/model.onnx": b"x", "deep/er/model.onnx": b"x"}).endpoint)
    assert names(keep(hub, REF, at=tmp_path / "kept")) == {"onnx/model.onnx"}


def test_sizes_are_held_against_the_limit_before_anything_is_fetched(serve: Serve, tmp_path: Path) -> None:
    hub = Hub(serve({"config.json": b"{}", "model.safetensors": b"w" * 1000}).endpoint)
    with pytest.raises(BehaviourError, match="running it takes 1002 bytes of files, more than the limit of 1000 bytes"):
        keep(hub, REF, limit=1000, at=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_server_that_sends_other_bytes_than_it_listed_is_refused(serve: Serve, tmp_path: Path) -> None:
    local = serve({"config.json": b"{}", "model.safetensors": b"w" * 20_000_000})
    local.misbehave(Fault("ignore-range", path="*model.safetensors*"))
    with pytest.raises(HubError):
        keep(Hub(local.endpoint), REF, at=tmp_path / "kept")
    assert not list((tmp_path / "kept").rglob("model.safetensors"))


def test_a_rest_of_other_bytes_is_found_by_its_hash_and_dropped(serve: Serve, tmp_path: Path) -> None:
    hub = Hub(serve({"config.json": b"{}", "model.safetensors": b"w" * 99}).endpoint)
    place = keep(hub, REF, at=tmp_path / "kept")
    (place / "model.safetensors").unlink()
    (place / "model.safetensors.tmp").write_bytes(b"another")
    with pytest.raises(HubError, match="expected SHA-256"):
        keep(hub, REF, at=tmp_path / "kept")
    keep(hub, REF, at=tmp_path / "kept")
    assert (place / "model.safetensors").read_bytes() == b"w" * 99


def test_the_oldest_goes_when_there_is_no_more_room(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(["new", "older", "oldest"]):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1/model.safetensors").write_bytes(b"x" * 100)
        os.utime(tmp_path / name / "1", (1000 - age, 1000 - age))
    _make_room(tmp_path, 250, tmp_path / "none")
    assert {path.parent.name for path in tmp_path.glob("*/1")} == {"new", "older"}
