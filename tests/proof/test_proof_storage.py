"""Compressed and rounded states: what comes back, what it costs, and frames made to fill the memory."""

import shutil
from dataclasses import replace
from pathlib import Path

import proof_bench as bench
import pytest
import torch
import zstandard
from proof_bench import ADAM, MLP, SGD, failed
from safetensors.torch import save

from hubdna.errors import ReceiptError
from hubdna.proof import Recipe, Recorder, example, open_receipt, verify
from hubdna.proof import chain as chain_module
from hubdna.proof.replay import Bench
from hubdna.proof.storage import pack, settle, unpack
from hubdna.proof.tensors import Form, State, distances, encode, named

LONG = Recipe(100, 5, 64, "AdamW", {"lr": 0.003}, config={"width": 16})
"""21 states: one keyframe besides the first, and a last state that is none."""


@pytest.fixture(scope="module")
def plain(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench.record(tmp_path_factory.mktemp("plain"), LONG)[0]


@pytest.fixture(scope="module")
def stored(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    kinds = ("zstd", "bf16")
    return {k: bench.record(tmp_path_factory.mktemp(k), replace(LONG, storage=k))[0] for k in kinds}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "states").iterdir())


def test_zstd_gives_back_every_bit_and_takes_less(plain: Path, stored: dict[str, Path]) -> None:
    a, b = open_receipt(plain), open_receipt(stored["zstd"])
    assert [link.weights for link in a.links] == [link.weights for link in b.links]
    for x, y in zip(bench.states_of(a), bench.states_of(b), strict=True):
        assert named(x).keys() == named(y).keys()
        assert all(torch.equal(t, named(y)[n]) for n, t in named(x).items())
    assert size(stored["bf16"]) < size(stored["zstd"]) < size(plain)
    assert size(stored["bf16"]) < 0.6 * size(plain)


def test_a_rounded_state_is_where_the_training_goes_on(plain: Path, stored: dict[str, Path]) -> None:
    exact, rounded = (bench.states_of(open_receipt(f)) for f in (plain, stored["bf16"]))
    gap, moved = distances(exact[1], rounded[1]), distances(exact[0], exact[1])
    assert 0 < gap["linf"] <= 2**-8 * moved["linf"] and 0 < gap["state"] < 2**-7
    receipt = open_receipt(stored["bf16"])
    own = Bench.of(MLP, receipt.claim, receipt.samples)
    for index in (0, 1, 14, 15, 16, 19):
        again = own.replay(rounded[index], index)
        assert all(torch.equal(t, named(again)[n]) for n, t in named(rounded[index + 1]).items())
    coarse = [all((t.bfloat16() == t).all() for t in s.optimizer.values()) for s in rounded]
    assert [i for i, c in enumerate(coarse) if not c] == [16, 20], "every sixteenth and the last are exact"


def test_any_state_is_read_alone_as_it_is_in_a_row(stored: dict[str, Path]) -> None:
    for folder in stored.values():
        receipt = open_receipt(folder)
        row = bench.states_of(receipt)
        for index in (20, 3, 17, 16, 15, 15, 0):
            lone = Bench.of(MLP, receipt.claim, receipt.samples).load(receipt, index)
            assert all(torch.equal(t, named(row[index])[n]) for n, t in named(lone).items())


@pytest.mark.parametrize("storage", ["zstd", "bf16"])
def test_compressed_receipts_are_consistent(storage: str, stored: dict[str, Path]) -> None:
    report = verify(stored[storage], MLP, budget=1.0, recalibrate=True)
    assert report.verdict == "consistent", report


@pytest.mark.parametrize("storage", ["zstd", "bf16"])
def test_a_killed_training_goes_on_from_a_compressed_state(storage: str, tmp_path: Path) -> None:
    recipe, task = replace(ADAM, storage=storage), example("digits-cnn")
    bench.train(Recorder(tmp_path / "receipt", task, recipe, bench.KEY), steps=13)
    again = Recorder(tmp_path / "receipt", task, recipe, bench.KEY)
    assert again.step == 10
    bench.train(again)
    again.finish()
    whole = Recorder(tmp_path / "whole", task, recipe, bench.KEY)
    bench.train(whole)
    assert [x.weights for x in whole._chain.links()] == [x.weights for x in again._chain.links()]
    assert verify(tmp_path / "receipt", task, budget=1.0).verdict == "consistent"


def test_another_storage_is_another_training(tmp_path: Path) -> None:
    """And the states that lie there are left alone."""
    bench.train(Recorder(tmp_path / "receipt", MLP, SGD, bench.KEY), steps=7)
    with pytest.raises(ReceiptError, match="another training"):
        Recorder(tmp_path / "receipt", MLP, replace(SGD, storage="zstd"), bench.KEY)
    assert len(list((tmp_path / "receipt" / "states").iterdir())) == 2


def zeros(n: int) -> bytes:
    """A frame of n zero bytes that says so."""
    maker = zstandard.ZstdCompressor(level=1).compressobj(size=n)
    block = bytes(1 << 20)
    return b"".join([*(maker.compress(block) for _ in range(n >> 20)), maker.flush()])


