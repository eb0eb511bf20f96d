"""compare ADAPTER BASE: the claim and the shapes are checked, and an adapter is never more than undecided."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubdna.compare import compare_models
from hubdna.errors import HubdnaError, NotFoundError, OnlyAdapterError
from hubdna.models import Loader
from hubdna.records import ModelRef, ReadLevel, Verdict

WIDTH, INNER = 64, 160
MODULES = {"self_attn.q_proj": (WIDTH, WIDTH), "mlp.up_proj": (INNER, WIDTH), "mlp.down_proj": (WIDTH, INNER)}
CONFIG = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8, "lora_alpha": 16}


def base(folder: Path, seed: int = 0, inner: int = INNER, prefix: str = "model.") -> ModelRef:
    rng = np.random.default_rng(seed)
    tensors = {
        f"{prefix}layers.{i}.{name}.weight": rng.normal(0, 0.1, [inner if n == INNER else n for n in shape])
        for i in range(2)
        for name, shape in MODULES.items()
    }
    folder.mkdir(parents=True)
    save_file({k: v.astype(np.float32) for k, v in tensors.items()}, folder / "model.safetensors")
    return ModelRef(str(folder))


def factors(seed: int = 1, rank: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        f"base_model.model.model.layers.{i}.{name}.lora_{half}.weight": rng.normal(0, 0.1, shape).astype(np.float32)
        for i in range(2)
        for name, (n_out, n_in) in MODULES.items()
        for half, shape in (("A", (rank, n_in)), ("B", (n_out, rank)))
    }


def adapter(folder: Path, config: Any = CONFIG, file: str = "adapter_model.safetensors", seed: int = 1) -> ModelRef:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(factors(seed), path)
    if config is not None:
        raw = config if isinstance(config, bytes) else json.dumps(config).encode()
        (path.parent / "adapter_config.json").write_bytes(raw)
    return ModelRef(str(folder))


def compare(a: ModelRef, b: ModelRef, level: ReadLevel = "standard") -> Verdict:
    return compare_models(a, b, Loader(level=level)).verdict


@pytest.mark.parametrize("level", ["small", "standard", "full"])
def test_an_adapter_that_fits_is_undecided_and_says_what_it_claims(tmp_path: Path, level: ReadLevel) -> None:
    verdict = compare(adapter(tmp_path / "a"), base(tmp_path / "b"), level)
    assert (verdict.origin, verdict.relation, verdict.direction) == ("undecided", "adapter", "undirected")
    assert (verdict.log10_p, verdict.similarity, verdict.disguise) == (None, None, ())
    reason = verdict.undecided_because or ""
    assert "lora of rank 8" in reason and "claims org/base" in reason and "its 6 modules fit the shapes of" in reason


def test_the_order_of_adapter_and_base_does_not_matter(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a"), base(tmp_path / "b")
    there, back = compare_models(a, b, Loader()), compare_models(b, a, Loader())
    assert there.verdict == back.verdict
    assert (there.a, there.b, back.a, back.b) == (a, b, b, a)
    assert there.n_bytes_read > 0


@pytest.mark.parametrize(("inner", "n"), [(INNER + 16, 4), (INNER, 0)])
def test_modules_that_do_not_fit_are_counted_and_one_is_named(tmp_path: Path, inner: int, n: int) -> None:
    reason = compare(adapter(tmp_path / "a"), base(tmp_path / "b", inner=inner)).undecided_because or ""
    assert ("does not fit" in reason) == (n > 0)
    if n:
        assert f"{n} of 6 modules, model.layers.0.mlp." in reason and "176" in reason


def test_an_adapter_does_not_fit_a_model_of_other_names(tmp_path: Path) -> None:
    reason = compare(adapter(tmp_path / "a"), base(tmp_path / "b", prefix="blocks.h.")).undecided_because or ""
    assert "does not fit" in reason and "6 of 6 modules" in reason and "no such weight" in reason


def test_an_adapter_fits_a_base_whose_weights_are_packed(tmp_path: Path) -> None:
    """Of a quantised base the unpacked shapes count: QLoRA's bases are stored in 4 bits."""
    rng, tensors = np.random.default_rng(2), {}
    for i in range(2):
        for name, (n_out, n_in) in MODULES.items():
            stem = f"model.layers.{i}.{name}"
            tensors[f"{stem}.qweight"] = rng.integers(-(2**31), 2**31, (n_in // 8, n_out), dtype=np.int32)
            tensors[f"{stem}.qzeros"] = rng.integers(-(2**31), 2**31, (n_in // 32, n_out // 8), dtype=np.int32)
            tensors[f"{stem}.scales"] = rng.uniform(0.001, 0.01, (n_in // 32, n_out)).astype(np.float16)
            tensors[f"{stem}.g_idx"] = (np.arange(n_in) // 32).astype(np.int32)
    (tmp_path / "b").mkdir()
    save_file(tensors, tmp_path / "b" / "model.safetensors")
    quantisation = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False}
    (tmp_path / "b" / "config.json").write_text(json.dumps({"quantization_config": quantisation}))
    reason = compare(adapter(tmp_path / "a"), ModelRef(str(tmp_path / "b"))).undecided_because or ""
    assert "its 6 modules fit the shapes of" in reason


def test_two_adapters_are_an_error_that_names_the_second(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a"), adapter(tmp_path / "b")
    with pytest.raises(OnlyAdapterError, match=r"/b: only an adapter \(adapter_model.safetensors\)"):
        compare(a, b)


def test_an_adapter_given_as_a_file_is_an_adapter_too(tmp_path: Path) -> None:
    adapter(tmp_path / "a")
    file = ModelRef(str(tmp_path / "a" / "adapter_model.safetensors"))
    assert compare(file, base(tmp_path / "b")).relation == "adapter"
    with pytest.raises(OnlyAdapterError):
        Loader().load(file)


def test_an_adapter_in_a_folder_of_the_repository_has_its_config_beside_it(tmp_path: Path) -> None:
    a = adapter(tmp_path / "a", file="final/adapter_model.safetensors")
    assert compare(a, base(tmp_path / "b")).relation == "adapter"


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("file", ["adapter_model.safetensors", "pytorch_lora_weights.safetensors"])
def test_an_adapter_without_its_config_is_an_error_that_says_so(tmp_path: Path, file: str, swapped: bool) -> None:
    pair = adapter(tmp_path / "a", None, file), base(tmp_path / "b")
    with pytest.raises(HubdnaError, match=rf"/a/{file}: an adapter without an adapter_config.json"):
        compare(*(pair[::-1] if swapped else pair))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (CONFIG | {"r": 0}, "adapter_config.json: r: expected a rank of 1 or more, found 0"),
        (CONFIG | {"r": "\x1b[31m"}, "adapter_config.json: r: expected"), (CONFIG | {"r": 4}, "although r is 4"),
        (CONFIG | {"lora_alpha": "many"}, "adapter_config.json: lora_alpha"), (b"", "adapter_config.json: not valid"),
        (b"[" * 50_000, "adapter_config.json: not valid"), (b"[]", "adapter_config.json: not a JSON object"),
        (b"\xff\xfe", "adapter_config.json: not valid"), (b" " * 1_000_001, "adapter_config.json: 1000001 bytes"),
        (CONFIG | {"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING"), (CONFIG | {"peft_type": "\x1b"}, "not read"),
    ],
    ids=lambda x: str(x)[:30],
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_an_error_that_names_the_file(tmp_path: Path, config: Any, what: str) -> None:
    with pytest.raises(HubdnaError) as caught:
        compare(adapter(tmp_path / "a", config), base(tmp_path / "b"))
    assert what in str(caught.value) and ("/a/" in str(caught.value) or "adapter_model" in str(caught.value))
    assert str(caught.value).isprintable()


def test_files_that_are_no_safetensors_and_bases_that_are_absent_are_errors(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a"), base(tmp_path / "b")
    with pytest.raises(NotFoundError, match="nowhere"):
        compare(a, ModelRef(str(tmp_path / "nowhere")))
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(HubdnaError, match=r"/a/adapter_model\.safetensors: header length 0"):
        compare(a, b)


def test_two_models_of_one_architecture_get_the_same_answer(tmp_path: Path) -> None:
    a = adapter(tmp_path / "a")
    found = [compare(a, base(tmp_path / f"b{seed}", seed)).undecided_because for seed in (0, 1)]
    assert found[0] == (found[1] or "").replace("/b1", "/b0")
