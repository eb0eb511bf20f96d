"""Changes to pickles and PyTorch's archives by their structure (see `fuzz_mutators`)."""

from __future__ import annotations

import io
import pickletools
import random
import warnings
import zipfile

from fuzz_mutators_binary import NUMBERS, Plain


def pickles(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """Opcodes left out, repeated, swapped and put in, arguments changed."""
    if not rng.randrange(8):
        return plain(data)
    cuts = [0]
    try:
        cuts += [at for _, _, at in pickletools.genops(data) if at]
    except Exception:  # the rest is one piece
        pass
    ops = [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)] or [b"."]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, what = rng.randrange(len(ops)), rng.randrange(9)
        if what > 4:  # another argument of the same kind: most likely to be a sound program still
            ops[at] = rng.choice([op for op in ops if op[:1] == ops[at][:1]])
        elif what == 0 and len(ops) > 1:
            del ops[at]
        elif what == 1:
            begin = rng.randrange(len(ops))
            ops[at:at] = ops[begin : begin + rng.choice((1, 3, 20))]
        elif what == 2:
            ops[at], other = ops[rng.randrange(len(ops))], ops[at]
            ops[rng.randrange(len(ops))] = other
        elif what == 3:
            ops.insert(at, _opcode(rng))
        else:
            ops[at] = ops[at][:1] + plain(ops[at][1:])
    return b"".join(ops)


def _opcode(rng: random.Random) -> bytes:
    """Any opcode with an argument that fits."""
    op = rng.choice(pickletools.opcodes)
    code, kind = op.code.encode("latin-1"), op.arg.name if op.arg else ""
    number = rng.choice(NUMBERS) % 2**64
    if kind.endswith("nl") or kind.endswith("nl_pair"):
        words = (
            str(number),
            "torch",
            "OrderedDict",
            "_rebuild_tensor_v2",
            "os",
            "system",
            "0",
            "-1",
            "1e5",
            "''",
            "01",
        )
        return code + b"".join(rng.choice(words).encode() + b"\n" for _ in range(1 + kind.endswith("pair")))
    widths = {"uint1": 1, "uint2": 2, "int4": 4, "uint4": 4, "uint8": 8, "float8": 8}
    if kind in widths:
        return code + number.to_bytes(8, "little")[: widths[kind]]
    width = next((w for w in (1, 4, 8) if kind.endswith(str(w))), 0)
    text = rng.choice((b"", b"storage", b"0", b"\xff" * 9, b"model", b"_modules", b"a" * 1025))
    return code + (rng.choice((len(text), number)) % 256**width).to_bytes(width, "little") + text if width else code


def torch(data: bytes, rng: random.Random, plain: Plain) -> bytes:
    """An archive's records changed where they stand, or the archive written anew with other entries."""
    kind = rng.randrange(8)
    if kind == 0:
        return plain(data)
    if kind < 5:
        marks = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07")
        places = [at for mark in marks for at in _found(data, mark)]
        if places:
            at = rng.choice(places) + rng.randrange(4, 46)
            raw = (rng.choice(NUMBERS) % 2**64).to_bytes(8, "little")[: rng.choice((1, 2, 4, 8))]
            return data[:at] + raw + data[at + len(raw) :]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
        return _rewritten(entries, rng, plain)
    except Exception:  # no archive any more
        return plain(data)


def _found(data: bytes, mark: bytes) -> list[int]:
    places, at = [], data.find(mark)
    while at >= 0 and len(places) < 100:
        places.append(at)
        at = data.find(mark, at + 1)
    return places


def _rewritten(entries: list[tuple[str, bytes]], rng: random.Random, plain: Plain) -> bytes:
    at = rng.randrange(len(entries))
    name, held = entries[at]
    what = rng.randrange(6)
    if what == 0:
        del entries[at]
    elif what == 1:
        entries[at] = (rng.choice((name.upper(), "../" + name, "/etc/passwd", name + "0", "m/byteorder", "")), held)
    elif what == 2:
        entries.insert(rng.randrange(len(entries)), (name if rng.randrange(2) else name + "x", held))
    elif what == 3:
        entries[at] = (name, plain(held))
    else:
        entries = [(n, pickles(d, rng, plain) if n.endswith("data.pkl") else d) for n, d in entries]
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if not rng.randrange(8) else zipfile.ZIP_STORED
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", method) as archive:  # names twice
        for n, d in entries:
            archive.writestr(n, d)
    return out.getvalue()
