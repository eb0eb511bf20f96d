"""Honest receipts are consistent: two optimisers, dropout and batch norm, resumed, from a parent."""

import json
import shutil
from pathlib import Path

import proof_bench as bench
import pytest
import torch
from proof_bench import ADAM, MLP, SGD
from safetensors.torch import save_file

from hubdna.errors import ReceiptError
from hubdna.proof import Recipe, Recorder, create_key, example, open_receipt, verify
from hubdna.proof.calibrate import threads
from hubdna.proof.choice import most_unusual
from hubdna.proof.examples import Digits
from hubdna.proof.tensors import METRICS


def test_sgd_with_momentum_and_a_schedule_is_consistent(honest) -> None:
    report = verify(honest.folder, MLP, budget=1.0, top_q=1)
    assert report.verdict == "consistent", report
    assert {c.name for c in report.checks} == {
        "structure", "signature", "task", "floors", "start", "data", "result", "calibration", "replay", "author",
    }  # fmt: skip
    assert report.coverage.replayed == tuple(range(8)) and report.coverage.steps == 1
    assert report.author == honest.receipt.claim.author


def test_a_task_of_hubdna_is_found_by_its_name(honest) -> None:
    assert verify(honest.folder, budget=0.1).verdict == "consistent"


def test_adamw_with_dropout_and_batch_norm_is_consistent_after_a_crash(tmp_path: Path) -> None:
    """Killed in the middle of the second interval, with a half-written line and a half-written state."""
    task, key = example("digits-cnn"), create_key(tmp_path / "key.pem")
    bench.train(Recorder(tmp_path / "receipt", task, ADAM, key), steps=8)
    with (tmp_path / "receipt" / "chain.jsonl").open("ab") as chain:
        chain.write(b'{"environment":{},"index":2,')
    (tmp_path / "receipt" / "states" / "00002.safetensors").write_bytes(b"half")
    (tmp_path / "receipt" / "states" / "00003.safetensors.tmp").write_bytes(b"half")
    again = Recorder(tmp_path / "receipt", task, ADAM, key)
    assert again.step == 5
    bench.train(again)
    again.finish()
    assert verify(tmp_path / "receipt", task, budget=1.0, recalibrate=True).verdict == "consistent"

    whole = Recorder(tmp_path / "whole", task, ADAM, key)
    bench.train(whole)
    roots = [[link.weights for link in r] for r in (again._chain.links(), whole._chain.links())]
    assert roots[0] == roots[1], "a resumed training is the one that was never interrupted"


