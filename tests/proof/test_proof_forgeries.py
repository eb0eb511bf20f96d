"""Forgeries whose every commitment is in order are rejected, each by the check that is there for it."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from proof_bench import MLP, SGD, blend, failed, forge, record, states_of, train

from hubdna.errors import ReceiptError
from hubdna.proof import Recipe, Recorder, create_key, open_receipt, verify
from hubdna.proof.choice import detection, draw
from hubdna.proof.keys import public_of
from hubdna.proof.replay import Bench
from hubdna.proof.start import initial
from hubdna.proof.tensors import State


def fresh(receipt, seed: int) -> State:
    return State(initial(MLP, receipt.claim, None, seed), {})


def with_memory(state: State, memory: State) -> State:
    return State(state.weights, memory.optimizer)


def test_the_forgers_tool_itself_is_not_what_is_detected(honest, tmp_path: Path) -> None:
    shipped = honest.receipt.calibration
    same = forge(tmp_path / "same", honest.receipt, honest.states, honest.key, calibration=shipped)
    assert open_receipt(same).root != honest.receipt.root, "only the environment is left out"
    assert verify(same, MLP, budget=1.0).verdict == "consistent"
    assert verify(forge(tmp_path / "gen", honest.receipt, honest.states, honest.key), MLP).verdict == "consistent"


def test_random_checkpoints(honest, tmp_path: Path) -> None:
    states = [honest.states[0], *(with_memory(fresh(honest.receipt, s), honest.states[s]) for s in range(1, 9))]
    assert "replay" in failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP, budget=0.1))


def test_interpolation_to_stolen_weights(honest, tmp_path: Path) -> None:
    start, stolen = honest.states[0], honest.states[-1]
    states = [start, *(with_memory(blend(start, stolen, i / 8), honest.states[i]) for i in range(1, 9))]
    assert "replay" in failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP, budget=0.1))


def test_stolen_weights_as_a_start_are_not_an_initialisation(honest, tmp_path: Path) -> None:
    stolen = State(honest.states[-1].weights, {})
    states = [stolen, *honest.states[1:]]
    report = verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP, budget=1.0)
    assert next(c.outcome for c in report.checks if c.name == "start") != "passed"
    far = State({n: 2 * t for n, t in stolen.weights.items()}, {})
    forged = forge(tmp_path / "g", honest.receipt, [far, *honest.states[1:]], honest.key)
    assert "distributed like the initialiser" in failed(verify(forged, MLP))


def test_a_start_of_another_seed_is_known_by_its_distribution_only(honest, tmp_path: Path) -> None:
    """Another version of torch gives other bits: the test of the paper is left, and the report says so."""
    key, claim = honest.key, honest.receipt.claim
    odd = replace(claim.recipe, seed=77)
    bench_ = Bench.of(MLP, replace(claim, recipe=odd), honest.receipt.samples)
    states = [fresh(honest.receipt, 6)]
    for index in range(8):
        states.append(bench_.replay(states[-1], index))
    report = verify(forge(tmp_path / "f", honest.receipt, states, key, recipe=odd), MLP, budget=1.0)
    assert report.verdict == "consistent"
    assert "distributed like" in next(c.says for c in report.checks if c.name == "start")


@pytest.mark.parametrize("thorough", [False, True])
def test_somebody_elses_receipt_signed_anew(thorough: bool, honest, tmp_path: Path) -> None:
    thief = create_key(tmp_path / "thief.pem")
    order = None if thorough else [link.order for link in honest.receipt.links]
    stolen = forge(tmp_path / "f", honest.receipt, honest.states, thief, author=public_of(thief), order=order)
    assert ("replay" if thorough else "another order") in failed(verify(stolen, MLP, budget=0.1))


def test_a_signature_of_another_key(honest, tmp_path: Path) -> None:
    stolen = forge(tmp_path / "f", honest.receipt, honest.states, create_key(tmp_path / "thief.pem"))
    assert failed(verify(stolen, MLP)).startswith("signature")


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"lr": 0.05, "momentum": 0.9}},
        {"settings": {"lr": 0.1, "momentum": 0.8}},
        {"settings": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}},
        {"schedule_settings": {"T_max": 60}},
    ],
)
def test_other_settings_than_those_that_were_used(change: dict, honest, tmp_path: Path) -> None:
    lie = replace(SGD, **change)
    forged = forge(tmp_path / "f", honest.receipt, honest.states, honest.key, recipe=lie)
    assert "replay" in failed(verify(forged, MLP, budget=1.0))


def test_a_receipt_cut_short(honest, copy: Path, tmp_path: Path) -> None:
    lines = (copy / "chain.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "chain.jsonl").write_bytes(b"".join(lines[:-1]))
    (copy / "states" / "00008.safetensors").unlink()
    assert "expected 9 states, found 8" in failed(verify(copy, MLP))
    shorter = replace(SGD, steps=35)
    forged = forge(tmp_path / "f", honest.receipt, honest.states[:-1], honest.key, recipe=shorter)
    assert verify(forged, MLP, budget=1.0).verdict == "consistent", "which is true: of a model trained for 35 steps"


@pytest.mark.parametrize(
    "order", [[0, 2, 1, 3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 3, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1, 0]]
)
def test_intervals_in_another_order_used_twice_or_reversed(order: list[int], honest, tmp_path: Path) -> None:
    states = [honest.states[i] for i in order]
    if order[0]:
        states[0] = State(states[0].weights, {})
    forged = forge(tmp_path / "f", honest.receipt, states, honest.key)
    assert verify(forged, MLP, budget=1.0).verdict == "inconsistent"


def test_a_jump_hidden_between_honest_intervals_is_found_by_its_size(honest, tmp_path: Path) -> None:
    """The largest update of its epoch, so that even a draw that misses it does not matter."""
    states = list(honest.states)
    far = State({n: t + 0.5 for n, t in states[4].weights.items()}, states[4].optimizer)
    own = Bench.of(MLP, honest.receipt.claim, honest.receipt.samples)
    states[4] = far
    for index in range(4, 8):
        states[index + 1] = own.replay(states[index], index)
    forged = forge(tmp_path / "f", honest.receipt, states, honest.key)
    blind = next(c for c in range(100) if 3 not in draw(8, 0.1, c))
    assert verify(forged, MLP, budget=0.1, top_q=0, challenge=blind).verdict != "inconsistent"
    assert "interval 3" in failed(verify(forged, MLP, budget=0.1, challenge=blind))


def test_a_jump_is_found_as_often_as_the_report_says(honest, tmp_path: Path) -> None:
    """One forged interval of eight, three drawn: 3/8. Only whether the draw holds it is repeated, 2,000 times."""
    hits = sum(3 in draw(8, 0.3, random.Random(i).getrandbits(63)) for i in range(2000))
    assert detection(8, 3, 1 / 8) == pytest.approx(3 / 8)
    assert abs(hits / 2000 - 3 / 8) < 0.045  # four standard deviations


@pytest.mark.parametrize("rate", [1e-6, 1e-12])
def test_infinitesimal_updates(rate: float, honest, tmp_path: Path) -> None:
    """Fang et al. 2023: claim a rate so small that any small step passes under an absolute line."""
    start, stolen = honest.states[0], honest.states[-1]
    states = [start, *(State(blend(start, stolen, 1e-4 * i).weights, honest.states[i].optimizer) for i in range(1, 9))]
    lie = replace(SGD, settings={"lr": rate, "momentum": 0.9}, schedule="constant", schedule_settings={})
    forged = forge(tmp_path / "f", honest.receipt, states, honest.key, recipe=lie)
    assert ("floors" if rate < 1e-7 else "replay") in failed(verify(forged, MLP, budget=0.1))


def test_states_that_stand_still(honest, tmp_path: Path) -> None:
    states = [honest.states[0], *(State(honest.states[0].weights, s.optimizer) for s in honest.states[1:])]
    assert failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP)).startswith("floors")
    lie = forge(tmp_path / "g", honest.receipt, states, honest.key, moved=[0.0] + [0.1] * 8)
    assert "replay" in failed(verify(lie, MLP))


def test_momentum_that_does_the_work(honest, tmp_path: Path) -> None:
    """The optimiser's memory is stored, so a forger may put the jump into it: it has to follow, too."""
    states = list(honest.states)
    push = {n: t + 3.0 for n, t in states[3].optimizer.items()}
    states[3] = State(states[3].weights, push)
    own = Bench.of(MLP, honest.receipt.claim, honest.receipt.samples)
    for index in range(3, 8):
        states[index + 1] = own.replay(states[index], index)
    says = failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP, budget=1.0))
    assert "interval 2" in says and "state distance" in says


