"""Changes to inputs that keep their structure: what a reader's first check would refuse is rarely produced.

A mutator is (input, random numbers, plain) -> input; `plain` changes bytes without knowing what they are (libFuzzer's
own in the guided fuzzer, `scramble` elsewhere). JSON is changed as a tree, a safetensors file's offsets follow from
the changed header, a pickle is changed opcode by opcode, archives and GGUF by their records, protocol buffers as trees
whose lengths are written anew. One change in eight is plain, so that nothing is out of reach.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from fuzz_mutators_binary import NUMBERS as COUNTS
from fuzz_mutators_binary import Plain, gguf, onnx
from fuzz_mutators_torch import pickles, torch
from fuzz_readers import pack, unpack

Mutator = Callable[[bytes, random.Random, Plain], bytes]

NUMBERS = [*COUNTS, 4, 5, 7, 16, 33, 128, 256, 4096, 2**16 - 1, 2**20, 2**53, 2**60, -1, -(2**31), -(2**63)]
"""Where readers count, these are the interesting counts."""
VALUES: list[Any] = [
    None, True, False, 0.5, -0.0, 1e308, 1e400, float("nan"), "", "x", "\n", "\ud800", "a" * 600, "../../etc/passwd",
    "\x1b[2J", [], {}, [[]], [0], [1, 2], {"a": {}}, 10**400, "1e9", *NUMBERS,
]  # fmt: skip
"""What JSON may hold instead of what is expected."""
DTYPES = "F64 F32 F16 BF16 F8_E4M3 F8_E5M2 F8_E8M0 I64 I32 I16 I8 U64 U32 U16 U8 BOOL F4".split()
ITEMSIZE = dict(zip(DTYPES, (8, 4, 2, 2, 1, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1, 1), strict=True))
WORDS = """weight bias qweight qzeros scales g_idx weight.absmax weight.quant_map weight.nested_absmax SCB W_q scale
zero weight.nested_quant_map weight.quant_state.bitsandbytes__nf4 weight.quant_state.bitsandbytes__fp4 weight_scale
shape weight_zero_point weight_packed weight_shape weight_scale_inv weight_global_scale weight_scale_2 biases
scale_weight weight_blocks weight_scales weight_format weight_g_idx lora_A.weight lora_B.weight lora_embedding_A
lora_embedding_B lora_magnitude_vector ia3_l input_scale qkv_proj.weight gate_up_proj.weight
experts.gate_up_proj in_proj_weight""".split()
"""Last parts of names that layouts and adapters know."""
FILES = """model.safetensors model.fp16.safetensors model-00001-of-00002.safetensors model-00002-of-00002.safetensors
x.safetensors.index.json model.safetensors.index.json pytorch_model.bin pytorch_model-00001-of-00003.bin a/b/c.gguf
m-Q4_K_M.gguf m-00001-of-99999.gguf model-1-of-0.safetensors model_index.json unet/model.safetensors vae/model.bin
x.xml adapter_model.safetensors model.onnx onnx/model_quantized.onnx optimizer.pt ../x.safetensors /x.bin a//b.bin
tok2vec/model consolidated.00.pth consolidated.01.pth model.ckpt model.ckpt.index .safetensors
-00001-of-00001.safetensors""".split()
MAX_DATA = 20_000
"""Bytes of one tensor that are written out."""


def scramble(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, without knowing what they are."""
    out = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, what = rng.randrange(len(out) + 1), rng.randrange(4)
        if what == 0:
            out[at : at + 1] = bytes((rng.randrange(256),))
        elif what == 1:
            out[at : at + 8] = (rng.choice(NUMBERS) % 2**64).to_bytes(8, "little")[: rng.choice((1, 2, 4, 8))]
        elif what == 2:
            del out[at : at + rng.choice((1, 4, 40))]
        else:
            out[at:at] = out[at : at + rng.choice((1, 8, 40))]
    return bytes(out)


def bend(value: Any, rng: random.Random) -> Any:
    """A JSON value with one or two places changed, in place where it can be."""
    for _ in range(rng.choice((1, 1, 2))):
        places: list[tuple[Any, Any]] = []
        todo = [value]
        while todo and len(places) < 5_000:
            at = todo.pop()
            inner = list(at.items()) if isinstance(at, dict) else list(enumerate(at)) if isinstance(at, list) else []
            places += [(at, key) for key, _ in inner]
            todo += [child for _, child in inner]
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        other, kind = rng.choice(places), rng.randrange(7)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = json.loads(json.dumps(other[0][other[1]]))
        elif kind == 2 and isinstance(holder, dict):
            holder[str(rng.choice(VALUES))[:40] if rng.randrange(2) else key + "x"] = holder[key]
        elif kind == 3 and isinstance(holder, list):
            holder.insert(key, rng.choice(VALUES))
        elif kind == 4 and type(holder[key]) is int:
            holder[key] += rng.choice((-1, 1, 8, holder[key]))
        elif kind == 5:
            holder[key] = [holder[key]] if rng.randrange(2) else {"a": holder[key]}
        else:
            holder[key] = rng.choice(VALUES)
    return value


def bent_json(raw: bytes, rng: random.Random, plain: Plain) -> bytes:
    """JSON changed as a tree, or as bytes where it is none."""
    try:
        if rng.randrange(8):
            return json.dumps(bend(json.loads(raw), rng)).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        pass
    return plain(raw)


