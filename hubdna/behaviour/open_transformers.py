"""Models of transformers: the class is the library's own, the configuration is cleaned, the folder holds data only."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubdna.behaviour import probes
from hubdna.behaviour.opening import Subject, is_size, read_json, text_inputs
from hubdna.behaviour.probes import Probes
from hubdna.errors import BehaviourError

if TYPE_CHECKING:
    import torch

DROPPED = {
    "auto_map", "custom_pipelines", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "experts_implementation", "_experts_implementation", "dtype", "torch_dtype", "_name_or_path", "name_or_path",
    "transformers_weights",
}  # fmt: skip
"""Keys of a configuration that name code (kernels of the Hub too), other files, or a type we choose ourselves."""
UNTOLD_SIDE = 224  # pixels, of models that say nothing
NO_TOKEN = -1
"""Classifiers over decoders look for the last token that is no padding, and refuse batches where none is named. All
probes of a batch have one length, so no token is padding."""
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def open_transformers(folder: Path, config: dict[str, Any], shown: Probes) -> Subject:
    """Open a model of transformers. Raises BehaviourError."""
    import torch

    if config.get("quantization_config"):
        raise BehaviourError("quantised weights: opening them needs kernels of their own")
    for key in ("num_labels", "id2label"):
        if key in config and (config[key] == 0 or config[key] == {}):
            raise BehaviourError("0 labels: the model answers nothing")
    made, model_class = _classes(config)
    with tempfile.TemporaryDirectory() as clean:
        _link(folder, Path(clean))
        (Path(clean) / "config.json").write_text(json.dumps(_cleaned(config)), encoding="utf-8")
        model, report = model_class.from_pretrained(
            clean, config=made, dtype=torch.float32, use_safetensors=True, attn_implementation="eager",
            local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    if report["mismatched_keys"]:  # told in our words
        raise BehaviourError(
            f"weights and config disagree: {str(sorted(map(str, report['mismatched_keys']))[0])[:120]}"
        )
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = NO_TOKEN
    return _subject(shown, folder, model.eval(), bool(_without_head(model, report["missing_keys"])))


def _without_head(model: Any, missing: set[str]) -> list[str]:
    """Tensors of the head that the weights lack: it was drawn at random. Raises BehaviourError for one of the body."""
    body = "" if model.base_model is model else model.base_model_prefix + "."
    inner = sorted(name for name in missing if name.startswith(body) and "pooler" not in name)
    if inner:
        raise BehaviourError(f"weights and config disagree: {len(inner)} tensors are missing, {inner[0][:80]} for one")
    return sorted(missing)


def _classes(config: dict[str, Any]) -> tuple[Any, Any]:
    """The configuration and the class of model, both the library's. Raises BehaviourError."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        needs = "needs code of its own, which is never run" if "auto_map" in config else "is not known here"
        raise BehaviourError(f"model_type {kind!r} {needs}")
    try:
        made = CONFIG_MAPPING[kind].from_dict(_cleaned(config))
    except Exception as error:  # validators of the library raise what they like
        raise BehaviourError(f"config.json: {type(error).__name__}: {str(error)[:120]}") from None
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    found = getattr(transformers, name, None) if name.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        if name and "auto_map" in config:
            raise BehaviourError(f"architecture {name} needs code of its own, which is never run")
        found = transformers.AutoModel._model_mapping.get(type(made), None)
    if found is None or isinstance(found, tuple) or getattr(found, "config_class", None) is not type(made):
        raise BehaviourError(f"no model class for model_type {kind!r} and architecture {name!r}")
    return made, found


def _cleaned(value: Any) -> Any:
    """A configuration without what is in `DROPPED`, at any depth."""
    if isinstance(value, dict):
        return {k: _cleaned(v) for k, v in value.items() if k not in DROPPED}
    return [_cleaned(v) for v in value] if isinstance(value, list) else value


