"""Receipts made to harm: refused with a reason, before memory is taken, and nothing of them is run."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import proof_bench as bench
import pytest
import torch
from proof_bench import MLP, failed, forge

from hubdna.errors import ReceiptError
from hubdna.proof import Recipe, create_key, load_key, open_receipt, verify
from hubdna.proof.claim import MAX_STEPS, parse_claim
from hubdna.proof.keys import public_of, sign, signed_by
from hubdna.proof.layout import MAX_JSON, check_states
from hubdna.proof.tensors import State
from hubdna.roots import canonical


def refused(folder: Path) -> str:
    """The reason; inspecting and verifying give the same."""
    with pytest.raises(ReceiptError) as caught:
        check_states(open_receipt(folder))
    assert failed(verify(folder, MLP)) == f"structure: {caught.value}"
    return str(caught.value)


def test_any_changed_byte_of_any_file_is_noticed(copy: Path) -> None:
    rng = random.Random(8)
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    assert len(files) == 14
    for file in files * 5:
        whole = file.read_bytes()
        harmed = bytearray(whole)
        harmed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(harmed)
        try:
            receipt = open_receipt(copy)
            check_states(receipt)
            assert not signed_by(receipt.claim.author, bytes.fromhex(receipt.root), receipt.signature), file.name
        except ReceiptError:
            pass
        file.write_bytes(whole)
    assert open_receipt(copy).finished


def test_paths_outside_the_folder(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    state = copy / "states" / "00003.safetensors"
    state.rename(secret)
    state.symlink_to(secret)
    assert "no links" in refused(copy)
    state.unlink()
    assert "absent" in refused(copy)
    secret.rename(state)
    (copy / "states").rename(tmp_path / "elsewhere")
    (copy / "states").symlink_to(tmp_path / "elsewhere")
    assert "not a link" in refused(copy)


@pytest.mark.parametrize("name", ["claim.json", "chain.jsonl", "samples.bin", "signature.json", "calibration.json"])
def test_a_link_in_place_of_a_file(name: str, copy: Path, tmp_path: Path) -> None:
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    assert "no links" in refused(copy)


def test_a_pipe_does_not_hang(copy: Path) -> None:
    (copy / "claim.json").unlink()
    os.mkfifo(copy / "claim.json")
    assert "not a plain file" in refused(copy)


@pytest.mark.parametrize("name", ["model.pt", "states/00009.safetensors", "states/optimizer.pkl", "task.py"])
def test_files_that_are_no_part_of_a_receipt(name: str, copy: Path) -> None:
    (copy / name).write_bytes(b"\x80\x04.")
    assert "no part of" in refused(copy)


def test_a_file_larger_than_it_can_be_is_not_read(copy: Path) -> None:
    for name, most in (("claim.json", MAX_JSON), ("samples.bin", 1797 * 32), ("chain.jsonl", 9 * 10_000)):
        whole = (copy / name).read_bytes()
        with (copy / name).open("r+b") as file:
            file.truncate(10**13 if name != "chain.jsonl" else 10**12)  # sparse: takes no space
        assert f"at most {most}" in refused(copy)
        (copy / name).write_bytes(whole)


CLAIM_LIES = {
    "steps": (10**9, "from 1 to 1000000"),
    "every": (0, "every"),
    "batch": (10**6, "batch"),
    "optimizer": ("__import__('os')", "is not one of SGD"),
    "settings": ({"lr": 0.1, "foreach": True}, "takes"),
    "schedule": ("LambdaLR", "is not one of constant"),
    "seed": (-1, "seed"),
    "config": ({"x": {"nested": 1}}, "config.x"),
}


@pytest.mark.parametrize("field", CLAIM_LIES)
def test_a_claim_beyond_all_bounds(field: str, copy: Path) -> None:
    value, words = CLAIM_LIES[field]
    claim = json.loads((copy / "claim.json").read_text())
    claim["recipe"][field] = value
    (copy / "claim.json").write_bytes(canonical(claim))
    assert words in refused(copy)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", '{"schema":"hubdna.receipt/1"}', '{"a":1,"a":2}', "[" * 100_000,
        '{"steps":1' + "0" * 5000 + "}",
        '{"x":NaN}', "\x00", '"\\ud800"', '{"schema":"hubdna.receipt/9"}',
    ],
)  # fmt: skip
def test_a_claim_that_is_none(text: str, copy: Path) -> None:
    (copy / "claim.json").write_text(text)
    assert "claim" in refused(copy)


def test_a_claim_in_any_other_shape_is_refused_and_nothing_else_is_raised(copy: Path) -> None:
    """Every field of a real claim replaced by every kind of value."""
    values = [None, True, -1, 1.5, "", "x" * 300, "a\x1b[31m", [], [1], {}, {"a": 1}, 10**20]
    claim = json.loads((copy / "claim.json").read_text())
    places = [(claim, name) for name in claim] + [(claim["recipe"], name) for name in claim["recipe"]]
    n_kept = 0
    for where, name in places:
        whole = where[name]
        for value in values:
            where[name] = value
            try:
                parse_claim(claim)
                n_kept += 1
            except ReceiptError:
                pass
        where[name] = whole
    assert n_kept <= 6, "an empty config, no schedule settings, no parent, no fresh weights: little else is a claim"


def test_a_chain_that_bites_its_tail(copy: Path) -> None:
    lines = (copy / "chain.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "chain.jsonl").write_bytes(b"".join(lines[:3] + lines[1:7]))
    assert "link 3" in refused(copy)
    rows = [json.loads(line) for line in lines]
    rows[4]["previous"] = rows[5]["previous"]
    (copy / "chain.jsonl").write_bytes(b"".join(canonical(row) + b"\n" for row in rows))
    assert "link 4 does not follow" in refused(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"moved": -1.0}, {"moved": 1}, {"index": True}, {"step": 5.0}, {"state": "zz" * 32}, {"state": "AB" * 32},
        {"environment": {"torch": "\x1b]0;x"}}, {"environment": {"a": 1}}, {"environment": []}, {"extra": 1},
        {"previous": None}, {"weights": "ab " * 21 + "a"},
    ],
)  # fmt: skip
def test_a_link_that_is_none(change: dict, copy: Path) -> None:
    lines = (copy / "chain.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = canonical(json.loads(lines[2]) | change) + b"\n"
    (copy / "chain.jsonl").write_bytes(b"".join(lines))
    assert "chain.jsonl: link 2" in refused(copy)


def changed(state: State, name: str, tensor: torch.Tensor) -> State:
    return State(state.weights | {name: tensor}, state.optimizer)


@pytest.mark.parametrize("kind", ["nan", "inf", "shape", "dtype", "more", "less", "memory", "stranger"])
def test_states_of_another_form(kind: str, honest, tmp_path: Path) -> None:
    """All commitments are right; the check is on what the verifier's own model looks like."""
    good = honest.states[3]
    bias = good.weights["1.bias"]
    bad = {
        "nan": changed(good, "1.bias", bias * torch.nan),
        "inf": changed(good, "1.bias", bias + torch.inf),
        "shape": changed(good, "1.bias", bias[:-1]),
        "dtype": changed(good, "1.bias", bias.half()),
        "more": changed(good, "9.bias", bias.clone()),
        "less": State({n: t for n, t in good.weights.items() if n != "1.bias"}, good.optimizer),
        "memory": State(good.weights, {n: t[:1].clone() for n, t in good.optimizer.items()}),
        "stranger": State(good.weights, good.optimizer | {"exp_avg.1.bias": bias.clone()}),
    }[kind]
    states = [*honest.states[:3], bad, *honest.states[4:]]
    moved = [link.moved for link in honest.receipt.links]
    says = failed(verify(forge(tmp_path / "f", honest.receipt, states, honest.key, moved=moved), MLP, budget=1.0))
    assert "states/00003.safetensors" in says


