"""ONNX: a protocol buffer whose weights lie between the fields of its graph, or in files beside it.

The graph is walked by ranges (`protobuf.py`): of a tensor its name, type, dimensions and where its bytes lie
(`onnx_tensor.py`); of a node what says how integers become weights (`onnx_quantised.py`) and what an anonymous weight
is for (`onnx_names.py`). Nothing is executed, no operator is known by more than its name. Weights are initialisers and,
as some exporters write them, Constant nodes of more than one value, both also in the bodies of If and Loop; shapes stay
as stored, so that a linear map is [in, out] where MatMul reads it.

What a walk costs: the graph without its large weights, and one request for each run of large weights (over 16 kB) that
has to be jumped; a model with external data takes a dozen requests in all. `max_requests` stops a walk early: what was
found until then is sound, `complete` says that there is more.
Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubdna.records import Skipped
from hubdna.sources.interface import ByteReader, Tensor
from hubdna.sources.onnx_graph import Graph, Node, Stored
from hubdna.sources.onnx_names import logical_tensors
from hubdna.sources.onnx_quantised import OPERATORS
from hubdna.sources.onnx_tensor import MAX_NAME, TensorProto, printable, span, text
from hubdna.sources.protobuf import AFTER_JUMP, VARINT, OutOfBudgetError, Window

MAX_DEPTH = 8
"""Graphs within graphs; real ones have three."""
MAX_TENSORS = 200_000
"""As for safetensors."""
MAX_NODES = 200_000
"""The graphs of the largest models have 100,000."""
MAX_INPUTS = 10
"""Inputs kept of a node: QLinearConv has nine; only variadic operators have more. Of the outputs the first is kept."""
MAX_HELD = 8_000_000
"""Bytes of small tensors kept while walking: the scales of 1,000 layers."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What a walk found: tensors, what it left out and why, and whether it reached the end."""

    tensors: list[Tensor]
    notes: tuple[Skipped, ...]
    complete: bool


def read_tensors(reader: ByteReader, filename: str) -> list[Tensor]:
    """Open one file: its whole graph is walked and checked, its tensors can be asked for units. Raises FormatError."""
    return open_file(reader, filename).tensors


def open_file(
    reader: ByteReader, filename: str, max_requests: int | None = None, max_bytes: int | None = None
) -> Opened:
    """Open one file within a budget.

    Args:
        reader: gives the bytes.
        filename: the file; external data lies beside it.
        max_requests: requests after which the walk stops with what it has; None walks to the end.
        max_bytes: the same for bytes.

    Raises:
        FormatError: the file is not what it claims to be.
    """
    walk = _Walk(Window(reader, filename, max_requests, max_bytes))
    complete = True
    try:
        walk.model()
    except OutOfBudgetError:
        complete = False
        walk.notes.append(Skipped(filename, f"walked {walk.n_tensors} tensors within the budget, not all of them"))
    tensors = logical_tensors(walk.graphs)
    return Opened(tensors, tuple(walk.notes), complete)


