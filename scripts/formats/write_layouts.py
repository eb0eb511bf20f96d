"""Write tiny quantised weights with the libraries that define the layouts, and what those libraries read from them.

    python scripts/formats/write_layouts.py tests/data/formats/layouts [--gptq auto_gptq/ --awq autoawq/]

For each layout NAME.safetensors, as the library stores it, and NAME.reference.safetensors, the library's own
dequantised weights. `tests/sources/layouts/test_references.py` compares. Needs no GPU; not run in CI. Written with
bitsandbytes 0.50.2, compressed-tensors 0.20.0, hqq 0.2.8.post1, mlx 0.32.4 (mlx[cpu]), transformers 5.24.0, torch
2.14.1, and the sources of auto_gptq 0.7.1 (wheel, unpacked) and autoawq 0.2.9 (sdist, unpacked).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

OUT, IN = 32, 64
Tensors = dict[str, torch.Tensor]
Written = tuple[Tensors, Tensors, dict[str, Any]]
"""Raw tensors, the weights that the library reads from them, config.json's `quantization_config`."""


def weights(n_out: int = OUT, n_in: int = IN) -> torch.Tensor:
    """Normal weights, the same ones every time."""
    return torch.randn(n_out, n_in, generator=torch.Generator().manual_seed(0)) * 0.05


def bnb4(w: torch.Tensor, kind: str, nested: bool, storage: torch.dtype = torch.uint8) -> Written:
    """bitsandbytes.functional.quantize_4bit, as Linear4bit saves it."""
    import bitsandbytes.functional as bnb

    packed, state = bnb.quantize_4bit(
        w, blocksize=64, quant_type=kind, compress_statistics=nested, quant_storage=storage
    )
    raw = {"fc1.weight": packed, **{f"fc1.weight.{k}": v for k, v in state.as_dict(packed=True).items()}}
    return raw, {"fc1.weight": bnb.dequantize_4bit(packed, state)}, {"quant_method": "bitsandbytes"}


def bnb8(w: torch.Tensor) -> Written:
    """bitsandbytes.functional.int8_vectorwise_quant, as Linear8bitLt saves it."""
    import bitsandbytes.functional as bnb

    q, scb, _ = bnb.int8_vectorwise_quant(w.half())
    raw = {"fc1.weight": q, "fc1.SCB": scb, "fc1.weight_format": torch.tensor(0, dtype=torch.uint8)}
    return raw, {"fc1.weight": bnb.int8_vectorwise_dequant(q, scb)}, {"quant_method": "bitsandbytes"}


def compressed(w: torch.Tensor, strategy: str, kind: str, bits: int, symmetric: bool, **more: Any) -> Written:
    """compressed-tensors: quantise with its own parameters, compress, decompress.

    Args:
        w: the weights.
        strategy: what shares a scale: tensor, channel, group, tensor_group or block.
        kind: int or float.
        bits: of a number.
        symmetric: without zero points.
        more: `fmt`, the name of the compressor; everything else is for QuantizationArgs.
    """
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    fmt = more.pop("fmt")
    args = QuantizationArgs(num_bits=bits, type=kind, symmetric=symmetric, strategy=strategy, **more)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    view = {
        "tensor": lambda: w.reshape(1, -1),
        "channel": lambda: w,
        "group": lambda: w.reshape(w.shape[0], -1, args.group_size or 1),
        "tensor_group": lambda: w.reshape(w.shape[0], -1, args.group_size or 1),
    }
    state: Tensors = {"weight": w}
    if strategy == "block":
        state["weight_scale"] = scale = block_scales(w)
        state["weight_zero_point"] = torch.zeros_like(scale)
    else:
        if strategy == "tensor_group":
            state["weight_global_scale"] = (448 * 6 / w.abs().max()).reshape(1)
        seen = view[strategy]()
        low, high = seen.amin(-1, keepdim=seen.ndim < 3), seen.amax(-1, keepdim=seen.ndim < 3)
        scale, zero = calculate_qparams(low, high, args, state.get("weight_global_scale"))
        flat = (1,) if strategy == "tensor" else scale.shape
        state |= {"weight_scale": scale.reshape(flat), "weight_zero_point": zero.reshape(flat)}
    library = BaseCompressor.get_value_from_registry(fmt)
    stored = library.compress(state, scheme)
    back = library.decompress(dict(stored), scheme)["weight"]
    return {f"fc1.{k}": v for k, v in stored.items()}, {"fc1.weight": back}, {"quant_method": "compressed-tensors"}