def test_a_state_too_large_for_the_model_is_not_read(honest, tmp_path: Path) -> None:
    states = [b"\0" * 3_000_000, *honest.states[1:]]
    forged = forge(tmp_path / "f", honest.receipt, states, honest.key)
    assert "3000000 bytes, at most" in failed(verify(forged, MLP))


@pytest.mark.parametrize("config", [{"width": 10**9}, {"width": -1}, {"width": True}, {"depth": 10**9}, {"width": "9"}])
def test_a_config_that_would_fill_the_memory(config: dict, honest, tmp_path: Path) -> None:
    lie = replace(honest.receipt.claim.recipe, config=config)
    forged = forge(tmp_path / "f", honest.receipt, honest.states, honest.key, recipe=lie)
    assert "config takes width" in failed(verify(forged, MLP))


def test_a_wide_model_is_refused_by_its_form_before_it_is_built(honest, tmp_path: Path) -> None:
    """A task that does not bound its config: 4 TB are known from shapes alone."""

    class Careless(type(MLP)):
        def build_model(self, config):
            return torch.nn.Linear(10**6, config["width"])

    lie = replace(honest.receipt.claim.recipe, config={"width": 10**6})
    forged = forge(tmp_path / "f", honest.receipt, honest.states, honest.key, recipe=lie)
    assert "not those of the task's model" in failed(verify(forged, Careless("digits-mlp")))


