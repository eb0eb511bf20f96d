"""Fused and unfused copies of one model give the same tensors, and parts cost what they are worth."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sources_files import NAME, container, tensor

from hubdna.compare import compare_models
from hubdna.dna.roles import role_of
from hubdna.errors import SourceError
from hubdna.models import Loader
from hubdna.records import ModelRef, TensorInfo
from hubdna.sources import canonical as module
from hubdna.sources import formats, safetensors
from hubdna.sources.canonical import canonical
from hubdna.sources.interface import LocalReader, Tensor, read_units
from hubdna.sources.views import Cut, units

RNG = np.random.default_rng(0)
Arrays = dict[str, NDArray[Any]]
LAYER = "model.layers.0."
ATTN, MLP, EXPERTS = LAYER + "self_attn.", LAYER + "mlp.", LAYER + "mlp.experts."


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def tensors_of(folder: Path, arrays: Mapping[str, NDArray[Any]], config: dict[str, Any] | None = None) -> list[Tensor]:
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / NAME)
    reader = LocalReader(folder)
    return formats.compose([formats.open_file(reader, NAME, 99, 10**9)], reader, config, 9)[0]


def values(folder: Path, tensor: Tensor, first: int = 0, n: int | None = None) -> NDArray[np.float32]:
    (read,) = read_units(LocalReader(folder), [(tensor, first, tensor.n_units if n is None else n)])
    assert read.flags.c_contiguous
    return read


def check(folder: Path, fused: Arrays, expected: Arrays, config: dict[str, Any] | None = None) -> None:
    """What the fused file gives, whole and in every kind of part."""
    found = {t.info.name: t for t in tensors_of(folder, fused, config)}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        one, array = found[name], array.astype(np.float32)
        assert one.info.shape == array.shape
        assert np.array_equal(values(folder, one), array)
        n = len(array)
        for first, count in ((0, 1), (0, 0), (n, 0), (1, n - 1), (n // 2, 1), (n - 1, 1), (n // 3, n // 2)):
            assert np.array_equal(values(folder, one, first, count), array[first : first + count]), (name, first, count)


def attention(n_q: int, n_kv: int, n_in: int, dtype: Any = np.float32) -> list[NDArray[Any]]:
    return [floats(n, n_in).astype(dtype) for n in (n_q, n_kv, n_kv)]


QKV = tuple(ATTN + f"{letter}_proj.weight" for letter in "qkv")


@pytest.mark.parametrize("word", ["qkv_proj", "qkv", "Wqkv", "W_pack", "c_attn"])
def test_thirds_need_no_config(tmp_path: Path, word: str) -> None:
    parts, bias = attention(12, 12, 12), floats(36)
    fused = {ATTN + word + ".weight": np.concatenate(parts), ATTN + word + ".bias": bias}
    expected = {**dict(zip(QKV, parts, strict=True))}
    expected |= {n.replace("weight", "bias"): b for n, b in zip(QKV, np.split(bias, 3), strict=True)}
    check(tmp_path, fused, expected)


def test_torchs_attention_is_named_like_everybody_elses(tmp_path: Path) -> None:
    parts, bias = attention(8, 8, 8), floats(24)
    fused = {"blocks.1.attn.in_proj_weight": np.concatenate(parts), "blocks.1.attn.in_proj_bias": bias}
    expected = {f"blocks.1.attn.{c}_proj.weight": part for c, part in zip("qkv", parts, strict=True)}
    expected |= {f"blocks.1.attn.{c}_proj.bias": part for c, part in zip("qkv", np.split(bias, 3), strict=True)}
    check(tmp_path, fused, expected)


def test_fewer_keys_than_queries_need_the_config(tmp_path: Path) -> None:
    parts = attention(16, 4, 20, ml_dtypes.bfloat16)
    fused = {ATTN + "qkv_proj.weight": np.concatenate(parts)}
    config = {"model_type": "phi3", "hidden_size": 20, "num_attention_heads": 8, "num_key_value_heads": 2}
    check(tmp_path, fused, dict(zip(QKV, parts, strict=True)), config | {"head_dim": 2})
    check(tmp_path, fused, dict(zip(QKV, parts, strict=True)), {"text_config": config | {"head_dim": 2}})
    check(tmp_path, fused, fused)
    check(tmp_path, fused, fused, config | {"head_dim": 4})


def test_dbrx_keeps_the_number_of_key_heads_elsewhere(tmp_path: Path) -> None:
    parts = attention(16, 4, 16)
    config = {"model_type": "dbrx", "d_model": 16, "n_heads": 8, "attn_config": {"kv_n_heads": 2}}
    name = "transformer.blocks.0.norm_attn_norm.attn.{}.weight"
    expected = {name.format(f"{c}_proj"): part for c, part in zip("qkv", parts, strict=True)}
    check(tmp_path, {name.format("Wqkv"): np.concatenate(parts)}, expected, config)


def test_maps_of_gpt2_are_split_by_columns(tmp_path: Path) -> None:
    parts, bias = attention(12, 12, 12), floats(36)
    fused = {"h.3.attn.c_attn.weight": np.concatenate(parts).T, "h.3.attn.c_attn.bias": bias}
    expected = {f"h.3.attn.{c}_proj.weight": part.T for c, part in zip("qkv", parts, strict=True)}
    expected |= {f"h.3.attn.{c}_proj.bias": part for c, part in zip("qkv", np.split(bias, 3), strict=True)}
    check(tmp_path, fused, expected, {"model_type": "gpt2", "n_embd": 12, "n_head": 3})
    crossed = {"h.3.crossattention.c_attn.weight": floats(12, 24)}  # keys and values only
    check(tmp_path, crossed, crossed, {"model_type": "gpt2", "n_embd": 12, "n_head": 3})


GROUPED = {
    "gpt_neox": (4, 4, {"num_attention_heads": 4}),
    "bloom": (4, 4, {"n_head": 4}),
    "persimmon": (4, 4, {"num_attention_heads": 4}),
    "falcon": (4, 2, {"num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True}),
    "falcon ": (4, 4, {"num_attention_heads": 4, "multi_query": False}),
    "falcon  ": (4, 1, {"num_attention_heads": 4}),
    "gpt_bigcode": (4, 4, {"n_head": 4, "multi_query": False}),
    "gpt_bigcode ": (4, 1, {"n_head": 4, "multi_query": True}),
}
"""Heads, key heads, config."""


@pytest.mark.parametrize("model", GROUPED)
@pytest.mark.parametrize("gap", [0, 64_000])
def test_heads_that_alternate_are_put_together(
    tmp_path: Path, model: str, gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `_split_heads` of the models: rows seen as [groups, queries of a group + 2, head]."""
    monkeypatch.setattr("hubdna.sources.views.MERGE_GAP", gap)
    heads, kv_heads, config = GROUPED[model]
    model, hidden, size = model.strip(), 24, 6
    word = "c_attn" if model == "gpt_bigcode" else "query_key_value"
    fused, bias = floats((heads + 2 * kv_heads) * size, hidden), floats((heads + 2 * kv_heads) * size)
    expected: Arrays = {}
    for array, kind in ((fused, "weight"), (bias, "bias")):
        seen = array.reshape(kv_heads, heads // kv_heads + 2, size, *array.shape[1:])
        for letter, part in (("q", seen[:, :-2]), ("k", seen[:, -2]), ("v", seen[:, -1])):
            expected[f"h.0.attention.{letter}_proj.{kind}"] = part.reshape(-1, *array.shape[1:])
    stored = {f"h.0.attention.{word}.weight": fused, f"h.0.attention.{word}.bias": bias}
    check(tmp_path, stored, expected, {"model_type": model, "hidden_size": hidden, **config})


@pytest.mark.parametrize("config", [None, {"model_type": "chatglm", "hidden_size": 8, "num_attention_heads": 2}])
def test_query_key_value_of_an_unknown_model_is_left_alone(tmp_path: Path, config: dict[str, Any] | None) -> None:
    fused = {"h.0.attn.query_key_value.weight": floats(24, 8)}
    check(tmp_path, fused, fused, config)


@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.0.attn.qkv_proj.weight",
        "stages.1.blocks.0.attn.qkv.weight",
        "encoder.in_proj.weight",
        "wqkv.weight",
    ],
)
def test_names_that_mean_different_things_are_left_alone(tmp_path: Path, name: str) -> None:
    check(tmp_path, {name: (a := floats(24, 8))}, {name: a})


