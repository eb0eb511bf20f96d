"""Weights that are no numbers, or hardly: a clear answer, never a wrong one."""

import warnings
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hubdna.errors import NoGenesError
from hubdna.models import Loader
from hubdna.records import Dna, ModelRef

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]
DTYPES = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]


def network(change: Change, dtype: type = np.float32) -> dict[str, NDArray]:
    rng = np.random.default_rng(0)
    shapes = {"up_proj": (256, 64), "down_proj": (64, 256)}
    return {
        f"layers.{i}.mlp.{name}.weight": change(rng.standard_normal(shape).clip(-3, 3)).astype(dtype)
        for i in range(2)
        for name, shape in shapes.items()
    }


def dna_of(folder: Path, tensors: dict[str, NDArray]) -> Dna:
    save_file(tensors, folder / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Loader().load(ModelRef(str(folder))).dna


def spoiled(value: float) -> Change:
    return lambda x: np.where(np.arange(x.size).reshape(x.shape) == 5, value, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_weight_that_is_no_number_in_every_tensor_is_named(tmp_path: Path, value: float, dtype: type) -> None:
    with pytest.raises(NoGenesError, match="NaN or infinite weights") as caught:
        dna_of(tmp_path, network(spoiled(value), dtype))
    assert str(tmp_path) in str(caught.value)


def test_a_tensor_that_holds_nan_is_set_aside_and_the_others_serve(tmp_path: Path) -> None:
    tensors = network(lambda x: x)
    tensors["layers.0.mlp.up_proj.weight"][3, 3] = np.nan
    dna = dna_of(tmp_path, tensors)
    assert {s.subject.split("[")[0]: s.reason for s in dna.skipped} == {
        "layers.0.mlp.up_proj.weight": "NaN or infinite weights"
    }
    assert "layers.0.mlp.up_proj.weight" not in {g.tensor for g in dna.genes}
    assert len({g.tensor for g in dna.genes}) == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_of_zeros_says_nothing_not_even_that_it_is_a_copy(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(NoGenesError, match="nearly empty"):
        dna_of(tmp_path, network(lambda x: x * 0, dtype))


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e10])
def test_very_small_and_very_large_weights_are_read(tmp_path: Path, scale: float) -> None:
    dna = dna_of(tmp_path, network(lambda x: x * scale))
    assert dna.genes or dna.reasons
    for gene in dna.genes:
        assert gene.rows is not None and gene.scales is not None
        assert np.isfinite(gene.scales).all()
        assert 64 < np.abs(gene.rows).max(axis=1).min() <= 127


@pytest.mark.parametrize(
    "change",
    [lambda x: x * 1e30, lambda x: x * 1e38, spoiled(3e38), lambda x: x * 10.0 ** np.linspace(-38, 37, x.shape[1])],
    ids=["large", "all", "one", "rising"],
)
def test_weights_near_the_end_of_float32_are_read(tmp_path: Path, change: Change) -> None:
    assert dna_of(tmp_path, network(change)).content is not None


@pytest.mark.parametrize("shape", [(0,), (0, 64), (64, 0), (64, 0, 2), (3, 0, 0)])
def test_tensors_of_size_zero_do_not_matter(tmp_path: Path, shape: tuple[int, ...]) -> None:
    plain = dna_of(tmp_path, network(lambda x: x))
    with_empty = dna_of(tmp_path, network(lambda x: x) | {"layers.0.empty": np.zeros(shape, np.float32)})
    assert [g.hashes.tobytes() for g in with_empty.genes] == [g.hashes.tobytes() for g in plain.genes]


def test_a_model_of_nothing_but_empty_tensors_is_answered(tmp_path: Path) -> None:
    try:
        dna = dna_of(tmp_path, {"a": np.zeros((64, 0), np.float32), "b": np.zeros(0, np.float32)})
    except NoGenesError as error:
        assert str(tmp_path) in str(error)
    else:
        assert dna.genes == ()


def test_a_model_without_floats_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoGenesError, match="none of 1 tensors is stored as a float"):
        dna_of(tmp_path, {"a": np.zeros((64, 64), np.int8)})
