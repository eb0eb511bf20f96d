"""Real trainings: independents, twins of one seed, fine-tunes."""

import itertools

import numpy as np
import pytest
from evidence_bench import NETS, Bench, assert_null, fixed_points

from hubdna.evidence.compare import compare_dna
from hubdna.verdict import judge

SERIES = {
    "mlp-seed": 6, "residual-": 3, "residual-direct-": 3, "gru-": 3, "lstm-": 3, "rnn-identity-": 2, "dirac-": 3,
}  # fmt: skip


@pytest.mark.parametrize("series", SERIES)
def test_independent_trainings_of_one_recipe_are_strangers(bench: Bench, series: str) -> None:
    dnas = [bench.dna(f"{series}{i}") for i in range(SERIES[series])]
    verdicts = [judge(compare_dna(a, b)) for a, b in itertools.combinations(dnas, 2)]
    assert {v.origin for v in verdicts} <= {"no-evidence", "undecided"}
    assert all(k <= 5 for k in fixed_points(verdicts))


def test_all_independent_trainings_together_have_one_fixed_point_on_average(bench: Bench) -> None:
    verdicts = []
    for series, n in SERIES.items():
        dnas = [bench.dna(f"{series}{i}") for i in range(n)]
        verdicts += [judge(compare_dna(a, b)) for a, b in itertools.combinations(dnas, 2)]
    assert_null(verdicts, at_least=20)


@pytest.mark.parametrize(("a", "b"), [("twin-a", "twin-b"), ("twin-init", "twin-a"), ("twin-init", "twin-b")])
def test_trainings_of_one_seed_have_a_common_origin_and_are_never_called_fine_tunes(
    bench: Bench, a: str, b: str
) -> None:
    verdict = bench.compare(a, b)
    assert verdict.origin == "common"
    assert verdict.relation in (None, "shared-initialisation")
    assert verdict.direction == "undirected"


@pytest.mark.parametrize("child", ["ft-of-mlp-seed0", "ft-of-mlp-seed0-heavy"])
def test_a_fine_tune_and_its_parent_have_a_common_origin(bench: Bench, child: str) -> None:
    verdict = bench.compare("mlp-seed0", child)
    assert (verdict.origin, verdict.direction) == ("common", "undirected")
    assert verdict.similarity > 0.5


@pytest.mark.parametrize("stranger", ["mlp-seed1", "twin-a", "twin-init"])
@pytest.mark.parametrize("child", ["ft-of-mlp-seed0", "ft-of-mlp-seed0-heavy"])
def test_a_fine_tune_and_another_training_of_the_same_recipe_are_strangers(
    bench: Bench, child: str, stranger: str
) -> None:
    assert bench.compare(child, stranger).origin in ("no-evidence", "undecided")


def test_trainings_are_compared_bit_for_bit_with_themselves(bench: Bench) -> None:
    assert {bench.compare(f.stem, f.stem).origin for f in sorted(NETS.glob("*.safetensors"))} == {"identical"}
    assert np.isfinite([bench.compare("twin-a", "twin-b").log10_p]).all()
