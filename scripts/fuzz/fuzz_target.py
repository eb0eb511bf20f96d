"""One reader under atheris: libFuzzer's inputs, changed by structure, until so many of them were read.

Runs with the Python that has atheris (see `scripts/boards/fuzz_guided.py`, which starts it); what was seen is written
to REPORT as JSON every thousand inputs and at the end. A finding does not end the run: the input is kept beside the
report, one for each place in the code.

    python scripts/fuzz/fuzz_target.py READER REPORT N [libFuzzer's options] CORPUS SEEDS
"""

from __future__ import annotations

import json
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hubdna.sources", "hubdna.dna.codec", "hubdna.card"]):
    import hubdna.card
    import hubdna.dna.codec
    import hubdna.sources.adapter
    import hubdna.sources.choice
    import hubdna.sources.formats  # noqa: F401

import fuzz_mutators
import fuzz_readers

MAX_S = 1.0
"""Of the processor, with instrumentation: nothing is waited for, and other processes may have the cores."""
MAX_MIB = 256
REPORT_EVERY = 1_000
FROM_SEED = 0.3
"""Share of inputs made from a sound one: most of the corpus is broken, and stays so however it is changed."""


def _peak_mib() -> int:
    """Of this program; what getrusage says begins with the peak of the one that started it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024


class Target:
    """Counts, the slowest input, the growth of the process, and what broke the bar."""

    def __init__(self, reader: str, report: Path, n: int) -> None:
        self.reader, self.report, self.n = reader, report, n
        self.n_run, self.slowest, self.began_mib = 0, 0.0, 0
        self.outcomes: Counter[str] = Counter()
        self.findings: dict[str, str] = {}

    def run(self, data: bytes) -> None:
        """One input."""
        if not self.n_run:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak of imports and instrumentation
            self.began_mib = _peak_mib()
        peak = _peak_mib()
        self.n_run += 1
        seconds = self._read(data)
        if seconds > MAX_S:  # what is done once (imports, a collection of garbage) is not the input's doing
            seconds = min(seconds, self._read(data))
        self.slowest = max(self.slowest, seconds)
        if seconds > MAX_S:
            self._found(f"{seconds:.1f} s", data)
        if _peak_mib() - peak > MAX_MIB:
            self._found(f"{_peak_mib() - peak} MiB at once", data)
        if self.n_run % REPORT_EVERY == 0 or self.n_run == self.n:
            self.write()

    def _read(self, data: bytes) -> float:
        started = time.process_time()
        try:
            self.outcomes[fuzz_readers.outcome(self.reader, data)] += 1
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = next((f for f in reversed(frames) if "/hubdna/" in f.filename), frames[-1])
            where = f"{type(error).__name__} at {own.filename.rpartition('/')[2]}:{own.lineno}"
            self._found(where, data, f"{where}: {str(error)[:150]!a}")
            self.outcomes["finding"] += 1
        return time.process_time() - started

    def _found(self, key: str, data: bytes, words: str = "") -> None:
        if key not in self.findings and len(self.findings) < 30:
            self.report.with_name(f"{self.reader}-finding-{len(self.findings)}").write_bytes(data)
            self.findings[key] = words or key

    def write(self) -> None:
        """What was seen so far."""
        facts = {
            "n": self.n_run,
            "outcomes": dict(self.outcomes),
            "slowest_s": round(self.slowest, 3),
            "grown_mib": _peak_mib() - self.began_mib,
            "findings": list(self.findings.values()),
        }
        self.report.write_text(json.dumps(facts))


def main() -> None:
    """Hand over to libFuzzer, which never comes back."""
    reader, report, n = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    sound = [path.read_bytes() for path in sorted(Path(sys.argv[-1]).iterdir())]

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        def plain(raw: bytes) -> bytes:
            return atheris.Mutate(raw, len(raw) + 64)

        rng = random.Random(seed)
        data = rng.choice(sound) if rng.random() < FROM_SEED else data
        return fuzz_mutators.change(reader, data, rng, plain)[:max_size]

    atheris.Setup([sys.argv[0], f"-runs={n}", *sys.argv[4:]], Target(reader, report, n).run, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
