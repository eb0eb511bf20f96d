"""Models of timm: built from `config.json`, filled from `model.safetensors`, looked at where their stages end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubdna.behaviour import probes
from hubdna.behaviour.opening import Subject, is_size
from hubdna.behaviour.probes import Probes
from hubdna.errors import BehaviourError

if TYPE_CHECKING:
    import torch
    from torch import nn

REFUSED = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable",
    "exportable", "no_jit", "features_only",
}  # fmt: skip
"""Arguments of `create_model` that load files (`checkpoint_path` takes pickles), fetch, or change what is made."""


def open_timm(folder: Path, config: dict[str, Any], shown: Probes) -> Subject:
    """Open a model of timm. Raises BehaviourError."""
    import timm
    from safetensors.torch import load_file

    name, arguments = config["architecture"], config.get("model_args") or {}
    if not isinstance(name, str) or not timm.is_model(name):
        raise BehaviourError(f"timm has no architecture {name!r}")
    if not isinstance(arguments, dict) or (bad := REFUSED & arguments.keys()):
        raise BehaviourError(
            f"model_args: {', '.join(sorted(bad)) if isinstance(arguments, dict) else 'no object'} is refused"
        )
    classes = config.get("num_classes", 1000)
    if classes == 0:
        raise BehaviourError("0 labels: the model answers nothing")
    if not is_size(classes):
        raise BehaviourError(f"num_classes is {classes!r}")
    model = timm.create_model(name, pretrained=False, num_classes=classes, **arguments)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise BehaviourError("timm models keep their weights in model.safetensors, which is not there")
    try:
        model.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise BehaviourError(f"weights and config disagree: {str(error).splitlines()[-1].strip()[:150]}") from None
    model = model.eval().float()
    return Subject("vision", "timm", _inputs(shown, config, model), _Look(model), model)


def _inputs(shown: Probes, config: dict[str, Any], model: nn.Module) -> torch.Tensor:
    """The pictures as the configuration asks for them, or as timm's own for that architecture does."""
    told = config.get("pretrained_cfg")
    told = told if isinstance(told, dict) else {}
    own: Any = getattr(model, "pretrained_cfg", None) or {}
    size = told.get("input_size") or list(own.get("input_size") or (3, 224, 224))
    arguments = config.get("model_args") or {}
    if is_size(side := arguments.get("img_size")):
        size = [size[0], side, side]
    channels = arguments.get("in_chans", size[0])
    if len(size) != 3 or not all(map(is_size, [channels, *size])):
        raise BehaviourError(f"pretrained_cfg: input_size is {size!r}")
    return probes.as_input(shown, (size[1], size[2]), channels, told.get("mean") or [0.5], told.get("std") or [0.5])


class _Look:
    """A timm model with hooks where its stages end."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.states = model, list[Any]()
        info: Any = getattr(model, "feature_info", None) or []
        places = [(one["module"], one["num_chs"]) for one in info if isinstance(one, dict) and "module" in one]
        for name, width in places:
            module = model.get_submodule(name)
            module.register_forward_hook(lambda _, __, out, width=width: self.states.append(_pool(out, width)))

    def __call__(self, batch: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        self.states.clear()
        out = self.model(batch)
        return list(self.states), out


def _pool(out: torch.Tensor, width: int) -> torch.Tensor:
    """The mean over everything but probes and channels; timm has channels first, and last."""
    axis = 1 if out.ndim == 4 and out.shape[1] == width else out.ndim - 1
    return out.movedim(axis, 1).flatten(2).float().mean(2) if out.ndim > 2 else out
