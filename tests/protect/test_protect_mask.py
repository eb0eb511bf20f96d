"""Masks on arrays and in files: what is put on comes off again, and nothing that is not sound gets in."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from hubdna.errors import MaskError
from hubdna.protect.files import COMPLEMENT, MASK, read_complement, read_mask, read_model, write, write_mask
from hubdna.protect.mask import Mask, apply, complement, model_root, remove

DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
Arrays = dict[str, np.ndarray]


def model(dtype: np.dtype = DTYPES[0], seed: int = 0) -> Arrays:
    r = np.random.default_rng(seed)
    return {
        "conv.weight": r.standard_normal((5, 3, 3, 3)).astype(dtype),
        "head.weight": r.standard_normal((10, 13)).astype(dtype),
        "head.bias": r.standard_normal(10).astype(dtype),
        "norm.num_batches_tracked": np.array(7),
    }


def mask_of(weights: Arrays, share: float = 0.2, seed: int = 1) -> Mask:
    r = np.random.default_rng(seed)
    kept = {name: r.random(weights[name].shape) >= share for name in ("conv.weight", "head.weight")}
    return Mask(model_root(weights), kept, {"setting": "SA-MAP"})


def equal(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and a[n].tobytes() == b[n].tobytes() for n in a)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_release_is_the_parent_or_zero_and_comes_back_bit_for_bit(dtype: np.dtype, tmp_path: Path) -> None:
    weights, mask = model(dtype), mask_of(model(dtype))
    release = apply(mask, weights)
    for name, kept in mask.kept.items():
        assert (release[name][kept] == weights[name][kept]).all() and not release[name][~kept].any()
    assert release["head.bias"] is weights["head.bias"]
    write(tmp_path / "release.safetensors", release)
    write(tmp_path / COMPLEMENT, complement(mask, weights))
    write_mask(tmp_path / MASK, mask)
    back = remove(
        read_mask(tmp_path / MASK), read_model(tmp_path / "release.safetensors"), read_complement(tmp_path / COMPLEMENT)
    )
    assert equal(back, weights)


@given(shape=st.lists(st.integers(1, 9), min_size=0, max_size=4), seed=st.integers(0, 99))
def test_every_shape_survives_its_file(tmp_path_factory: pytest.TempPathFactory, shape: list[int], seed: int) -> None:
    path = tmp_path_factory.mktemp("mask") / MASK
    kept = {"w": np.random.default_rng(seed).random(tuple(shape)) > 0.5}
    kept["w"] = np.asarray(kept["w"])
    write_mask(path, Mask("0" * 64, kept))
    assert equal(dict(read_mask(path).kept), kept)


def test_a_mask_takes_a_bit_a_weight(tmp_path: Path) -> None:
    weights = {"w": np.zeros((2048, 2048), np.float32)}
    write_mask(tmp_path / MASK, Mask(model_root(weights), {"w": np.ones((2048, 2048), bool)}))
    assert (tmp_path / MASK).stat().st_size <= 1.01 * 2048 * 2048 / 8


def test_sparsity_is_the_share_of_covered_weights_that_go() -> None:
    mask = Mask("0" * 64, {"a": np.array([True, False]), "b": np.array([True, True])})
    assert (mask.sparsity, mask.n_weights) == (0.25, 4)


def test_a_mask_of_another_model_is_refused() -> None:
    mask = mask_of(model())
    for other in (model(seed=5), {n: w for n, w in model().items() if n != "conv.weight"}, model(DTYPES[2])):
        with pytest.raises(MaskError, match="model"):
            apply(mask, other)


def test_what_is_not_the_release_any_more_cannot_be_turned_back() -> None:
    weights, mask = model(), mask_of(model())
    taken, release = complement(mask, weights), apply(mask, weights)
    tuned = release | {"head.bias": release["head.bias"] + 1}
    for parts in ((tuned, taken), (release, {n: v + 1 for n, v in taken.items()}), (release, {}),
                  (release, taken | {"head.bias": weights["head.bias"]})):  # fmt: skip
        with pytest.raises(MaskError):
            remove(mask, *parts)


def test_the_root_is_of_names_types_shapes_and_bytes() -> None:
    weights = model()
    roots = {model_root(w) for w in (
        weights, weights | {"head.bias": weights["head.bias"] + 1}, weights | {"head.bias": weights["head.bias"][None]},
        {n + "x": w for n, w in weights.items()}, weights | {"head.bias": weights["head.bias"].view(np.int32)},
    )}  # fmt: skip
    assert len(roots) == 5
    assert model_root(dict(reversed(weights.items()))) == model_root(weights)


def test_the_root_is_the_receipts_root() -> None:
    import torch

    from hubdna.proof.tensors import weights_root

    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        tensors = {"b": torch.arange(6).reshape(2, 3).to(dtype), "a": torch.tensor(3)}
        view = {n: t.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if t.dtype == torch.bfloat16 else t.numpy()
                for n, t in tensors.items()}  # fmt: skip
        assert model_root(view) == weights_root(tensors)


# Files of strangers.


def tampered(path: Path, about: dict[str, str] | None = None, bits: Arrays | None = None) -> Path:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        old = dict(file.metadata())
    save_file(load_file(path) | (bits or {}), path, old | (about or {}))
    return path


@pytest.mark.parametrize("about", [
    {"format": "hubdna.mask/2"}, {"parent": "g" * 64}, {"parent": "ab"}, {"shapes": "{"}, {"shapes": "[]"},
    {"shapes": '{"w": 3}'},
    {"shapes": '{"w": [1, 1, 1, 1, 1, 1, 1, 4, 4]}'},
    {"shapes": '{"w": [4, -4]}'}, {"shapes": '{"w": [1099511627776, 2]}'}, {"shapes": '{"w": [4, 4.0]}'},
    {"shapes": '{"w": [true, 16]}'},
    {"shapes": '{"v": [4, 4]}'}, {"shapes": '{"w": [2, 8]}'}, {"bits": "0" * 64}, {"shapes": "[" * 100_000},
], ids=str)  # fmt: skip
def test_a_tampered_head_is_refused(tmp_path: Path, about: dict[str, str]) -> None:
    write_mask(tmp_path / MASK, Mask("a" * 64, {"w": np.eye(4, dtype=bool)}))
    with pytest.raises(MaskError, match=r"mask\.safetensors"):
        read_mask(tampered(tmp_path / MASK, about))


@pytest.mark.parametrize("bits", [
    np.zeros(2, np.uint8), np.zeros(3, np.uint8), np.zeros(2, np.int8), np.zeros((2, 1), np.uint8),
    np.zeros(2, np.float32),
], ids=str)  # fmt: skip
def test_tampered_bits_are_refused(tmp_path: Path, bits: np.ndarray) -> None:
    write_mask(tmp_path / MASK, Mask("a" * 64, {"w": np.eye(4, dtype=bool)}))
    with pytest.raises(MaskError, match=r"mask\.safetensors"):
        read_mask(tampered(tmp_path / MASK, bits={"w": bits}))


def test_bits_behind_the_last_weight_are_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / MASK, Mask("a" * 64, {"w": np.ones(3, bool)}))
    with pytest.raises(MaskError, match="behind the last"):
        read_mask(tampered(tmp_path / MASK, bits={"w": np.array([0xFF], np.uint8)}))


@pytest.mark.parametrize("raw", [b"", b"\x80\x04.", b"\xff" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / MASK).write_bytes(raw)
    for read in (read_mask, read_model):
        if raw.endswith(b"{}      ") and read is read_model:
            continue  # an empty but sound file
        with pytest.raises(MaskError, match=r"mask\.safetensors"):
            read(tmp_path / MASK)


def test_models_are_read_whole_from_folders(tmp_path: Path) -> None:
    weights = model()
    write(tmp_path / "model-00001-of-00002.safetensors", {"conv.weight": weights["conv.weight"]})
    write(tmp_path / "model-00002-of-00002.safetensors", {n: w for n, w in weights.items() if n != "conv.weight"})
    write(tmp_path / COMPLEMENT, {"x": np.zeros(1, np.float32)})
    assert model_root(read_model(tmp_path)) == model_root(weights)
    write(tmp_path / "other.safetensors", {"conv.weight": weights["conv.weight"]})
    with pytest.raises(MaskError, match="another file"):
        read_model(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskError, match="no safetensors file"):
        read_model(tmp_path / "empty")
    with pytest.raises(MaskError, match="no such file"):
        read_model(tmp_path / "nothing")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mask(tmp_path / MASK, Mask("a" * 64, {"w": np.ones(3, bool)}))
    before = (tmp_path / MASK).read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_mask(tmp_path / MASK, Mask("b" * 64, {"w": np.ones(3, bool)}))
    assert (tmp_path / MASK).read_bytes() == before