def test_resuming_wants_the_same_training(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key.pem")
    bench.train(Recorder(tmp_path / "receipt", MLP, SGD, key), steps=6)
    other = Recipe(40, 5, 64, "SGD", {"lr": 0.2}, config={"width": 16})
    with pytest.raises(ReceiptError, match="another training"):
        Recorder(tmp_path / "receipt", MLP, other, key)
    with pytest.raises(ReceiptError, match="another training"):
        Recorder(tmp_path / "receipt", MLP, SGD, create_key(tmp_path / "other.pem"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ReceiptError, match=r"thesis\.txt"):
        Recorder(tmp_path / "mine", MLP, SGD, key)
    (tmp_path / "old" / "states").mkdir(parents=True)
    (tmp_path / "old" / "states" / "00003.safetensors").write_text("precious")
    with pytest.raises(ReceiptError, match="00003"):
        Recorder(tmp_path / "old", MLP, SGD, key)
    report = verify(tmp_path / "receipt", MLP)
    assert report.verdict == "not-checkable" and "not finished" in report.checks[-1].says


def test_a_finished_receipt_is_not_written_again(honest) -> None:
    with pytest.raises(ReceiptError, match="finished"):
        Recorder(honest.folder, MLP, SGD, honest.key)


def test_a_loop_that_does_something_else_is_not_signed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "receipt", MLP, SGD, create_key(tmp_path / "key.pem"))
    for batch in recorder.batches():
        recorder.optimizer.zero_grad()
        MLP.loss(recorder.model, batch).backward()
        torch.nn.utils.clip_grad_norm_(recorder.model.parameters(), 0.1)  # which the recipe does not say
        recorder.optimizer.step()
    with pytest.raises(ReceiptError, match="not signed"):
        recorder.finish()
    assert not open_receipt(tmp_path / "receipt").finished


@pytest.fixture(scope="module")
def child(honest, tmp_path_factory) -> tuple[Path, Path]:
    """A training that starts from the honest receipt's result, with an output layer of its own kind kept."""
    folder = tmp_path_factory.mktemp("child")
    save_file(honest.states[-1].weights, folder / "model.safetensors")
    recipe = Recipe(10, 5, 64, "SGD", {"lr": 0.05}, seed=9, config={"width": 16})
    receipt, _ = bench.record(folder, recipe, parent=("lab/base", folder / "model.safetensors"), revision="v1")
    return receipt, folder / "model.safetensors"


def test_a_training_from_a_parent_names_its_exact_bytes(child, honest) -> None:
    receipt, parent = child
    report = verify(receipt, MLP, parent=parent, budget=1.0)
    assert report.verdict == "consistent", report
    assert (report.parent.repo_id, report.parent.revision) == ("lab/base", "v1")
    assert report.parent.root == honest.receipt.links[-1].weights, "one root for one model, wherever it lies"


def test_without_the_parent_its_start_cannot_be_checked(child) -> None:
    report = verify(child[0], MLP)
    assert report.verdict == "not-checkable"
    assert [c.name for c in report.checks if c.outcome == "not-checkable"] == ["start"]


def test_another_parent_is_told_from_the_named_one(child, honest, tmp_path: Path) -> None:
    weights = {n: t.clone() for n, t in honest.states[-1].weights.items()}
    weights["1.bias"][3] += 1e-6
    save_file(weights, tmp_path / "other.safetensors")
    assert "another root" in bench.failed(verify(child[0], MLP, parent=tmp_path / "other.safetensors"))


def test_weights_that_a_parent_lacks_are_fresh(honest, tmp_path: Path) -> None:
    body = {n: t for n, t in honest.states[-1].weights.items() if not n.startswith("3.")}
    save_file(body, tmp_path / "body.safetensors")
    recipe = Recipe(5, 5, 64, "SGD", {"lr": 0.05}, seed=9, config={"width": 16})
    folder, _ = bench.record(tmp_path, recipe, parent=("lab/body", tmp_path / "body.safetensors"))
    assert open_receipt(folder).claim.fresh == ("3.bias", "3.weight")
    report = verify(folder, MLP, parent=tmp_path / "body.safetensors")
    assert report.verdict == "consistent", report
    save_file({"1.bias": body["1.bias"]}, tmp_path / "crumb.safetensors")
    with pytest.raises(ReceiptError, match="not its parent"):
        Recorder(
            tmp_path / "r2",
            MLP,
            recipe,
            bench.KEY,
            parent=("x", tmp_path / "crumb.safetensors"),
        )


def test_the_published_model_is_the_last_state(honest, tmp_path: Path) -> None:
    last = honest.states[-1].weights
    save_file(last, tmp_path / "same.safetensors")
    save_file({n: t.bfloat16() for n, t in last.items()}, tmp_path / "cast.safetensors")
    save_file({n: t + 1e-3 for n, t in last.items()}, tmp_path / "other.safetensors")
    says = {
        name: next(
            c for c in verify(honest.folder, MLP, model=tmp_path / f"{name}.safetensors").checks if c.name == "result"
        )
        for name in ("same", "cast", "other")
    }
    assert [says[n].outcome for n in says] == ["passed", "passed", "failed"]
    assert "bit for bit" in says["same"].says and "cast" in says["cast"].says


def test_calibration_leaves_a_factor_of_ten_on_both_sides(honest) -> None:
    found = json.loads((honest.folder / "calibration.json").read_text())
    assert found.keys() == set(METRICS)
    assert [m for m in METRICS if found[m]["reference"] == 0] == ["buffers"], "an MLP has none"
    for row in found.values():
        assert row["noise"] * 100 <= row["noise"] * 100 <= row["reference"]


def test_a_batch_of_all_data_could_be_signed_by_anybody(tmp_path: Path) -> None:
    """Every order of the data is then the same training, up to rounding: nothing ties it to the author's key."""

    class Few(type(MLP)):
        def __len__(self) -> int:
            return 64

    task = Few("digits-mlp")
    recipe = Recipe(5, 5, 64, "SGD", {"lr": 0.1}, config={"width": 16})
    key = create_key(tmp_path / "key.pem")
    recorder = Recorder(tmp_path / "receipt", task, recipe, key)
    bench.train(recorder)
    recorder.finish()
    mine = open_receipt(tmp_path / "receipt")
    thief = create_key(tmp_path / "thief.pem")
    from hubdna.proof.keys import public_of

    stolen = bench.forge(tmp_path / "stolen", mine, bench.states_of(mine, task), thief, author=public_of(thief))
    assert verify(stolen, task, budget=1.0).verdict != "consistent"
    shutil.rmtree(stolen)


def test_another_environment_is_noted_where_it_begins(tmp_path: Path, monkeypatch) -> None:
    from hubdna.proof import record

    key = create_key(tmp_path / "key.pem")
    bench.train(Recorder(tmp_path / "receipt", MLP, SGD, key), steps=12)
    here = record.environment("cpu")
    monkeypatch.setattr(record, "environment", lambda device: here | {"torch": "9.9"})
    bench.train(Recorder(tmp_path / "receipt", MLP, SGD, key), steps=8)
    found = {link.index: link.environment for link in open_receipt(tmp_path / "receipt").links if link.environment}
    assert found == {0: here, 3: here | {"torch": "9.9"}}


def test_by_default_few_intervals_are_chosen_by_size(honest) -> None:
    """One of eight is drawn, so one more at most, of two epochs; a Q of one's own gives one of each and metric."""
    few = verify(honest.folder, MLP, challenge=3).coverage
    assert few.n_random == 1 and len(few.replayed) <= 2
    assert len(verify(honest.folder, MLP, challenge=3, top_q=1).coverage.replayed) >= len(few.replayed)
    moved = [{"l2": v} for v in (9.0, 8.0, 8.0, 1.0, 3.0, 1.0, 1.0)]
    assert most_unusual({0, 4}, moved, [0, 0, 0, 1, 1, 1, 1], 1) == [4], "late updates are small: three times its peers"
    assert most_unusual({0, 4}, moved, [0, 0, 0, 1, 1, 1, 1], 5) == [0, 4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_training_on_a_gpu_is_checked_on_it(tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    folder, _ = bench.record(tmp_path, ADAM, example("digits-cnn"), device="cuda")
    assert open_receipt(folder).links[0].environment["device"] == torch.cuda.get_device_name()
    assert verify(folder, budget=1.0).verdict == "consistent"


def test_intervals_side_by_side_say_what_they_say_in_a_row(honest, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    report = verify(honest.folder, MLP, budget=1.0, workers=2, challenge=1, progress=lambda *n: done.append(n))
    assert report == verify(honest.folder, MLP, budget=1.0, challenge=1)
    assert done == [(n, 8) for n in range(1, 9)]
    states = [*honest.states[:5], bench.blend(honest.states[5], honest.states[0], 0.5), *honest.states[6:]]
    forged = bench.forge(tmp_path / "f", honest.receipt, states, honest.key)
    assert "interval 4: trained again" in bench.failed(verify(forged, MLP, budget=1.0, workers=2))


CHAOTIC = Recipe(28, 4, 64, "SGD", {"lr": 0.1}, config={"width": 16}, seed=0)
"""One epoch in 7 intervals, one of which holds the first sample, and is none of those that this seed calibrates."""


class Chaotic(Digits):
    """A training whose steps go elsewhere by the number of threads, where a batch holds the first sample."""

    def sample(self, index: int):
        return super().sample(index) | {"first": torch.tensor(float(index == 0))}

    def loss(self, model: torch.nn.Module, batch) -> torch.Tensor:
        plain = super().loss(model, batch)
        return plain * (1 + 0.7 * torch.get_num_threads()) if batch["first"].any() else plain


@pytest.fixture
def chaotic(tmp_path: Path) -> Path:
    """Recorded with two threads."""
    with threads(2):
        return bench.record(tmp_path, CHAOTIC, Chaotic("digits-mlp"))[0]


@pytest.mark.parametrize("n", [1, 2])
def test_intervals_are_trained_again_with_the_threads_they_were_recorded_with(chaotic: Path, n: int) -> None:
    with threads(n):
        assert verify(chaotic, Chaotic("digits-mlp"), budget=1.0).verdict == "consistent"


def test_what_does_not_repeat_itself_here_is_not_called_inconsistent(chaotic: Path, monkeypatch) -> None:
    monkeypatch.setattr("hubdna.proof.rerun.MAX_THREADS", 1)  # a machine that cannot do what was recorded
    report = verify(chaotic, Chaotic("digits-mlp"), budget=1.0)
    assert report.verdict == "not-checkable", report
    assert [c.name for c in report.checks if c.outcome != "passed"] == ["replay"]
