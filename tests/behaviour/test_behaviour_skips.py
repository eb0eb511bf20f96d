"""Models that cannot be seen: each is refused with its reason, runs nothing of its own, and the next one is seen."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import behaviour_bench as bench
import numpy as np
import pytest
import torch

from hubdna.behaviour import Limits, Observer
from hubdna.behaviour.observation import _believed
from hubdna.errors import BehaviourError
from hubdna.records import Behaviour

MODELING = "from pathlib import Path\nPath({marker!r}).write_text('ran')\n"


def no_folder(folder: Path) -> Path:
    return folder / "nothing"


def empty(folder: Path) -> Path:
    return folder


def pickle_only(folder: Path) -> Path:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return folder


def unknown_type(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.LM, folder), model_type="no-such-model")


def needs_code(folder: Path) -> Path:
    return bench.edit(unknown_type(folder), auto_map={"AutoModelForCausalLM": "modeling_own.Own"})


def own_architecture(folder: Path) -> Path:
    made = bench.edit(bench.copy(bench.LM, folder), auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    return bench.edit(made, architectures=["OwnForCausalLM"])


def not_a_number(folder: Path) -> Path:
    return bench.edit_weights(
        bench.copy(bench.VIT, folder), lambda tensors: tensors | {"norm.weight": tensors["norm.weight"] * float("nan")}
    )


def constant(folder: Path) -> Path:
    return bench.edit_weights(
        bench.copy(bench.VIT, folder), lambda tensors: {n: torch.zeros_like(t) for n, t in tensors.items()}
    )


def no_labels(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.VIT, folder), num_classes=0)


def no_labels_either(folder: Path) -> Path:
    return bench.edit(bench.copy("convfoundry/resnet-digits", folder), id2label={}, num_labels=0)


def vocabulary_of_three(folder: Path) -> Path:
    return bench.words(bench.llama(folder / "m", 3), {"?": 0, "the": 1, "a": 2})


def wrong_size(folder: Path) -> Path:
    made = bench.copy(bench.VIT, folder)
    return bench.edit(made, model_args={"patch_size": 4, "in_chans": 1, "embed_dim": 64, "depth": 4, "num_heads": 4},
                      pretrained_cfg={"input_size": [1, 16, 16]})  # fmt: skip


def absurd_size(folder: Path) -> Path:
    return bench.edit(bench.copy("convfoundry/resnet-digits", folder), "preprocessor_config.json", size=10**7)


def out_of_memory(folder: Path) -> Path:
    args = {"img_size": 16, "patch_size": 4, "in_chans": 1, "embed_dim": 32_768, "depth": 4, "num_heads": 4}
    return bench.edit(bench.copy(bench.VIT, folder), model_args=args)


def checkpoint(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.VIT, folder), model_args={"checkpoint_path": "model.pth"})


def another_library_s_hub(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.VIT, folder), architecture="hf-hub:someone/model")


def another_config(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.LM, folder), hidden_size=96)


def without_a_layer(folder: Path) -> Path:
    return bench.edit_weights(
        bench.copy(bench.LM, folder), lambda tensors: {n: t for n, t in tensors.items() if "layers.2." not in n}
    )


def cut_off(folder: Path) -> Path:
    made = bench.copy(bench.VIT, folder)
    weights = made / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    return made


def promised(folder: Path) -> Path:
    made = bench.copy(bench.LM, folder)
    bench.header_only(made / "model.safetensors", 10**12)
    return made


def quantised(folder: Path) -> Path:
    return bench.edit(bench.copy(bench.LM, folder), quantization_config={"quant_method": "gptq", "bits": 4})


def shard_elsewhere(folder: Path) -> Path:
    made = bench.copy(bench.LM_CHILD, folder)
    return bench.edit(made, "model.safetensors.index.json", weight_map={"w": "../secret.safetensors"})


def config_is_a_list(folder: Path) -> Path:
    made = bench.copy(bench.LM, folder)
    (made / "config.json").write_text("[1, 2]")
    return made


def deep_config(folder: Path) -> Path:
    made = bench.copy(bench.LM, folder)
    (made / "config.json").write_text("[" * 100_000)
    return made


def broken_tokenizer(folder: Path) -> Path:
    made = bench.copy(bench.LM, folder)
    (made / "tokenizer.json").write_text('{"model": {"type": "Nothing"}}')
    return made


def no_graph(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"\x00" * 1000)
    return folder


def unknown_operator(folder: Path) -> Path:
    return bench.onnx_classifier(folder / "model.onnx", operator="RunThis").parent


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (no_folder, "expected a folder"),
    (empty, "no config.json with safetensors weights beside it, and no ONNX file"),
    (pickle_only, "only pickled weights: they are never loaded"),
    (unknown_type, "model_type 'no-such-model' is not known here"),
    (needs_code, "needs code of its own, which is never run"),
    (own_architecture, "architecture OwnForCausalLM needs code of its own, which is never run"),
    (not_a_number, "NaN or infinite values at the (end|answer)"),
    (constant, "the same for all probes"),
    (no_labels, "0 labels"),
    (no_labels_either, "0 labels"),
    (vocabulary_of_three, "3 different tokens for 128 texts"),
    (wrong_size, "weights and config disagree"),
    (absurd_size, "expected 1, 3 or 4 channels of 1 to 1024 pixels"),
    (out_of_memory, r"out of memory: more than the 3 GB it was given"),
    (checkpoint, "model_args: checkpoint_path is refused"),
    (another_library_s_hub, "timm has no architecture 'hf-hub:someone/model'"),
    (another_config, "weights and config disagree"),
    (without_a_layer, r"tensors are missing, model\.layers\.2\."),
    (cut_off, "SafetensorError"),
    (promised, "SafetensorError|safetensors"),
    (quantised, "quantised weights"),
    (shard_elsewhere, "is no name of a shard"),
    (config_is_a_list, "expected an object, found list"),
    (deep_config, "not JSON"),
    (broken_tokenizer, "no sound tokenizer"),
    (no_graph, "ONNX Runtime cannot open it"),
    (unknown_operator, "ONNX Runtime cannot open it"),
]


@pytest.mark.parametrize(("make", "reason"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_it_is_refused_with_its_reason(
    observer: Observer, tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    folder = make(tmp_path)
    with pytest.raises(BehaviourError, match=reason) as raised:
        observer.observe(folder)
    assert str(folder) in str(raised.value) and len(str(raised.value)) < 600


def test_after_all_of_them_the_next_one_is_seen(observer: Observer) -> None:
    assert observer.observe(bench.DEMO / bench.VIT).seen == (True,) * 6


def test_code_beside_a_known_model_is_not_run(observer: Observer, tmp_path: Path) -> None:
    marker, folder = tmp_path / "marker", bench.copy(bench.LM, tmp_path)
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py", "__init__.py", "sitecustomize.py"):
        (folder / name).write_text(MODELING.format(marker=str(marker)))
    maps = {"AutoConfig": "configuration_own.C", "AutoModelForCausalLM": "modeling_own.M"}
    bench.edit(folder, auto_map=maps, attn_implementation="someone/kernel", _attn_implementation="someone/kernel")
    assert observer.observe(folder).loader == "transformers"
    assert not marker.exists()


def test_what_takes_too_long_is_ended(observer: Observer, tmp_path: Path) -> None:
    args = {"img_size": 16, "patch_size": 4, "in_chans": 1, "embed_dim": 64, "depth": 200_000, "num_heads": 4}
    folder = bench.edit(bench.copy(bench.VIT, tmp_path), model_args=args)
    begun = time.monotonic()
    with pytest.raises(BehaviourError, match="took longer than 2 s"):
        observer.observe(folder, Limits(seconds=2))
    assert time.monotonic() - begun < 30
    assert observer.observe(bench.DEMO / bench.VIT).loader == "timm"


def test_when_the_process_at_hand_is_killed_the_next_model_is_seen(observer: Observer) -> None:
    child = observer._child or observer._start()
    child.kill()
    child.wait()
    with pytest.raises(BehaviourError, match="broke down"):
        observer.observe(bench.DEMO / bench.VIT)
    assert observer.observe(bench.DEMO / bench.VIT).loader == "timm"


def test_no_token_reaches_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with Observer() as observer:
        child, given = observer._start(), b""
        while not given and child.poll() is None:  # empty between fork and exec
            given = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"secret" not in given and b"HF_HUB_OFFLINE=1" in given


def good() -> list[Any]:
    return [np.zeros((6, 192, 192), np.float32), np.zeros((192, 10), np.float32), np.zeros(192, np.int64)]


TOLD = {"modality": "vision", "loader": "timm", "notes": [], "seconds": 1.0, "peak": 1}


def test_what_comes_back_is_believed_when_it_is_sound(tmp_path: Path) -> None:
    (tmp_path / "seen").write_bytes(b"".join(map(bench.npy, good())))
    assert isinstance(_believed(tmp_path / "seen", TOLD), Behaviour)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 2), np.float32),
        np.full((6, 192, 192), np.nan, np.float32),
        np.array([os.getcwd], object),
        np.zeros(192),
    ],
    ids=["shape", "nan", "pickle", "dtype"],
)
def test_what_comes_back_is_checked(tmp_path: Path, place: int, wrong: Any) -> None:
    arrays = good()
    arrays[place] = wrong
    (tmp_path / "seen").write_bytes(b"".join(map(bench.npy, arrays)))
    with pytest.raises((ValueError, EOFError)):
        _believed(tmp_path / "seen", TOLD)
