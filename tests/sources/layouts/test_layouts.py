"""One list of demands that every layout meets."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layout_cases import CASES, Array, Case, Parts, naive_weights, parts_of, save

from hubdna.dna import genes, roles
from hubdna.dna.read import SCHEME
from hubdna.errors import FormatError, HubdnaError
from hubdna.evidence.compare import compare_dna
from hubdna.records import Dna, Gene, ModelRef
from hubdna.sources import layouts, safetensors
from hubdna.sources.interface import LocalReader, Tensor, read_units
from hubdna.verdict import judge

NAME = "model.safetensors"
SHAPE = (160, 192)
"""More than one tile of 128 each way; 160 is no multiple of 64."""


def opened(folder: Path, parts: Parts, config: dict[str, Any] | None = None) -> tuple[list[Tensor], str | None]:
    save(folder / NAME, parts)
    reader = LocalReader(folder)
    return layouts.compose(safetensors.read_tensors(reader, NAME), config, reader)


def values(folder: Path, tensor: Tensor, first: int = 0, n: int | None = None) -> Array:
    return next(read_units(LocalReader(folder), [(tensor, first, tensor.n_units if n is None else n)]))


def one(tensors: list[Tensor]) -> Tensor:
    (found,) = [t for t in tensors if t.info.name == "mlp.fc1.weight"]
    return found


@pytest.fixture
def weights() -> Array:
    return np.random.default_rng(0).normal(0, 0.05, SHAPE)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_recognised_and_equal_to_the_definition(case: Case, weights: Array, tmp_path: Path) -> None:
    bare, parts = parts_of(case, weights)
    tensors, name = opened(tmp_path, parts, case.config)
    (tensor,) = tensors
    assert tensor.quantised
    assert (tensor.info.dtype, name) == (case.word, case.word)
    found = values(tmp_path, tensor)
    expected = naive_weights(case, bare, SHAPE)
    if case.experts:
        assert tensor.info.shape == (2, *SHAPE)
        assert (found[1] == np.asarray(found[0])[::-1]).all()
        found = found[0]
    if case.transposed:
        assert tensor.info.shape == SHAPE[::-1]
        found = found.T
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert np.abs(found - weights).mean() < 0.04  # what was written are these weights, coarsely at 2 bits


def test_any_units_are_the_rows_of_the_whole(case: Case, weights: Array, tmp_path: Path) -> None:
    tensor = one(opened(tmp_path, parts_of(case, weights)[1], case.config)[0])
    whole = values(tmp_path, tensor)
    rng = np.random.default_rng(0)
    ranges = [(0, 1), (tensor.n_units - 1, 1), (0, tensor.n_units)]
    firsts = (int(first) for first in rng.integers(0, tensor.n_units, 12))
    ranges += [(first, int(rng.integers(1, tensor.n_units - first + 1))) for first in firsts]
    for first, n in ranges:
        np.testing.assert_array_equal(values(tmp_path, tensor, first, n), whole[first : first + n])


def test_few_units_cost_few_bytes(case: Case, weights: Array, tmp_path: Path) -> None:
    tensor = one(opened(tmp_path, parts_of(case, weights)[1], case.config)[0])
    assert tensor.n_bytes(1) < tensor.n_bytes(tensor.n_units) * 0.75
    assert len(tensor.extents(0, 1)) <= 5
    size = (tmp_path / NAME).stat().st_size
    assert all(0 <= start <= stop <= size for _, start, stop in tensor.extents(0, tensor.n_units))


def test_every_part_is_needed(case: Case, weights: Array, tmp_path: Path) -> None:
    """Without a part the group is left alone or, where the layout has it so, is another exact one; never an error."""
    optional = ("weight_zero_point", "g_idx", "weight_scale_2")
    _, parts = parts_of(case, weights)
    for left_out in parts if len(parts) > 1 else ():
        rest = {k: v for k, v in parts.items() if k != left_out}
        tensors, _ = opened(tmp_path, rest, case.config)
        if not left_out.endswith(optional) and not case.name.startswith("fp8"):
            assert {t.info.name for t in tensors} == rest.keys()
            assert not any(t.quantised for t in tensors)


def test_shapes_that_do_not_fit_are_left_alone(case: Case, weights: Array, tmp_path: Path) -> None:
    _, parts = parts_of(case, weights)
    for bent in parts if len(parts) > 1 else ():
        dtype, array = parts[bent]
        if array.size == 1 or (case.name.startswith("fp8") and bent.endswith("weight")):
            continue  # a scale for everything or for tiles fits weights of other lengths too
        for wrong in (np.concatenate([array, array[:1]]), array[:-1], array.reshape(-1, 1, 1)):
            if case.name.startswith("bnb-nf4") and wrong.ndim == 3 and bent.endswith("fc1.weight"):
                continue  # numbers are bytes of any shape and type there
            tensors, name = opened(tmp_path, parts | {bent: (dtype, wrong)}, case.config)
            assert name is None, (bent, wrong.shape)
            assert {t.info.name for t in tensors} == parts.keys()


def test_a_name_that_is_taken_is_not_given_twice(case: Case, weights: Array, tmp_path: Path) -> None:
    _, parts = parts_of(case, weights)
    if "mlp.fc1.weight" not in parts:
        tensors, _ = opened(tmp_path, parts | {"mlp.fc1.weight": ("F32", weights)}, case.config)
        assert len({t.info.name for t in tensors}) == len(tensors) == len(parts) + 1


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hostile_bytes_are_refused_or_read(case: Case, tmp_path: Path, data: st.DataObject) -> None:
    weights = np.random.default_rng(0).normal(0, 0.05, (32, 64))
    _, parts = parts_of(case, weights)
    bent = data.draw(st.sampled_from(sorted(parts)))
    dtype, array = parts[bent]
    raw = bytearray(np.ascontiguousarray(array).tobytes())
    what = data.draw(st.sampled_from(["bytes", "shape", "dtype"]))
    if what == "bytes":
        for _ in range(data.draw(st.integers(1, 8))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        parts[bent] = dtype, np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    elif what == "shape":
        shape = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 8, 31, 32, 64, 65]), max_size=4))
        if np.prod(shape) > 1e5:
            return
        parts[bent] = dtype, np.zeros(shape, array.dtype)
    else:
        parts[bent] = data.draw(st.sampled_from(["F32", "I32", "U8", "I8", "I64"])), np.zeros(array.shape, np.uint8)
    try:
        tensors, _ = opened(tmp_path, parts, case.config)
        for tensor in tensors:
            if tensor.quantised:
                assert values(tmp_path, tensor).shape == tensor.info.shape
                values(tmp_path, tensor, tensor.n_units - 1, 1)
    except HubdnaError as error:
        assert isinstance(error, FormatError)


NONSENSE = {
    "checkpoint_format": [], "bits": "x", "weight_block_size": [0, -1], "group_size": None, "mlp.fc1": 3
}  # fmt: skip


@pytest.mark.parametrize(
    "config", [{"quantization_config": 5}, {"quantization": []}, {"quantization_config": NONSENSE}]
)
def test_a_config_that_makes_no_sense_changes_nothing(case: Case, config: Any, weights: Array, tmp_path: Path) -> None:
    parts = parts_of(case, weights)[1]
    without = [t.info for t in opened(tmp_path, parts)[0]]
    assert [t.info for t in opened(tmp_path, parts, config)[0]] == without


def test_without_a_reader_only_headers_speak(case: Case, weights: Array, tmp_path: Path) -> None:
    save(tmp_path / NAME, parts_of(case, weights)[1])
    reader = LocalReader(tmp_path)
    tensors = safetensors.read_tensors(reader, NAME)
    before = reader.n_requests
    alone, _ = layouts.compose(tensors, case.config)
    assert reader.n_requests == before
    needs_peek = case.name.startswith(("bnb-nf4", "ct-int4", "ct-int3", "hqq")) or case.name == "ct-int8"
    assert any(t.quantised for t in alone) != needs_peek


def dna_of(folder: Path, tensors: list[Tensor]) -> Dna:
    """What a whole read makes of these tensors, whoever opened them."""
    axes = roles.testable_axes([t.info for t in tensors])
    found = [
        genes.make_gene(t.info, axis, values(folder, t), 640, quantised=t.quantised)
        for t in tensors for axis in axes.get(t.info.name, ())
    ]  # fmt: skip
    return Dna(ModelRef("./x"), SCHEME, tuple(gene for gene in found if isinstance(gene, Gene)))


def test_a_quantised_network_has_its_originals_origin(case: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    shapes = {"up_proj": (256, 128), "down_proj": (128, 256)}
    net = {f"layers.{i}.mlp.{name}.": rng.normal(0, 0.05, shape) for i in range(2) for name, shape in shapes.items()}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    stacked = {name: np.stack([W, W[::-1]]) if case.experts else W for name, W in net.items()}
    a = opened(tmp_path / "a", {f"{name}weight": ("F32", W) for name, W in stacked.items()})[0]
    parts = {k: v for name, W in net.items() for k, v in parts_of(case, W, name)[1].items()}
    b = opened(tmp_path / "b", parts, case.config)[0]
    assert not any(t.quantised for t in a)
    original, quantised = dna_of(tmp_path / "a", a), dna_of(tmp_path / "b", b)
    assert all(gene.dtype == case.word for gene in quantised.genes)
    assert judge(compare_dna(original, quantised)).origin == "common"


def test_8_bit_floats_are_no_weights_where_others_have_scales(tmp_path: Path, weights: Array) -> None:
    """Their scale may lie in a shard that was not opened."""
    (scaled,) = [c for c in CASES if c.name == "fp8-block"]
    (plain,) = [c for c in CASES if c.name == "fp8-plain"]
    parts = parts_of(scaled, weights, "a.")[1] | parts_of(plain, weights, "b.")[1]
    assert {t.info.name: t.quantised for t in opened(tmp_path, parts)[0]} == {"a.weight": True, "b.weight": False}


def test_layers_share_one_look_at_their_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (case,) = [c for c in CASES if c.name == "bnb-nf4-double"]
    parts: Parts = {}
    for i in range(12):
        parts |= parts_of(case, rng.normal(0, 0.05, (64, 96)), f"layers.{i}.mlp.up_proj.")[1]
    save(tmp_path / NAME, parts)
    reader = LocalReader(tmp_path)
    tensors = safetensors.read_tensors(reader, NAME)
    before = reader.n_requests
    composed, _ = layouts.compose(tensors, None, reader)
    assert reader.n_requests == before + 1
    assert [t.info.shape for t in composed] == [(64, 96)] * 12
    assert layouts.compose(tensors, None, reader, max_peeks=0)[1] is None


@pytest.mark.parametrize("layout", ["bnb-nf4", "hqq4", "ct-int4"])
@pytest.mark.parametrize("names", [("mlp.fc1.", "mlp.fc2."), ("mlp.0.", "mlp.2."), ("w1.", "w2.")])
def test_maps_that_are_each_others_transpose_keep_their_shapes(
    layout: str, names: tuple[str, str], tmp_path: Path
) -> None:
    (case,) = [c for c in CASES if c.name == layout]
    rng = np.random.default_rng(1)
    parts: Parts = {}
    for layer in range(3):
        for name, shape in zip(names, ((64, 256), (256, 64)), strict=True):
            parts |= parts_of(case, rng.normal(0, 0.05, shape), f"blocks.{layer}.{name}")[1]
    tensors, _ = opened(tmp_path, parts)
    assert [t.info.shape for t in tensors] == [(64, 256), (256, 64)] * 3
    for tensor in tensors:
        values(tmp_path, tensor, 3, 2)


def test_a_layer_that_lies_about_its_shape_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (case,) = [c for c in CASES if c.name == "bnb-nf4"]
    parts = parts_of(case, rng.normal(0, 0.05, (64, 96)), "layers.0.fc1.")[1]
    parts |= parts_of(case, rng.normal(0, 0.05, (96, 64)), "layers.1.fc1.")[1]
    tensors, _ = opened(tmp_path, parts)
    values(tmp_path, tensors[0])
    with pytest.raises(FormatError, match="neighbours"):
        values(tmp_path, tensors[1])


def test_parts_in_another_file_are_found(tmp_path: Path, weights: Array) -> None:
    (case,) = [c for c in CASES if c.name == "awq"]
    parts = parts_of(case, weights)[1]
    save(tmp_path / "1.safetensors", {k: v for k, v in parts.items() if k.endswith("qweight")})
    save(tmp_path / "2.safetensors", {k: v for k, v in parts.items() if not k.endswith("qweight")})
    reader = LocalReader(tmp_path)
    tensors = [t for n in "12" for t in safetensors.read_tensors(reader, f"{n}.safetensors")]
    found = one(layouts.compose(tensors)[0])
    assert {name for name, _, _ in found.extents(0, 4)} == {"1.safetensors", "2.safetensors"}
    assert values(tmp_path, found).shape == SHAPE[::-1]


def test_mlx_is_told_from_its_double_by_the_lengths_of_the_model(tmp_path: Path, weights: Array) -> None:
    (case,) = [c for c in CASES if c.name == "mlx4"]
    parts = parts_of(case, weights)[1]
    assert opened(tmp_path, parts)[1] is None  # 4 bits by 64, 8 by 32 or 2 by 128: nothing says which
    lying = {"quantization": {"bits": 8, "group_size": 32}}
    assert opened(tmp_path, parts, lying)[1] == "MLX8"
    norm = {"norm.weight": ("F32", np.ones(SHAPE[1]))}
    assert opened(tmp_path, parts | norm, lying)[1] == "MLX4"


def test_a_scale_that_does_not_fit_leaves_8_bit_floats_raw(tmp_path: Path, weights: Array) -> None:
    (case,) = [c for c in CASES if c.name == "fp8-block"]
    parts = parts_of(case, weights)[1]
    parts["mlp.fc1.weight_scale_inv"] = ("F32", np.ones((3, 3)))
    tensors, name = opened(tmp_path, parts)
    assert name is None and len(tensors) == 2
    named = {"quantization_config": {"weight_block_size": [64, 64]}}
    assert opened(tmp_path, parts, named)[1] == "FP8-E4M3-B64"


def test_g_idx_outside_the_groups_is_refused(tmp_path: Path, weights: Array) -> None:
    (case,) = [c for c in CASES if c.name == "gptq4-v1-order"]
    parts = parts_of(case, weights)[1]
    for wrong in (-1, 6):
        parts["mlp.fc1.g_idx"] = ("I32", np.full(SHAPE[1], wrong))
        with pytest.raises(FormatError, match="group outside"):
            values(tmp_path, one(opened(tmp_path, parts)[0]))


def test_the_registry_is_covered() -> None:
    assert {find.__module__.rpartition(".")[2] for find in layouts.LAYOUTS} == {
        "bnb4", "bnb8", "gptq", "awq", "compressed", "nvfp4", "mxfp4", "mlx", "hqq", "fp8",
    }  # fmt: skip
    assert dataclasses.is_dataclass(CASES[0])
