"""PEFT adapters: what was changed about a base model, and which base they say that was.

Adapter weights alone cannot prove their base. A low-rank pair A [r, in], B [out, r] adds scale * B @ A to a weight it
does not hold; any model of the same shapes takes it. What can be said is that the claimed base has other shapes
(`check_shapes`), so that the claim is wrong, or that the claim cannot be tested further.

    <prefix>.<module>.lora_A.weight [r, in, ...]     LoRA; scale = alpha / r, or alpha / sqrt(r) with use_rslora
    <prefix>.<module>.lora_B.weight [out, r, ...]
    <prefix>.<module>.lora_embedding_A [r, tokens], lora_embedding_B [width, r]
    <prefix>.<module>.lora_magnitude_vector [out]    DoRA: rows of the sum are scaled to these lengths
    <prefix>.<module>.ia3_l [out, 1] or [1, in]      IA3: rows or columns are multiplied with it

Source: peft, utils/save_and_load.py and tuners/lora/layer.py. Everything in the config is hostile until checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hubdna.errors import FormatError, NoWeightsError
from hubdna.records import TensorInfo
from hubdna.sources.interface import ByteReader, Tensor, read_units
from hubdna.sources.safetensors import FLOATS

MAX_CONFIG = 1_000_000
"""Bytes of adapter_config.json; the longest list every module of a 100-layer model: 60,000."""
MAX_NAME = 500
"""Characters of a name that is passed on; the Hub's repository names have at most 193."""
MAX_RANK = 2**20
"""Far beyond any; keeps arithmetic in range."""

_PART = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+?)\."
    r"(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector|ia3_l)(?:\.(?!bias$)\w+)?(?:\.weight)?"
)
_LITERAL = re.compile(r"\^?[\w-]+(?:\\?\.[\w-]+)*\$?")
"""Keys of alpha_pattern that mean a name; peft matches them as regular expressions."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One adapted module: the factors of LoRA or the vector of IA3, and DoRA's lengths."""

    A: Tensor | None = None
    B: Tensor | None = None
    vector: Tensor | None = None
    magnitude: Tensor | None = None
    is_embedding: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """What an adapter's two files say.

    Attributes:
        filename: of the weights.
        kind: "lora", "dora" or "ia3".
        base: the claimed base model, or None.
        revision: its claimed revision, or None.
        rank: `r` of the config; single modules may have another. None for IA3.
        alpha: `lora_alpha`; None for IA3.
        rslora: whether the scale is alpha / sqrt(r).
        targets: `target_modules`; one regular expression or many names, as written.
        alphas: `alpha_pattern`.
        modules: by the module's name in the base model.
        others: tensors that are stored whole (`modules_to_save`).
    """

    filename: str
    kind: str
    base: str | None
    revision: str | None
    rank: int | None
    alpha: float | None
    rslora: bool
    targets: tuple[str, ...]
    alphas: Mapping[str, float]
    modules: Mapping[str, Pair]
    others: tuple[Tensor, ...]


