"""Board `cost`: what a comparison costs as a whole process, and what a model costs on disk and in memory.

`hubdna compare` and, where its Python is given, `modeldna compare` run in turn on the same decoder pairs of the zoo
(scripts/zoo/make_pairs.py), each a fresh process; ratios are taken within a pair of runs, so that a busy machine slows
both. The first run of each, which compiles, does not count. Processor time counts (user and system): wall time on a
shared machine is noise. Disk is the .dna file of a model of 7B shape at each read level; index memory is what FAISS
holds for a model.

Bar: processor time at most 1.5 times and peak memory at most 2 times modeldna's, medians over all runs; no torch in the
process (tests/test_light.py watches that); a .dna file of at most 1 MiB; at most 1.2 KiB of index a model.

    HUBDNA_ZOO=DIR python scripts/boards/cost.py [--quick] [--fresh] [--rival PYTHON]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import board
from hubdna.dna.read import SCHEME
from llama_shape import write_repository

ZOO = Path(os.environ.get("HUBDNA_ZOO", Path.home() / ".cache" / "hubdna-zoo")) / "pairs"
PAIRS = [("decoder-96-s0", "ft_a"), ("decoder-96-s0", "indep"), ("decoder-128-s0", "ft_heavy"),
         ("decoder-128-s0", "rotated"), ("decoder-128-s1", "indep_ft")]  # fmt: skip
N_RUNS = 7


LAUNCH = """
import os, sys
quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
quiet.pop("PYTHONDONTWRITEBYTECODE", None)
nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], quiet, file_actions=nowhere), 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""A small process between: a child's peak memory begins with what its parent had. Bytecode may be kept, as installing
keeps it: else this checkout would be compiled in every run, and an installed rival never."""


def run(command: list[str]) -> tuple[float, float]:
    """Processor seconds and peak MiB of one process."""
    done = subprocess.run([sys.executable, "-S", "-c", LAUNCH, *command], capture_output=True, text=True, check=True)
    code, seconds, mib = map(float, done.stdout.split())
    if code not in (0, 3, 4):  # modeldna's codes for what it does not find
        raise RuntimeError(f"{command}: ended with {code:.0f}")
    return seconds, mib


def beside(name: str, target: str, rival: str) -> dict[str, Any]:
    """Runs in turn on one pair; medians, and the median of the ratios."""
    a, b = str(ZOO / name / "base"), str(ZOO / name / target)
    ours = [str(Path(sys.executable).parent / "hubdna"), "compare", a, b]
    theirs = [str(Path(rival).parent / "modeldna"), "compare", b, a, "--json"]
    run(ours), run(theirs)  # files and bytecode into the cache
    both = [(run(ours), run(theirs)) for _ in range(N_RUNS)]
    return {
        "seconds": [round(statistics.median(x[i][0] for x in both), 3) for i in (0, 1)],
        "mib": [round(statistics.median(x[i][1] for x in both), 1) for i in (0, 1)],
        "time_ratio": round(statistics.median(x[0][0] / x[1][0] for x in both), 3),
        "memory_ratio": round(statistics.median(x[0][1] / x[1][1] for x in both), 3),
    }  # fmt: skip


def disk(level: str) -> dict[str, Any]:
    """The .dna file of a 7B-shaped model, and its share of an index."""
    from hubdna.dna import codec
    from hubdna.models import Loader
    from hubdna.records import ModelRef
    from hubdna.store.vectors import Vectors

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "board" / "llama-7b"
        write_repository(folder)
        dna = Loader(level=level).load(ModelRef(str(folder))).dna  # type: ignore[arg-type]
        vectors = Vectors()
        vectors.add(1, dna)
        return {
            "dna_kib": round(len(codec.encode(dna)) / 1024, 1),
            "index_kib": round(vectors.table.n_bytes / 1024, 2),
        }


def main() -> int:
    """Measure, print, judge."""
    args = board.arguments(__doc__, rival="")
    rows = board.Rows("cost", args, SCHEME)
    for level in ("small", "standard"):
        rows.measure(f"disk {level}", lambda level=level: disk(level))
    for name, target in PAIRS[:1] if args.quick else PAIRS:
        if args.rival:
            rows.measure(f"pair {name} {target}", lambda n=name, t=target: beside(n, t, args.rival))
    sizes = [[k.split()[1], r["dna_kib"], r["index_kib"]] for k, r in rows.items() if k.startswith("disk")]
    board.table("A 7B-shaped model", ["read", "DNA KiB", "index KiB"], sizes)
    pairs = {k: r for k, r in rows.items() if k.startswith("pair")}
    lines = [[k[5:], r["time_ratio"], *r["mib"], r["memory_ratio"]] for k, r in pairs.items()]
    header = ["pair", "CPU time ratio", "hubdna MiB", "modeldna MiB", "memory ratio"]
    board.table("compare as a whole process, beside modeldna", header, lines)
    time_ratio = statistics.median(r["time_ratio"] for r in pairs.values()) if pairs else None
    memory_ratio = statistics.median(r["memory_ratio"] for r in pairs.values()) if pairs else None
    small = all(size[1] <= 1024 and size[2] <= 1.2 for size in sizes)
    ok = small and (time_ratio or 0) <= 1.5 and (memory_ratio or 0) <= 2
    return board.finish("cost", ok, n=len(rows), time_ratio=time_ratio, memory_ratio=memory_ratio)


if __name__ == "__main__":
    sys.exit(main())
