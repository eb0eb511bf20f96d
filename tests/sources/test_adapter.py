"""Adapters: claims and factors are read, and whatever makes no sense is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from hubdna.errors import FormatError, HubdnaError, NoWeightsError
from hubdna.records import TensorInfo
from hubdna.sources import safetensors
from hubdna.sources.adapter import MAX_CONFIG, Adapter, check_shapes, delta, read_adapter
from hubdna.sources.interface import LocalReader

NAME = "adapter_model.safetensors"
CONFIG = {
    "peft_type": "LORA", "base_model_name_or_path": "org/base", "revision": "main", "r": 4, "lora_alpha": 8,
    "target_modules": ["q_proj", "up_proj"], "alpha_pattern": {}, "rank_pattern": {},
}  # fmt: skip
Q, UP = "layers.0.self_attn.q_proj", "layers.0.mlp.up_proj"
Arrays = dict[str, np.ndarray[Any, Any]]


def factors(rank: int = 4) -> Arrays:
    rng = np.random.default_rng(0)
    shapes = {Q: (16, 16), UP: (48, 16)}
    return {
        f"base_model.model.{name}.lora_{half}.weight": rng.normal(0, 1, shape).astype(np.float32)
        for name, (n_out, n_in) in shapes.items()
        for half, shape in (("A", (rank, n_in)), ("B", (n_out, rank)))
    }


def opened(folder: Path, arrays: Arrays, **changed: Any) -> Adapter:
    save_file(arrays, folder / NAME)
    tensors = safetensors.read_tensors(LocalReader(folder), NAME)
    return read_adapter(tensors, json.dumps(CONFIG | changed).encode(), NAME)


def info(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, "F16", shape, (0, 0), "model.safetensors")


def test_claim_and_modules(tmp_path: Path) -> None:
    adapter = opened(tmp_path, factors())
    assert (adapter.kind, adapter.base, adapter.revision) == ("lora", "org/base", "main")
    assert (adapter.rank, adapter.alpha, adapter.targets) == (4, 8.0, ("q_proj", "up_proj"))
    assert set(adapter.modules) == {Q, UP}


def test_delta_is_the_change_of_the_weight(tmp_path: Path) -> None:
    arrays = factors()
    A, B, scale = delta(opened(tmp_path, arrays), UP, LocalReader(tmp_path))
    assert scale == 2.0
    assert A.dtype == B.dtype == np.float32
    np.testing.assert_array_equal(A, arrays[f"base_model.model.{UP}.lora_A.weight"])
    np.testing.assert_array_equal(B, arrays[f"base_model.model.{UP}.lora_B.weight"])


def test_scales(tmp_path: Path) -> None:
    reader = LocalReader(tmp_path)
    assert delta(opened(tmp_path, factors(), use_rslora=True), Q, reader)[2] == 4.0
    assert delta(opened(tmp_path, factors(), alpha_pattern={"q_proj": 2}), Q, reader)[2] == 0.5
    assert delta(opened(tmp_path, factors(), alpha_pattern={"proj": 2}), Q, reader)[2] == 2.0
    assert delta(opened(tmp_path, factors(), alpha_pattern={"^q_proj": 2}), Q, reader)[2] == 2.0
    exact = "^" + Q.replace(".", "\\.") + "$"
    assert delta(opened(tmp_path, factors(), alpha_pattern={exact: 2}), Q, reader)[2] == 0.5
    other = opened(tmp_path, factors(2), rank_pattern={"q_proj": 2, "up_proj": 2})
    assert delta(other, Q, reader)[2] == 4.0
    with pytest.raises(FormatError, match="not a plain name"):
        delta(opened(tmp_path, factors(), alpha_pattern={"(a+)+$": 2}), Q, reader)
    with pytest.raises(FormatError, match="no low-rank pair"):
        delta(opened(tmp_path, factors()), "nothing", reader)


def test_dora_embeddings_convolutions_and_whole_tensors(tmp_path: Path) -> None:
    arrays = factors() | {
        f"base_model.model.{Q}.lora_magnitude_vector": np.ones(16, np.float32),
        "base_model.model.embed.lora_embedding_A": np.ones((4, 100), np.float32),
        "base_model.model.embed.lora_embedding_B": np.ones((16, 4), np.float32),
        "base_model.model.conv.lora_A.weight": np.ones((4, 8, 3, 3), np.float32),
        "base_model.model.conv.lora_B.weight": np.ones((32, 4, 1, 1), np.float32),
        "base_model.model.classifier.weight": np.ones((2, 16), np.float32),
    }
    adapter = opened(tmp_path, arrays, use_dora=True)
    assert adapter.kind == "dora"
    assert adapter.modules[Q].magnitude is not None
    assert [t.info.name for t in adapter.others] == ["base_model.model.classifier.weight"]
    A, B, _ = delta(adapter, "conv", LocalReader(tmp_path))
    assert (A.shape, B.shape) == ((4, 72), (32, 4))
    base = [info(f"{Q}.weight", 16, 16), info(f"{UP}.weight", 48, 16), info("embed.weight", 100, 16),
            info("conv.weight", 32, 8, 3, 3)]  # fmt: skip
    assert check_shapes(adapter, base) == []


def test_ia3(tmp_path: Path) -> None:
    arrays = {f"base_model.model.{Q}.ia3_l": np.ones((16, 1), np.float32),
              f"base_model.model.{UP}.ia3_l": np.ones((1, 16), np.float32)}  # fmt: skip
    adapter = opened(tmp_path, arrays, peft_type="IA3")
    assert (adapter.kind, adapter.rank, adapter.alpha) == ("ia3", None, None)
    assert check_shapes(adapter, [info(f"{Q}.weight", 16, 16), info(f"{UP}.weight", 48, 16)]) == []
    assert len(check_shapes(adapter, [info(f"{Q}.weight", 8, 8), info(f"{UP}.weight", 48, 16)])) == 1
    with pytest.raises(FormatError, match="no low-rank pair"):
        delta(adapter, Q, LocalReader(tmp_path))


def test_which_modules_do_not_fit_the_claimed_base(tmp_path: Path) -> None:
    adapter = opened(tmp_path, factors())
    right = [info(f"{Q}.weight", 16, 16), info(f"{UP}.weight", 48, 16)]
    assert check_shapes(adapter, right) == []
    assert check_shapes(adapter, [info(f"{Q}.weight", 16, 16), info(f"{UP}.weight", 16, 48)]) == []  # stored [in, out]
    assert check_shapes(adapter, [info(f"model.{i.name}", *i.shape) for i in right]) == []  # wrapped once more
    (fault,) = check_shapes(adapter, [info(f"{Q}.weight", 16, 16), info(f"{UP}.weight", 64, 16)])
    assert fault == f"{UP}: it changes [48, 16], the base's weight is [64, 16]"
    assert check_shapes(adapter, right[:1]) == [f"{UP}: the base has no such weight"]
    twice = [info(f"{a}.{i.name}", *i.shape) for a in "ab" for i in right]
    assert len(check_shapes(adapter, twice)) == 2


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"r": 0}, "rank of 1"), ({"r": True}, "rank of 1"), ({"r": None}, "rank of 1"), ({"r": 8}, "rank 4"),
        ({"lora_alpha": float("nan")}, "finite"), ({"lora_alpha": float("inf")}, "finite"),
        ({"lora_alpha": "8"}, "finite"), ({"lora_alpha": 10**400}, "finite"), ({"lora_alpha": None}, "finite"),
        ({"alpha_pattern": {"q_proj": float("inf")}}, "finite"), ({"alpha_pattern": [1]}, "an object"),
        ({"peft_type": "IA3"}, "vector of IA3"),
    ],
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(tmp_path: Path, changed: dict[str, Any], what: str) -> None:
    with pytest.raises(FormatError, match=what):
        opened(tmp_path, factors(), **changed)


@pytest.mark.parametrize("rank", ["\x1b[31m4", "4\n\u202e", [["\x1b"]], {"\x07": 1}, 10**3000, -1, 4.0, "\ud800" * 90])
def test_what_a_refused_rank_says_reaches_the_message_without_control_characters(tmp_path: Path, rank: Any) -> None:
    with pytest.raises(FormatError, match="rank of 1 or more") as caught:
        opened(tmp_path, factors(), r=rank)
    assert str(caught.value).isascii() and str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_odd_names_count_as_absent(tmp_path: Path) -> None:
    adapter = opened(tmp_path, factors(), base_model_name_or_path=["x"], revision="a\x1b[31m", target_modules={"a": 1})
    assert (adapter.base, adapter.revision, adapter.targets) == (None, None, ())
    assert opened(tmp_path, factors(), base_model_name_or_path="x" * 501).base is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b" " * (MAX_CONFIG + 1), b"1" * 5000])
def test_hostile_json_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        read_adapter([], raw)


def test_other_kinds_are_not_read() -> None:
    with pytest.raises(NoWeightsError, match="PREFIX_TUNING"):
        read_adapter([], b'{"peft_type": "PREFIX_TUNING"}')


@pytest.mark.parametrize(
    ("name", "array", "what"),
    [
        (f"{Q}.lora_B.weight", None, "missing"),
        (f"{Q}.lora_A.weight", None, "missing"),
        (f"{Q}.lora_B.weight", np.ones((16, 3), np.float32), "do not fit each other"),
        (f"{Q}.lora_B.weight", np.ones((16, 4, 3), np.float32), "do not fit each other"),
        (f"{Q}.lora_A.weight", np.ones((0, 16), np.float32), "part of shape"),
        (f"{Q}.lora_A.weight", np.ones((4, 16), np.int8), "not as a float"),
        (f"{Q}.ia3_l", np.ones((16, 1), np.float32), "missing"),
        (f"{Q}.lora_A.default.weight", np.ones((4, 16), np.float32), "two tensors"),
        (f"{Q}.lora_embedding_A", np.ones((4, 16), np.float32), "missing|both"),
        (f"{Q}.lora_magnitude_vector", np.ones(7, np.float32), "for 16 rows"),
    ],
)
def test_pairs_that_do_not_belong_together_are_refused(tmp_path: Path, name: str, array: Any, what: str) -> None:
    arrays = factors()
    if array is None:
        del arrays[f"base_model.model.{name}"]
    else:
        arrays[f"base_model.model.{name}"] = array
    with pytest.raises(FormatError, match=what):
        opened(tmp_path, arrays)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    arrays = factors()
    arrays[f"base_model.model.{Q}.lora_A.weight"][0, 0] = np.nan
    adapter = opened(tmp_path, arrays)
    with pytest.raises(FormatError, match="NaN"):
        delta(adapter, Q, LocalReader(tmp_path))
    delta(adapter, UP, LocalReader(tmp_path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(changed=st.dictionaries(st.sampled_from([*CONFIG, "use_rslora", "use_dora"]), JSON, max_size=3))
def test_any_config_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    try:
        adapter = opened(folder, factors(), **changed)
        for module in adapter.modules:
            A, B, scale = delta(adapter, module, LocalReader(folder))
            assert np.isfinite(scale * (B @ A)).all()
    except HubdnaError as error:
        assert isinstance(error, FormatError | NoWeightsError)
