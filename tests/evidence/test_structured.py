"""Tensors that are equal by construction, and buffers drawn from a fixed seed, do not make relatives of strangers."""

import numpy as np
import pytest
from evidence_bench import Bench, assert_null, mixed, plain, weights
from scipy.fft import dct
from scipy.linalg import hadamard

N = 96


def sinusoids() -> np.ndarray:
    angles = np.arange(N)[:, None] / 10_000 ** (np.arange(64) / 64)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def stft() -> np.ndarray:
    t = np.arange(256)
    return np.hanning(256) * np.cos(2 * np.pi * np.arange(N)[:, None] * t / 256)


def chirps() -> np.ndarray:
    return np.exp(-0.01 * np.arange(N)[:, None]) * np.cos(np.arange(N)[:, None] * np.arange(128) / 40)


BASES = {
    "sinusoids": sinusoids,
    "short-time Fourier": stft,
    "cosine transform": lambda: dct(np.eye(N), norm="ortho"),
    "damped cosines": chirps,
    "identity": lambda: np.eye(N),
    "scaled identity": lambda: 0.3 * np.eye(N) + 0.001,
    "causal mask": lambda: np.tril(np.ones((N, N))),
    "random mask": lambda: np.random.default_rng(0).random((N, N)) < 0.4,
    "Hadamard": lambda: hadamard(128)[:N],
    "distances": lambda: -np.abs(np.arange(N)[:, None] - np.arange(N)) / 8.0,
}


def with_basis(rng: np.random.Generator, basis: np.ndarray) -> dict[str, np.ndarray]:
    """A net whose own weights are random and that carries the basis, of its own axis length, on both sides."""
    maps = {"in.w": weights(rng, 128, 40), "map.w": weights(rng, 128, 128), "out.w": weights(rng, 20, 128)}
    return {**maps, "basis": basis.astype(np.float32), "inverse": basis.T.astype(np.float32).copy()}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_basis_that_two_strangers_share_is_no_evidence(bench: Bench, name: str, dtype: type) -> None:
    a, b = (with_basis(np.random.default_rng(s), BASES[name]()) for s in (1, 2))
    verdict = bench.compare(*({k: w.astype(dtype) for k, w in m.items()} for m in (a, b)))
    assert verdict.origin == "no-evidence"
    assert {bucket.n_axis for bucket in verdict.evidence.buckets} == {128}


def test_a_random_buffer_of_a_fixed_seed_makes_a_component_and_not_relatives(bench: Bench) -> None:
    buffer = weights(np.random.default_rng(0), N, N)
    verdict = bench.compare(*(with_basis(np.random.default_rng(s), buffer) for s in (1, 2)))
    assert (verdict.origin, verdict.relation) == ("undecided", "component")
    assert [(b.n_axis, b.fixed_points >= 18) for b in plain(verdict.evidence)] == [(96, True), (128, False)]


def test_a_random_buffer_as_long_as_the_hidden_layers_makes_no_relatives(bench: Bench) -> None:
    buffer = weights(np.random.default_rng(0), 128, 128)
    models = (
        {"buffer": buffer, **{f"{i}.w": weights(np.random.default_rng([s, i]), 128, 128) for i in range(3)}}
        for s in (1, 2)
    )
    assert bench.compare(*models).origin != "common"


def test_a_sparse_wiring_that_two_strangers_share_is_no_evidence(bench: Bench) -> None:
    """Pathways of a biologically informed net: the same 1 % of the inputs of a unit in every training."""
    wiring = np.random.default_rng(0).random((128, 2000)) < 0.01

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"a.w": weights(rng, 128, 2000) * wiring, "out.w": weights(rng, 4, 128)}

    assert_null(bench.unrelated(make, 6), 0)


def test_a_pruned_model_and_its_child_share_places_and_weights_and_stay_relatives(bench: Bench) -> None:
    """The other side: a mask in common is no reason to set aside tensors whose weights are alike."""
    rng = np.random.default_rng(1)
    parent = {"a.w": weights(rng, 128, 500), "out.w": weights(rng, 40, 128)}
    parent = {name: w * (rng.random(w.shape) < 0.2) for name, w in parent.items()}
    child = {name: (w != 0) * mixed(w, 0.9, rng) for name, w in parent.items()}
    assert bench.compare(parent, child).origin == "common"


def test_a_random_buffer_that_one_model_stores_in_half_precision_makes_no_relatives(bench: Bench) -> None:
    buffer = weights(np.random.default_rng(0), N, N)
    a, b = (with_basis(np.random.default_rng(s), buffer) for s in (1, 2))
    assert bench.compare(a, {name: w.astype(np.float16) for name, w in b.items()}).origin != "common"
