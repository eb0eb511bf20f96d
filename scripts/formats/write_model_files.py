"""The GGUF and ONNX part of write_models.py: one model by the gguf package, torch's exporters and onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import torch
import write_gguf
import write_onnx
from model_forms import Made, Model, by, stored_as
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

GGUF_KINDS = (
    "F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0",
)  # fmt: skip
Task = tuple[str, Callable[[Path], Made]]


def gguf_forms(model: Model) -> Iterator[Task]:
    """Every type that the gguf package writes."""
    if model.name == "conv":
        return
    for kind in GGUF_KINDS:
        yield f"gguf-{kind}", lambda folder, kind=kind: _gguf(model, kind, folder)


def _gguf(model: Model, kind: str, folder: Path) -> Made:
    path = folder / f"{model.name}-{kind}.gguf"
    weights = {k: v.float().numpy() for k, v in model.tensors.items() if v.is_floating_point()}
    config = json.loads((model.source / "config.json").read_text())
    write = write_gguf.write_bert if model.name == "minilm" else write_gguf.write_llama
    write(path, weights, config, kind)
    heads = config["num_attention_heads"] if model.name == "decoder" else 0
    reference, types = {}, []
    for tensor in gguf.GGUFReader(path).tensors:
        types += [tensor.tensor_type.name] if tensor.tensor_type.name != "F32" else []
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if heads and ("attn_q." in tensor.name or "attn_k." in tensor.name):
            array = array[np.argsort(write_gguf.rotary_order(np.arange(len(array)), heads))]
        reference[tensor.name] = torch.from_numpy(np.array(array, np.float32))
    if kind in ("F32", "F16", "BF16"):
        names = {write_gguf.bert_name(k) if model.name == "minilm" else write_gguf.gguf_name(k): k for k in weights}
        expected = stored_as(model, {names[k]: v for k, v in reference.items()}, "converted")
    else:
        expected = "quantized"
    n = types.count(kind)
    note = (
        "" if n == len(types) or kind == "F32" else f"{n} of {len(types)} matrices: rows of others are no whole blocks"
    )
    return Made(by("gguf"), reference, expected, note=note)


def onnx_forms(model: Model) -> Iterator[Task]:
    """Exports of torch, and onnxruntime's quantisers applied to them."""
    yield "onnx-legacy", lambda folder: _exported(model, folder, dynamo=False)
    yield "onnx-dynamo", lambda folder: _exported(model, folder, dynamo=True)
    for name, kind, channels in (("", QuantType.QUInt8, False), ("-channels", QuantType.QInt8, True)):
        yield f"onnx-dynamic{name}", lambda folder, k=kind, c=channels: _dynamic(model, folder, k, c)
    if model.name == "conv":
        unfolded = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        yield "onnx-unfolded", lambda folder: _exported(model, folder, dynamo=False, **unfolded)
        for name, how in (("qdq", QuantFormat.QDQ), ("qoperator", QuantFormat.QOperator)):
            yield f"onnx-{name}", lambda folder, how=how: _static(model, folder, how)
    else:
        for bits in (4, 8):
            yield f"onnx-blocks{bits}", lambda folder, bits=bits: _blocks(model, folder, bits)


def _export(model: Model, path: Path, dynamo: bool, **more: Any) -> None:
    """A network in float32, with its names where the exporter keeps them."""
    more |= {"verbose": False} if dynamo else {"opset_version": 17}
    with torch.no_grad():
        torch.onnx.export(model.module(), model.inputs(), str(path), dynamo=dynamo, **more)


def _exported(model: Model, folder: Path, dynamo: bool, **more: Any) -> Made:
    path = folder / "model.onnx"
    _export(model, path, dynamo, **more)
    graph = onnx.load(path, load_external_data=False).graph
    writer = f"{by('torch')}, {by('onnxscript')}" if dynamo else by("torch")
    note = ""
    if model.name == "conv" and "BatchNormalization" not in {node.op_type for node in graph.node}:
        note = "the exporter folds norms into maps"
    elif model.name == "conv" and "Identity" in {node.op_type for node in graph.node}:
        note = "the exporter stores equal vectors once"
    return Made(writer, _reference(path), "converted", note=note)


def _plain(model: Model, folder: Path) -> Path:
    """The legacy export, to be quantised and then removed."""
    path = folder / "plain.onnx"
    _export(model, path, dynamo=False)
    return path


def _dynamic(model: Model, folder: Path, kind: QuantType, channels: bool) -> Made:
    plain = _plain(model, folder)
    quantize_dynamic(plain, folder / "model.onnx", weight_type=kind, per_channel=channels)
    plain.unlink()
    return Made(by("onnxruntime"), _reference(folder / "model.onnx"), "quantized")


class Samples(CalibrationDataReader):
    """Eight random pictures for calibration."""

    def __init__(self, name: str) -> None:
        rng = np.random.default_rng(5)
        self.left = [{name: rng.random((1, 1, 8, 8), np.float32)} for _ in range(8)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input, or None."""
        return self.left.pop() if self.left else None


def _static(model: Model, folder: Path, how: QuantFormat) -> Made:
    plain = _plain(model, folder)
    samples = Samples(onnx.load(plain).graph.input[0].name)
    quantize_static(
        plain, folder / "model.onnx", samples, quant_format=how, per_channel=how == QuantFormat.QDQ,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
    )  # fmt: skip
    plain.unlink()
    return Made(by("onnxruntime"), _reference(folder / "model.onnx"), "quantized")


def _blocks(model: Model, folder: Path, bits: int) -> Made:
    plain = _plain(model, folder)
    quantiser = MatMulNBitsQuantizer(onnx.load(plain), bits=bits, block_size=32, is_symmetric=bits == 8)
    quantiser.process()
    onnx.save(quantiser.model.model, folder / "model.onnx")
    plain.unlink()
    return Made(by("onnxruntime"), _reference(folder / "model.onnx"), "quantized")


def _reference(path: Path) -> dict[str, torch.Tensor]:
    """Matrices as onnx and onnxruntime read them, under the names of the file, in the axes that it stores."""
    found = onnx.load(path)
    stored = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
    constants = [n for n in found.graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]
    stored |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in constants}
    values = {name: array for name, array in stored.items() if array.ndim > 1 and array.dtype.kind == "f"}
    for name, array in stored.items():
        stem = name.removesuffix("_quantized")
        if stem != name and array.ndim > 1:
            values[stem] = write_onnx.dequantised(array, stored[f"{stem}_scale"], stored[f"{stem}_zero_point"])
    for node in found.graph.node:
        if node.op_type == "MatMulNBits":
            values[node.input[1]] = write_onnx.multiplied(found, node)
    used = {name for node in found.graph.node for name in node.input}
    packed = {name for node in found.graph.node if node.op_type == "MatMulNBits" for name in node.input[2:]}
    kept = {k: v for k, v in values.items() if k not in packed and (k in used or f"{k}_quantized" in used)}
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in kept.items()}
