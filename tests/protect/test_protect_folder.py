"""Classifiers and pictures from folders: timm's and transformers', whole ones only, and no hostile ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from timm.models._hub import save_for_hf
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, ViTModel

from hubdna.errors import MaskError
from hubdna.protect.files import MODEL, PROCESSOR, read_model
from hubdna.protect.folder import load_classifier, load_pictures
from hubdna.protect.mask import apply, complement, model_root, remove
from hubdna.protect.settings import train_mask
from hubdna.protect.train import Recipe

SIDE = 32
TINY = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=SIDE,
                 patch_size=8, num_labels=3)  # fmt: skip


def vit(folder: Path, kind: type = ViTForImageClassification, **saved: Any) -> Path:
    torch.manual_seed(0)
    kind(TINY).save_pretrained(folder, **saved)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def of_timm(folder: Path, arguments: dict[str, Any] | None = None) -> Path:
    torch.manual_seed(0)
    sizes = {"embed_dim": 16, "depth": 1, "num_heads": 2, "img_size": SIDE, "patch_size": 8}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **sizes)
    save_for_hf(model, folder, model_config={"input_size": (3, SIDE, SIDE)}, model_args=sizes | (arguments or {}),
                safe_serialization=True)  # fmt: skip
    return folder


def photos(folder: Path, names: tuple[str, ...] = ("0", "1", "2"), n: int = 4) -> Path:
    r = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(n):
            Image.fromarray(r.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.mark.parametrize("make", [vit, of_timm])
def test_a_model_of_either_framework_is_masked_and_comes_back(make: Any, tmp_path: Path) -> None:
    loaded = load_classifier(make(tmp_path / "model"))
    ours, theirs = (load_pictures(photos(tmp_path / name), loaded) for name in ("ours", "theirs"))
    assert loaded.shape == (3, SIDE, SIDE) and loaded.n_classes == 3 and ours.x.shape == (12, *loaded.shape)
    assert ours.x.min() >= loaded.pixels[0] - 1e-5 and ours.x.max() <= loaded.pixels[1] + 1e-5
    recipe, r = Recipe(steps=2, batch=8), np.random.default_rng(1)
    mask = loaded.of_file(train_mask(loaded.model, source=ours, target=theirs, recipe=recipe))
    weights = read_model(tmp_path / "model")
    assert mask.parent == model_root(weights)
    mask = replace(mask, kept={name: r.random(kept.shape) > 0.3 for name, kept in mask.kept.items()})
    before, release = loaded(ours.x).detach(), apply(mask, weights)
    loaded.put(release)
    assert not torch.equal(loaded(ours.x), before)
    assert model_root(remove(mask, release, complement(mask, weights))) == mask.parent


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained_cfg", "pretrained", "cache_dir"])
def test_timm_is_not_told_by_a_config_to_load_other_files(argument: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="is refused"):
        load_classifier(of_timm(tmp_path / "model", {argument: "/tmp/x.pth"}))


def test_a_config_does_not_choose_other_files_or_types(tmp_path: Path) -> None:
    vit(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    evil = {"transformers_weights": "other.safetensors", "dtype": "float16", "_attn_implementation": "evil/kernel"}
    (tmp_path / "config.json").write_text(json.dumps(config | evil))
    assert next(load_classifier(tmp_path).model.parameters()).dtype == torch.float32


def test_a_model_whose_head_would_be_drawn_at_random_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="no whole classifier"):
        load_classifier(vit(tmp_path, ViTModel))


def test_a_file_with_more_than_the_model_is_refused_before_a_mask_is_learnt(tmp_path: Path) -> None:
    vit(tmp_path)
    save_file(load_file(tmp_path / MODEL) | {"more": np.zeros(3, np.float32)}, tmp_path / MODEL, {"format": "pt"})
    with pytest.raises(MaskError, match="'more' is not in the model"):
        load_classifier(tmp_path)


def test_half_precision_and_shards_are_refused_with_what_to_do(tmp_path: Path) -> None:
    half = vit(tmp_path / "half")
    small = {name: array.astype(np.float16) for name, array in load_file(half / MODEL).items()}
    save_file(small, half / MODEL, {"format": "pt"})
    with pytest.raises(MaskError, match="convert"):
        load_classifier(half)
    with pytest.raises(MaskError, match="convert"):
        load_classifier(vit(tmp_path / "shards", max_shard_size="10KB"))


def test_a_config_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(MaskError, match="expected a file"):
        load_classifier(tmp_path)


# Pictures.


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_classifier(vit(tmp_path_factory.mktemp("vit")))


def test_folders_that_are_numbers_are_the_models_classes(model: Any, tmp_path: Path) -> None:
    assert sorted(set(load_pictures(photos(tmp_path, ("2", "0")), model).y.tolist())) == [0, 2]


@pytest.mark.parametrize("names", [("a", "b", "c", "d"), ("a", "b"), ("0", "1", "7", "x")])
def test_classes_that_the_model_does_not_have_are_refused(model: Any, names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="the model has 3 classes"):
        load_pictures(photos(tmp_path, names), model)


def test_links_that_lead_back_are_not_followed(model: Any, tmp_path: Path) -> None:
    photos(tmp_path)
    for name in ("x", "y", "z"):
        (tmp_path / "0" / name).symlink_to(tmp_path)
    assert len(load_pictures(tmp_path, model).y) == 12


@pytest.mark.parametrize("raw", [b"", b"\x89PNG\r\n\x1a\n" + b"\xff" * 50, b"GIF89a"])
def test_a_damaged_picture_is_named(model: Any, tmp_path: Path, raw: bytes) -> None:
    photos(tmp_path)
    (tmp_path / "1" / "bad.png").write_bytes(raw)
    with pytest.raises(MaskError, match=r"bad\.png: a picture that cannot be read"):
        load_pictures(tmp_path, model)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(model: Any, tmp_path: Path) -> None:
    photos(tmp_path)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "1" / "bomb.png")  # 50 kB
    with pytest.raises(MaskError, match=r"bomb\.png: a picture that cannot be read"):
        load_pictures(tmp_path, model)


def test_pictures_that_stay_of_several_sizes_are_refused(tmp_path: Path) -> None:
    folder = vit(tmp_path / "model")
    about = json.loads((folder / PROCESSOR).read_text())
    (folder / PROCESSOR).write_text(json.dumps(about | {"do_resize": False}))
    with pytest.raises(MaskError, match="preprocessing gives"):
        load_pictures(photos(tmp_path / "ours"), load_classifier(folder))
