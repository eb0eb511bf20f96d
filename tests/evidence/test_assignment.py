"""The assignment solver is SciPy's, loaded without the rest of scipy.optimize."""

import subprocess
import sys

import numpy as np
import pytest

from hubdna.evidence import assignment


def matrices() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    tied = [rng.integers(0, n, (32, 32)).astype(float) for n in (1, 2, 3, 9)]
    return [rng.standard_normal((32, 32)), rng.standard_normal((24, 24)), *tied, np.eye(32)]


@pytest.mark.parametrize("S", matrices(), ids=lambda S: f"{len(np.unique(S))}-values")
def test_it_answers_as_the_public_function_does_ties_too(S: np.ndarray) -> None:
    from scipy.optimize import linear_sum_assignment

    for maximize in (True, False):
        ours, theirs = assignment.solver()(S, maximize=maximize), linear_sum_assignment(S, maximize=maximize)
        assert all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_a_scipy_that_keeps_it_elsewhere_is_imported_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.optimize import linear_sum_assignment

    monkeypatch.setattr(assignment, "FILE", "_moved")
    assert assignment.solver.__wrapped__() is linear_sum_assignment


def test_the_rest_of_scipy_optimize_stays_out() -> None:
    code = (
        "import sys, numpy as np; from hubdna.evidence.fixed_points import shuffled_assignment as match;"
        "match(np.random.default_rng(1).standard_normal((32, 32)));"
        "print('scipy' in sys.modules, 'scipy.optimize' in sys.modules, 'scipy.linalg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
