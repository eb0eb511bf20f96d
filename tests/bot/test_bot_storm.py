"""The board's storm, small: a server process that is killed while webhooks come, and started again."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))

from bot_storm import FATES, storm  # noqa: E402


def test_a_small_storm(tmp_path: Path) -> None:
    found = storm(tmp_path, n_models=19, n_events=100, n_kills=1, seed=3, patience_s=120, calm_after=False)
    assert found["by_fate"].keys() == set(FATES)
    for fate, (none, one, more) in found["by_fate"].items():
        assert more == 0 and (none if fate == "approved" else one) == 0, found
    assert found["by_fate"]["approved"][1] == 10
    assert found["answered"] == found["events"] and not found["forged_let_in"] and found["extra_events"] == 0
    assert found["kills"] == 1 and found["exit_code"] == 0
    assert not found["log_has_token"] and not found["state_has_token"]
