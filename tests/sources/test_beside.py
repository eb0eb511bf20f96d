"""An old copy beside the chosen one is told, a rounded one is not, and what cannot be read says nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_bytes import saved

from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel
from hubdna.sources.beside import disagreement
from hubdna.sources.choice import choose
from hubdna.sources.interface import LocalReader

DATA = Path(__file__).parents[1] / "data/formats/torch"
Arrays = dict[str, np.ndarray[Any, Any]]


def net(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = {
        "embed.weight": (300, 40),
        "up_proj.weight": (160, 40),
        "down_proj.weight": (40, 160),
        "norm.weight": (40,),
    }
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def note(folder: Path) -> str | None:
    files = tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))
    return disagreement(LocalReader(folder), files, choose(files))


def both(folder: Path, ours: Arrays, theirs: Arrays) -> str | None:
    folder.mkdir(exist_ok=True)
    save_file(ours, folder / "model.safetensors")
    saved(folder, "pytorch_model.bin", theirs)
    return note(folder)


def test_an_old_copy_in_another_format_is_told(tmp_path: Path) -> None:
    said = both(tmp_path, net(0), net(1)) or ""
    assert said.startswith("pytorch_model.bin holds other weights than model.safetensors (they differ in ")
    assert said.endswith("_proj.weight)")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w, lambda w: w.astype(np.float16).astype(np.float32),
        lambda w: w.astype(ml_dtypes.bfloat16).astype(np.float32), lambda w: w * np.float32(1 + 1e-6),
    ],
    ids=["equal", "float16", "bfloat16", "rounded"],
)  # fmt: skip
def test_an_equal_or_rounded_copy_is_not(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    assert both(tmp_path, net(), {name: change(w) for name, w in net().items()}) is None
    stored = {name: w.astype(ml_dtypes.bfloat16) for name, w in net().items()}
    assert both(tmp_path, stored, {name: change(w) for name, w in net().items()}) is None


def test_a_training_that_leaves_the_table_alone_is_told(tmp_path: Path) -> None:
    """The first rows of a vocabulary are padding and reserved tokens: no training moves them."""
    rng = np.random.default_rng(3)
    tuned = {n: w if n == "embed.weight" else (w + rng.normal(0, 0.01, w.shape)).astype("f4") for n, w in net().items()}
    assert "holds other weights" in (both(tmp_path, net(), tuned) or "")


@pytest.mark.parametrize("twin", ["state_dict.bin", "fp16.bin", "bf16.bin", "module.pt"])
def test_files_that_torch_wrote_agree_with_their_twins(tmp_path: Path, twin: str) -> None:
    stem = "twin" if twin in ("state_dict.bin", "module.pt") else twin.partition(".")[0]
    shutil.copy(DATA / f"{stem}.safetensors", tmp_path / "model.safetensors")
    shutil.copy(DATA / twin, tmp_path / f"pytorch_model.{twin.partition('.')[2]}")
    assert note(tmp_path) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_no_disagreement(tmp_path: Path, value: float) -> None:
    odd = net()
    odd["down_proj.weight"][:2, 3] = value
    assert both(tmp_path, odd, odd) is None
    assert both(tmp_path, net(), odd) is None
    huge = {name: w * np.float32(1e39) if name == "x" else w for name, w in net().items()}
    assert both(tmp_path, huge, {n: np.where(np.abs(w) < 3e38, w, np.inf) for n, w in huge.items()}) is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"w": np.zeros((64, 0), "f4")}, {"w": np.zeros((64, 0), "f4")}), ({"w": np.zeros((8, 8), "f4")}, {}),
        ({"w": np.ones((8, 8), "f4")}, {"v": np.zeros((8, 8), "f4")}),
        ({"w": np.ones((8, 8), "f4")}, {"w": np.zeros((8, 9), "f4")}),
        ({"w": np.ones(64, "f4")}, {"w": np.zeros(64, "f4")}),
        ({"w": np.ones((8, 8), "i4")}, {"w": np.zeros((8, 8), "f4")}),
        ({"w": np.ones((8, 200_000), "f4")}, {"w": np.zeros((8, 200_000), "f4")}),
    ],
    ids=["empty", "nothing", "names", "shapes", "vectors", "integers", "dear"],
)  # fmt: skip
def test_copies_with_nothing_to_compare_say_nothing(tmp_path: Path, ours: Arrays, theirs: Arrays) -> None:
    assert both(tmp_path, ours, theirs) is None


@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04" + bytes(100), b"\x80\x02}.", bytes(5000), b"version https://git-lfs"]
)
def test_a_second_copy_that_cannot_be_read_says_nothing(tmp_path: Path, raw: bytes) -> None:
    save_file(net(), tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(raw)
    assert note(tmp_path) is None
    assert Loader().load(ModelRef(str(tmp_path))).dna.genes


def test_legacy_files_quantised_copies_and_absent_shards_say_nothing(tmp_path: Path) -> None:
    save_file(net(), tmp_path / "model.safetensors")
    shutil.copy(DATA / "legacy.pt", tmp_path / "pytorch_model.bin")
    assert note(tmp_path) is None
    (tmp_path / "pytorch_model.bin").unlink()
    for name in ("model-int8.safetensors", "pytorch_model-00001-of-00002.bin"):
        save_file(net(1), tmp_path / name)
        assert note(tmp_path) is None
        (tmp_path / name).unlink()


def test_components_of_a_pipeline_are_compared_with_their_own_copies(tmp_path: Path) -> None:
    for folder in ("transformer", "controlnet"):
        (tmp_path / folder).mkdir()
        save_file(net(len(folder)), tmp_path / folder / "diffusion_pytorch_model.safetensors")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "P"}))
    saved(tmp_path / "controlnet", "diffusion_pytorch_model.bin", net(len("controlnet")))
    assert note(tmp_path) is None
    saved(tmp_path / "controlnet", "diffusion_pytorch_model.bin", net(7))
    assert (note(tmp_path) or "").startswith(
        "controlnet/diffusion_pytorch_model.bin holds other weights than controlnet/"
    )


@pytest.mark.parametrize(("level", "told"), [("small", False), ("standard", True), ("full", True)])
def test_the_note_is_part_of_what_a_read_says_about_its_choice(tmp_path: Path, level: ReadLevel, told: bool) -> None:
    both(tmp_path, net(0), net(1))
    dna = Loader(level=level).load(ModelRef(str(tmp_path))).dna
    assert dna.choice is not None and ("holds other weights" in (dna.choice.note or "")) == told
    assert dna.choice.files == ("model.safetensors",)
