"""What the tensors of an ONNX file are called: exporters leave many weights nameless, and bodies share names.

A weight that was transposed on export is named `onnx::MatMul_123`; the node that reads it, or the bias that is added
next, tells what it is for.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hubdna.sources.interface import Tensor
from hubdna.sources.onnx_graph import Graph, Node
from hubdna.sources.onnx_quantised import find_grids, stem

ANONYMOUS = re.compile(r"(onnx::\w+|(val|v|t|const|initializer|Constant)?_?\d+)(_output_\d+)?", re.IGNORECASE)
"""Names that exporters number: `onnx::MatMul_123`, `val_109`, `42`."""
PASSED = frozenset((b"DequantizeLinear", b"Cast", b"Transpose", b"Identity"))
"""Operators that a weight passes on its way to the one that uses it."""
MAX_STEPS = 8
"""Operators between a weight and its use, or between its use and its bias; real graphs have four."""


def logical_tensors(graphs: list[Graph]) -> list[Tensor]:
    """Every graph's tensors as they are meant: grids put together, anonymous names replaced, names unique."""
    taken: set[str] = set()
    tensors: list[Tensor] = []
    for graph in graphs:
        grids = find_grids(graph)
        spent = {part.name for grid in grids.values() for part in grid.parts()}
        uses = Uses(graph)
        for name, stored in graph.tensors.items():
            grid = grids.get(name)
            if grid is None and name in spent:
                continue
            meant = stem(name) if grid else name
            if ANONYMOUS.fullmatch(meant):
                meant = uses.purpose(name) or meant
            meant = _unique(meant, graph.path, taken)
            tensors.append(grid.tensor(meant) if grid else replace(stored, name=meant).tensor())
    return tensors


def _unique(name: str, path: str, taken: set[str]) -> str:
    """The name, with its graph's in front or a number behind when another tensor has it."""
    if name in taken and path:
        name = f"{path}/{name}"
    number, base = 2, name
    while name in taken:
        name, number = f"{base}#{number}", number + 1
    taken.add(name)
    return name


class Uses:
    """Who reads what in one graph: gives anonymous weights a name that says what they are for.

    Exporters name a weight `onnx::MatMul_123` once it was transposed, but the node that reads it still has its module's
    path (`/encoder/layer.0/intermediate/dense/MatMul`), or the bias that is added next kept its own name.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[bytes, Node] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, node)

    def purpose(self, name: str) -> str | None:
        """A name for a weight, from the first operator that uses it; None if that has no better one."""
        node = self._use(name.encode())
        if node is None:
            return None
        path = node.name.decode("utf-8", "replace").strip("/")
        if path.isprintable() and ("/" in path or "." in path):
            return stem(path)
        bias = self._bias(node)
        return bias.removesuffix("bias") + "weight" if bias and bias.removesuffix("bias") else None

    def _use(self, name: bytes) -> Node | None:
        passed = PASSED
        for _ in range(MAX_STEPS):
            node = self.readers.get(name)
            if node is None or node.op not in passed or not node.outputs:
                return node
            if node.op == b"Cast":
                passed = PASSED | {b"Mul"}
            name = node.outputs[0]
        return None

    def _bias(self, node: Node) -> str | None:
        """The name of the bias of a linear map: its own input, or added to what it gives."""
        for _ in range(MAX_STEPS):
            for name in node.inputs:
                if name.endswith(b"bias") and name.decode("utf-8", "replace") in self.graph.tensors:
                    return name.decode("utf-8", "replace")
            after = self.readers.get(node.outputs[0]) if node.outputs else None
            if after is None or after.op not in (b"Cast", b"Mul", b"Add"):
                return None
            node = after
        return None