def read_adapter(tensors: Sequence[Tensor], config: bytes, filename: str = "adapter_model.safetensors") -> Adapter:
    """Put an adapter together.

    Args:
        tensors: of adapter_model.safetensors.
        config: adapter_config.json.
        filename: of the weights, for messages.

    Raises:
        FormatError: the config is no sound JSON, a number in it makes no sense, a half of a pair is missing, or the
            halves do not fit each other or the config's rank.
        NoWeightsError: an adapter of a kind that is not read.
    """
    said = _parse(config)
    kind = str(said.get("peft_type"))[:40]
    if kind not in ("LORA", "IA3"):
        raise NoWeightsError(f"{filename}: adapters of kind {kind!r} are not read (known: LORA, IA3)")
    lora = kind == "LORA"
    pattern = said.get("rank_pattern")
    modules, others = _modules(tensors, filename)
    adapter = Adapter(
        filename, ("dora" if said.get("use_dora") is True else "lora") if lora else "ia3",
        _name(said.get("base_model_name_or_path")), _name(said.get("revision")),
        _rank(said.get("r")) if lora else None, _alpha(said.get("lora_alpha"), "lora_alpha") if lora else None,
        said.get("use_rslora") is True, _targets(said.get("target_modules")),
        _alphas(said.get("alpha_pattern")) if lora else {}, modules, others,
    )  # fmt: skip
    for name, pair in modules.items():
        _check_pair(adapter, name, pair, one_rank=not pattern)
    return adapter


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_CONFIG:
        raise FormatError("adapter_config.json", f"{len(raw)} bytes, more than {MAX_CONFIG}: refused")
    try:
        said = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError("adapter_config.json", f"not valid JSON: {str(error)[:120]}") from None
    if not isinstance(said, dict):
        raise FormatError("adapter_config.json", "not a JSON object")
    return said


