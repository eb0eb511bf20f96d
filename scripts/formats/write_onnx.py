"""Write tests/data/formats/onnx with the reference writers: onnx 1.23.2, onnxruntime 1.31.1, safetensors 0.8.0.

One small network of two feed-forward blocks and a convolution in every way that exporters and quantisers write it,
its safetensors twin (weights [out, in], as torch keeps them), and `expected.safetensors`: every seventh row of each
rounded weight as the reference gives it (onnx.numpy_helper, onnx.reference; for MatMulNBits what onnxruntime multiplies
an identity with). The weights are drawn from a fixed seed and belong to nobody.

    python -m venv /tmp/v && /tmp/v/bin/pip install onnx onnxruntime onnx-ir safetensors
    /tmp/v/bin/python scripts/formats/write_onnx.py
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from safetensors.numpy import save_file

OUT = Path(__file__).parents[2] / "tests/data/formats/onnx"
N_LAYERS, STREAM, HIDDEN = 2, 30, 64
OPSET = 17


def weights() -> dict[str, np.ndarray]:
    """The network in torch's layout."""
    rng = np.random.default_rng(20_240_501)
    found: dict[str, np.ndarray] = {}
    for i in range(N_LAYERS):
        found[f"layer.{i}.intermediate.dense.weight"] = rng.normal(0, 0.05, (HIDDEN, STREAM))
        found[f"layer.{i}.intermediate.dense.bias"] = rng.normal(0, 0.02, HIDDEN)
        found[f"layer.{i}.output.dense.weight"] = rng.normal(0, 0.05, (STREAM, HIDDEN))
        found[f"layer.{i}.output.dense.bias"] = rng.normal(0, 0.02, STREAM)
    found["stem.weight"] = rng.normal(0, 0.1, (33, 2, 3))
    return {name: values.astype(np.float32) for name, values in found.items()}


def graph(net: dict[str, np.ndarray], *, named: bool = True, constants: bool = False) -> onnx.ModelProto:
    """The network as exporters write it.

    Args:
        net: weights in torch's layout.
        named: whether node names are module paths; otherwise only the biases speak.
        constants: weights in Constant nodes, as Paddle writes them.
    """
    dtype = helper.np_dtype_to_tensor_dtype(next(iter(net.values())).dtype)
    nodes, stored, x, number = [], {}, "x", 100
    for i in range(N_LAYERS):
        for part in ("intermediate", "output"):
            stem = f"layer.{i}.{part}.dense"
            weight = f"onnx::MatMul_{number}" if named else f"val_{number}"
            path = f"/layer.{i}/{part}/dense/" if named else "node_"
            stored[weight] = np.ascontiguousarray(net[f"{stem}.weight"].T)
            stored[f"{stem}.bias"] = net[f"{stem}.bias"]
            nodes.append(helper.make_node("MatMul", [x, weight], [f"m{number}"], name=f"{path}MatMul"))
            added = [f"{stem}.bias", f"m{number}"]
            nodes.append(helper.make_node("Add", added, [f"a{number}"], name=f"{path}Add"))
            x, number = f"a{number}", number + 7
            if part == "intermediate":
                nodes.append(helper.make_node("Relu", [x], [f"r{number}"]))
                x = f"r{number}"
    stored["stem.weight"] = net["stem.weight"]
    nodes += [
        helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([3, 2, 5]), "value")),
        helper.make_node("Reshape", [x, "shape"], ["image"]),
        helper.make_node("Conv", ["image", "stem.weight"], ["y"], name="/stem/Conv", kernel_shape=[3]),
    ]
    tensors = {name: numpy_helper.from_array(values, name) for name, values in stored.items()}
    if constants:
        nodes = [helper.make_node("Constant", [], [n], name=f"c.{n}", value=t) for n, t in tensors.items()] + nodes
        tensors = {}
    whole = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", dtype, [1, STREAM])],
        [helper.make_tensor_value_info("y", dtype, [3, 33, 3])], list(tensors.values()),
    )  # fmt: skip
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


class Samples(CalibrationDataReader):
    """Eight inputs for calibration."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.left = [rng.normal(size=(1, STREAM)).astype(np.float32) for _ in range(8)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input, or None."""
        return {"x": self.left.pop()} if self.left else None


