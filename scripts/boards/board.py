"""What all boards share: rows kept as committed JSON, intervals, tables, and one JSON line at the end.

A board is a script that measures one claim of the project. It works in keyed rows, saves each as soon as it is
measured, and on the next start measures only what is missing; `--fresh` forgets the rows, `--quick` measures a small
part within a minute and never touches the committed results. The last line of its output is one JSON object with
"board" and "ok"; the exit code is 0 only when the claim holds.

    args = board.arguments(__doc__)
    rows = board.Rows("law", args)
    for seed in range(100):
        rows.measure(f"seed {seed}", lambda seed=seed: draw(seed))
    board.table("The law", ["k", "observed"], [[3, 17]])
    sys.exit(board.finish("law", ok=True, n=100_000))
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy import stats

RESULTS = Path(__file__).parent / "results"


def arguments(doc: str | None, **options: Any) -> argparse.Namespace:
    """Parse the command line: --quick, --fresh, and `options` (name -> default; its type is the default's)."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small part, under a minute; results are not kept")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    for name, default in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


class Rows(dict[str, Any]):
    """Keyed results of a board, as they stand in results/NAME.json.

    Args:
        name: of the board.
        args: from `arguments`; a quick run starts empty and saves nothing.
        scheme: what the rows were measured with; rows of another scheme are forgotten.
    """

    def __init__(self, name: str, args: argparse.Namespace, scheme: str | None = None) -> None:
        self.path, self.kept = RESULTS / f"{name}.json", not args.quick
        known = self.kept and not args.fresh and self.path.exists()
        super().__init__(json.loads(self.path.read_text()) if known else {})
        if scheme is not None and self.get("scheme") != scheme:
            self.clear()
            self["scheme"] = scheme

    def measure(self, key: str, run: Callable[[], Any]) -> Any:
        """Give the row of a key; measure and save it if it is missing."""
        if key not in self:
            self[key] = run()
            self.save()
        return self[key]

    def save(self) -> None:
        """Write all rows, one a line, through a temporary file."""
        if not self.kept:
            return
        self.path.parent.mkdir(exist_ok=True)
        lines = [f"{json.dumps(key)}: {json.dumps(row, allow_nan=False)}" for key, row in self.items()]
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write("{\n" + ",\n".join(lines) + "\n}\n")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(self.path)


def interval(k: int, n: int, confidence: float = 0.99) -> tuple[float, float]:
    """Exact (Clopper-Pearson) interval of a share k / n."""
    result = stats.binomtest(k, n).proportion_ci(confidence, method="exact") if n else (0.0, 1.0)
    return float(result[0]), float(result[1])


def band(p: float, n: int, confidence: float = 0.99) -> tuple[int, int]:
    """Smallest and largest count that n draws of probability p give with `confidence`, equal tails."""
    tail = (1 - confidence) / 2
    return int(stats.binom.ppf(tail, n, p)), int(stats.binom.isf(tail, n, p))


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers to the right, nothing cut off when the output is a file."""
    console = Console(width=None if sys.stdout.isatty() else 150)  # a file is read in an editor or on a web page
    drawn = Table()
    for name in header:
        drawn.add_column(name, no_wrap=True, justify="left" if name == header[0] else "right")
    for row in rows:
        drawn.add_row(*[f"{cell:.4g}" if isinstance(cell, float) else escape(str(cell)) for cell in row])
    console.print(f"\n{title}", style="bold", highlight=False)
    console.print(drawn)


def finish(name: str, ok: bool, started: float | None = None, **facts: Any) -> int:
    """Print the closing JSON line and give the exit code; `started` is a time.perf_counter()."""
    seconds = {} if started is None else {"seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps({"board": name, "ok": bool(ok), **facts, **seconds}, allow_nan=False))
    return 0 if ok else 1
