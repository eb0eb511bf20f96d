"""What must not change an answer, for any models."""

import numpy as np
import pytest
from evidence_bench import Bench, mixed, plain, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubdna.evidence.compare import compare_dna
from hubdna.records import Evidence

SEEDS = st.integers(0, 2**32 - 1)
SETTINGS = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def net(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"a.w": weights(rng, 96, 40), "b.w": weights(rng, 96, 96), "c.w": weights(rng, 60, 96)}


def pair(seed: int, rho: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    a = net(rng)
    return a, {name: mixed(w, rho, rng) for name, w in a.items()}


def counts(evidence: Evidence) -> list[tuple[int, int, int]]:
    return [(b.n_axis, b.n_units, b.fixed_points) for b in plain(evidence)]


@SETTINGS
@given(SEEDS, st.floats(0, 0.95))
def test_neither_model_of_a_pair_is_the_first_one(bench: Bench, seed: int, rho: float) -> None:
    """K may differ by the shuffle only where S has ties: float weights have none."""
    a, b = (bench.dna(m) for m in pair(seed, rho))
    there, back = compare_dna(a, b), compare_dna(b, a)
    assert there.log10_p == back.log10_p
    assert there.similarity == pytest.approx(back.similarity, abs=1e-9)
    assert counts(there) == counts(back)


@SETTINGS
@given(SEEDS, st.floats(0, 0.95), st.sampled_from([0.5, 2.0, 8.0]))
def test_the_scale_of_a_model_says_nothing(bench: Bench, seed: int, rho: float, scale: float) -> None:
    a, b = pair(seed, rho)
    scaled = {name: w * np.float32(scale) for name, w in b.items()}
    plain, other = (compare_dna(bench.dna(a), bench.dna(m)) for m in (b, scaled))
    assert counts(plain) == counts(other)
    assert other.similarity == pytest.approx(plain.similarity, abs=1e-6)


@SETTINGS
@given(SEEDS, st.floats(0.4, 0.95))
def test_relatives_stay_relatives_when_units_are_rescaled_as_normalisation_layers_allow(
    bench: Bench, seed: int, rho: float
) -> None:
    """Rows of any scale: the cosine of a row does not see it, except through the mean over units."""
    a, b = pair(seed, rho)
    scales = np.exp(np.random.default_rng(seed).uniform(-1, 1, (96, 1))).astype(np.float32)
    b = {**b, "a.w": b["a.w"] * scales, "b.w": b["b.w"] * scales}
    evidence = compare_dna(bench.dna(a), bench.dna(b))
    assert max(k for *_, k in counts(evidence)) >= 17


@SETTINGS
@given(SEEDS)
def test_relabelling_what_is_not_tested_in_both_models_changes_nothing(bench: Bench, seed: int) -> None:
    a, b = pair(seed, 0.3)
    order = np.concatenate([np.arange(32), 32 + np.random.default_rng(seed).permutation(64)])

    def relabelled(m: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"a.w": m["a.w"][order], "b.w": m["b.w"][:, order], "c.w": m["c.w"][:, order]}

    plain = compare_dna(bench.dna(a), bench.dna(b))
    moved = compare_dna(bench.dna(relabelled(a)), bench.dna(relabelled(b)))
    assert counts(plain) == counts(moved)
    assert moved.similarity == pytest.approx(plain.similarity, abs=1e-9)


@SETTINGS
@given(SEEDS)
def test_a_relative_whose_tested_units_were_relabelled_falls_to_the_fixed_points_of_the_relabelling(
    bench: Bench, seed: int
) -> None:
    """K counts labels, and nothing but labels: a strong relation shows exactly the units that stayed in place."""
    a, b = pair(seed, 0.95)
    sigma = np.random.default_rng(seed).permutation(32)
    order = np.concatenate([sigma, np.arange(32, 96)])
    b = {"a.w": b["a.w"][order], "b.w": b["b.w"][order][:, order], "c.w": b["c.w"][:, order]}
    evidence = compare_dna(bench.dna(a), bench.dna(b))
    assert counts(evidence) == [(96, 32, int((sigma == np.arange(32)).sum()))]


@SETTINGS
@given(SEEDS, st.sampled_from([np.float16, np.float64]))
def test_the_stored_type_says_nothing(bench: Bench, seed: int, dtype: type) -> None:
    a, b = pair(seed, 0.3)
    plain = compare_dna(bench.dna(a), bench.dna(b))
    cast = compare_dna(bench.dna(a), bench.dna({name: w.astype(dtype) for name, w in b.items()}))
    assert abs(counts(plain)[0][2] - counts(cast)[0][2]) <= 2  # rounding may swap two units that hardly match
    assert cast.similarity == pytest.approx(plain.similarity, abs=1e-3)


@SETTINGS
@given(SEEDS, st.floats(0, 1))
def test_numbers_stay_in_their_ranges(bench: Bench, seed: int, rho: float) -> None:
    evidence = compare_dna(*(bench.dna(m) for m in pair(seed, rho)))
    assert evidence.log10_p is not None and evidence.log10_p <= 0
    assert evidence.similarity is not None and -1 <= evidence.similarity <= 1
    assert evidence.n_rows_equal <= evidence.n_rows == sum(b.n_genes for b in plain(evidence)) * 32