def test_a_second_moment_that_makes_the_next_step_a_jump(tmp_path: Path) -> None:
    """Adam divides by it: one set to zero throws a weight far away, and hardly counts in a norm."""
    recipe = Recipe(20, 5, 64, "AdamW", {"lr": 0.003}, config={"width": 16})
    folder, key = record(tmp_path, recipe)
    receipt = open_receipt(folder)
    states = states_of(receipt)
    memory = {n: t.clone() for n, t in states[2].optimizer.items()}
    second = memory["exp_avg_sq.1.bias"]
    whole = sum(float(t.square().sum()) for n, t in memory.items() if n.startswith("exp_avg_sq"))
    assert float(second[3] ** 2) < 1e-3 * whole, "which a tenth of the norm would not notice"
    second[3] = 0
    states[2] = State(states[2].weights, memory)
    own = Bench.of(MLP, receipt.claim, receipt.samples)
    for index in (2, 3):
        states[index + 1] = own.replay(states[index], index)
    says = failed(verify(forge(tmp_path / "f", receipt, states, key), MLP, budget=1.0))
    assert "interval 1" in says and "state distance" in says


def test_a_damaged_state_is_not_gone_on_from(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key.pem")
    train(Recorder(tmp_path / "receipt", MLP, SGD, key), steps=11)
    place = tmp_path / "receipt" / "states" / "00002.safetensors"
    raw = bytearray(place.read_bytes())
    raw[-9] ^= 1
    place.write_bytes(raw)
    with pytest.raises(ReceiptError, match="00002"):
        Recorder(tmp_path / "receipt", MLP, SGD, key)


def test_an_optimiser_that_is_not_fresh(honest, tmp_path: Path) -> None:
    states = [State(honest.states[0].weights, honest.states[1].optimizer), *honest.states[1:]]
    assert "not fresh" in failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key), MLP))


def test_other_data_than_those_committed_to(honest) -> None:
    class Relabelled(type(MLP)):
        def sample(self, index: int):
            found = super().sample(index)
            return {**found, "label": (found["label"] + 1) % 10} if index % 7 == 0 else found

    assert failed(verify(honest.folder, Relabelled("digits-mlp"))).startswith("data")


def test_weights_beside_the_root_of_others(honest, tmp_path: Path) -> None:
    """The last root is what a published model is known by: it is compared whatever is drawn."""
    for place, words in ((-1, "result: "), (4, "replay: interval 3: its link says")):
        roots = [link.weights for link in honest.receipt.links]
        roots[place] = "ab" * 32
        forged = forge(tmp_path / str(place), honest.receipt, honest.states, honest.key, roots=roots)
        assert failed(verify(forged, MLP, budget=0.1 if place < 0 else 1.0)).startswith(words)


def test_torch_is_where_it_was(honest) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    verify(honest.folder, MLP)
    assert torch.equal(torch.rand(1), expected), "the caller's generator is left alone"
