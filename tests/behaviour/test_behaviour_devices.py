"""Devices, types and sizes of batches: the same behaviour within what is stated, and a word where it is not."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import behaviour_bench as bench
import numpy as np
import pytest
import torch

from hubdna.behaviour import Limits, Observer, fingerprint, judge
from hubdna.behaviour.devices import bound, parts, placed
from hubdna.behaviour.opening import open_subject
from hubdna.behaviour.relations import TOLERANCE, look
from hubdna.errors import BehaviourError, UsageError
from hubdna.records import Behaviour

Demo = Callable[[str], Behaviour]
BFLOAT16 = 0.99
"""Least cosine of one model's vectors in the two types: 0.994 on 560 trained models (board `behaviour`)."""
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
both = pytest.mark.parametrize("name", [bench.VIT, bench.LM])


def cosine(a: Behaviour, b: Behaviour) -> float:
    x, y = (fingerprint(seen).vector.ravel().astype(float) for seen in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@both
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_batches_of_any_size_give_one_behaviour(demo: Demo, observer: Observer, name: str, batch: int) -> None:
    again = observer.observe(bench.DEMO / name, Limits(batch=batch))
    assert np.abs(again.relations - demo(name).relations).max() < TOLERANCE
    assert cosine(again, demo(name)) > 1 - 1e-5


@both
def test_bfloat16_moves_a_behaviour_by_no_more_than_is_stated_and_says_so(
    demo: Demo, observer: Observer, name: str
) -> None:
    half = observer.observe(bench.DEMO / name, Limits(dtype="bfloat16"))
    assert BFLOAT16 < cosine(half, demo(name)) < 1 - 1e-7, "close, and not the same: it was computed otherwise"
    assert any("bfloat16" in note for note in half.notes) and not any("bfloat16" in n for n in demo(name).notes)


def test_a_verdict_in_bfloat16_is_that_in_float32(demo: Demo, observer: Observer) -> None:
    names = (bench.VIT, "opticlab/vit-digits-pruned")
    half = [fingerprint(observer.observe(bench.DEMO / name, Limits(dtype="bfloat16"))) for name in names]
    single = [fingerprint(demo(name)) for name in names]
    assert judge(*half).verdict == judge(*single).verdict
    assert judge(*half).similarity == pytest.approx(judge(*single).similarity, abs=0.02)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(observer: Observer, tmp_path: Path) -> None:
    """Scores over 60,000 tokens: 1 GB for all probes at once."""
    folder = bench.llama(tmp_path / "m", 60_000)
    tight = Limits(seconds=120, memory=700_000_000, batch=128)
    assert np.abs(observer.observe(folder, tight).relations - observer.observe(folder).relations).max() < TOLERANCE


def test_halving_goes_down_to_one_probe_and_hides_no_other_error() -> None:
    asked: list[int] = []

    def small(rows: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        asked.append(len(rows))
        if len(rows) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [], rows

    rows = torch.arange(24)
    assert torch.equal(torch.cat([answer for _, answer in parts(small, rows, 24)]), rows)
    assert asked == [24, 12, 6, 3, 3, 3, 3, 3, 3, 3, 3]

    def broken(error: Exception) -> Iterator[object]:
        def run(rows: torch.Tensor) -> tuple[list[torch.Tensor], None]:
            asked.append(len(rows))
            raise error

        return parts(run, rows, 8)

    for error, n_tries in ((RuntimeError("shapes do not match"), 1), (MemoryError(), 4)):
        asked.clear()
        with pytest.raises(type(error)):
            list(broken(error))
        assert len(asked) == n_tries


def test_a_graph_stays_on_the_cpu_and_says_so(observer: Observer, tmp_path: Path) -> None:
    bench.onnx_classifier(tmp_path / "model.onnx")
    single, half = observer.observe(tmp_path), observer.observe(tmp_path, Limits(dtype="bfloat16"))
    assert np.array_equal(single.relations, half.relations)
    assert "ONNX runs on the CPU, in float32" in half.notes


@pytest.mark.parametrize("bad", [{"device": "tpu"}, {"dtype": "float16"}, {"batch": 0}, {"batch": -3}])
def test_limits_that_mean_nothing_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected one of auto, cpu, cuda"):
        Limits(**bad)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(observer: Observer) -> None:
    with pytest.raises(BehaviourError, match="PyTorch sees no GPU here"):
        observer.observe(bench.DEMO / bench.VIT, Limits(device="cuda"))


@pytest.mark.gpu
@needs_gpu
@both
def test_a_gpu_gives_the_behaviour_that_a_cpu_gives(observer: Observer, name: str) -> None:
    cpu, gpu = (observer.observe(bench.DEMO / name, Limits(device=device)) for device in ("cpu", "cuda"))
    assert np.abs(cpu.relations - gpu.relations).max() < TOLERANCE
    assert cosine(cpu, gpu) > 1 - 1e-4 and (cpu.top == gpu.top).mean() > 0.99
    assert any(torch.cuda.get_device_name() in note for note in gpu.notes)
    half = observer.observe(bench.DEMO / name, Limits(device="cuda", dtype="bfloat16"))
    assert cosine(half, cpu) > BFLOAT16


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_s_memory_is_bounded() -> None:
    bound(100_000_000)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(200_000_000, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.gpu
@needs_gpu
@both
def test_larger_batches_are_quicker_on_a_gpu(name: str) -> None:
    subject = placed(open_subject(bench.DEMO / name), "cuda", "float32")
    took = {}
    for batch in (64, 1, 64):  # the first warms up
        begun = time.perf_counter()
        look(subject, batch)
        took[batch] = time.perf_counter() - begun
    assert took[64] * 3 < took[1]
