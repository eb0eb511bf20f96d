"""The five defects of the paper's reference code, each with a test that fails on that behaviour.

Code: cleverhans-lab/Proof-of-Learning at c286c7c.
"""

import hashlib
import inspect
import math
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import proof_bench as bench
import pytest
import torch
from proof_bench import MLP, SGD, failed, forge

from hubdna.errors import ReceiptError
from hubdna.proof import Recorder, open_receipt, verify
from hubdna.proof.choice import largest
from hubdna.proof.layout import check_states
from hubdna.proof.order import order_digest
from hubdna.proof.tensors import METRICS, State, distances, sample_digest
from hubdna.roots import array_digest, canonical, digest, merkle_root


def theirs(array: np.ndarray) -> str:
    """How the reference code hashes data."""
    return hashlib.sha256(str(array).encode()).hexdigest()


def test_a_every_byte_of_the_data_is_hashed() -> None:
    image = np.random.default_rng(0).random((32, 32, 3), dtype=np.float32)
    other = image.copy()
    other[16, 16, 1] += 0.25
    assert theirs(image) == theirs(other), "the defect: numpy leaves the middle out"
    assert sample_digest({"x": torch.tensor(image)}) != sample_digest({"x": torch.tensor(other)})


def test_a_type_shape_and_name_are_hashed_too() -> None:
    x = torch.arange(6, dtype=torch.int32)
    twins = [{"x": x}, {"y": x}, {"x": x.reshape(2, 3)}, {"x": x.view(torch.float32)}, {"x": x, "y": x}]
    assert len({sample_digest(twin) for twin in twins}) == len(twins)
    assert sample_digest({"x": x.reshape(2, 3).T}) == sample_digest({"x": x.reshape(2, 3).T.contiguous()})
    assert len(sample_digest({"x": torch.zeros(3, dtype=torch.bfloat16)})) == 32


def test_a_the_order_of_the_data_is_hashed(honest) -> None:
    claim, samples = honest.receipt.claim, honest.receipt.samples
    assert order_digest(claim, range(0, 5), samples) != order_digest(claim, range(5, 10), samples)
    swapped = samples.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert order_digest(claim, range(28), samples) != order_digest(claim, range(28), swapped)


def test_b_the_cosine_is_of_both_norms() -> None:
    def state(*values: float) -> State:
        return State({"w": torch.tensor(values, dtype=torch.float32)}, {})

    assert distances(state(1, 2), state(3, 6))["cosine"] == pytest.approx(0, abs=1e-12)
    assert distances(state(1, 0), state(5, 5))["cosine"] == pytest.approx(1 - math.sqrt(0.5))
    assert distances(state(5, 5), state(1, 0))["cosine"] == pytest.approx(1 - math.sqrt(0.5))
    assert distances(state(0, 0), state(0, 0))["cosine"] == 0
    assert distances(state(0, 0), state(1, 0))["cosine"] == 1


def test_b_the_other_distances_are_what_they_are_called() -> None:
    a = State({"u": torch.tensor([1.0, 2.0]), "v": torch.tensor([[3.0]])}, {"momentum_buffer.u": torch.ones(2)})
    b = State({"u": torch.tensor([0.0, 4.0]), "v": torch.tensor([[3.0]])}, {"momentum_buffer.u": torch.zeros(2)})
    found = distances(a, b)
    assert (found["l1"], found["l2"], found["linf"], found["state"]) == (3, math.sqrt(5), 2, 1)
    broken = State({"u": torch.tensor([math.nan, 2.0]), "v": torch.tensor([[3.0]])}, {})
    assert all(distances(broken, b)[m] == math.inf for m in ("l1", "l2", "linf", "cosine"))
    broken = State(b.weights, {"momentum_buffer.u": torch.full((2,), math.nan)})
    assert distances(broken, b)["state"] == math.inf
    running = [State({"w": torch.ones(1), "mean": torch.tensor([v])}, {}, frozenset({"mean"})) for v in (4e6, 5e6)]
    assert distances(*running) | {"buffers": 0} == dict.fromkeys(METRICS, 0) and distances(*running)["buffers"] == 0.2


