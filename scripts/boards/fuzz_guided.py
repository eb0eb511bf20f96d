"""Board `fuzz_guided`: a coverage-guided fuzzer (atheris) against every reader, with changes that keep the structure.

What `fuzz` does blindly is guided here: an input that reaches new code is kept and changed further. Changes keep what a
reader checks first (JSON trees, offsets and lengths, opcodes, records of archives, fields of protocol buffers), so that
they get past it. Readers: safetensors with a hostile config.json, PyTorch archives, pickles in a sound archive, GGUF,
ONNX with external data, adapters, .dna files, listings with shard indexes, and model cards. Files can have terabytes of
zeros behind them.

Bar: at least 200,000 inputs over all readers; nothing but children of `SourceError` (or `NotFoundError`; `CardError` of
cards); no input over 1 s; no growth over 256 MiB; no values of another shape than promised; the interpreter opens no
file, starts no process and looks no pickled name up (its own audit events say so), and the canary file never appears.

    python -m venv /tmp/fuzzvenv && /tmp/fuzzvenv/bin/pip install atheris -e '.[test]'     once; not in .venv
    python scripts/boards/fuzz_guided.py [--quick] [--fresh] [--fuzzer /tmp/fuzzvenv/bin/python] [--work FOLDER]

A row a reader; a rerun measures readers that are missing. Inputs that were kept, and findings, lie in FOLDER.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import board

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS / "fuzz"))
from fuzz_seeds import CANARY, SEEDS  # noqa: E402

RUNS = {
    "safetensors": 70_000, "torch": 40_000, "pickle": 50_000, "gguf": 50_000, "onnx": 40_000, "adapter": 40_000,
    "dna": 30_000, "choice": 30_000, "card": 10_000,
}  # fmt: skip
"""Inputs of each reader."""
LIMITS = ["-max_len=100000", "-len_control=0", "-timeout=60", "-rss_limit_mb=2048", "-seed=1", "-print_final_stats=1"]
_COVERAGE = re.compile(r"(INITED|DONE|pulse|NEW|REDUCE)\s+cov: (\d+) ft: (\d+) corp: (\d+)")


def measure(reader: str, n: int, fuzzer: str, work: Path) -> dict[str, Any]:
    """Let one reader be fuzzed: what its process reported, and what libFuzzer says about coverage."""
    seeds, corpus, report = work / "seeds" / reader, work / "corpus" / reader, work / f"{reader}.json"
    for folder in (seeds, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS[reader]().items():
        (seeds / name).write_bytes(data)
    kept_before = len(list(corpus.iterdir()))
    report.unlink(missing_ok=True)
    command = [fuzzer, str(SCRIPTS / "fuzz" / "fuzz_target.py"), reader, str(report), str(n), *LIMITS]
    command += [f"-artifact_prefix={work}/{reader}-", str(corpus), str(seeds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    (work / f"{reader}.log").write_text(done.stderr)
    if not report.exists():
        raise SystemExit(f"{reader}: the fuzzer did not start:\n{done.stderr[-1500:]}")
    facts: dict[str, Any] = json.loads(report.read_text())
    if done.returncode:  # a hang, or more memory than libFuzzer allows: the process is gone
        last = [line for line in done.stderr.splitlines() if "ERROR" in line][-1:]
        facts["findings"].append(f"ended with {done.returncode}: {' '.join(last)[:200]}")
    seen = _COVERAGE.findall(done.stderr)
    first = next((s for s in seen if s[0] == "INITED"), seen[0])
    edges = {"edges_start": int(first[1]), "edges_end": int(seen[-1][1])}
    return facts | edges | {"seeds": len(SEEDS[reader]()), "kept": len(list(corpus.iterdir())) - kept_before}


def main() -> int:
    """Fuzz the readers that are missing, print, judge."""
    place = str(Path(tempfile.gettempdir()) / "hubdna-fuzz")
    args = board.arguments(__doc__, fuzzer="/tmp/fuzzvenv/bin/python", work=place)
    rows = board.Rows("fuzz_guided", args)
    if not Path(args.fuzzer).exists() and not set(RUNS) <= set(rows):
        print(f"no Python with atheris at {args.fuzzer}; how to make one:\n{__doc__}", file=sys.stderr)
        return 1
    CANARY.unlink(missing_ok=True)
    for reader, n in RUNS.items():
        runs = 300 if args.quick else n
        rows.measure(reader, lambda reader=reader, runs=runs: measure(reader, runs, args.fuzzer, Path(args.work)))
    ran = CANARY.exists()
    header = ["reader", "inputs", "read", "refused", "edges before", "after", "kept", "slowest s", "grown MiB", "found"]
    n_read = {name: row["outcomes"].get("read", 0) for name, row in rows.items()}
    table = [
        [name, r["n"], n_read[name], r["n"] - n_read[name], r["edges_start"], r["edges_end"], r["kept"],
         r["slowest_s"], r["grown_mib"], len(r["findings"])]
        for name, r in rows.items()
    ]  # fmt: skip
    board.table("Inputs of every reader, guided by coverage", header, table)
    n = sum(r["n"] for r in rows.values())
    findings = [f"{name}: {what}" for name, r in rows.items() for what in r["findings"]]
    slowest, grown = max(r["slowest_s"] for r in rows.values()), max(r["grown_mib"] for r in rows.values())
    ok = not findings and slowest <= 1 and grown <= 256 and not ran and (args.quick or n >= 200_000)
    return board.finish(
        "fuzz_guided", ok, n=n, slowest_s=slowest, grown_mib=grown, canary_ran=ran, findings=findings[:10]
    )


if __name__ == "__main__":
    sys.exit(main())