@pytest.mark.parametrize(
    ("fused", "gate", "up", "down"),
    [
        ("gate_up_proj", "gate_proj", "up_proj", "down_proj"),
        ("w12", "w1", "w2", "w3"),
        ("Wi", "gate_proj", "up_proj", "Wo"),
        ("dense_h_to_4h", "gate_proj", "up_proj", "dense_4h_to_h"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_gate_and_up_are_told_from_the_map_back(
    tmp_path: Path, fused: str, gate: str, up: str, down: str, turned: bool
) -> None:
    a, b, back = floats(10, 6), floats(10, 6), floats(6, 10)
    whole = np.concatenate([a, b])
    if turned:
        a, b, back, whole = a.T, b.T, back.T, whole.T
    stored = {MLP + fused + ".weight": whole, MLP + down + ".weight": back}
    expected = {MLP + gate + ".weight": a, MLP + up + ".weight": b, MLP + down + ".weight": back}
    check(tmp_path, stored, expected)


def test_any_layer_tells_how_a_map_is_fused(tmp_path: Path) -> None:
    whole, back = [floats(20, 6) for _ in range(2)], floats(6, 10)
    stored = {f"layers.{i}.mlp.gate_up_proj.weight": w for i, w in enumerate(whole)}
    stored["layers.1.mlp.down_proj.weight"] = back  # of layer 0 it lies in a shard that was not opened
    names = {t.info.name for t in tensors_of(tmp_path, stored)}
    assert names == {f"layers.{i}.mlp.{w}_proj.weight" for i in range(2) for w in ("gate", "up")} | {
        "layers.1.mlp.down_proj.weight"
    }


def test_a_map_that_is_no_pair_stays_whole(tmp_path: Path) -> None:
    plain = {MLP + "gate_up_proj.weight": floats(10, 6), MLP + "down_proj.weight": floats(6, 10)}
    check(tmp_path, plain, plain)
    alone = {MLP + "gate_up_proj.weight": floats(20, 6)}
    check(tmp_path, alone, alone)
    gguf = {"blk.0.ffn_up.weight": floats(10, 6), "blk.0.ffn_down.weight": floats(6, 10)}
    check(tmp_path, gguf, gguf)


def moe(n: int, hidden: int, inner: int) -> tuple[Arrays, NDArray[Any], NDArray[Any], NDArray[Any]]:
    gate, up, down = floats(n, inner, hidden), floats(n, inner, hidden), floats(n, hidden, inner)
    apart: Arrays = {}
    for i in range(n):
        for word, stack in (("gate", gate), ("up", up), ("down", down)):
            apart[f"{EXPERTS}{i}.{word}_proj.weight"] = stack[i]
    return apart, gate, up, down


def test_fused_experts_come_apart(tmp_path: Path) -> None:
    """As qwen3_moe, mixtral and most others: [experts, 2 * inner, hidden], [experts, hidden, inner]."""
    apart, gate, up, down = moe(5, 12, 8)
    stored = {EXPERTS + "gate_up_proj": np.concatenate([gate, up], 1), EXPERTS + "down_proj": down}
    check(tmp_path, stored, apart, {"model_type": "qwen3_moe"})
    check(tmp_path, stored, apart)
    assert {role_of(t.info) for t in tensors_of(tmp_path, stored)} == {"ffn"}


def test_experts_that_are_stored_the_other_way_round(tmp_path: Path) -> None:
    """As llama4: [experts, hidden, 2 * inner], [experts, inner, hidden]."""
    apart, gate, up, down = moe(5, 12, 8)
    stored = {
        EXPERTS + "gate_up_proj": np.concatenate([gate, up], 1).swapaxes(1, 2),
        EXPERTS + "down_proj": down.swapaxes(1, 2),
    }
    check(tmp_path, stored, {name: a.T for name, a in apart.items()}, {"model_type": "llama4"})


def gpt_oss(gate: NDArray[Any], up: NDArray[Any]) -> NDArray[Any]:
    return np.stack([gate, up], 2).reshape(len(gate), -1, *gate.shape[2:])


def test_gate_and_up_of_gpt_oss_take_turns(tmp_path: Path) -> None:
    """`_apply_gate` of GptOssExperts: gate is [..., ::2], up is [..., 1::2]."""
    apart, gate, up, down = moe(3, 12, 8)
    biases = floats(3, 8), floats(3, 8), floats(3, 12)
    stored = {
        EXPERTS + "gate_up_proj": gpt_oss(gate, up).swapaxes(1, 2),
        EXPERTS + "gate_up_proj_bias": gpt_oss(*biases[:2]),
        EXPERTS + "down_proj": down.swapaxes(1, 2),
        EXPERTS + "down_proj_bias": biases[2],
    }
    expected = {name: a.T for name, a in apart.items()}
    for word, bias in zip(("gate", "up", "down"), biases, strict=True):
        expected |= {f"{EXPERTS}{i}.{word}_proj.bias": b for i, b in enumerate(bias)}
    check(tmp_path, stored, expected, {"model_type": "gpt_oss"})
    unsure = {t.info.name for t in tensors_of(tmp_path, stored)}  # no config: which way is open
    assert unsure == {f"{EXPERTS}{i}.{w}.{k}" for i in range(3) for w in ("gate_up_proj", "down_proj")
                      for k in ("weight", "bias")}  # fmt: skip


def test_mxfp4_experts_come_apart(tmp_path: Path) -> None:
    def stack(n_out: int, n_in: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        blocks = RNG.integers(0, 256, (3, n_out, n_in // 32, 16), dtype=np.uint8)
        return blocks, RNG.integers(110, 130, (3, n_out, n_in // 32), dtype=np.uint8)

    stored = {}
    for word, shape in (("gate_up_proj", (64, 96)), ("down_proj", (96, 32))):
        stored[f"{EXPERTS}{word}_blocks"], stored[f"{EXPERTS}{word}_scales"] = stack(*shape)
    save_file(stored, tmp_path / NAME)
    raw = safetensors.read_tensors(LocalReader(tmp_path), NAME)
    composed = {t.info.name: values(tmp_path, t) for t in formats.layouts.compose(raw)[0]}
    gate_up, down = composed[EXPERTS + "gate_up_proj"], composed[EXPERTS + "down_proj"]
    expected = {f"{EXPERTS}{i}.down_proj.weight": down[i] for i in range(3)}
    expected |= {f"{EXPERTS}{i}.gate_proj.weight": gate_up[i, ::2] for i in range(3)}
    expected |= {f"{EXPERTS}{i}.up_proj.weight": gate_up[i, 1::2] for i in range(3)}
    check(tmp_path, stored, expected, {"model_type": "gpt_oss"})
    assert all(t.quantised and t.info.dtype == "MXFP4" for t in tensors_of(tmp_path, stored))


@pytest.mark.parametrize("scale", [(4, 2, 3), (4, 1, 1), (1, 1, 1), (4, 256, 1)])
def test_fp8_experts_come_apart(tmp_path: Path, scale: tuple[int, ...]) -> None:
    weight, scales = floats(4, 256, 384).astype(ml_dtypes.float8_e4m3fn), floats(*scale)
    header = {
        EXPERTS + "down_proj": tensor(0, weight.size, "F8_E4M3", [4, 256, 384]),
        EXPERTS + "down_proj_scale_inv": tensor(weight.size, weight.size + scales.nbytes, "F32", list(scale)),
    }
    (tmp_path / NAME).write_bytes(container(header, weight.tobytes() + scales.tobytes()))
    reader = LocalReader(tmp_path)
    (whole,) = formats.layouts.compose(safetensors.read_tensors(reader, NAME))[0]
    expected = values(tmp_path, whole)
    for i, one in enumerate(formats.compose([formats.open_file(reader, NAME, 9, 9)], reader, None, 9)[0]):
        assert (one.info.name, one.info.dtype) == (f"{EXPERTS}{i}.down_proj.weight", whole.info.dtype)
        assert np.array_equal(values(tmp_path, one), expected[i])
        assert np.array_equal(values(tmp_path, one, 100, 130), expected[i, 100:230])


def raw(dtype: str, *shape: int) -> tuple[str, list[int], bytes]:
    size = int(np.prod(shape)) * safetensors.ITEMSIZE[dtype]
    data = RNG.integers(20, 100, size, np.uint8)
    return dtype, list(shape), (RNG.uniform(0.5, 2, shape).astype("<f4") if dtype == "F32" else data).tobytes()


STACKED = {
    "MLX4": {"weight": raw("U32", 3, 32, 8), "scales": raw("F16", 3, 32, 1), "biases": raw("F16", 3, 32, 1),
             "norm": raw("F16", 64)},
    "MLX-MXFP4": {"weight": raw("U32", 3, 32, 8), "scales": raw("U8", 3, 32, 2)},
    "NVFP4": {"weight_packed": raw("U8", 3, 32, 32), "weight_scale": raw("F8_E4M3", 3, 32, 4),
              "weight_global_scale": raw("F32", 1)},
}  # fmt: skip


@pytest.mark.parametrize("word", STACKED)
def test_stacks_of_other_layouts_come_apart(tmp_path: Path, word: str) -> None:
    header, data = {}, b""
    for name, (dtype, shape, content) in STACKED[word].items():
        header[f"mlp.experts.down_proj.{name}"] = tensor(len(data), len(data) + len(content), dtype, shape)
        data += content
    (tmp_path / NAME).write_bytes(container(header, data))
    reader = LocalReader(tmp_path)
    (whole,) = [
        t
        for t in formats.layouts.compose(safetensors.read_tensors(reader, NAME), reader=reader)[0]
        if t.merged and t.quantised
    ]
    assert (whole.info.dtype, whole.info.shape) == (word, (3, 32, 64))
    expected = values(tmp_path, whole)
    found = [t for t in formats.compose([formats.open_file(reader, NAME, 9, 9)], reader, None, 9)[0] if t.quantised]
    assert [t.info.name for t in found] == [f"mlp.experts.{i}.down_proj.weight" for i in range(3)]
    for one, expert in zip(found, expected, strict=True):
        assert one.info.dtype == word
        assert np.array_equal(values(tmp_path, one), expert)
        assert np.array_equal(values(tmp_path, one, 5, 9), expert[5:14])


FILES = [f for kind in ("torch", "onnx") for f in sorted((Path(__file__).parents[1] / "data/formats" / kind).iterdir())]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_whoever_can_merge_axes_gives_the_same_numbers(file: Path) -> None:
    reader = LocalReader(file.parent)
    try:
        tensors = formats.open_file(reader, file.name, 99, 10**9).tensors
    except SourceError:
        return  # data of another file, a text
    for one in tensors:
        readable = one.quantised or one.info.dtype in safetensors.FLOATS
        if one.merged is None or len(one.info.shape) < 2 or 0 in one.info.shape or not readable:
            continue
        merged, expected = one.merged(), values(file.parent, one)
        expected = expected.reshape(-1, *expected.shape[2:])
        assert merged.info.shape == expected.shape
        assert np.array_equal(values(file.parent, merged), expected)
        assert np.array_equal(values(file.parent, merged, 1, len(expected) - 1), expected[1:])


def test_rows_of_an_expert_cost_those_rows(tmp_path: Path) -> None:
    _, gate, up, down = moe(8, 96, 64)
    stored = {EXPERTS + "gate_up_proj": np.concatenate([gate, up], 1), EXPERTS + "down_proj": down}
    for one in tensors_of(tmp_path, stored):
        assert one.n_bytes(32) == 32 * 4 * one.info.shape[1]
        reader = LocalReader(tmp_path)
        list(read_units(reader, [(one, 5, 32)]))
        assert (reader.n_bytes, reader.n_requests) == (one.n_bytes(32), 1)


def test_the_stack_of_granite_is_called_experts(tmp_path: Path) -> None:
    path = LAYER + "block_sparse_moe."
    _, gate, up, down = moe(4, 12, 8)
    stored = {path + "input_linear.weight": np.concatenate([gate, up], 1), path + "output_linear.weight": down}
    expected = {f"{path}experts.{i}.output_linear.weight": down[i] for i in range(4)}
    expected |= {f"{path}experts.{i}.gate_proj.weight": gate[i] for i in range(4)}
    expected |= {f"{path}experts.{i}.up_proj.weight": up[i] for i in range(4)}
    check(tmp_path, stored, expected)


@pytest.mark.parametrize("name", ["mlp.experts.conv.weight", "experts.3.w.weight", "mlp.shared_experts.3.w"])
def test_what_is_no_stack_of_matrices_stays(tmp_path: Path, name: str) -> None:
    stored = {name: floats(16, 8, 3)}  # a convolution: more units than its kernel is long
    check(tmp_path, stored, stored)
    assert [t.info.name for t in canonical(tensors_of(tmp_path, {"experts.3.w.weight": floats(4, 8, 8)}))] == [
        "experts.3.w.weight"
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*(st.integers(1, 9) for _ in range(4))),
    part=st.integers(0, 2),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    gap=st.sampled_from([0, 1, 10**6]),
)
def test_a_cut_is_a_slice(
    tmp_path: Path,
    shape: tuple[int, int, int, int],
    part: int,
    where: tuple[float, float],
    gap: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Groups of three parts of any size, units first..first+n: as numpy slices them."""
    n_groups, before, size, width = shape
    array = np.arange(n_groups * (before + size + part) * width, dtype=np.float32).reshape(n_groups, -1, width)
    save_file({"a": array.reshape(-1, width)}, tmp_path / NAME)
    expected = array[:, before : before + size].reshape(-1, width)
    monkeypatch.setattr("hubdna.sources.views.MERGE_GAP", gap)
    (base,) = safetensors.read_tensors(LocalReader(tmp_path), NAME)
    one = units(base, "part", Cut(n_groups, array.shape[1], before, size))
    first = int(where[0] * len(expected))
    n = int(where[1] * (len(expected) - first))
    assert np.array_equal(values(tmp_path, one, first, n), expected[first : first + n])
    assert np.array_equal(values(tmp_path, one), expected)


@settings(max_examples=200, deadline=None)
@given(
    names=st.lists(st.sampled_from([
        EXPERTS + "gate_up_proj", EXPERTS + "down_proj", EXPERTS + "0.gate_proj.weight", EXPERTS + "gate_up_proj_bias",
        MLP + "gate_up_proj.weight", MLP + "down_proj.weight", MLP + "up_proj.weight", ATTN + "qkv_proj.weight",
        ATTN + "qkv_proj.bias", ATTN + "q_proj.weight", "h.0.attn.c_attn.weight", "x.in_proj_weight", "x.in_proj_bias",
        "h.0.attn.query_key_value.weight", "blk.0.ffn_up_exps.weight", "blk.0.ffn_up.weight", "experts.{0.__class__}",
    ]), max_size=8),
    shapes=st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 8, 12, 2**40]), max_size=4), min_size=8, max_size=8),
    config=st.one_of(st.none(), st.dictionaries(
        st.sampled_from(["model_type", "hidden_size", "num_attention_heads", "num_kv_heads", "head_dim", "multi_query",
                         "attn_config", "text_config", "new_decoder_architecture"]),
        st.sampled_from(["gpt_oss", "falcon", "bloom", "gpt_bigcode", 0, -1, 1, 2, 4, 12, 2**70, None, [], {}, 1.5]),
    )),
)  # fmt: skip
def test_nothing_hostile_gets_through(names: list[str], shapes: list[list[int]], config: dict[str, Any] | None) -> None:
    """Zero sizes, doubled names, splits that do not divide, absurd configs: sound tensors or the ones that came."""
    at, given_ = 0, []
    for name, shape in zip(names, shapes, strict=False):
        size = 4 * int(np.prod(shape, dtype=object))
        given_.append(safetensors.plain_tensor(TensorInfo(name, "F32", tuple(shape), (at, at + size), NAME)))
        at += size
    found = canonical(given_, config)
    count = lambda ts: sum(int(np.prod(t.info.shape, dtype=object)) for t in ts)  # noqa: E731
    assert count(found) == count(given_)
    if len(set(names)) == len(names[: len(given_)]):
        assert len({t.info.name for t in found}) == len(found)
    for one in found:
        for first, n in ((0, one.n_units), (one.n_units, 0), (one.n_units - 1, 1)):
            if first >= 0 and one.n_units:
                assert all(0 <= a <= b <= at for _, a, b in one.extents(first, n))


def stack(name: str, *shape: int) -> Tensor:
    return safetensors.plain_tensor(TensorInfo(name, "F32", shape, (0, 4 * int(np.prod(shape, dtype=object))), NAME))


def test_too_many_experts_stay_a_stack() -> None:
    assert len(canonical([stack("experts.w", 10**9, 10**9, 10**9)])) == 1
    layers = [stack(f"{i}.experts.w", 512, 512, 512) for i in range(500)]  # 256,000 would come of it
    assert canonical(layers) == layers
    assert len(canonical(layers[:100])) == 51_200


def test_too_many_halves_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TENSORS", 4)
    layers = [stack(f"{i}.attn.qkv_proj.weight", 6, 2) for i in range(2)]
    assert canonical(layers) == layers


def test_a_name_that_is_taken_is_not_taken_twice(tmp_path: Path) -> None:
    stored = {QKV[0]: floats(4, 4), ATTN + "qkv_proj.weight": floats(12, 4)}
    check(tmp_path, stored, stored)


def test_long_names_are_not_looked_at() -> None:
    long = [stack("experts/" * 200_000 + "w", 2, 4, 4), stack("a" * 2_000_000, 2, 4, 4)]
    assert canonical(long) == long


def test_a_fused_copy_is_the_same_model(tmp_path: Path) -> None:
    """A decoder of the demo: its gate and up, and its q, k and v, fused by numpy."""
    from hubdna import demo

    source = Path(demo.__file__).parent / "models" / "bytewright" / "pyllama-245k"
    weights = load_file(source / NAME)
    for i in range(4):
        path = f"model.layers.{i}."
        gate, up = (weights.pop(f"{path}mlp.{w}_proj.weight") for w in ("gate", "up"))
        weights[path + "mlp.gate_up_proj.weight"] = np.concatenate([gate, up])
        parts = [weights.pop(f"{path}self_attn.{c}_proj.weight") for c in "qkv"]
        weights[path + "self_attn.qkv_proj.weight"] = np.concatenate(parts)
    save_file(weights, tmp_path / NAME)
    shutil.copy(source / "config.json", tmp_path)
    a, b = ModelRef(str(source)), ModelRef(str(tmp_path))
    verdict = compare_models(a, b, Loader(level="full")).verdict
    assert verdict.origin == "identical"
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": "many"}))
    assert compare_models(a, b, Loader(level="full")).verdict.origin == "identical"
    dna = [Loader(level="full").load(ref).dna for ref in (a, b)]
    assert [(g.tensor, g.shape) for g in dna[0].genes] == [(g.tensor, g.shape) for g in dna[1].genes]
    assert dna[0].content == dna[1].content


def test_a_components_name_stands_before_the_parts(tmp_path: Path) -> None:
    parts = attention(8, 8, 8)
    (whole,) = tensors_of(tmp_path, {"attn.qkv_x.weight": np.concatenate(parts)})
    renamed = replace(whole, info=replace(whole.info, name="unet/attn.qkv.weight"))
    assert [t.info.name for t in canonical([renamed])] == [f"unet/attn.{c}_proj.weight" for c in "qkv"]
