"""Which of a repository's files are the model: layouts seen on the Hub, and names made to confuse."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubdna.errors import FormatError, SourceError
from hubdna.sources.choice import Choice, choose

REST = ("README.md", "config.json", ".gitattributes", "tokenizer.json", "tokenizer.model", "vocab.txt", "merges.txt")
SHARDS = tuple(f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3))
BINS = tuple(f"pytorch_model-{i:05d}-of-00002.bin" for i in (1, 2))

CHOSEN = {
    "one file": (("model.safetensors", "pytorch_model.bin", "tf_model.h5"), ("model.safetensors",), "safetensors"),
    "shards": ((*SHARDS, *BINS, "model.safetensors.index.json"), SHARDS, "safetensors"),
    "bins only": ((*BINS, "pytorch_model.bin.index.json", "training_args.bin", "optimizer.pt"), BINS, "torch"),
    "after training": (
        ("pytorch_model.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin",
         "checkpoint-500/model.safetensors"), ("pytorch_model.bin",), "torch"),
    "half and whole": (("model.fp16.safetensors", "model.safetensors"), ("model.safetensors",), "safetensors"),
    "half only": (("model.fp16.safetensors", "model.int8.safetensors"), ("model.fp16.safetensors",), "safetensors"),
    "whole bin before int8": (("model-int8.safetensors", "pytorch_model.bin"), ("pytorch_model.bin",), "torch"),
    "int8 only": (("model-int8.safetensors",), ("model-int8.safetensors",), "safetensors"),
    "root before folders": (("a/model.safetensors", "zz.safetensors"), ("zz.safetensors",), "safetensors"),
    "timm": (("model.safetensors", "pytorch_model.bin", "config.json"), ("model.safetensors",), "safetensors"),
    "open_clip": (
        ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"), ("open_clip_model.safetensors",), "safetensors"
    ),
    "sentence-transformers": (
        ("1_Pooling/config.json", "2_Dense/model.safetensors", "model.safetensors", "onnx/model.onnx",
         "openvino/openvino_model.bin", "openvino/openvino_model.xml"), ("model.safetensors",), "safetensors"),
    "old sentence-transformers": (
        ("0_Transformer/pytorch_model.bin", "2_Dense/pytorch_model.bin"), ("0_Transformer/pytorch_model.bin",), "torch"
    ),
    "llama": ((*SHARDS, "original/consolidated.00.pth", "original/params.json"), SHARDS, "safetensors"),
    "llama of old": (("consolidated.00.pth", "params.json"), ("consolidated.00.pth",), "torch"),
    "mistral": (("consolidated.safetensors", *SHARDS), SHARDS, "safetensors"),
    "adapter beside": (("adapter_model.safetensors", "model.safetensors"), ("model.safetensors",), "safetensors"),
    "adapter": (("adapter_model.bin", "adapter_model.safetensors"), ("adapter_model.safetensors",), "adapter"),
    "lora of diffusers": (("pytorch_lora_weights.safetensors",), ("pytorch_lora_weights.safetensors",), "adapter"),
    "onnx": (
        ("onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_fp16.onnx", "onnx/model_q4f16.onnx"),
        ("onnx/model.onnx",), "onnx"),
    "onnx in the root": (("model_int8.onnx", "model.onnx", "model.onnx_data"), ("model.onnx",), "onnx"),
    "gguf": (
        ("m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-F16.gguf", "mmproj-m-F32.gguf"), ("m-F16.gguf",), "gguf"),
    "gguf quantised": (("m.Q4_K_M.gguf", "m.q6_k.gguf", "m.IQ2_XXS.gguf"), ("m.q6_k.gguf",), "gguf"),
    "gguf split": (
        ("BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf", "m-Q8_0.gguf"),
        ("BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"), "gguf"),
    "onnx before quantised gguf": (("m-Q4_0.gguf", "model.onnx"), ("model.onnx",), "onnx"),
    "torchscript": (("model_scripted.pt",), ("model_scripted.pt",), "torch"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHOSEN)
def test_layouts_of_the_hub(what: str) -> None:
    files, chosen, kind = CHOSEN[what]
    for order in (files, files[::-1]):
        choice = choose((*REST, *order))
        assert (choice.files, choice.kind) == (chosen, kind)
        assert {s.subject for s in choice.rejected} >= {
            f for f in files if f not in chosen and not f.endswith("json")
        } - {f for f in files if f.endswith("params.json")}
        assert not {s.subject for s in choice.rejected} & set(REST)


NOT_READ = {
    "tf_model.h5": "Keras", "model.keras": "Keras", "saved_model.pb": "TensorFlow", "flax_model.msgpack": "Flax",
    "model.tflite": "TensorFlow Lite", "model.mlmodel": "Core ML", "rust_model.ot": "another library",
    "M.mlpackage/Data/com.apple.CoreML/weights/weight.bin": "Core ML", "openvino_model.bin": "OpenVINO",
    "model.nemo": "NeMo", "m.llamafile": "llamafile", "m.rknn": "device", "m.engine": "TensorRT", "m.npz": "NumPy",
    "m.pdparams": "Paddle", "en_core-any-py3-none-any.whl": "spaCy", "cc.en.300.bin": "fastText", "lid.176.ftz": "fast",
    "model.joblib": "pickled", "model.pkl": "pickled", "ggml-base.en.bin": "ggml", "m.caffemodel": "another library",
    "variables/variables.data-00000-of-00001": "TensorFlow", "params_shard_0.bin": "MLC", "m.tar.gz": "packed",
    "training_args.bin": "training arguments", "optimizer.pt": "optimizer", "scheduler.pt": "schedule",
    "rng_state.pth": "random numbers", "random_states_0.pkl": "random numbers", "mmproj-F16.gguf": "projector",
    "global_step5/mp_rank_00_model_states.pt": "training", "checkpoint-5/pytorch_model.bin": "intermediate",
    "zero_pp_rank_0_mp_rank_00_optim_states.pt": "optimizer",
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_has_a_name_and_a_reason(name: str) -> None:
    choice = choose((*REST, name))
    assert (choice.files, choice.kind, choice.note) == ((), "none", None)
    assert [s.subject for s in choice.rejected] == [name]
    assert NOT_READ[name] in choice.rejected[0].reason


def test_bin_files_of_other_engines_are_known_by_their_company() -> None:
    assert choose(("m.bin", "m.xml")).kind == "none"
    assert choose(("m.bin", "m.param")).kind == "none"
    assert choose(("model.bin", "shared_vocabulary.txt", "config.json")).kind == "none"
    assert choose(("model.bin", "config.json")).kind == "torch"
    assert choose(("m.ckpt", "m.ckpt.meta")).kind == "none"
    assert choose(("m.ckpt",)).kind == "torch"
    assert choose(("consolidated.00.pth", "consolidated.01.pth")).kind == "none"


def test_nothing_at_all() -> None:
    assert choose(REST) == Choice((), "none", (), None)
    assert choose(()) == Choice((), "none", (), None)


PIPELINE = (
    "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "v1-5-pruned.safetensors",
    "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors", "text_encoder/pytorch_model.bin",
    "text_encoder/model.safetensors", "text_encoder_2/model-00001-of-00002.safetensors",
    "text_encoder_2/model-00002-of-00002.safetensors", "safety_checker/model.safetensors",
)  # fmt: skip


def test_pipelines_are_all_their_components() -> None:
    choice = choose(PIPELINE)
    assert choice.files == (
        "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors", "text_encoder_2/model-00001-of-00002.safetensors",
        "text_encoder_2/model-00002-of-00002.safetensors",
    )  # fmt: skip
    assert choice.note == "components: unet, vae, text_encoder, text_encoder_2"
    reasons = {s.subject: s.reason for s in choice.rejected}
    assert "half-precision" in reasons["unet/diffusion_pytorch_model.fp16.safetensors"]
    assert "unet/diffusion_pytorch_model.safetensors comes before" in reasons["unet/diffusion_pytorch_model.bin"]
    assert "safety_checker/model.safetensors" in reasons


def test_a_pipeline_with_half_precision_only() -> None:
    files = ("model_index.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin")
    assert choose(files).files == files[1:]


def test_a_note_says_when_a_choice_was_arbitrary() -> None:
    assert choose(("b.safetensors", "a.safetensors")).note == "one of 2 safetensors models beside each other"
    assert choose(("m-Q4_0.gguf",)).note == "quantised: no other copy is here"
    assert "no model" in (choose(("adapter_model.safetensors",)).note or "")
    assert choose(("model.safetensors", "b.safetensors")).note is None


def test_an_index_names_shards_that_have_no_numbers() -> None:
    index = json.dumps({"weight_map": {"a": "part-b.safetensors", "b": "part-a.safetensors"}}).encode()
    files = ("part-a.safetensors", "part-b.safetensors", "other.safetensors", "model.safetensors.index.json")
    assert choose(files, lambda name: index).files == ("part-a.safetensors", "part-b.safetensors")
    below = tuple(f"sub/{f}" for f in files)
    asked: list[str] = []
    assert choose(below, lambda name: asked.append(name) or index).files == below[:2]
    assert asked == ["sub/model.safetensors.index.json"]
    with pytest.raises(FormatError, match="weight_map"):
        choose(files, lambda name: b"[]")


@pytest.mark.parametrize(
    "files",
    [SHARDS[:2], BINS[1:], ("m-F16-00001-of-00002.gguf",), ("model-00001-of-99999.safetensors",), ("a-0-of-0.bin",)],
)
def test_absent_shards_are_an_error(files: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="shard is absent"):
        choose(files)


def test_complete_shards_come_before_leftovers() -> None:
    assert choose((*SHARDS, "model-00001-of-00002.safetensors")).files == SHARDS


BAD = ("../model.safetensors", "/model.safetensors", "a/../model.safetensors", "model\n.safetensors",
       "a\\b.safetensors", "model.safetensors\u202e", "", "a//m.safetensors", "x" * 2_000 + ".safetensors")  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_not_sound_are_never_chosen(name: str) -> None:
    choice = choose((name, "pytorch_model.bin"))
    assert choice.files == ("pytorch_model.bin",)
    assert all(s.subject.isprintable() for s in choice.rejected)


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\n", "a\u202e", "a\\b", "x" * 2_000])
def test_a_shard_index_whose_name_is_not_sound_is_never_asked_for(name: str) -> None:
    asked: list[str] = []
    files = ("part.safetensors", f"{name}.safetensors.index.json", f"{name}.safetensors")
    assert choose(files, lambda index: asked.append(index) or b"{}").files == ("part.safetensors",)
    assert asked == []


WORDS = st.sampled_from(
    "model pytorch_model adapter_model diffusion_pytorch_model -00001-of-00002 -00002-of-00002 .safetensors .bin .gguf"
    " .onnx .fp16 -Q4_0 / unet vae model_index.json .index.json ² ٣ checkpoint-1 .. .".split()
)
NAMES = st.lists(WORDS, min_size=1, max_size=6).map("".join) | st.text(max_size=20)


@given(st.lists(NAMES, max_size=12), st.binary(max_size=30))
def test_any_listing_gives_a_choice_or_a_source_error(names: list[str], index: bytes) -> None:
    files = tuple(names)
    try:
        choice = choose(files, lambda name: index)
    except SourceError:
        return
    assert set(choice.files) <= set(files)
    assert not set(choice.files) & {s.subject for s in choice.rejected}
    assert (choice.kind == "none") == (choice.files == ())


def test_a_hundred_thousand_files_take_seconds() -> None:
    files = tuple(f"{'q4_' * 20}{i}/optim_{'a_' * 40}{i}.{end}" for i in range(20_000) for end in ("bin", "gguf", "md"))
    begin = time.perf_counter()
    choose(files)
    assert time.perf_counter() - begin < 20