def test_a_task_that_would_need_code_of_the_receipt(honest, tmp_path: Path) -> None:
    forged = forge(tmp_path / "f", honest.receipt, honest.states, honest.key, task="evil.module:Net")
    report = verify(forged)
    assert report.verdict == "not-checkable" and "hand model class and data" in report.checks[-1].says
    assert "not of 'digits-mlp'" in failed(verify(forged, MLP))


@pytest.mark.parametrize(
    "calibration",
    [{}, {"l2": {"noise": 0.0, "reference": 1.0}}, {"l2": {"noise": "0", "reference": 1.0}}, [], {"l2": 1.0}],
)
def test_a_calibration_that_is_none(calibration: object, honest, tmp_path: Path) -> None:
    forged = forge(tmp_path / "f", honest.receipt, honest.states, honest.key, calibration=calibration)
    assert "calibration.json" in failed(verify(forged, MLP))


def test_a_calibration_without_room_is_not_checkable(honest, tmp_path: Path) -> None:
    tight = {m: {"noise": 1.0, "reference": 50.0} for m in bench.GENEROUS}
    report = verify(forge(tmp_path / "f", honest.receipt, honest.states, honest.key, calibration=tight), MLP)
    assert report.verdict == "not-checkable" and "too far apart" in report.checks[-1].says


def test_schedules_that_explode_are_refused(honest, tmp_path: Path) -> None:
    for schedule, settings in (
        ("ExponentialLR", {"gamma": 1e15}),
        ("StepLR", {"step_size": 0}),
        ("CosineAnnealingLR", {"T_max": 0}),
        ("LinearLR", {"start_factor": -3.0}),
    ):
        lie = replace(honest.receipt.claim.recipe, schedule=schedule, schedule_settings=settings)
        forged = forge(tmp_path / schedule, honest.receipt, honest.states, honest.key, recipe=lie)
        assert schedule in failed(verify(forged, MLP))


def test_recipes_without_sense_are_refused_when_they_are_written() -> None:
    good = {"steps": 10, "every": 5, "batch": 2, "settings": {"lr": 0.1}}
    Recipe(**good)
    for change in ({"settings": {}}, {"steps": MAX_STEPS + 1}, {"steps": 10.0}, {"batch": 65536, "steps": 100_000}):
        with pytest.raises(ReceiptError):
            Recipe(**(good | change))
    with pytest.raises(ReceiptError, match="betas"):
        Recipe(**(good | {"optimizer": "AdamW", "settings": {"lr": 0.1, "betas": 3}}))
    with pytest.raises(ReceiptError, match="intervals"):
        Recipe(**(good | {"steps": 100_000, "every": 1}))


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = create_key(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    root = b"r" * 32
    again = load_key(tmp_path / "key.pem")
    assert signed_by(public_of(key), root, sign(again, root))
    assert not signed_by(public_of(key), b"s" * 32, sign(again, root))
    assert not signed_by("00" * 32, root, sign(again, root)) and not signed_by(public_of(key), root, "no")
    with pytest.raises(ReceiptError, match="exists"):
        create_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(ReceiptError, match="chmod 600"):
        load_key(tmp_path / "key.pem")
    (tmp_path / "text").write_text("-----BEGIN")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(ReceiptError, match="PEM"):
        load_key(tmp_path / "text")
    with pytest.raises(ReceiptError, match="No such file"):
        load_key(tmp_path / "absent")