def block_scales(w: torch.Tensor, size: int = 128, top: float = 448) -> torch.Tensor:
    """The scale of each block [size, size] that makes its largest weight the largest number; the last may be cut."""
    n_out, n_in = (-(-n // size) for n in w.shape)
    padded = torch.zeros(n_out * size, n_in * size)
    padded[: w.shape[0], : w.shape[1]] = w.abs()
    return padded.reshape(n_out, size, n_in, size).amax((1, 3)) / top


def hqq(w: torch.Tensor, bits: int, axis: int) -> Written:
    """HQQLinear.state_dict of a linear layer."""
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear, Quantizer

    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.data = w.clone()
    config = BaseQuantizeConfig(nbits=bits, group_size=64 if axis == 1 else 16, axis=axis)
    made = HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu")
    raw = {f"fc1.{k}": v for k, v in made.state_dict().items() if isinstance(v, torch.Tensor)}
    return raw, {"fc1.weight": Quantizer.dequantize(made.W_q, made.meta)}, {"quant_method": "hqq"}


def mlx(w: torch.Tensor, bits: int, mode: str = "affine") -> Written:
    """mlx.core.quantize."""
    import mlx.core as mx
    import numpy as np

    options = {"group_size": 64, "bits": bits} if mode == "affine" else {"mode": mode}
    parts = mx.quantize(mx.array(w.numpy()), **options)
    raw = {
        f"fc1.{name}": torch.from_numpy(np.array(part))
        for name, part in zip(("weight", "scales", "biases"), parts, strict=False)
    }
    back = torch.from_numpy(np.array(mx.dequantize(*parts, **options, dtype=mx.float32)))
    return raw, {"fc1.weight": back}, {"group_size": 64, "bits": bits}


def mxfp4() -> Written:
    """Random blocks as transformers reads gpt-oss's; its axes swapped back to the stored order."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    random = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (2, OUT, IN // 32, 16), generator=random, dtype=torch.uint8)
    scales = torch.randint(110, 130, (2, OUT, IN // 32), generator=random, dtype=torch.uint8)
    back = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    raw = {"experts.gate_up_proj_blocks": blocks, "experts.gate_up_proj_scales": scales}
    stored = back.transpose(1, 2) if back.shape[1] == IN else back
    return raw, {"experts.gate_up_proj": stored}, {"quant_method": "mxfp4"}


def _load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _affine(w: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and zeros [out, groups], zeros at least 1: AutoGPTQ cannot store 0."""
    grouped = w.reshape(w.shape[0], -1, group)
    scale = (grouped.amax(-1) - grouped.amin(-1)) / (2**bits - 1)
    return scale, torch.clamp(torch.round(-grouped.amin(-1) / scale), 1, 2**bits - 1)


def gptq(w: torch.Tensor, package: Path, bits: int, order: bool) -> Written:
    """AutoGPTQ's QuantLinear.pack; what its own matrix product makes of an identity."""
    import transformers

    transformers.pytorch_utils = importlib.import_module("transformers.pytorch_utils")  # lazy in version 5
    name = "qlinear_cuda.py" if order else "qlinear_cuda_old.py"
    n_out, n_in = w.shape
    made = _load(package / "nn_modules" / "qlinear" / name).QuantLinear(bits, 32, n_in, n_out, bias=False)
    layer = torch.nn.Linear(n_in, n_out, bias=False)
    scale, zero = _affine(w, bits, 32)
    g_idx = torch.arange(n_in) // 32
    if order:
        g_idx = g_idx[torch.randperm(n_in, generator=torch.Generator().manual_seed(1))]
        scale, zero = _affine(w[:, torch.argsort(g_idx, stable=True)], bits, 32)
    layer.weight.data = w.clone()
    layer.weight.data = (
        torch.clamp(torch.round(layer.weight.data / scale[:, g_idx]) + zero[:, g_idx], 0, 2**bits - 1) - zero[:, g_idx]
    ) * scale[:, g_idx]
    made.pack(layer, scale, zero.clone(), g_idx.to(torch.int32))
    state = made.state_dict()
    if order:
        state["g_idx"] = g_idx.to(torch.int32)
    back = made(torch.eye(n_in))
    return {f"fc1.{k}": v for k, v in state.items()}, {"fc1.weight": back.float()}, {"quant_method": "gptq"}


def awq(w: torch.Tensor, package: Path) -> Written:
    """AutoAWQ's WQLinear_GEMM.from_linear and its packing_utils.dequantize_gemm."""
    sys.path.insert(0, str(package))
    for stub in ("awq", "awq.utils", "awq.modules"):  # their __init__ files import models that are gone
        sys.modules[stub] = types.ModuleType(stub)
        sys.modules[stub].__path__ = [str(package.joinpath(*stub.split(".")))]  # type: ignore[attr-defined]
    from awq.modules.linear import gemm
    from awq.utils.packing_utils import dequantize_gemm

    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    scale, zero = _affine(w, 4, 32)
    scale = scale.half().float()
    layer.weight.data = torch.clamp(
        torch.round(w / scale.repeat_interleave(32, 1)) + zero.repeat_interleave(32, 1), 0, 15
    )
    layer.weight.data = (layer.weight.data - zero.repeat_interleave(32, 1)) * scale.repeat_interleave(32, 1)
    made = gemm.WQLinear_GEMM.from_linear(layer, 4, 32, scales=scale.t().contiguous(), zeros=zero.t().contiguous())
    back = dequantize_gemm(made.qweight, made.qzeros, made.scales.float(), 4, 32)
    return {f"fc1.{k}": v for k, v in made.state_dict().items()}, {"fc1.weight": back}, {"quant_method": "awq"}


def everything(gptq_at: Path | None, awq_at: Path | None) -> dict[str, Callable[[torch.Tensor], Written]]:
    """Name of a layout -> what writes a matrix in it; without the unpacked packages GPTQ and AWQ are not there."""
    tasks: dict[str, Callable[[torch.Tensor], Written]] = {
        "bnb-nf4": lambda w: bnb4(w, "nf4", False), "bnb-nf4-double": lambda w: bnb4(w, "nf4", True),
        "bnb-nf4-bf16": lambda w: bnb4(w, "nf4", True, torch.bfloat16), "bnb-fp4": lambda w: bnb4(w, "fp4", False),
        "bnb-int8": bnb8,
        "ct-int8-channel": lambda w: compressed(w, "channel", "int", 8, True, fmt="int-quantized"),
        "ct-int8-tensor-zero": lambda w: compressed(w, "tensor", "int", 8, False, fmt="int-quantized"),
        "ct-int4-group": lambda w: compressed(w, "group", "int", 4, True, group_size=32, fmt="pack-quantized"),
        "ct-int4-zero": lambda w: compressed(w, "group", "int", 4, False, group_size=32, fmt="pack-quantized"),
        "ct-int3-zero": lambda w: compressed(w, "group", "int", 3, False, group_size=32, fmt="pack-quantized"),
        "ct-fp8-channel": lambda w: compressed(w, "channel", "float", 8, True, fmt="float-quantized"),
        "ct-fp8-tensor": lambda w: compressed(w, "tensor", "float", 8, True, fmt="float-quantized"),
        "ct-fp8-block": lambda w: compressed(
            w, "block", "float", 8, True, block_structure=[128, 128], fmt="float-quantized"
        ),
        "ct-nvfp4": lambda w: compressed(
            w, "tensor_group", "float", 4, True, group_size=16, fmt="nvfp4-pack-quantized"
        ),
        "ct-mxfp4": lambda w: compressed(
            w, "group", "float", 4, True, group_size=32, scale_dtype=torch.uint8, fmt="mxfp4-pack-quantized"
        ),
    }  # fmt: skip
    tasks |= {f"hqq{b}": lambda w, b=b: hqq(w, b, 1) for b in (2, 3, 4, 8)} | {"hqq4-axis0": lambda w: hqq(w, 4, 0)}
    tasks |= {f"mlx{b}": lambda w, b=b: mlx(w, b) for b in (2, 3, 4, 5, 6, 8)}
    tasks |= {f"mlx-{m}": lambda w, m=m: mlx(w, 4, m) for m in ("mxfp4", "nvfp4", "mxfp8")}
    if gptq_at:
        tasks |= {f"gptq{b}": lambda w, b=b: gptq(w, gptq_at, b, False) for b in (2, 3, 4, 8)}
        tasks |= {"gptq4-act-order": lambda w: gptq(w, gptq_at, 4, True)}
    if awq_at:
        tasks["awq4"] = lambda w: awq(w, awq_at)
    return tasks


def main() -> None:
    """Write every pair of files; say what could not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gptq", type=Path, help="the unpacked auto_gptq package")
    parser.add_argument("--awq", type=Path, help="the unpacked autoawq source")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, write in ({"mxfp4": lambda w: mxfp4()} | everything(args.gptq, args.awq)).items():
        try:
            raw, back, config = write(weights(130, 136) if name == "ct-fp8-block" else weights())
            if name.startswith("mlx"):
                raw["norm.weight"] = torch.ones(IN)
        except Exception as error:
            print(f"{name}: not written: {type(error).__name__}: {error}")
            continue
        meta = {"config": json.dumps(config), "torch": version("torch")}
        save_file({k: v.contiguous() for k, v in raw.items()}, args.folder / f"{name}.safetensors", meta)
        reference = {k: v.float().contiguous() for k, v in back.items()}
        exact = all(bool((v == v.bfloat16().float()).all()) for v in reference.values())
        kept = torch.bfloat16 if exact else torch.float16  # eleven bits tell a wrong layout from a right one
        reference = {k: v.to(kept) for k, v in reference.items()}
        save_file(reference, args.folder / f"{name}.reference.safetensors")
        print(f"{name}: {', '.join(f'{k} {v.dtype} {list(v.shape)}' for k, v in raw.items())}")


if __name__ == "__main__":
    main()
