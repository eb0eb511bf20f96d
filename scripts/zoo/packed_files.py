"""Weights of the pair sets and trees in quantised layouts: packed for the file, unpacked to train on.

``int8``: a scale a row, named as bitsandbytes does. ``fp8``: a scale a row, ``int4``: one a group of 32, named as
compressed-tensors does (and packed by it). Only the matrices inside the blocks are packed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from changes import INNER
from pair_kinds import State

FORMATS = Path(__file__).parent.parent / "formats"
FP8 = torch.float8_e4m3fn


def pack(layout: str, kind: str, state: State) -> State:
    """Returns the tensors of a file in one of the layouts; what is not packed becomes a 16-bit float."""
    packer, half = PACKERS[layout]
    packed: State = {}
    for name, tensor in state.items():
        if re.fullmatch(INNER[kind], name):
            packed |= packer(name.removesuffix(".weight"), tensor.float())
        else:
            packed[name] = tensor.to(half)
    return packed


def unpack(state: State) -> State:
    """Returns an int8 or fp8 file's tensors as float32, rounded as `hubdna` does; other files' as they are."""
    if any(name.endswith(".weight_packed") for name in state):
        raise ValueError("int4 files are leaves: nothing is made from them")
    scales = {n: t for n, t in state.items() if n.endswith((".SCB", ".weight_scale"))}
    if not scales:
        return state
    made = {}
    for name in state.keys() - scales.keys():
        tensor = state[name].float()
        if f"{name}_scale" in scales:
            tensor *= scales[f"{name}_scale"]
        elif (scb := name.replace(".weight", ".SCB")) in scales:
            tensor *= (scales[scb] / 127)[:, None]
        made[name] = tensor
    return dict(sorted(made.items()))


def _int8(stem: str, tensor: torch.Tensor) -> State:
    """Returns one matrix as bitsandbytes stores it."""
    scale = tensor.abs().amax(1)
    return {f"{stem}.weight": (tensor / scale[:, None] * 127).round().to(torch.int8).contiguous(), f"{stem}.SCB": scale}


def _fp8(stem: str, tensor: torch.Tensor) -> State:
    """Returns one matrix as compressed-tensors stores 8-bit floats by channel."""
    scale = tensor.abs().amax(1, keepdim=True) / torch.finfo(FP8).max
    return {f"{stem}.weight": (tensor / scale).to(FP8), f"{stem}.weight_scale": scale}


def _int4(stem: str, tensor: torch.Tensor) -> State:
    """Returns one matrix as compressed-tensors packs it."""
    sys.path.append(str(FORMATS))
    from write_layouts import compressed

    parts, _, _ = compressed(tensor, "group", "int", 4, True, fmt="pack-quantized", group_size=32)
    return {part.replace("fc1", stem, 1): value.contiguous() for part, value in parts.items()}


PACKERS: dict[str, tuple[Callable[[str, torch.Tensor], State], torch.dtype]] = {
    "int8": (_int8, torch.float16),
    "int4": (_int4, torch.float16),
    "fp8": (_fp8, torch.bfloat16),
}
METHODS = {"int8": "bitsandbytes", "int4": "compressed-tensors", "fp8": "compressed-tensors"}
"""What `quantization_config` in config.json says."""
