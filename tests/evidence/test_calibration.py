"""What ships as the calibration of the agreement rule is what the board measured, and the rule keeps its distance."""

import json
import sys
from pathlib import Path

from hubdna.evidence.agreement import calibration
from hubdna.verdict import AGREED, NOT_AGREED

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from calibrate import TARGET  # noqa: E402
from calibrate import calibration as measured  # noqa: E402


def test_the_shipped_calibration_is_the_boards() -> None:
    assert json.loads(TARGET.read_text()) == measured()


def test_no_independent_pair_that_was_measured_comes_near_the_lines() -> None:
    found = measured()["architectures"].values()
    assert len(found) >= 5
    assert max(a["largest_half_of_layers"] for a in found) < NOT_AGREED < AGREED
    assert all(a["pairs"] >= 500 for a in found)
    assert f"{sum(a['pairs'] for a in found)} independent pairs" in calibration()