def write_all() -> None:
    """Every file."""
    net = weights()
    save_file(net, OUT / "net.safetensors")
    plain = OUT / "net.onnx"
    onnx.save(graph(net), plain)
    onnx.save(graph(net, named=False), OUT / "numbered.onnx")
    onnx.save(graph({k: v.astype(np.float16) for k, v in net.items()}, constants=True), OUT / "constants_fp16.onnx")
    (OUT / "external.onnx_data").unlink(missing_ok=True)
    onnx.save(
        graph(net), OUT / "external.onnx", save_as_external_data=True, location="external.onnx_data", size_threshold=256
    )
    quantize_dynamic(plain, OUT / "dynamic.onnx", weight_type=QuantType.QUInt8)
    quantize_dynamic(plain, OUT / "dynamic_channels.onnx", per_channel=True, weight_type=QuantType.QInt8)
    for name, how in (("qdq", QuantFormat.QDQ), ("qoperator", QuantFormat.QOperator)):
        quantize_static(
            plain, OUT / f"{name}.onnx", Samples(), quant_format=how, per_channel=name == "qdq",
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip
    for bits, symmetric in ((4, False), (8, True)):
        quantiser = MatMulNBitsQuantizer(onnx.load(plain), bits=bits, block_size=16, is_symmetric=symmetric)
        quantiser.process()
        onnx.save(quantiser.model.model, OUT / f"blocks{bits}.onnx")
    save_file(expected(), OUT / "expected.safetensors")


def expected() -> dict[str, np.ndarray]:
    """Reference values of every rounded weight of every file, each seventh row as stored."""
    found: dict[str, np.ndarray] = {}
    for path in sorted(OUT.glob("*.onnx")):
        model = onnx.load(path)
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        made = [n for n in model.graph.node if n.op_type == "Constant"]
        stored |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in made}
        for name, values in stored.items():
            if values.ndim >= 2 and values.dtype == np.float16:
                found[f"{path.name}:{module(name)}"] = values[::7].astype(np.float32)
            elif name.endswith("_quantized") and values.ndim >= 2:
                weight = dequantised(values, stored[name[:-10] + "_scale"], stored[name[:-10] + "_zero_point"])
                found[f"{path.name}:{module(name[:-10])}"] = weight[::7]
        for node in model.graph.node:
            if node.op_type == "MatMulNBits":
                weight = multiplied(model, node)
                found[f"{path.name}:{module(node.input[1])}"] = weight[::7]
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def module(name: str) -> str:
    """The name in torch of a weight that `graph` numbered."""
    number = re.search(r"MatMul_(\d+)", name)
    i, part = divmod((int(number[1]) - 100) // 7, 2) if number else (0, 0)
    return f"layer.{i}.{('intermediate', 'output')[part]}.dense.weight" if number else name


def dequantised(codes: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """What onnx's own reference of DequantizeLinear gives."""
    axis = 1 if codes.ndim == 2 and scale.size in (1, codes.shape[1]) else 0
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=axis)
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in (codes, scale, zero)]
    inputs = [
        helper.make_tensor_value_info(n, k, a.shape) for n, k, a in zip("qsz", kinds, (codes, scale, zero), strict=True)
    ]
    whole = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("w", TensorProto.FLOAT, codes.shape)])
    evaluator = ReferenceEvaluator(helper.make_model(whole, opset_imports=[helper.make_opsetid("", 21)]))
    result: np.ndarray = evaluator.run(None, {"q": codes, "s": scale, "z": zero})[0]
    return result


def multiplied(model: onnx.ModelProto, node: Any) -> np.ndarray:
    """Weights [N, K] of a MatMulNBits node: what onnxruntime makes of an identity."""
    size = {a.name: a.i for a in node.attribute}
    alone = helper.make_node("MatMulNBits", ["eye", *node.input[1:]], ["w"], domain="com.microsoft")
    alone.attribute.extend(a for a in node.attribute if a.name != "accuracy_level")
    whole = helper.make_graph(
        [alone], "g", [helper.make_tensor_value_info("eye", TensorProto.FLOAT, [size["K"], size["K"]])],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, [size["K"], size["N"]])],
        [t for t in model.graph.initializer if t.name in node.input],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(whole, opset_imports=opsets, ir_version=9).SerializeToString()
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"eye": np.eye(size["K"], dtype=np.float32)})[0]
    return result.T


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    OUT.mkdir(parents=True, exist_ok=True)
    write_all()
    for path in sorted(OUT.iterdir()):
        print(path.name, path.stat().st_size)
