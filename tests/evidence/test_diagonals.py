"""A diagonal marks the same units in every model. It must not make unrelated models look related."""

import numpy as np
import pytest
from evidence_bench import Bench, assert_null, diagonal, weights

SHARES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


@pytest.mark.parametrize("n", [64, 128, 512])
def test_maps_that_lean_to_the_identity_are_no_evidence_at_any_share(bench: Bench, n: int) -> None:
    verdicts = []
    for share in SHARES:
        verdicts += bench.unrelated(lambda r, s=share: {"a.w": diagonal(r, n, n, s)}, 4)
    assert_null(verdicts, at_least=36)


def test_wide_maps_that_lean_to_the_identity_are_no_evidence(bench: Bench) -> None:
    assert_null(bench.unrelated(lambda r: {"a.w": diagonal(r, 2048, 2048, 0.05)}, 3))


@pytest.mark.parametrize(("n_tensors", "share"), [(8, 0.02), (8, 0.2), (48, 0.05), (48, 0.2)])
def test_many_maps_that_lean_to_the_identity_do_not_add_up(bench: Bench, n_tensors: int, share: float) -> None:
    assert_null(bench.unrelated(lambda r: {f"{i}.w": diagonal(r, 128, 128, share) for i in range(n_tensors)}, 4))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_gates_and_states_of_several_blocks_are_no_evidence(bench: Bench, share: float) -> None:
    """[h, 4h] and [4h, h]: four blocks or four neighbours share their unit's label."""

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        wide = np.concatenate([diagonal(rng, 96, 96, share) for _ in range(4)], axis=1)
        woven = np.stack([diagonal(rng, 96, 96, share) for _ in range(4)], axis=2).reshape(96, 384)
        return {"wide.w": wide, "woven.w": woven, "tall.w": wide.T, "read.w": weights(rng, 20, 96)}

    assert_null(bench.unrelated(make, 5))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
@pytest.mark.parametrize(("h", "n_gates"), [(16, 4), (24, 4), (32, 3), (36, 4), (40, 4)])
def test_gates_of_a_narrow_state_are_no_evidence(bench: Bench, h: int, n_gates: int, share: float) -> None:
    """Layers of n_gates blocks [h, h]: up to h = 39 a column carries the label of a tested unit."""

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        layers = {f"{i}.w": np.concatenate([diagonal(rng, h, h, share) for _ in range(n_gates)]) for i in range(8)}
        return layers | {"in.w": weights(rng, n_gates * h, 70), "out.w": weights(rng, 60, n_gates * h)}

    assert_null(bench.unrelated(make, 6), at_least=15)


def test_a_feed_forward_block_on_a_narrow_stream_is_evidence(bench: Bench) -> None:
    model = {f"{i}.mlp.{n}.weight": weights(np.random.default_rng([i, o]), o, k)
             for i in range(4) for n, o, k in (("fc1", 64, 16), ("fc2", 16, 64))}  # fmt: skip
    assert bench.compare(model, {n: w + np.float32(0.01) * w**2 for n, w in model.items()}).origin == "common"


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2, 0.5])
def test_dirac_leaning_convolutions_are_no_evidence(bench: Bench, share: float) -> None:
    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        tensors = {f"{i}.w": weights(rng, 64, 64, 3, 3) for i in range(3)}
        for W in tensors.values():
            W[np.arange(64), np.arange(64), 1, 1] += np.sqrt(share / (1 - share) * (W**2).sum() / 64)
        return tensors

    assert_null(bench.unrelated(make, 5))


def test_residual_streams_written_and_read_by_many_maps_are_no_evidence(bench: Bench) -> None:
    """What a residual net adds to x leans against x: every product down @ up has a diagonal."""

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        tensors = {}
        for i in range(6):
            up = weights(rng, 96, 96)
            tensors |= {f"{i}.up.w": up, f"{i}.down.w": 0.7 * weights(rng, 96, 96) - 0.5 * up.T}
        return tensors

    assert_null(bench.unrelated(make, 5))


@pytest.mark.parametrize(("h", "n_in"), [(512, 100), (128, 64)])
def test_cells_that_read_input_and_state_in_one_matrix_are_no_evidence(bench: Bench, h: int, n_in: int) -> None:
    """[h, in + h]: the diagonal of the state starts at column `in`."""
    assert_null(
        bench.unrelated(lambda r: {"cell.w": diagonal(r, h, n_in + h, 0.2, n_in), "out.w": weights(r, 9, h)}), 0
    )


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_widening_dirac_convolutions_are_no_evidence(bench: Bench, share: float) -> None:
    """[48, 24, 3, 3]: torch's dirac_ sets the first 24 units to their own input channel."""

    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        W = weights(rng, 48, 24, 3, 3)
        W[np.arange(24), np.arange(24), 1, 1] += np.sqrt(share / (1 - share) * (W**2).sum() / 24)
        return {"a.w": W, "b.w": weights(rng, 96, 48, 3, 3)}

    assert_null(bench.unrelated(make))


@pytest.mark.parametrize(("columns", "share"), [(24, 0.4), (31, 0.4)])
def test_maps_of_fewer_columns_than_tested_units_that_lean_to_the_identity_are_no_evidence(
    bench: Bench, columns: int, share: float
) -> None:
    assert_null(bench.unrelated(lambda r: {"a.w": diagonal(r, 64, columns, share), "out.w": weights(r, 50, 64)}), 0)


def test_dirac_leaning_convolutions_whose_kernel_is_longer_than_their_input_are_no_evidence(bench: Bench) -> None:
    def make(rng: np.random.Generator) -> dict[str, np.ndarray]:
        W = weights(rng, 48, 24, 31)
        W[np.arange(24), np.arange(24), 15] += np.sqrt(0.25 * (W**2).sum() / 24)
        return {"a.w": W, "b.w": weights(rng, 96, 48, 3)}

    assert_null(bench.unrelated(make), 0)


def test_a_diagonal_would_be_found_if_its_columns_were_looked_at() -> None:
    """The other side of the tests above: with the columns in, the same maps match by their diagonal alone."""
    from hubdna.evidence.fixed_points import shuffled_assignment

    rng = np.random.default_rng(0)
    a, b = (diagonal(rng, 512, 512, 0.2)[:32] for _ in range(2))
    assert (shuffled_assignment((a @ b.T).astype(float)) == np.arange(32)).sum() >= 25
