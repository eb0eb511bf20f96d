"""Choose, of what the guided fuzzer kept, the few inputs that the default tests read every time: tests/data/fuzz.

For each reader: the smallest input that ends at each place in the code where something is refused, the three smallest
that are read, and the canary pickles. Run after `scripts/boards/fuzz_guided.py`, with the folder it worked in.

    python scripts/fuzz/fuzz_keep.py /tmp/hubdna-fuzz
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path

from fuzz_readers import READERS
from fuzz_seeds import SEEDS

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "data" / "fuzz"
MAX_SIZE = 10_000
"""Bytes of an input."""
N_READ, N_REFUSED = 3, 40
"""Inputs that are read, and that are refused, of a reader at most."""


def place(reader: str, data: bytes) -> str:
    """Where reading an input ended."""
    try:
        READERS[reader](data)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "/hubdna/" in f.filename and f.name not in ("fail", "error", "refuse")]
        return f"{type(error).__name__} {own[-1].filename}:{own[-1].lineno}" if own else "elsewhere"
    return "read"


def main() -> None:
    """Write the folders of the readers that were fuzzed anew."""
    corpus = Path(sys.argv[1]) / "corpus"
    for reader in (r for r in READERS if (corpus / r).is_dir()):
        shutil.rmtree(CORPUS / reader, ignore_errors=True)
        inputs = [p.read_bytes() for p in (corpus / reader).iterdir()]
        kept = [data for name, data in SEEDS[reader]().items() if name.startswith("canary")]
        seen: Counter[str] = Counter()
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            where = place(reader, data) if len(data) <= MAX_SIZE else "too long"
            seen[where] += 1
            room = seen.total() - seen["too long"] > 0 and len(kept) < N_READ + N_REFUSED
            if where != "too long" and room and seen[where] <= (N_READ if where == "read" else 1):
                kept.append(data)
        folder = CORPUS / reader
        folder.mkdir(parents=True)
        for data in kept:
            (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
        print(reader, len(inputs), "kept", len(kept), sum(map(len, kept)), "bytes;", len(seen), "places")


if __name__ == "__main__":
    main()