class _Walk:
    """The state of one walk: graphs in the order of the file, and what was counted against the limits."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.graphs: list[Graph] = []
        self.notes: list[Skipped] = []
        self.n_tensors = self.n_nodes = self.n_held = 0

    def model(self) -> None:
        """ModelProto: its graph (7)."""
        window = self.window
        for number, wire, start, stop in window.fields(0, window.size):
            if number == 7:
                if self.graphs:
                    raise window.fail("two graphs: refused")
                self.graph(*span(window, wire, start, stop), "", 0)
        if not self.graphs:
            raise window.fail("not ONNX: no graph in it")

    def graph(self, start: int, stop: int, path: str, depth: int) -> None:
        """GraphProto: nodes (1), initialisers (5)."""
        if depth > MAX_DEPTH:
            raise self.window.fail(f"more than {MAX_DEPTH} graphs within each other: refused")
        graph = Graph(path)
        self.graphs.append(graph)
        for number, wire, a, b in self.window.fields(start, stop):
            if number == 1:
                self.node(*span(self.window, wire, a, b), graph, depth)
            elif number == 5:
                self.keep(graph, self.tensor(*span(self.window, wire, a, b)))
            elif number == 15:
                self.notes.append(Skipped(path or "graph", "a sparse initialiser: not read"))

    def keep(self, graph: Graph, tensor: Stored | str) -> None:
        """Take a tensor into its graph, or note why not."""
        self.n_tensors += 1
        if self.n_tensors > MAX_TENSORS:
            raise self.window.fail(f"more than {MAX_TENSORS} tensors: refused")
        if isinstance(tensor, str):
            self.notes.append(Skipped(graph.path or "graph", tensor))
            return
        if tensor.name in graph.tensors:
            raise self.window.fail(f"tensor {tensor.name[:80]!r} is there twice")
        graph.tensors[tensor.name] = tensor

    def node(self, start: int, stop: int, graph: Graph, depth: int) -> None:
        """NodeProto: inputs (1), outputs (2), name (3), operator (4), attributes (5)."""
        window, node = self.window, Node()
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            raise window.fail(f"more than {MAX_NODES} nodes: refused")
        constants: list[Stored | str] = []
        for number, wire, a, b in window.fields(start, stop):
            if number in (1, 2):
                names, limit = (node.inputs, MAX_INPUTS) if number == 1 else (node.outputs, 1)
                if len(names) < limit:
                    names.append(text(self.window, wire, a, b))
            elif number == 3:
                node.name = text(self.window, wire, a, b)
            elif number == 4:
                node.op = text(self.window, wire, a, b)
            elif number == 5:
                self.attribute(*span(window, wire, a, b), graph, node, constants, depth)
        if node.op in OPERATORS:
            graph.nodes.append(node)
        if node.op == b"Constant" and constants and node.outputs:
            self.constant(graph, constants[0], node.outputs[0])

    def constant(self, graph: Graph, tensor: Stored | str, output: bytes) -> None:
        """A Constant node's tensor under the name of its output; single numbers belong to the program."""
        if isinstance(tensor, Stored):
            if tensor.size <= 1:
                return
            tensor = replace(tensor, name=printable(self.window, output, "a Constant node"))
        self.keep(graph, tensor)

    def attribute(
        self, start: int, stop: int, graph: Graph, node: Node, constants: list[Stored | str], depth: int
    ) -> None:
        """AttributeProto: name (1), one integer (3), one tensor (5), graphs (6, 11)."""
        window, name = self.window, b""
        for number, wire, a, b in window.fields(start, stop):
            if number == 1:
                name = text(self.window, wire, a, b)
            elif number == 3 and wire == VARINT and len(node.ints) < MAX_INPUTS:
                node.ints[name] = a - (1 << 64) if a >> 63 else a
            elif number == 5:
                constants.append(self.tensor(*span(window, wire, a, b)))
            elif number in (6, 11):
                words = (graph.path, node.name.decode("utf-8", "replace"), name.decode("utf-8", "replace"))
                path = "/".join(w for w in words if w and w.isprintable())[-MAX_NAME:]
                self.graph(*span(window, wire, a, b), path, depth + 1)

    def tensor(self, start: int, stop: int) -> Stored | str:
        """TensorProto; a reason if it is of a kind that is not read."""
        proto = TensorProto(self.window, self.hold)
        for number, wire, a, b in self.window.fields(start, stop):
            proto.take(number, wire, a, b)
        return proto.stored()

    def hold(self, start: int, stop: int) -> bytes | None:
        """The bytes of a small tensor, as long as there is room for them."""
        if stop - start > AFTER_JUMP or self.n_held + stop - start > MAX_HELD:
            return None
        self.n_held += stop - start
        return self.window.bytes(start, stop)
