"""ONNX: a protocol buffer whose weights lie between the fields of its graph, or in files beside it.

The graph is walked by ranges (`protobuf.py`): of a tensor its name, type, dimensions and where its bytes lie; of a
node what says how integers become weights and what an anonymous weight is for (`onnx_quantised.py`). Nothing is
executed, no operator is known by more than its name. Weights are initialisers and, as some exporters write them,
Constant nodes of more than one value, both also in the bodies of If and Loop; shapes stay as stored, so that a linear
map is [in, out] where MatMul reads it.

What a walk costs: the graph without its large weights, and one request for each run of large weights (over 16 kB) that
has to be jumped; a model with external data takes a dozen requests in all. `max_requests` stops a walk early: what was
found until then is sound, `complete` says that there is more.
Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from hubdna.records import Skipped
from hubdna.sources.interface import MAX_BATCH, ByteReader, Tensor
from hubdna.sources.onnx_quantised import BITS, NUMPY_DTYPES, OPERATORS, Graph, Node, Stored, find_grids, stem
from hubdna.sources.protobuf import AFTER_JUMP, I32, I64, LEN, VARINT, OutOfBudgetError, Window, unpack_varints

MAX_DEPTH = 8
"""Graphs within graphs; real ones have three."""
MAX_TENSORS = 200_000
"""As for safetensors."""
MAX_NODES = 200_000
"""The graphs of the largest models have 100,000."""
MAX_NAME = 2_000
"""Bytes of a name that is kept; inlined exports have names of 300."""
MAX_INPUTS = 10
"""Inputs kept of a node: QLinearConv has nine; only variadic operators have more. Of the outputs the first is kept."""
MAX_HELD = 8_000_000
"""Bytes of small tensors kept while walking: the scales of 1,000 layers."""
MAX_PACKED = 16_000_000
"""Bytes of a tensor stored as varints: it has no rows that could be read alone."""

DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2", 21: "U4", 22: "I4", 24: "F8_E8M0",
    25: "U2", 26: "I2",
}  # fmt: skip
LEFT_OUT = {8: "strings", 14: "complex numbers", 15: "complex numbers"}
FIXED = {"F32": 4, "F64": 10}
"""The field that holds values of this type at fixed width when they are not in `raw_data`."""
PACKED = {"I64": 7, "U32": 11, "U64": 11}
"""The field that holds them as varints; all others are in int32_data."""


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
                self.graph(*_span(window, wire, start, stop), "", 0)
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
                self.node(*_span(self.window, wire, a, b), graph, depth)
            elif number == 5:
                self.keep(graph, self.tensor(*_span(self.window, wire, a, b)))
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
                    names.append(self.text(wire, a, b))
            elif number == 3:
                node.name = self.text(wire, a, b)
            elif number == 4:
                node.op = self.text(wire, a, b)
            elif number == 5:
                self.attribute(*_span(window, wire, a, b), graph, node, constants, depth)
        if node.op in OPERATORS:
            graph.nodes.append(node)
        if node.op == b"Constant" and constants and node.outputs:
            self.constant(graph, constants[0], node.outputs[0])

    def constant(self, graph: Graph, tensor: Stored | str, output: bytes) -> None:
        """A Constant node's tensor under the name of its output; single numbers belong to the program."""
        if isinstance(tensor, Stored):
            if tensor.size <= 1:
                return
            tensor = replace(tensor, name=self.printable(output, "a Constant node"))
        self.keep(graph, tensor)

    def attribute(
        self, start: int, stop: int, graph: Graph, node: Node, constants: list[Stored | str], depth: int
    ) -> None:
        """AttributeProto: name (1), one integer (3), one tensor (5), graphs (6, 11)."""
        window, name = self.window, b""
        for number, wire, a, b in window.fields(start, stop):
            if number == 1:
                name = self.text(wire, a, b)
            elif number == 3 and wire == VARINT and len(node.ints) < MAX_INPUTS:
                node.ints[name] = a - (1 << 64) if a >> 63 else a
            elif number == 5:
                constants.append(self.tensor(*_span(window, wire, a, b)))
            elif number in (6, 11):
                words = (graph.path, node.name.decode("utf-8", "replace"), name.decode("utf-8", "replace"))
                path = "/".join(w for w in words if w and w.isprintable())[-MAX_NAME:]
                self.graph(*_span(window, wire, a, b), path, depth + 1)

    def tensor(self, start: int, stop: int) -> Stored | str:
        """TensorProto; a reason if it is of a kind that is not read."""
        proto = _TensorProto(self)
        for number, wire, a, b in self.window.fields(start, stop):
            proto.take(number, wire, a, b)
        return proto.stored()

    def text(self, wire: int, start: int, stop: int) -> bytes:
        """A short name; one that is too long to be of use is empty."""
        _span(self.window, wire, start, stop)
        return self.window.bytes(start, stop) if stop - start <= MAX_NAME else b""

    def printable(self, raw: bytes, what: str) -> str:
        """A name that may reach a terminal. Raises FormatError."""
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.window.fail(f"{what}: its name is not UTF-8") from None
        if not name.isprintable():
            raise self.window.fail(f"{what}: its name holds characters that cannot be printed")
        return name


