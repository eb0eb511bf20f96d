"""Board `fuzz`: mutated files of every format through every reader.

A corpus of small sound files (tests/data/formats, a GGUF and a .dna made on the spot, a pickle that would leave a file
behind if anything of it ran) is mutated: bits flipped, bytes and lengths overwritten with extreme numbers, pieces cut,
repeated, swapped between files. Each mutant is opened, its groups composed, and the first units of its tensors read.

Bar: 200,000 mutants raise nothing but children of `SourceError` (or `NotFoundError`, for a file beside that is absent);
none takes over a second; the process stays under 256 MiB above its start; the canary file never appears.

    python scripts/boards/fuzz.py [--quick] [--fresh] [--n 200000]     a chunk of 2,000 a row, resumable
"""

from __future__ import annotations

import pickle
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import board
from hubdna.dna import codec
from hubdna.errors import NotFoundError, SourceError
from hubdna.models import Loader
from hubdna.records import ModelRef
from hubdna.sources import formats
from hubdna.sources.interface import LocalReader, read_units
from hubdna.sources.safetensors import FLOATS

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "formats"
CHUNK = 2_000
EXTREMES = [
    b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f", (2**63 - 1).to_bytes(8, "little"), (2**40).to_bytes(8, "little"),
    b"\x80" * 10, b"[" * 64, b"\x80\x02c", b"../../", b"\n",
]  # fmt: skip
"""What lengths, counts and names are overwritten with."""


class Canary:
    """Pickles into a call that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def corpus(place: Path) -> dict[str, bytes]:
    """Sound files by name; the ending decides the reader."""
    found = {f"{p.parent.name}-{p.name}": p.read_bytes() for p in sorted(DATA.rglob("*.*")) if p.suffix in _READ}
    sys.path.insert(0, str(ROOT / "scripts" / "formats"))
    from write_gguf import load, write_llama

    weights, config = load(ROOT / "hubdna/demo/models/bytewright/pyllama-245k")
    few = {k: w for k, w in weights.items() if ".0." in k}
    for kind in ("F32", "Q4_0"):
        write_llama(place / "x.gguf", few, config, kind, vocabulary=20)
        found[f"{kind}.gguf"] = (place / "x.gguf").read_bytes()
    dna = Loader().load(ModelRef(str(DATA / "torch" / "twin.safetensors"))).dna
    found["twin.dna"] = codec.encode(dna)
    with zipfile.ZipFile(place / "canary.pt", "w") as archive:
        archive.writestr("canary/data.pkl", pickle.dumps({"a": Canary(place / "CANARY")}, protocol=2))
        archive.writestr("canary/version", "3")
    found["canary.pt"] = (place / "canary.pt").read_bytes()
    return found


_READ = {".safetensors", ".bin", ".pt", ".ckpt", ".onnx"}


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to eight changes; most of them near the beginning or the end, where directories are."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        size = max(len(out), 1)
        at = rng.choice((rng.randrange(size), min(rng.randrange(600), size - 1), max(size - 1 - rng.randrange(600), 0)))
        what = rng.randrange(6)
        if what == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            piece = rng.choice(EXTREMES)
            out[at : at + len(piece)] = piece
        elif what == 2:
            del out[at : at + rng.choice((1, 4, 100, size))]
        elif what == 3:
            out[at:at] = out[at : at + rng.choice((1, 8, 200))]
        elif what == 4:
            other = rng.choice(others)
            begin = rng.randrange(max(len(other), 1))
            out[at : at + 64] = other[begin : begin + 64]
        elif out:
            out[at] = rng.randrange(256)
    return bytes(out)


def read(path: Path) -> None:
    """Everything that a mutant could make us do."""
    if path.suffix == ".dna":
        codec.decode(path.read_bytes(), path.name)
        return
    reader = LocalReader(path.parent)
    opened = formats.open_file(reader, path.name, 200, 1 << 26)
    tensors, _ = formats.compose([opened], reader, None, 8)
    usable = [t for t in tensors if t.quantised or t.info.dtype in FLOATS]
    for tensor in usable[:8]:
        if 0 < tensor.n_bytes(min(2, tensor.n_units)) < 1 << 22:
            next(read_units(reader, [(tensor, 0, min(2, tensor.n_units))]))


def chunk(number: int, seeds: dict[str, bytes], place: Path, n: int) -> dict[str, Any]:
    """Outcomes of n mutants; a mutant that breaks the bar is kept beside the results."""
    rng, names = random.Random(number), sorted(seeds)
    outcomes: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    for i in range(n):
        name = rng.choice(names)
        path = place / name
        path.write_bytes(mutate(seeds[name], [seeds[rng.choice(names)]], rng))
        started = time.perf_counter()
        try:
            read(path)
            outcomes["read"] += 1
        except (SourceError, NotFoundError) as error:
            outcomes[type(error).__name__] += 1
        except BaseException as error:
            wrong.append(f"{number}/{i} {name}: {type(error).__name__}: {str(error)[:100]}")
        slowest = max(slowest, time.perf_counter() - started)
    return {
        "n": n,
        "outcomes": dict(outcomes),
        "slowest_s": round(slowest, 3),
        "wrong": wrong[:5],
        "n_wrong": len(wrong),
    }


def main() -> int:
    """Run the chunks that are missing, print, judge."""
    args = board.arguments(__doc__, n=200_000)
    rows = board.Rows("fuzz", args)
    n_chunks = 2 if args.quick else -(-args.n // CHUNK)
    with tempfile.TemporaryDirectory() as place:
        seeds = corpus(Path(place))
        chunk(-1, seeds, Path(place), 200)  # imports and caches are not a mutant's doing
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(n_chunks):
            rows.measure(f"chunk {i}", lambda i=i: chunk(i, seeds, Path(place), CHUNK))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        ran = (Path(place) / "CANARY").exists()
    total = Counter[str]()
    for row in rows.values():
        total.update(row["outcomes"])
    n, n_wrong = sum(r["n"] for r in rows.values()), sum(r["n_wrong"] for r in rows.values())
    slowest = max(r["slowest_s"] for r in rows.values())
    board.table(
        f"{n} mutants of {len(seeds)} files", ["outcome", "mutants"], [*total.items(), ["anything else", n_wrong]]
    )
    ok = n_wrong == 0 and slowest <= 1 and grown <= 256 and not ran and (args.quick or n >= args.n)
    wrong = [w for r in rows.values() for w in r["wrong"]][:5]
    return board.finish(
        "fuzz", ok, n=n, slowest_s=slowest, grown_mib_this_run=round(grown), canary_ran=ran, wrong=wrong
    )


if __name__ == "__main__":
    sys.exit(main())