def tensors_file(raw: bytes, rng: random.Random, plain: Plain) -> tuple[bytes, int]:
    """A safetensors file with changed tensors, and how many zero bytes have to follow it."""
    length = int.from_bytes(raw[:8], "little")
    try:
        header = json.loads(raw[8 : 8 + length])
        held = {k: v for k, v in header.items() if k != "__metadata__"}
        parts = {
            k: [v["dtype"], list(v["shape"]), raw[8 + length :][slice(*v["data_offsets"])]] for k, v in held.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return plain(raw), 0
    if not rng.randrange(8):  # the offsets stay what they were
        text = json.dumps(bend(header, rng)).encode("utf-8", "replace")
        return len(text).to_bytes(8, "little") + text + raw[8 + length :], 0
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change_tensors(parts, rng, plain)
    return _laid_out(parts, header.get("__metadata__"))


def _change_tensors(parts: dict[str, list[Any]], rng: random.Random, plain: Plain) -> None:
    if not parts:
        parts["a.weight"] = ["F32", [2, 2], bytes(16)]
    name = rng.choice(list(parts))
    part, what = parts[name], rng.randrange(9)
    if what == 0:
        part[0] = rng.choice(DTYPES)
    elif what == 1:
        part[1] = list(rng.choice(list(parts.values()))[1])
    elif what == 2 and part[1]:
        at = rng.randrange(len(part[1]))
        n = part[1][at]
        part[1][at] = rng.choice((n + 1, n - 1, 2 * n, n // 2, 1, rng.choice(NUMBERS)))
    elif what == 3:
        part[1] = rng.choice((part[1][::-1], [*part[1], 1], [1, *part[1]], part[1][1:], [n or 1 for n in part[1]] * 2))
    elif what == 4:
        del parts[name]
    elif what in (5, 6):
        stem = name.rsplit(".", rng.choice((1, 2)))[0]
        to = f"{stem}.{rng.choice(WORDS)}" if rng.randrange(4) else name + rng.choice(("_scale", "x", ".0", "_bias"))
        parts[to] = list(part) if what == 5 else parts.pop(name)
    elif what == 7:
        part[2] = plain(part[2])
    else:
        width = ITEMSIZE.get(part[0], 1)
        part[2] = b"".join((rng.choice(NUMBERS) % 2**64).to_bytes(8, "little")[:width] for _ in range(8))


def _laid_out(parts: dict[str, list[Any]], metadata: Any) -> tuple[bytes, int]:
    """A file whose offsets follow from types and shapes; what is too long is the last one, and zeros that follow."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data, at, zeros = b"", 0, 0
    sizes = {}
    for name, (dtype, shape, _) in parts.items():
        sizes[name] = ITEMSIZE.get(dtype, 1)
        for n in shape:
            sizes[name] *= n if type(n) is int else 1
    for name in sorted(parts, key=lambda name: sizes[name] > MAX_DATA):
        dtype, shape, held = parts[name]
        n = sizes[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        at += n
        if 0 <= n <= MAX_DATA and not zeros:
            data += ((held or b"\0") * (n // len(held or b"\0") + 1))[:n]
        else:
            zeros += max(n, 0)
    text = json.dumps(header).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + data, zeros


def safetensors(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """The file, or its config."""
    file, zeros, config = unpack(data, 3)
    if rng.randrange(4):
        file, n = tensors_file(file, rng, plain)
        zeros = min(n, 2**63).to_bytes(8, "little") if n else b""
    else:
        config = bent_json(config, rng, plain)
    return pack(file, zeros, config)


def adapter(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """The config, or the weights."""
    config, file = unpack(data, 2)
    if rng.randrange(2):
        return pack(bent_json(config, rng, plain), file)
    return pack(config, tensors_file(file, rng, plain)[0])


def dna(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """The table of genes within the metadata, or the file around it."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        about = header["__metadata__"]["about"]
        if rng.randrange(3):
            header["__metadata__"]["about"] = bent_json(about.encode(), rng, plain).decode("utf-8", "replace")
            text = json.dumps(header).encode("utf-8", "replace")
            return len(text).to_bytes(8, "little") + text + data[8 + length :]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return tensors_file(data, rng, plain)[0] if rng.randrange(4) else plain(data)


def choice(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Lines of the listing, or the index."""
    listing, index = unpack(data, 2)
    if not rng.randrange(4):
        return pack(listing, bent_json(index, rng, plain))
    lines, what = listing.split(b"\n")[:200], rng.randrange(5)
    at = rng.randrange(len(lines))
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(at, rng.choice(FILES).encode())
    elif what == 2:
        lines[at] = plain(lines[at])
    elif what == 3:
        lines[at] = rng.choice((b"onnx/", b"unet/", b"checkpoint-1/", b"a/b/")) + lines[at]
    else:
        rng.shuffle(lines)
    return pack(b"\n".join(lines), index)


def card(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Lines of a front matter."""
    words = (
        b"base_model:",
        b"- org/a",
        b"&a ",
        b"*a",
        b"!!python/name:os.system",
        b"---",
        b"{",
        b"[",
        b"? ",
        b"|",
        b"\t",
    )
    lines = data.split(b"\n")[:300]
    at, what = rng.randrange(len(lines)), rng.randrange(5)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(at, b" " * rng.randrange(4) + rng.choice(words) + lines[at])
    elif what == 2:
        lines[at:at] = lines[at : at + 3]
    elif what == 3:
        lines[at] = rng.choice(words) + lines[at]
    else:
        return plain(data)
    return b"\n".join(lines)


MUTATORS: dict[str, Mutator] = {
    "safetensors": safetensors, "torch": torch, "pickle": pickles, "gguf": gguf, "onnx": onnx, "adapter": adapter,
    "dna": dna, "choice": choice, "card": card,
}  # fmt: skip
"""How to change an input of a reader."""


def change(reader: str, data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Another input for a reader; changed as bytes where structure has gone (text instead of numbers)."""
    try:
        return MUTATORS[reader](data, rng, plain)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        return plain(data)
