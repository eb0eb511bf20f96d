"""Updates of workers that nobody trusts: honest ones pass, each cheat is dropped, a dead worker stops nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import proof_bench as bench
import pytest
import torch

from hubdna.errors import ReceiptError
from hubdna.proof import Recipe
from hubdna.proof.keys import public_of, sign
from hubdna.proof.tensors import State, buffers_of, build, encode, form_of, named
from hubdna.proof.workers import (
    Ground,
    Order,
    Update,
    average,
    bench_of,
    check,
    choose,
    commit,
    most_bytes,
    read_state,
    read_update,
    shard_of,
    work,
)

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(8, 2, 32, "SGD", {"lr": 0.1, "momentum": 0.9}, config={"width": 8})
ORDER = Order(RECIPE, "5a" * 32, 128)
OTHER = bench.Ed25519PrivateKey.from_private_bytes(b"another worker's key, and order.")


@pytest.fixture(scope="module")
def round_(one_thread: None) -> SimpleNamespace:
    """A ground, weights to start from, and the honest update of one worker."""
    ground = Ground.of(bench.MLP)
    model = build(bench.MLP, RECIPE, 0)
    start = State({n: t.detach().clone() for n, t in model.state_dict().items()}, {}, buffers_of(model))
    update = work(ground, ORDER, start, bench.KEY)
    claim = bench_of(ground, ORDER, start, public_of(bench.KEY)).claim
    return SimpleNamespace(ground=ground, start=start, update=update, claim=claim, form=form_of(bench.MLP, RECIPE))


def checked(round_: SimpleNamespace, update: Update, sample: int = 4, **other: object) -> State:
    asked = {"order": ORDER, "start": round_.start, "author": public_of(bench.KEY)} | other
    return check(round_.ground, asked["order"], asked["start"], asked["author"], update, sample, 1)


def states(round_: SimpleNamespace, update: Update) -> list[State]:
    return [read_state(raw, round_.form, RECIPE, "own") for raw in update.states]


def resigned(round_: SimpleNamespace, changed: list[State]) -> Update:
    return commit(round_.claim, [encode(named(state)) for state in changed], bench.KEY)


def test_honest_work_passes_and_is_what_was_sent(round_: SimpleNamespace) -> None:
    for sample in (1, 2, 4, 99):
        found = checked(round_, round_.update, sample)
    assert all(torch.equal(t, states(round_, round_.update)[-1].weights[n]) for n, t in found.weights.items())
    raw = round_.update.to_bytes()
    assert read_update(raw, ORDER, round_.form) == round_.update
    assert len(raw) <= most_bytes(bench.MLP, ORDER)


def test_shards_follow_from_challenge_and_key() -> None:
    mine = shard_of(bench.MLP, ORDER, public_of(bench.KEY)).indices
    assert len(set(mine.tolist())) == 128
    assert mine.tolist() == shard_of(bench.MLP, ORDER, public_of(bench.KEY)).indices.tolist()
    assert mine.tolist() != shard_of(bench.MLP, ORDER, public_of(OTHER)).indices.tolist()
    assert (
        mine.tolist() != shard_of(bench.MLP, replace(ORDER, challenge="5b" * 32), public_of(bench.KEY)).indices.tolist()
    )
    with pytest.raises(ReceiptError, match="a shard of 5000 samples, the data has 1797"):
        shard_of(bench.MLP, replace(ORDER, shard=5000), public_of(bench.KEY))
    with pytest.raises(ReceiptError, match="challenge of 64 hexadecimal digits"):
        Order(RECIPE, "0", 128)


def test_updates_of_another_round_worker_or_start_are_dropped(round_: SimpleNamespace) -> None:
    later = replace(ORDER, challenge="5b" * 32)
    with pytest.raises(ReceiptError, match="not signed by this worker for this round"):
        checked(round_, round_.update, order=later)
    with pytest.raises(ReceiptError, match="not signed by this worker"):
        checked(round_, round_.update, author=public_of(OTHER))
    moved = State({n: t + 1 for n, t in round_.start.weights.items()}, {}, round_.start.buffers)
    with pytest.raises(ReceiptError, match="not signed by this worker"):
        checked(round_, round_.update, start=moved)
    claim = bench_of(round_.ground, later, round_.start, public_of(bench.KEY)).claim
    with pytest.raises(ReceiptError, match="interval 0, trained again, ends elsewhere"):
        checked(round_, commit(claim, round_.update.states, bench.KEY), order=later)
    claim = bench_of(round_.ground, ORDER, round_.start, public_of(OTHER)).claim
    with pytest.raises(ReceiptError, match="trained again, ends elsewhere"):
        checked(round_, commit(claim, round_.update.states, OTHER), author=public_of(OTHER))
    claim = bench_of(round_.ground, ORDER, moved, public_of(bench.KEY)).claim
    with pytest.raises(ReceiptError, match="ends elsewhere"):
        checked(round_, commit(claim, round_.update.states, bench.KEY), start=moved)


@pytest.mark.parametrize("factor", [10.0, -1.0, 1.5, 0.0])
def test_a_last_state_that_was_scaled_or_turned_is_the_furthest_or_stands_still(
    round_: SimpleNamespace, factor: float
) -> None:
    own = states(round_, round_.update)
    last = {n: torch.lerp(t, own[-1].weights[n], factor) for n, t in round_.start.weights.items()}
    forged = resigned(round_, [*own[:-1], State(last, own[-1].optimizer, own[-1].buffers)])
    with pytest.raises(ReceiptError, match="interval 3, trained again, ends elsewhere"):
        checked(round_, forged, sample=1)


def test_who_does_nothing_is_dropped(round_: SimpleNamespace) -> None:
    own = states(round_, round_.update)
    idle = [State(round_.start.weights, state.optimizer, state.buffers) for state in own]
    with pytest.raises(ReceiptError, match="interval 0 does not move the weights"):
        checked(round_, resigned(round_, idle), sample=1)


def test_states_changed_after_signing_are_dropped(round_: SimpleNamespace) -> None:
    raw = bytearray(round_.update.states[2])
    raw[-1] ^= 1
    swapped = (*round_.update.states[:2], bytes(raw), round_.update.states[3])
    with pytest.raises(ReceiptError, match="not signed"):
        checked(round_, replace(round_.update, states=swapped))
    with pytest.raises(ReceiptError, match="expected 4 states, found 3"):
        checked(round_, replace(round_.update, states=round_.update.states[:3]))
    with pytest.raises(ReceiptError, match="not signed"):
        checked(round_, replace(round_.update, signature=sign(OTHER, b"0" * 32)))


def test_hostile_messages_are_refused(round_: SimpleNamespace) -> None:
    raw = round_.update.to_bytes()
    for broken in (b"", raw[:-1], raw[:70], raw + b"\0" * 8, raw[:64] + (2**62).to_bytes(8, "little"), b"x" * 5000):
        with pytest.raises(ReceiptError):
            checked(round_, read_update(broken, ORDER, round_.form))
    weights = {f"w.{n}": t for n, t in states(round_, round_.update)[0].weights.items()}
    name = next(iter(weights))
    nan = weights | {name: torch.full_like(weights[name], float("nan"))}
    for state in (
        encode(nan),
        encode({name: weights[name]}),
        b"\x80\x04pickle",
        encode(weights | {"w.more": torch.ones(1)}),
    ):
        with pytest.raises(ReceiptError):
            checked(round_, commit(round_.claim, [state, *round_.update.states[1:]], bench.KEY))
    with pytest.raises(ReceiptError, match="at most"):
        read_state(b"0" * (round_.form.n_bytes + 1), round_.form, RECIPE, "state")


def test_first_and_furthest_are_always_chosen_and_the_others_at_random() -> None:
    moved = [1.0, 5.0, 2.0, 1.0]
    assert choose(moved, 1, 0) == choose(moved, 0, 0) == [0, 1]
    assert choose(moved, 9, 0) == [0, 1, 2, 3]
    assert {tuple(choose(moved, 3, draw)) for draw in range(50)} == {(0, 1, 2), (0, 1, 3)}
    assert {tuple(choose([9.0, 1.0, 1.0], 2, draw)) for draw in range(50)} == {(0, 1), (0, 2)}


def test_work_that_began_elsewhere_shows_in_the_first_interval(round_: SimpleNamespace) -> None:
    near = State({n: t * 0.99 for n, t in round_.start.weights.items()}, {}, round_.start.buffers)
    elsewhere = work(round_.ground, ORDER, near, bench.KEY)
    with pytest.raises(ReceiptError, match="interval 0, trained again, ends elsewhere"):
        checked(round_, commit(round_.claim, elsewhere.states, bench.KEY), sample=2)


def test_the_average_is_of_the_accepted(round_: SimpleNamespace) -> None:
    a, b = states(round_, round_.update)[:2]
    found = average([a, b])
    assert all(torch.allclose(t, (a.weights[n] + b.weights[n]) / 2) for n, t in found.weights.items())
    with pytest.raises(ReceiptError, match="no update was accepted"):
        average([])


@pytest.fixture(scope="module")
def trained() -> dict[str, object]:
    """The example in processes: two honest workers, one that scales, one that is killed in the second round."""
    lines = (
        "import json, sys; sys.path.insert(0, 'scripts'); "
        "import untrusted_workers as u; from dataclasses import asdict; "
        "print(json.dumps(asdict(u.train(['honest', 'honest', 'scaled', 'killed'], rounds=3, seed=1))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    import json

    return json.loads(done.stdout.splitlines()[-1])


def test_a_cheat_and_a_dead_process_are_out_and_training_goes_on(trained: dict) -> None:
    assert {rank: why for rank, (_, why) in trained["dropped"].items()} == {
        "3": "update: interval 7, trained again, ends elsewhere", "4": "silent or gone",
    }  # fmt: skip
    assert trained["dropped"]["3"][0] == 0 and trained["dropped"]["4"][0] == 1
    assert [tuple(one) for one in trained["accepted"]] == [(0, 1), (0, 2), (0, 4), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert trained["consistent"] == 7
    assert trained["accuracy"] > 0.5
