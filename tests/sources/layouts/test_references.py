"""What the libraries that define the layouts wrote is read as they read it themselves (scripts/formats)."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from hubdna.sources import safetensors
from hubdna.sources.interface import LocalReader, Tensor, read_units
from hubdna.sources.layouts import compose

HERE = Path(__file__).parents[2] / "data" / "formats" / "layouts"
NAMES = sorted(p.name.removesuffix(".reference.safetensors") for p in HERE.glob("*.reference.safetensors"))


def composed(name: str, config: dict[str, object] | None = None) -> tuple[LocalReader, dict[str, Tensor]]:
    reader = LocalReader(HERE)
    tensors, _ = compose(safetensors.read_tensors(reader, f"{name}.safetensors"), config, reader)
    return reader, {t.info.name: t for t in tensors}


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_that_the_library_reads(name: str) -> None:
    reader, tensors = composed(name)
    for info in safetensors.read_tensors(LocalReader(HERE), f"{name}.reference.safetensors"):
        (expected,) = read_units(LocalReader(HERE), [(info, 0, info.n_units)])
        found = tensors[info.info.name]
        (weights,) = read_units(reader, [(found, 0, found.n_units)])
        if name.startswith(("gptq", "awq")) and weights.shape != expected.shape:
            weights = weights.T
        assert found.quantised
        assert weights.shape == expected.shape
        np.testing.assert_allclose(weights, expected, rtol=2**-10, atol=2**-20)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_that_is_true_changes_nothing(name: str) -> None:
    with safe_open(HERE / f"{name}.safetensors", "numpy") as file:
        config = json.loads(file.metadata()["config"])
    key = "quantization" if name.startswith("mlx") else "quantization_config"
    assert [t.info for t in composed(name)[1].values()] == [t.info for t in composed(name, {key: config})[1].values()]


def test_every_layout_has_a_reference() -> None:
    kinds = {"awq", "bnb", "ct", "gptq", "hqq", "mlx", "mxfp4"}
    assert {name.split("-")[0].rstrip("0123456789") if name != "mxfp4" else name for name in NAMES} == kinds
