"""Write what the agreement of two matchings was calibrated on: hubdna/evidence/agreement.json.

    python scripts/calibrate.py

Taken from the rows of the board `null` (scripts/boards/results/null.json): pairs of really independent trainings, by
architecture, and the largest share of hidden units on which their matchings agreed. Run it after that board; a test
compares the two files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hubdna.evidence.agreement import MIN_UNITS

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "hubdna" / "evidence" / "agreement.json"


def calibration() -> dict[str, Any]:
    """What the board measured, without the architectures that have no hidden layers to match, or too narrow ones."""
    rows = json.loads((ROOT / "scripts" / "boards" / "results" / "null.json").read_text())
    found = {key.split()[1]: row for key, row in rows.items() if key.startswith("agreement") and row["layers"]}
    found = {name: row for name, row in found.items() if min(map(int, row["by_width"])) >= MIN_UNITS}
    kept = ("pairs", "layers", "largest_layer", "largest_half_of_layers")
    return {"scheme": rows["scheme"], "architectures": {a: {k: row[k] for k in kept} for a, row in found.items()}}


if __name__ == "__main__":
    TARGET.write_text(json.dumps(calibration(), indent=2) + "\n")
