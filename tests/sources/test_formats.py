"""One door for every format: the same model has the same origin, whatever it is packed in and wherever it lies."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.compare import compare_models
from hubdna.crawl import crawl
from hubdna.dna import codec
from hubdna.errors import NoWeightsError
from hubdna.hub import Hub
from hubdna.localhub import LocalHub
from hubdna.models import Loader
from hubdna.records import ModelRef
from hubdna.store import IndexDir

DATA = Path(__file__).parent.parent / "data" / "formats"


def load(path: Path, level: str = "standard"):
    return Loader(level=level).load(ModelRef(str(path))).dna


def test_pickle_and_safetensors_of_one_model_have_the_same_dna() -> None:
    twin, pickled = load(DATA / "torch" / "twin.safetensors"), load(DATA / "torch" / "state_dict.bin")
    assert codec.encode(pickled) == codec.encode(twin)


@pytest.mark.parametrize("name", ["blocks4", "dynamic", "qdq"])
def test_a_quantised_export_is_quantised_from_its_original(name: str) -> None:
    original, copy = DATA / "onnx" / "net.safetensors", DATA / "onnx" / f"{name}.onnx"
    verdict = compare_models(ModelRef(str(original)), ModelRef(str(copy)), Loader(level="full")).verdict
    assert (verdict.origin, verdict.relation, verdict.direction, verdict.certainty) == (
        "common", "quantized", "b-from-a", "likely",
    )  # fmt: skip
    turned = compare_models(ModelRef(str(copy)), ModelRef(str(original)), Loader(level="full")).verdict
    assert (turned.relation, turned.direction) == ("quantized", "a-from-b")


def test_a_dequantised_copy_came_from_the_quantised_one(tmp_path: Path) -> None:
    from hubdna.sources import formats
    from hubdna.sources.interface import LocalReader, read_units

    reader = LocalReader(DATA / "onnx")
    tensors = [t for t in formats.open_file(reader, "blocks8.onnx", 99, 10**9).tensors if t.quantised]
    arrays = read_units(reader, [(t, 0, t.n_units) for t in tensors])
    floats = {t.info.name: np.ascontiguousarray(a) for t, a in zip(tensors, arrays, strict=True)}
    save_file(floats, tmp_path / "model.safetensors")
    verdict = compare_models(
        ModelRef(str(DATA / "onnx" / "blocks8.onnx")), ModelRef(str(tmp_path)), Loader(level="full")
    )
    assert (verdict.verdict.origin, verdict.verdict.relation) == ("common", "quantized")

    assert verdict.verdict.direction == "b-from-a"


def test_two_partial_reads_under_other_names_are_not_called_independent(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {
        f"layers.0.mlp.{n}.weight": s for n, s in (("up", (4096, 1024)), ("down", (1024, 4096)))
    }  # 16.8 MB each: none is read whole within the budget
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    turned = {f"t{i}": np.ascontiguousarray(w.T) for i, w in enumerate(weights.values())}
    for folder, tensors in (("a", weights), ("b", turned)):
        (tmp_path / folder).mkdir()
        save_file(tensors, tmp_path / folder / "model.safetensors")
    a, b = ModelRef(str(tmp_path / "a")), ModelRef(str(tmp_path / "b"))
    partly = compare_models(a, b, Loader(level="standard")).verdict
    assert partly.origin == "undecided" and (partly.undecided_because or "").endswith("needs --read full, 67.1 MB")
    assert compare_models(a, b, Loader(level="full")).verdict.origin in ("common", "identical")


def test_a_crawl_takes_every_format_and_says_what_it_left(tmp_path: Path) -> None:
    for repo, source in {"a/torch": "torch/state_dict.bin", "a/onnx": "onnx/net.onnx"}.items():
        (tmp_path / "hub" / repo).mkdir(parents=True)
        name = "pytorch_model.bin" if source.endswith(".bin") else "model.onnx"
        shutil.copy(DATA / source, tmp_path / "hub" / repo / name)
    for repo, name in {"b/keras": "model.h5", "b/adapter": "adapter_model.safetensors"}.items():
        (tmp_path / "hub" / repo).mkdir(parents=True)
        (tmp_path / "hub" / repo / name).write_bytes(b"x" * 100)
    with LocalHub(tmp_path / "hub") as server, IndexDir(tmp_path / "index", create=True) as index:
        hub = Hub(server.endpoint)
        steps = {s.repo_id: s for s in crawl(hub, index, hub.models())}
    assert {r for r, s in steps.items() if s.outcome == "stored"} == {"a/torch", "a/onnx"}
    assert "Keras" in (steps["b/keras"].reason or "") and "adapter" in (steps["b/adapter"].reason or "")


def test_components_of_a_pipeline_keep_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for folder in ("unet", "vae"):
        (tmp_path / folder).mkdir()
        tensors = {
            f"mid.{n}.weight": rng.standard_normal(s).astype(np.float32) for n, s in (("a", (96, 64)), ("b", (64, 96)))
        }
        save_file(tensors, tmp_path / folder / "diffusion_pytorch_model.safetensors")
    (tmp_path / "model_index.json").write_text("{}")
    names = {g.tensor for g in load(tmp_path).genes}
    assert {n.split("/")[0] for n in names} == {"unet", "vae"}


def test_a_folder_without_weights_says_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    with pytest.raises(NoWeightsError, match=r"model\.tflite: TensorFlow Lite"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["layers.²3.w", "9" * 5000, "a.٣.b", ""])
def test_odd_tensor_names_are_only_names(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    tensors = {f"{name}{n}": rng.standard_normal(s).astype(np.float32) for n, s in (("a", (96, 64)), ("b", (64, 96)))}
    save_file(tensors, tmp_path / "model.safetensors")
    assert load(tmp_path).genes


def test_a_defect_of_ours_skips_one_model_and_not_the_crawl(demo_models: Path, tmp_path: Path, monkeypatch) -> None:
    from hubdna.dna import model as module

    real = module.read_dna

    def broken(ref, *args):
        if ref.repo_id.endswith("docs"):
            raise RuntimeError("a defect")
        return real(ref, *args)

    monkeypatch.setattr(module, "read_dna", broken)
    with LocalHub(demo_models) as server, IndexDir(tmp_path, create=True) as index:
        hub = Hub(server.endpoint)
        steps = {s.repo_id: s for s in crawl(hub, index, hub.models())}
    assert sum(s.outcome == "stored" for s in steps.values()) == 15
    assert "internal error" in (steps["bytewright/pyllama-245k-docs"].reason or "")