def frames() -> dict[str, tuple[bytes, str]]:
    whole = save({"w.1.bias": torch.zeros(4, 16, dtype=torch.uint8)})
    packed = zstandard.ZstdCompressor().compress(whole)
    unsaid = zstandard.ZstdCompressor(write_content_size=False).compress(whole)
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, write_content_size=True)
    far = zstandard.ZstdCompressor(compression_params=wide).compressobj(size=1000)
    lies = bytearray(packed)
    lies[5] += 1
    return {
        "bomb": (zeros(1 << 30), "1073741824 bytes, at most"),
        "size not said": (unsaid, "unpacks to"),
        "size is a lie": (bytes(lies), "not a frame of zstd"),
        "more behind it": (packed + packed, "not a frame of zstd"),
        "cut short": (packed[:-6], "not a frame of zstd"),
        "nothing": (b"", "not a frame of zstd"),
        "a wide window": (far.compress(bytes(1000)) + far.flush(), "not"),
        "no frame": (whole, "not a frame of zstd"),
        "no safetensors": (zstandard.ZstdCompressor().compress(b"\x80\x04." * 50), "not safetensors"),
        "strangers": (zstandard.ZstdCompressor().compress(save({"x": torch.zeros(3)})), "is nothing that"),
        "planes": (packed.replace(b"", b""), "weights are not those"),
        "shape": (zstandard.ZstdCompressor().compress(save({"w.1.bias": torch.zeros(16)})), "4 planes of 16 bytes"),
    }


@pytest.mark.parametrize("kind", frames())
def test_frames_that_are_no_states(kind: str, stored: dict[str, Path], tmp_path: Path) -> None:
    raw, words = frames()[kind]
    receipt = open_receipt(stored["zstd"])
    form = Bench.of(MLP, receipt.claim, receipt.samples).form
    with pytest.raises(ReceiptError, match="states/00016") as caught:
        unpack(raw, None, form, receipt.claim.recipe, 16, "states/00016.zst")
    assert words in str(caught.value)


def test_a_bomb_in_a_receipt_is_refused_and_takes_no_memory(stored: dict[str, Path], tmp_path: Path) -> None:
    import resource

    receipt = open_receipt(stored["zstd"])
    states = [file.read_bytes() for file in sorted((stored["zstd"] / "states").iterdir())]
    states[3] = zeros(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    roots = [link.weights for link in receipt.links]
    moved = [link.moved for link in receipt.links]
    forged = bench.forge(tmp_path / "f", receipt, states, bench.KEY, roots=roots, moved=moved)
    assert "states/00003.zst: unpacks to 1073741824" in failed(verify(forged, MLP, budget=1.0))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_odd_tensors_come_back(dtype: torch.dtype) -> None:
    odd = torch.tensor([0.0, -0.0, 1e-7, -3e4], dtype=dtype)
    weights = {"a": odd, "n": torch.tensor(7), "e": torch.zeros(0, 3, dtype=dtype)}
    shapes = {name: (t.dtype, tuple(t.shape)) for name, t in weights.items()}
    form = Form(shapes, {"a": shapes["a"]}, frozenset({"n"}))
    moment = {
        "exp_avg.a": torch.rand(4).to(dtype),
        "exp_avg_sq.a": torch.rand(4).to(dtype),
        "step.a": torch.tensor(9.0),
    }
    first = State(weights, {}, form.buffers)
    second = State({n: t + 1 for n, t in weights.items()}, moment, form.buffers)
    for storage in ("plain", "zstd", "bf16"):
        recipe = replace(LONG, storage=storage)
        read = None
        for index, state in enumerate((first, second)):
            written, kept = settle(state, read, recipe, index)
            raw = pack(written, read, recipe, index)
            read = unpack(raw, read, form, recipe, index, "states/x")
            assert encode(named(read)) == encode(named(kept))
            if storage != "bf16" or index == 0:
                assert encode(named(kept)) == encode(named(state))


def test_a_disk_that_fills_up_is_told_and_nothing_is_written_after(tmp_path: Path, monkeypatch) -> None:
    """States are stored behind the training's back: it must hear of it, and no state may take another's place."""
    recorder = Recorder(tmp_path / "receipt", MLP, SGD, bench.KEY)
    write = chain_module.write

    def full(folder: Path, name: str, data: bytes) -> None:
        if "00002" in name:
            raise OSError(28, "No space left on device")
        write(folder, name, data)

    monkeypatch.setattr(chain_module, "write", full)
    with pytest.raises(OSError, match="No space"):
        bench.train(recorder)
    monkeypatch.undo()
    assert recorder.step == 5
    again = Recorder(tmp_path / "receipt", MLP, SGD, bench.KEY)
    bench.train(again)
    again.finish()
    assert verify(tmp_path / "receipt", MLP, budget=1.0).verdict == "consistent"
    shutil.rmtree(tmp_path / "receipt")