class Bomb:
    """What torch.load would run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_c_a_pickle_is_never_loaded(honest, tmp_path: Path) -> None:
    raw = pickle.dumps(Bomb(tmp_path / "ran"))
    states = [*honest.states[:4], raw, *honest.states[5:]]
    moved = [link.moved for link in honest.receipt.links]
    forged = forge(tmp_path / "f", honest.receipt, states, honest.key, moved=moved)
    assert "not safetensors" in failed(verify(forged, MLP, budget=1.0))
    assert not (tmp_path / "ran").exists()


def test_c_a_changed_state_is_noticed(copy: Path) -> None:
    place = copy / "states" / "00004.safetensors"
    raw = bytearray(place.read_bytes())
    raw[-5] ^= 1
    place.write_bytes(raw)
    with pytest.raises(ReceiptError, match="00004"):
        check_states(open_receipt(copy))
    assert failed(verify(copy, MLP)).startswith("structure: states/00004.safetensors")


def test_d_more_than_an_epoch_has_is_all_of_it(honest) -> None:
    assert largest([{"l2": 1.0}, {"l2": 3.0}, {"l2": 2.0}], [0, 0, 1], 1) == {1, 2}
    assert largest([{"l2": 1.0}, {"l2": 3.0}, {"l2": 2.0}], [0, 0, 1], 9) == {0, 1, 2}
    assert largest([{"l2": 1.0, "linf": 2.0}, {"l2": 3.0, "linf": 1.0}], [0, 0], 1) == {0, 1}
    assert verify(honest.folder, MLP, top_q=100).coverage.replayed == tuple(range(8))


def test_d_a_training_that_was_begun_goes_on(tmp_path: Path) -> None:
    from hubdna.proof import create_key

    key = create_key(tmp_path / "key.pem")
    for steps in (None, 0, 7):
        recorder = Recorder(tmp_path / "receipt", MLP, SGD, key)
        if steps is not None:
            bench.train(recorder, steps)
    assert recorder.step == 5


def test_e_settings_are_under_the_root_and_nowhere_else(honest) -> None:
    claim = honest.receipt.claim
    changes = [
        {"steps": 39}, {"every": 6}, {"batch": 63}, {"settings": {"lr": 0.1, "momentum": 0.91}}, {"seed": 1},
        {"optimizer": "Adam", "settings": {"lr": 0.1}}, {"schedule_settings": {"T_max": 41}}, {"config": {"width": 17}},
    ]  # fmt: skip
    digests = {replace(claim, recipe=replace(claim.recipe, **change)).digest() for change in changes}
    assert len(digests | {claim.digest()}) == len(changes) + 1
    assert {"lr", "optimizer", "batch", "steps", "delta", "epochs"} & inspect.signature(
        verify
    ).parameters.keys() == set()


def test_e_a_changed_setting_breaks_the_chain(copy: Path) -> None:
    text = (copy / "claim.json").read_text()
    assert '"lr":0.1' in text
    (copy / "claim.json").write_text(text.replace('"lr":0.1', '"lr":0.2'))
    assert "does not follow" in failed(verify(copy, MLP))


def test_digests_of_one_kind_never_pass_for_another() -> None:
    leaf = digest("leaf", b"x")
    assert digest("node", b"x") != leaf != digest("leaf", b"x", b"") != digest("leafx")
    assert digest("a", b"bc", b"d") != digest("a", b"b", b"cd")
    a, b, c = (digest("leaf", bytes([i])) for i in range(3))
    inner = digest("node", digest("leaf", a), digest("leaf", b))
    roots = [merkle_root([]), merkle_root([a]), merkle_root([a, b]), merkle_root([b, a]), merkle_root([a, b, c])]
    roots += [merkle_root([a, b, c, c]), merkle_root([inner]), merkle_root([inner, c])]
    assert len(set(roots)) == len(roots)
    assert array_digest("w", "float32", (2, 3), b"x" * 24) != array_digest("w", "float32", (3, 2), b"x" * 24)


def test_canonical_bytes_do_not_depend_on_how_a_value_was_made() -> None:
    assert (
        canonical({"b": 1, "a": [1.5, "é"]}) == canonical({"a": [1.5, "é"], "b": 1}) == b'{"a":[1.5,"\\u00e9"],"b":1}'
    )
    with pytest.raises(ValueError):
        canonical(math.nan)
    assert set(METRICS) == {"l1", "l2", "linf", "cosine", "buffers", "state"}