def _name(value: Any) -> str | None:
    """Odd values count as absent: they go into reports."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() else None


def _rank(value: Any) -> int:
    if type(value) is not int or not 0 < value <= MAX_RANK:
        found = ascii(value)[:40] if isinstance(value, str | int | float) else type(value).__name__
        raise FormatError("adapter_config.json", f"r: expected a rank of 1 or more, found {found}")
    return value


def _alpha(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not abs(value) <= 1e30:  # NaN and infinity fail, and what overflows float32
        raise FormatError("adapter_config.json", f"{where}: expected a finite number, found {type(value).__name__}")
    return float(value)


def _targets(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else (value if isinstance(value, list) else [])
    return tuple(name for name in names if _name(name))


def _alphas(value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError("adapter_config.json", "alpha_pattern: expected an object")
    return {key: _alpha(number, "alpha_pattern") for key, number in value.items()}


def _modules(tensors: Sequence[Tensor], filename: str) -> tuple[dict[str, Pair], tuple[Tensor, ...]]:
    found: dict[str, dict[str, Tensor]] = {}
    others: list[Tensor] = []
    for tensor in tensors:
        part = _PART.fullmatch(tensor.info.name)
        if part is None:
            others.append(tensor)
        elif part["part"] in (parts := found.setdefault(part["module"], {})):
            raise FormatError(filename, f"{part['module']}: two tensors are its {part['part']}")
        else:
            parts[part["part"]] = tensor
    modules = {}
    for module, parts in found.items():
        embedding = any("embedding" in part for part in parts)
        stem = "lora_embedding_" if embedding else "lora_"
        halves = parts.pop(stem + "A", None), parts.pop(stem + "B", None)
        modules[module] = Pair(*halves, parts.pop("ia3_l", None), parts.pop("lora_magnitude_vector", None), embedding)
        if parts:
            raise FormatError(filename, f"{module}: both a map's and a table's factors")
    return modules, tuple(others)


def _check_pair(adapter: Adapter, name: str, pair: Pair, *, one_rank: bool) -> None:
    def refuse(reason: str) -> None:
        raise FormatError(adapter.filename, f"{name}: {reason}")

    for tensor in (pair.A, pair.B, pair.vector, pair.magnitude):
        if tensor and not (tensor.quantised or tensor.info.dtype in FLOATS):
            refuse(f"stored as {tensor.info.dtype}, not as a float")
        if tensor and (0 in tensor.info.shape or not tensor.info.shape):
            refuse(f"a part of shape {list(tensor.info.shape)}")
    if adapter.kind == "ia3":
        if pair.A or pair.B or pair.magnitude or not pair.vector:
            refuse("expected the vector of IA3 and nothing else")
        return
    if pair.vector or pair.A is None or pair.B is None:
        refuse("one half of the pair is missing")
        return
    a, b = pair.A.info.shape, pair.B.info.shape
    if len(a) < 2 or len(a) != len(b) or a[0] != b[1] or any(n != 1 for n in b[2:]):
        refuse(f"lora_A {list(a)} and lora_B {list(b)} do not fit each other")
    if one_rank and a[0] != adapter.rank:
        refuse(f"rank {a[0]}, although r is {adapter.rank} and there is no rank_pattern")
    if pair.magnitude and math.prod(pair.magnitude.info.shape) != b[0]:
        refuse(f"lora_magnitude_vector {list(pair.magnitude.info.shape)} for {b[0]} rows")


def check_shapes(adapter: Adapter, base_infos: Sequence[TensorInfo]) -> list[str]:
    """Say which modules cannot belong to a base with these tensors; an empty list proves nothing (see above).

    Both orders of a base weight's axes are accepted, since libraries and quantised layouts differ in them.
    """
    by_name = {info.name: info for info in base_infos}
    by_ending: dict[str, list[TensorInfo]] = {}
    for info in base_infos:
        pieces = info.name.split(".")
        for i in range(1, min(len(pieces) - 1, 3)):  # wrappers put up to two words before a name
            by_ending.setdefault(".".join(pieces[i:]), []).append(info)
    faults = []
    for module, pair in adapter.modules.items():
        wanted = module + ".weight"
        ends = [wanted.split(".", i)[i] for i in range(min(wanted.count(".") - 1, 3))]
        near = by_ending.get(wanted, []) + [by_name[end] for end in ends[1:] if end in by_name]
        base = by_name.get(wanted) or (near[0] if len(near) == 1 else None)
        if base is None:
            faults.append(f"{module}: the base has no such weight")
        elif reason := _misfit(pair, base.shape):
            faults.append(f"{module}: {reason}, the base's weight is {list(base.shape)}")
    return faults


def _misfit(pair: Pair, base: tuple[int, ...]) -> str | None:
    if pair.vector:
        length = math.prod(pair.vector.info.shape)
        return None if length in base[:2] else f"its vector has {length} entries"
    assert pair.A and pair.B
    a, b = pair.A.info.shape, pair.B.info.shape
    changed = (a[1], b[0]) if pair.is_embedding else (b[0], *a[1:])
    swapped = (changed[1], changed[0], *changed[2:])
    return None if base in (changed, swapped) else f"it changes {list(changed)}"


def delta(adapter: Adapter, module: str, reader: ByteReader) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Read the low-rank factors of one module: the base's weight changes by scale * B @ A.

    Factors of a convolution are flattened to [r, in * window] and [out, r]; an embedding's change is the transpose.
    What DoRA does after adding them is not in them.

    Raises:
        FormatError: the module has no pair, its alpha depends on a regular expression, or a weight is not finite.
        HubError: the bytes could not be had.
    """
    pair = adapter.modules.get(module)
    if pair is None or pair.A is None or pair.B is None:
        raise FormatError(adapter.filename, f"{module[:MAX_NAME]}: no low-rank pair of that name")
    rank = pair.A.info.shape[0]
    alpha = _alpha_of(adapter, module)
    A, B = read_units(reader, [(half, 0, half.n_units) for half in (pair.A, pair.B)])
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        raise FormatError(adapter.filename, f"{module}: NaN or infinite weights")
    scale = alpha / (math.sqrt(rank) if adapter.rslora else rank)
    return A.reshape(rank, -1), B.reshape(-1, rank), scale


def _alpha_of(adapter: Adapter, module: str) -> float:
    """The module's alpha. Patterns that are more than a name are not run: a regular expression can take for ever."""
    for key, alpha in adapter.alphas.items():
        if not _LITERAL.fullmatch(key):
            raise FormatError("adapter_config.json", f"alpha_pattern: {key[:80]!r} is not a plain name")
        name = key.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if module == name or (module.endswith("." + name) and not key.startswith("^")):
            return alpha
    assert adapter.alpha is not None
    return adapter.alpha
