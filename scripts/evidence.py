"""Run every board and write docs/evidence.md from what they print.

Boards keep their rows as committed JSON (scripts/boards/results), so a rerun measures only what is missing; `--fresh`
measures everything again, `--only NAME` runs one board and keeps the other sections as they stand.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "evidence.md"
BOARDS = (
    "real", "traffic", "law", "nulls", "null", "pairs", "power", "cost", "formats", "fuzz", "fuzz_guided", "sketch",
    "search", "direction", "merges", "odd", "audits", "plugs", "bot", "rules", "proof", "attested", "workers",
    "protect", "behaviour",
)  # fmt: skip
"""In the order of the page."""

HEAD = """# Evidence

Every figure here was printed by the command above it, on this code. `make evidence` runs all boards and writes this
page; rows that were measured before are read from `scripts/boards/results`. A board exits with 0 only when its bar
holds. Absolute times are left out: they measure the machine.
"""


def section(name: str, fresh: bool) -> tuple[str, bool]:
    """Run one board; its section of the page, and whether its bar held."""
    command = [sys.executable, f"scripts/boards/{name}.py", *(["--fresh"] if fresh else [])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    story = (ROOT / "scripts" / "boards" / f"{name}.py").read_text().split('"""')[1].strip()
    output = re.sub(r'(, )?"seconds": [\d.]+', "", done.stdout).strip()
    text = f"## {name}\n\n{story}\n\n`python scripts/boards/{name}.py`\n\n```text\n{output}\n```\n"
    return text, done.returncode == 0


def main() -> int:
    """Write the page; 1 when a bar did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--only", choices=BOARDS, help="one board")
    args = parser.parse_args()
    old = PAGE.read_text() if PAGE.exists() else ""
    kept = {m[1]: m[0] for m in re.finditer(r"^## (\w+)\n.*?(?=^## |\Z)", old, re.MULTILINE | re.DOTALL)}
    failed = []
    for name in BOARDS:
        if args.only in (None, name):
            kept[name], ok = section(name, args.fresh)
            print(f"{name}: {'holds' if ok else 'DOES NOT HOLD'}")
            failed += [] if ok else [name]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join([HEAD, *(kept[n].rstrip() + "\n" for n in BOARDS if n in kept)]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
