"""Names and axis orders are a framework's choice; they must not change what is said."""

import numpy as np
import pytest
from evidence_bench import Bench, mixed, weights


def net(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "mlp.0.fc1.weight": weights(rng, 160, 48), "mlp.0.fc2.weight": weights(rng, 64, 160),
        "conv.weight": weights(rng, 96, 64, 3, 3), "conv2.weight": weights(rng, 40, 96, 3, 3),
    }  # fmt: skip


def transposed(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keras' order: kernel positions first, outputs last."""
    return {k: w.T if w.ndim == 2 else w.transpose(2, 3, 1, 0) for k, w in model.items()}


def renamed(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"w{9 - i}": w for i, w in enumerate(model.values())}


@pytest.mark.parametrize("change", [transposed, renamed, lambda m: transposed(renamed(m))])
@pytest.mark.parametrize("rho", [0.2, 0.9])
def test_a_relative_in_another_layout_gets_the_same_answer(bench: Bench, change, rho: float) -> None:
    rng = np.random.default_rng(5)
    a = net(rng)
    b = {name: mixed(w, rho, rng) for name, w in a.items()}
    plain, other = bench.compare(a, b), bench.compare(a, change(b))
    assert (plain.origin, other.origin) == ("common", "common")
    assert (other.log10_p, other.evidence.n_genes) == (plain.log10_p, plain.evidence.n_genes)
    assert other.similarity == pytest.approx(plain.similarity, abs=1e-6)


@pytest.mark.parametrize("change", [transposed, renamed])
def test_a_stranger_in_another_layout_stays_a_stranger(bench: Bench, change) -> None:
    a, b = net(np.random.default_rng(6)), net(np.random.default_rng(7))
    plain, other = bench.compare(a, b), bench.compare(a, change(b))
    assert (plain.origin, other.origin) == ("no-evidence", "no-evidence")
    assert other.similarity == pytest.approx(plain.similarity, abs=1e-6)


@pytest.mark.parametrize("change", [transposed, renamed])
def test_a_copy_in_another_layout_is_known_as_a_conversion(bench: Bench, change) -> None:
    a = net(np.random.default_rng(8))
    verdict = bench.compare(a, change(a))
    assert (verdict.origin, verdict.relation) == ("identical", "converted")