class _TensorProto:
    """The fields of one TensorProto, then the checks that tie them together."""

    def __init__(self, walk: _Walk) -> None:
        self.walk, self.window = walk, walk.window
        self.dims: list[int] = []
        self.dtype, self.name = 0, b""
        self.data: tuple[int, int, int] | None = None
        self.external: dict[bytes, bytes] = {}
        self.held: bytes | None = None
        self.is_external = self.is_scattered = False

    def take(self, number: int, wire: int, a: int, b: int) -> None:
        """One field."""
        if number == 1:
            self.dims += [a] if wire == VARINT else self.packed_dims(*_span(self.window, wire, a, b))
            if len(self.dims) > 32:
                raise self.window.fail(f"{self.what}: more than 32 dimensions")
        elif number == 2 and wire == VARINT:
            self.dtype = a
        elif number == 8:
            if b - a > MAX_NAME and wire == LEN:
                raise self.window.fail(f"a tensor's name of {b - a} bytes: refused")
            self.name = self.walk.text(wire, a, b)
        elif number in (4, 5, 7, 9, 10, 11):
            self.payload(number, wire, a, b)
        elif number == 13:
            self.entry(*_span(self.window, wire, a, b))
        elif number == 14 and wire == VARINT:
            self.is_external = a == 1
        elif number == 3:
            self.is_scattered = True  # a segment of a tensor

    @property
    def what(self) -> str:
        """The tensor in an error message."""
        return f"tensor {self.name[:80].decode('utf-8', 'replace')!r}"

    def packed_dims(self, start: int, stop: int) -> list[int]:
        """Dimensions in one field, as newer writers pack them."""
        if stop - start > 320:
            raise self.window.fail(f"{self.what}: more than 32 dimensions")
        dims = unpack_varints(memoryview(self.window.bytes(start, stop)))
        if dims is None:
            raise self.window.fail(f"{self.what}: malformed dimensions")
        return [int(n) for n in dims]

    def payload(self, number: int, wire: int, a: int, b: int) -> None:
        """Values: remember where they are."""
        if wire != LEN:
            if number == 9 or wire not in (VARINT, I32, I64):
                raise self.window.fail(f"{self.what}: its values are not where they should be")
            self.is_scattered = True  # a tag before each number
        elif self.data is not None and a != b:
            raise self.window.fail(f"{self.what}: values are given twice")
        elif a != b or number == 9:
            self.data = (number, a, b)
            if b - a <= AFTER_JUMP and self.walk.n_held + b - a <= MAX_HELD:
                self.held = self.window.bytes(a, b)
                self.walk.n_held += b - a

    def entry(self, start: int, stop: int) -> None:
        """StringStringEntryProto of external_data: key (1), value (2)."""
        key = value = b""
        for number, wire, a, b in self.window.fields(start, stop):
            if number == 1:
                key = self.walk.text(wire, a, b)
            elif number == 2:
                value = self.walk.text(wire, a, b)
        if len(self.external) < MAX_INPUTS:
            self.external[key] = value

    def stored(self) -> Stored | str:
        """Check everything against everything else. Raises FormatError."""
        name = self.walk.printable(self.name, self.what)
        if any(n >= 2**62 for n in self.dims) or math.prod(self.dims) >= 2**62:
            raise self.window.fail(f"{self.what}: impossible dimensions {self.dims}")
        if self.dtype in LEFT_OUT or self.is_scattered or (self.dtype not in DTYPES and 0 < self.dtype < 256):
            kind = LEFT_OUT.get(self.dtype) or ("stored in pieces" if self.is_scattered else f"type {self.dtype}")
            return f"{self.what}: {kind}: not read"
        if self.dtype not in DTYPES:
            raise self.window.fail(f"{self.what}: unknown type {self.dtype}")
        if 0 in self.dims:
            return f"{self.what}: no values"
        dtype, shape = DTYPES[self.dtype], tuple(self.dims)
        n_bytes = -(-math.prod(shape) * (BITS.get(dtype) or 8 * NUMPY_DTYPES[dtype].itemsize) // 8)
        if self.is_external:
            return Stored(name, dtype, shape, *self.beside(n_bytes))
        return self.embedded(name, dtype, shape, n_bytes)

    def embedded(self, name: str, dtype: str, shape: tuple[int, ...], n_bytes: int) -> Stored | str:
        """Values inside the file."""
        number, begin, end = self.data or (9, 0, 0)
        packed = number not in (9, FIXED.get(dtype))
        if packed:
            if number != PACKED.get(dtype, 5):
                raise self.window.fail(f"{self.what}: {dtype} values in field {number}")
            if end - begin > MAX_PACKED:
                return f"{self.what}: more than {MAX_PACKED} bytes of varints: not read"
            n = n_bytes if dtype in BITS else math.prod(shape)
            if not n <= end - begin <= 10 * n:
                raise self.window.fail(f"{self.what}: {end - begin} bytes of varints cannot be {n} numbers")
        elif end - begin != n_bytes:
            raise self.window.fail(f"{self.what}: {dtype} {list(shape)} takes {n_bytes} bytes, found {end - begin}")
        return Stored(name, dtype, shape, self.window.filename, begin, end, packed, self.held)

    def beside(self, n_bytes: int) -> tuple[str, int, int]:
        """Values in another file of the same folder: its name, first byte, byte after the last."""
        location = self.walk.printable(self.external.get(b"location", b""), self.what)
        parts = location.split("/")
        if not location or any(p.startswith(".") or not p for p in parts) or {"\\", ":"} & set(location):
            raise self.window.fail(f"{self.what}: external data at {location[:80]!r}: not a file of the model's folder")
        offset, length = (self.number(key) for key in (b"offset", b"length"))
        if length not in (None, n_bytes):
            raise self.window.fail(f"{self.what}: takes {n_bytes} bytes, {location[:80]!r} is said to hold {length}")
        folder = self.window.filename.rpartition("/")
        filename, begin = folder[0] + folder[1] + location, offset or 0
        if n_bytes > MAX_BATCH and begin + n_bytes > self.window.size_beside(filename):
            raise self.window.fail(f"{self.what}: takes {n_bytes} bytes at {begin}, more than {location[:80]!r} has")
        return filename, begin, begin + n_bytes

    def number(self, key: bytes) -> int | None:
        """A decimal of external_data, or None if it is not given."""
        text = self.external.get(key)
        if text is None:
            return None
        if not (text.isdigit() and len(text) < 19):
            raise self.window.fail(f"{self.what}: external {key.decode()} {text[:40]!r} is not a number")
        return int(text)


def _span(window: Window, wire: int, start: int, stop: int) -> tuple[int, int]:
    """The field's bytes, if it has any. Raises FormatError."""
    if wire != LEN:
        raise window.fail(f"a message was expected, found wire type {wire}")
    return start, stop


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