def _link(folder: Path, clean: Path) -> None:
    """Links the weights, and nothing else. Raises BehaviourError."""
    names = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if names is None:
        raise BehaviourError(f"no {WEIGHTS[0]}, and no index of shards")
    wanted = {names}
    if names.endswith(".json"):
        table = read_json(folder / names).get("weight_map")
        wanted |= set(table.values()) if isinstance(table, dict) else set()
    for name in wanted:
        if not isinstance(name, str) or "/" in name or not name.endswith((".safetensors", WEIGHTS[1])):
            raise BehaviourError(f"{names}: {name!r} is no name of a shard")
        if not (folder / name).is_file():
            raise BehaviourError(f"{names}: {name} is not there")
        (clean / name).symlink_to((folder / name).resolve())


def _subject(shown: Probes, folder: Path, model: Any, headless: bool) -> Subject:
    """Says what the model is to be shown, and how; without a head of its own, its answers do not count."""
    notes = ["the head is not in the weights: no answers"] if headless else []
    config = model.config.get_text_config() if model.main_input_name == "input_ids" else model.config
    if model.main_input_name == "pixel_values":
        return Subject(
            "vision",
            "transformers",
            _pictures(shown, folder, config, notes),
            _Look(model, "pixel_values", headless),
            model,
            notes,
        )
    if model.main_input_name != "input_ids" or not hasattr(model, "get_input_embeddings"):
        raise BehaviourError(f"reads {model.main_input_name}: there are probes for text and pictures only")
    vocabulary = model.get_input_embeddings().weight.shape[0]
    told = getattr(config, "max_position_embeddings", None)
    longest = told if is_size(told) else probes.TOKENS
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        longest -= 2  # their positions begin behind the padding token's
    if getattr(config, "is_encoder_decoder", False):
        notes.append("the encoder alone was looked at")
        model = model.get_encoder()
    return Subject(
        "text",
        "transformers",
        text_inputs(shown, folder, vocabulary, longest, notes),
        _Look(model, "input_ids", headless),
        model,
        notes,
    )


def _pictures(shown: Probes, folder: Path, config: Any, notes: list[str]) -> torch.Tensor:
    """The pictures as `preprocessor_config.json` or the configuration asks for them."""
    path = folder / "preprocessor_config.json"
    told = read_json(path) if path.is_file() else {}
    size = told.get("crop_size") or told.get("size") or getattr(config, "image_size", None) or UNTOLD_SIDE
    if size == UNTOLD_SIDE and not told:
        notes.append(f"no size of pictures is told: {UNTOLD_SIDE} pixels were taken")
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        size = [size.get("height", side), size.get("width", side)]
    size = [size, size] if not isinstance(size, list | tuple) else list(size)
    if is_size(own := getattr(config, "image_size", None)) and size != [own, own]:
        size = [own, own]  # position tables fit this one only
    channels = getattr(config, "num_channels", 3)
    if len(size) != 2 or not all(map(is_size, [*size, channels])):
        raise BehaviourError(f"pictures of {channels!r} channels and size {size!r}")
    return probes.as_input(
        shown, (size[0], size[1]), channels, told.get("image_mean") or [], told.get("image_std") or []
    )


class _Look:
    """A model that gives its hidden states."""

    def __init__(self, model: Any, name: str, headless: bool) -> None:
        self.model, self.name, self.headless = model, name, headless
        self.widths = set(getattr(model.config, "hidden_sizes", None) or [])

    def __call__(self, batch: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        out = self.model(**{self.name: batch}, output_hidden_states=True, return_dict=True)
        states = [self._pool(state) for state in out.get("hidden_states") or ()]
        scores = None if self.headless else out.get("logits")
        return states, scores[:, -1] if scores is not None and scores.ndim == 3 else scores

    def _pool(self, state: torch.Tensor) -> torch.Tensor:
        """The mean over tokens or pixels; of maps, channels come first unless the configuration says otherwise."""
        if state.ndim == 4:
            last = state.shape[1] not in self.widths and state.shape[-1] in self.widths
            state = state.flatten(1, 2) if last else state.flatten(2).mT
        return state.float().mean(1) if state.ndim == 3 else state
